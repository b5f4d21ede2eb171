"""Intervals, verdicts, pairing, and the table at the end of a notebook."""

import json
import math
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from kdlab.show import report
from kdlab.show.claims import (
    FEWEST,
    VERDICTS,
    Claim,
    above,
    below,
    cell,
    chosen,
    interval,
    judge,
    over_images,
    paired,
    values,
    within,
)

CLAIMS = "application/vnd.kdlab.claims+json"  # the key that `make course` collects
COLUMNS = ["notebook", "id", "claim", "paper", "ours", "low", "high", "n", "unit", "verdict"]


def runs_of(**arms: list[float]) -> pd.DataFrame:
    """Return a table with one row per arm and seed; the metric is accuracy."""
    rows = [
        {"arm": arm, "seed": seed, "accuracy": value}
        for arm, accuracies in arms.items()
        for seed, value in enumerate(accuracies)
    ]
    return pd.DataFrame(rows)


# --- interval


def test_interval_is_students_t_worked_out_by_hand() -> None:
    x = np.array([90.1, 91.3, 89.7, 92.0, 90.4])
    s = math.sqrt(sum((v - x.mean()) ** 2 for v in x) / 4)
    half = 2.7764451052 * s / math.sqrt(5)  # t quantile .975 with 4 degrees of freedom
    mean, low, high = interval(x)
    assert mean == pytest.approx(90.7)
    assert (low, high) == (pytest.approx(90.7 - half), pytest.approx(90.7 + half))


def test_interval_at_another_level() -> None:
    _, low, high = interval([1.0, 2.0, 4.0], level=0.8)
    half = stats.t.ppf(0.9, 2) * stats.sem([1.0, 2.0, 4.0])
    assert high - low == pytest.approx(2 * half)


@pytest.mark.parametrize("n", [2, 5, 10])
def test_interval_covers_the_truth_as_often_as_it_says(n: int) -> None:
    rng = np.random.default_rng(n)
    bounds = np.array([interval(rng.normal(3.0, 2.0, n)) for _ in range(2000)])
    covered = np.mean((bounds[:, 1] <= 3.0) & (bounds[:, 2] >= 3.0))
    assert 0.93 <= covered <= 0.97


def test_interval_of_one_seed_is_unknown() -> None:
    mean, low, high = interval([2.5])
    assert mean == 2.5 and math.isnan(low) and math.isnan(high)


@pytest.mark.filterwarnings("error")
def test_interval_of_nothing_is_unknown_without_a_warning() -> None:
    assert all(math.isnan(v) for v in interval([]))


@pytest.mark.filterwarnings("error")
def test_interval_without_spread_is_the_point() -> None:
    assert interval([0.1] * 7) == (0.1, 0.1, 0.1)


# --- rules


@pytest.mark.parametrize(
    ("margin", "mean", "low", "verdict"),
    [
        (0.0, 2.0, 0.01, "reproduced"),
        (0.0, 2.0, 0.0, "direction only"),  # an interval that touches 0 does not exclude it
        (0.0, 2.0, -1.0, "direction only"),
        (0.0, 0.0, 0.0, "not reproduced"),
        (0.0, -1.0, -2.0, "not reproduced"),
        (1.0, 2.0, 1.01, "reproduced"),
        (1.0, 2.0, 1.0, "direction only"),
        (1.0, 1.0, 0.5, "not reproduced"),
        (-0.5, 0.0, -0.4, "reproduced"),  # "no worse than half a point"
    ],
)
def test_above(margin: float, mean: float, low: float, verdict: str) -> None:
    assert above(margin)(mean, low, 2 * mean - low) == verdict


@pytest.mark.parametrize(
    ("mean", "low", "high", "verdict"),
    [
        (0.0, -0.99, 0.99, "reproduced"),
        (0.0, 0.0, 0.0, "reproduced"),
        (0.0, -1.0, 1.0, "direction only"),
        (0.5, -0.5, 1.5, "direction only"),
        (-0.5, -1.5, 0.5, "direction only"),
        (1.0, 0.5, 1.5, "not reproduced"),
        (-1.0, -1.5, -0.5, "not reproduced"),
        (3.0, 2.9, 3.1, "not reproduced"),
    ],
)
def test_within(mean: float, low: float, high: float, verdict: str) -> None:
    assert within(1.0)(mean, low, high) == verdict


@pytest.mark.parametrize(
    ("margin", "mean", "high", "verdict"),
    [
        (0.0, -1.0, -0.1, "reproduced"),
        (0.0, -1.0, 0.0, "direction only"),
        (0.0, 0.0, 1.0, "not reproduced"),
        (0.5, 0.2, 0.49, "reproduced"),
        (0.5, 0.2, 0.5, "direction only"),
        (0.5, 0.5, 0.9, "not reproduced"),
        (0.5, -9.0, -8.0, "reproduced"),  # clearly worse is no better
    ],
)
def test_below(margin: float, mean: float, high: float, verdict: str) -> None:
    assert below(margin)(mean, 2 * mean - high, high) == verdict


# --- values and paired


def test_paired_meets_the_same_seeds_in_any_order_of_rows() -> None:
    runs = runs_of(KD=[5.0, 6.0, 8.0], hard=[1.0, 3.0, 2.0])
    mixed = runs.sample(frac=1.0, random_state=1)
    assert list(mixed.seed) != list(runs.seed)
    difference = paired("KD", "hard")
    assert sorted(difference(mixed)) == sorted(difference(runs)) == [3.0, 4.0, 6.0]


def test_paired_leaves_out_a_seed_that_one_arm_lacks() -> None:
    runs = runs_of(KD=[5.0, 6.0, 8.0], hard=[1.0, 3.0, 2.0])
    runs = runs[~((runs.arm == "hard") & (runs.seed == 1))]
    assert list(paired("KD", "hard")(runs)) == [4.0, 6.0]


def test_paired_takes_another_metric_and_another_column() -> None:
    runs = runs_of(KD=[5.0], hard=[1.0]).rename(columns={"arm": "method", "accuracy": "nll"})
    assert list(paired("KD", "hard", "nll", by="method")(runs)) == [4.0]


@pytest.mark.parametrize(("arm", "metric"), [("KDD", "accuracy"), ("KD", "acuracy")])
def test_an_unknown_name_is_told_with_those_there_are(arm: str, metric: str) -> None:
    with pytest.raises(KeyError) as caught:
        values(runs_of(KD=[1.0], hard=[2.0]), arm, metric)
    for name in (arm, metric, "KD", "hard", "accuracy"):
        assert name in str(caught.value)


def test_two_rows_with_one_seed_are_refused() -> None:
    runs = runs_of(KD=[1.0, 2.0], hard=[2.0, 3.0])
    two_settings = pd.concat([runs.assign(T=1.0), runs.assign(T=4.0)])
    with pytest.raises(ValueError, match="several rows with one seed"):
        paired("KD", "hard")(two_settings)
    assert len(paired("KD", "hard")(two_settings[two_settings["T"] == 4.0])) == 2


# --- cell and chosen


def a_grid() -> pd.DataFrame:
    """Two students, two temperatures, two seeds; the accuracy says which row it is."""
    rows = [
        {"student": student, "T": T, "seed": seed, "accuracy": 100 * place + 10 * T + seed}
        for place, student in enumerate(("small", "large"))
        for T in (1.0, 4.0)
        for seed in (3, 4)
    ]
    return pd.DataFrame(rows).sample(frac=1.0, random_state=2).assign(val_accuracy=[9.0] * 8)


def test_cell_is_one_setting_by_seed() -> None:
    found = cell(a_grid(), student="large", T=4.0).sort_index()
    assert found.to_dict() == {3: 143.0, 4: 144.0}
    assert set(cell(a_grid(), "val_accuracy", student="small", T=1.0)) == {9.0}
    gap = cell(a_grid(), student="large", T=1.0) - cell(a_grid(), student="small", T=4.0)
    assert gap.to_dict() == {3: 70.0, 4: 70.0}  # paired by seed, whatever the order of the rows


@pytest.mark.parametrize("column", ["metric", "runs", "where"])
def test_a_column_may_have_any_name(column: str) -> None:
    table = a_grid().query("T == 4.0").rename(columns={"student": column})
    assert cell(table, "accuracy", **{column: "large"}).loc[3] == 143
    assert paired("large", "small", by=column)(table).tolist() == [100, 100]


@pytest.mark.parametrize(
    ("where", "metric", "told"),
    [
        ({"student": "huge", "T": 4.0}, "accuracy", "['large', 'small']"),
        ({"pupil": "small"}, "accuracy", "name columns of this table"),
        ({"student": "small"}, "nll", "'nll'"),
        ({}, "accuracy", "name columns of this table"),
    ],
)
def test_an_unknown_cell_is_told(where: dict[str, Any], metric: str, told: str) -> None:
    with pytest.raises(KeyError) as caught:
        cell(a_grid().sort_values("student"), metric, **where)
    assert told in str(caught.value)


def test_half_a_setting_is_refused() -> None:
    with pytest.raises(ValueError, match="several rows with one seed"):
        cell(a_grid(), student="small")


def test_chosen_has_the_best_mean_not_the_best_run() -> None:
    runs = runs_of(steady=[5.0, 5.0], lucky=[9.0, 0.0], bad=[1.0, 1.0])
    assert chosen(runs, "arm", "accuracy") == "steady"
    assert chosen(runs.rename(columns={"accuracy": "val_accuracy"}), "arm") == "steady"


# --- over_images


def test_over_images_equals_the_slow_formula() -> None:
    rng = np.random.default_rng(0)
    right = {arm: rng.random((3, 40)) < share for arm, share in (("KD", 0.9), ("hard", 0.7))}
    runs = pd.DataFrame(
        [
            {"arm": arm, "seed": s, "correct": right[arm][s]}
            for s in range(3)
            for arm in ("KD", "hard")
        ]
    )
    gaps = []
    for image in range(40):
        gaps.append(
            sum(int(right["KD"][s][image]) - int(right["hard"][s][image]) for s in range(3))
        )
    gaps = [gap / 3 for gap in gaps]
    mean = sum(gaps) / 40
    variance = sum((gap - mean) ** 2 for gap in gaps) / 39
    expected = 100 * 1.959963985 * math.sqrt(variance / 40)
    assert over_images(runs, "KD", "hard") == pytest.approx(expected)


# --- judge


GAIN = Claim("gain", "KD is better.", "Table 1: 3.1", paired("KD", "hard"), above())
RUNS = runs_of(KD=[92.0, 93.0, 91.5, 92.5, 92.2], hard=[90.0, 90.5, 89.0, 90.9, 90.1])


def test_judge_gives_one_full_row_per_claim() -> None:
    equal = Claim("equal", "They are equal.", "section 3", paired("KD", "hard"), within(0.5), "%")
    judged = judge([GAIN, equal], RUNS, "00_kd")
    assert list(judged.columns) == COLUMNS
    assert list(judged.id) == ["gain", "equal"] and list(judged.unit) == ["points", "%"]
    assert list(judged.verdict) == ["reproduced", "not reproduced"]
    mean, low, high = interval(RUNS.accuracy[:5].to_numpy() - RUNS.accuracy[5:].to_numpy())
    row = judged.iloc[0]
    assert (row.ours, row.low, row.high, row.n) == (mean, low, high, 5)
    assert (row.notebook, row.claim, row.paper) == ("00_kd", "KD is better.", "Table 1: 3.1")


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("seeds", range(FEWEST))
def test_fewer_than_five_seeds_give_numbers_and_no_verdict(seeds: int) -> None:
    kept = RUNS[(RUNS.seed < seeds) | (RUNS.arm == "KD")]
    if not seeds:
        kept = RUNS.assign(seed=RUNS.seed + 100 * (RUNS.arm == "KD"))  # no seed in common
    row = judge([GAIN], kept, "00_kd").iloc[0]
    assert row.verdict == "not tested here" and row.n == seeds
    assert math.isnan(row.ours) == (seeds == 0) and math.isnan(row.low) == (seeds < 2)


def test_a_claim_without_a_statistic_or_a_rule_is_not_tested() -> None:
    judged = judge([replace(GAIN, statistic=None), replace(GAIN, rule=None)], RUNS, "00_kd")
    assert list(judged.verdict) == ["not tested here"] * 2
    assert list(judged.n) == [0, 0] and judged.ours.isna().all()


def test_a_gain_within_the_noise_is_direction_only() -> None:
    runs = runs_of(KD=[1.0, -1.0, 1.0, -1.0, 1.0], hard=[0.0] * 5)
    assert judge([GAIN], runs, "00_kd").verdict[0] == "direction only"


# --- report


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """Collect what `report` displays."""
    outputs: list[dict[str, Any]] = []
    monkeypatch.setattr(report, "display", lambda data, raw: outputs.append(data))
    return outputs


LONG = Claim("long", "Text with | and <b> & more. " * 8, "5 > 4")


def test_report_displays_html_text_and_json(shown: list[dict[str, Any]]) -> None:
    judged = report.report([GAIN, LONG], RUNS, "00_kd")
    pd.testing.assert_frame_equal(judged, judge([GAIN, LONG], RUNS, "00_kd"))
    (bundle,) = shown
    rows = json.loads(json.dumps(bundle[CLAIMS], allow_nan=False))
    assert [list(row) for row in rows] == [COLUMNS] * 2
    assert rows[0]["ours"] == judged.ours[0] and rows[0]["n"] == 5
    assert rows[1]["ours"] is None and rows[1]["high"] is None
    assert all(row["verdict"] in VERDICTS for row in rows)
    for row in rows:
        assert row["claim"] in bundle["text/plain"] and row["verdict"] in bundle["text/plain"]


def test_the_html_table_has_a_caption_headers_with_scope_and_escaped_wrapping_text(
    shown: list[dict[str, Any]],
) -> None:
    report.report([GAIN, LONG], RUNS, "00_kd")
    page = shown[0]["text/html"]
    assert "<caption>Claims of 00_kd and their verdicts</caption>" in page
    assert page.count('scope="col"') == 4 and page.count('scope="row"') == 2
    assert "&lt;b&gt; &amp; more" in page and "<b>" not in page and "5 &gt; 4" in page
    assert page.count("white-space: normal") == 12
    assert "2.14 [1.67, 2.61] points, n = 5" in page


@pytest.mark.parametrize(
    ("numbers", "text"),
    [
        ((2.314, 1.62, 3.004, 5, "points"), "2.31 [1.62, 3.00] points, n = 5"),
        ((-0.001, -0.003, 0.002, 6, "nats"), "-0.0010 [-0.0030, 0.0020] nats, n = 6"),
        ((0.0, 0.0, 0.0, 5, "points"), "0.00 [0.00, 0.00] points, n = 5"),
        ((-0.001, -0.014, 0.012, 6, "nats"), "0.00 [-0.01, 0.01] nats, n = 6"),
        ((-4.25, -14.26, 6.04, 9, "points"), "-4.2 [-14.3, 6.0] points, n = 9"),
        ((7.38, -0.03, 14.78, 5, "points"), "7.38 [-0.03, 14.78] points, n = 5"),
        ((123.45, 122.0, 124.94, 5, ""), "123.5 [122.0, 124.9], n = 5"),
        ((2.5, None, None, 1, "points"), "2.50 points, n = 1"),
        ((None, None, None, 0, "points"), "–"),
    ],
)
def test_found_says_the_number_with_unit_and_seeds(numbers: tuple[Any, ...], text: str) -> None:
    keys = ("ours", "low", "high", "n", "unit")
    assert report.found(dict(zip(keys, numbers, strict=True))) == text


@pytest.mark.parametrize("claims", [[], [GAIN, GAIN]])
def test_report_refuses_no_claims_and_the_same_id_twice(claims: list[Claim]) -> None:
    with pytest.raises(ValueError, match="at least one, each with its own id"):
        report.report(claims, RUNS, "00_kd")


# --- what is no number


def test_a_diverged_run_gives_no_verdict() -> None:
    table = runs_of(KD=[90.0, 91, 92, 93, 94, math.nan], hard=[89.0, 90, 91, 92, 93, 94])
    claim = Claim("gain", "KD helps.", "stated", paired("KD", "hard"), above())
    (row,) = judge([claim], table, "00").to_dict("records")
    assert row["n"] == 6 and math.isnan(row["ours"]) and row["verdict"] == "not tested here"


def test_pairs_are_the_seeds_that_both_arms_have() -> None:
    table = runs_of(KD=[90.0, 91.0, 92.0], hard=[80.0, 80.0])
    assert paired("KD", "hard")(table).tolist() == [10.0, 11.0]
    right = pd.DataFrame(
        [
            {"arm": arm, "seed": seed, "correct": np.array(images)}
            for arm, seed, images in [
                ("KD", 0, [True, True, False, True]),
                ("hard", 0, [True, False, True, False]),
                ("hard", 1, [False] * 4),
            ]
        ]
    )
    gap = np.array([0.0, 1.0, -1.0, 1.0])  # of seed 0 alone
    half = 1.959964 * gap.std(ddof=1) / 2
    assert over_images(right, "KD", "hard") == pytest.approx(100 * half, rel=1e-5)
