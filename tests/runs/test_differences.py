"""Pairs of runs, the differences between them, and the intervals of their means."""

import math
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from kdlab.runs import differences
from kdlab.runs.differences import (
    Difference,
    Interval,
    cell,
    chosen,
    difference,
    interval,
    over_images,
    paired,
)
from tests.mutants import assert_caught


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
    found = interval(x, unit="points")
    assert found.mean == pytest.approx(90.7) and found.half == pytest.approx(half)
    assert (found.low, found.high) == (pytest.approx(90.7 - half), pytest.approx(90.7 + half))
    assert (found.n, found.unit) == (5, "points")


def test_interval_at_another_level_takes_any_numbers() -> None:
    found = interval(pd.Series([1, 2, 4]), level=0.8)
    half = stats.t.ppf(0.9, 2) * stats.sem([1.0, 2.0, 4.0])
    assert found.high - found.low == pytest.approx(2 * half)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("x", [[], [2.5]])
def test_interval_of_less_than_two_is_unknown(x: list[float]) -> None:
    found = interval(x)
    assert math.isnan(found.low) and math.isnan(found.high) and found.n == len(x)
    assert found.mean == x[0] if x else math.isnan(found.mean)


@pytest.mark.filterwarnings("error")
def test_interval_without_spread_is_the_point() -> None:
    found = interval([0.1] * 7)
    assert found.half == pytest.approx(0, abs=1e-12) and found.mean == pytest.approx(0.1)


@pytest.mark.parametrize(
    ("numbers", "text"),
    [
        ((2.314, 1.62, 3.004, 5, "points"), "+2.31 [+1.62, +3.00] points, n = 5"),
        ((-0.001, -0.003, 0.002, 6, "nats"), "-0.0010 [-0.0030, +0.0020] nats, n = 6"),
        ((0.0, 0.0, 0.0, 5, "points"), "+0.00 [+0.00, +0.00] points, n = 5"),
        ((-0.001, -0.014, 0.012, 6, "nats"), "+0.00 [-0.01, +0.01] nats, n = 6"),
        ((-4.25, -14.26, 6.04, 9, "points"), "-4.2 [-14.3, +6.0] points, n = 9"),
        ((7.38, -0.03, 14.78, 5, "points"), "+7.38 [-0.03, +14.78] points, n = 5"),
        ((2.5, math.nan, math.nan, 1, "points"), "+2.50 points, n = 1"),
        ((2.5, 2.0, 3.0, 4, ""), "+2.50 [+2.00, +3.00], n = 4"),
        ((math.nan, math.nan, math.nan, 0, "points"), "–"),
    ],
)
def test_one_wording(numbers: Any, text: str) -> None:
    assert str(Interval(*numbers)) == text


# --- cell, chosen, paired


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


def test_cell_is_by_world_where_there_are_several() -> None:
    runs = pd.concat([runs_of(KD=[1.0, 2.0]).assign(world=w) for w in ("a", "b")])
    assert cell(runs, arm="KD").to_dict() == {
        ("a", 0): 1.0,
        ("a", 1): 2.0,
        ("b", 0): 1.0,
        ("b", 1): 2.0,
    }


@pytest.mark.parametrize("column", ["metric", "runs", "where"])
def test_a_column_may_have_any_name(column: str) -> None:
    table = a_grid().query("T == 4.0").rename(columns={"student": column})
    assert cell(table, "accuracy", **{column: "large"}).loc[3] == 143
    assert paired(table, "large", "small", by=column).tolist() == [100, 100]


@pytest.mark.parametrize(
    ("where", "metric", "told"),
    [
        ({"student": "huge", "T": 4.0}, "accuracy", "large"),
        ({"pupil": "small"}, "accuracy", "student"),
        ({"student": "small"}, "nll", "accuracy"),
        ({}, "accuracy", "student"),
    ],
)
def test_an_unknown_cell_is_told_with_those_there_are(where: Any, metric: str, told: str) -> None:
    with pytest.raises(KeyError, match=told):
        cell(a_grid(), metric, **where)


def test_half_a_setting_is_refused() -> None:
    with pytest.raises(ValueError, match="one seed"):
        cell(a_grid(), student="small")


def test_chosen_has_the_best_mean_not_the_best_run() -> None:
    runs = runs_of(steady=[5.0, 5.0], lucky=[9.0, 0.0], bad=[1.0, 1.0])
    assert chosen(runs, "arm", "accuracy") == "steady"
    assert chosen(runs.rename(columns={"accuracy": "val_accuracy"}), "arm") == "steady"


def test_paired_meets_the_seeds_that_both_have_in_any_order_of_rows() -> None:
    runs = runs_of(KD=[5.0, 6.0, 8.0], hard=[1.0, 3.0, 2.0])
    assert paired(runs.sample(frac=1.0, random_state=1), "KD", "hard").to_dict() == {
        0: 4.0,
        1: 3.0,
        2: 6.0,
    }
    runs = runs[~((runs.arm == "hard") & (runs.seed == 1))]
    assert paired(runs, "KD", "hard").to_dict() == {0: 4.0, 2: 6.0}


def test_a_run_that_gave_no_number_is_not_left_out() -> None:
    gap = paired(runs_of(KD=[5.0, math.nan], hard=[1.0, 3.0]), "KD", "hard")
    assert len(gap) == 2 and math.isnan(gap[1])


# --- difference


def evidence(replicates: dict[str, int], name: str = "soft") -> pd.DataFrame:
    """Return a table as `kdlab.runs.evidence.read` gives it; a is best on validation in world v."""
    draw, rows = np.random.default_rng(0), []
    for world, n in replicates.items():
        for seed in range(n):
            images = draw.permutation(50)[:20]
            for place, arm in enumerate(("KD", "a", "b")):
                right = draw.random(20) < 0.5
                best = (arm == "a") == (world == "v")
                rows.append(
                    {"world": world, "arm": arm, "seed": seed, "accuracy": 100 * right.mean()}
                    | {"val_accuracy": 90.0 + best + place / 10, "rows": images, "correct": right}
                )
    table = pd.DataFrame(rows)
    table.attrs["name"] = name
    return table


def test_difference_is_made_in_every_world_with_its_images_and_arms() -> None:
    table = evidence({"v": 3, "w": 2})
    gap = difference(table, "KD", "a")
    assert list(gap.x.index) == [("v", 0), ("v", 1), ("v", 2), ("w", 0), ("w", 1)]
    assert gap.arms == {("soft", "KD"), ("soft", "a")}
    for key, value in gap.x.items():
        d, rows = gap.images[key]
        assert d.mean() == pytest.approx(value) and set(d) <= {-100, 0, 100}
        assert set(rows) <= set(range(50)) and len(rows) == 20


def test_one_of_several_arms_is_chosen_in_each_world_on_validation() -> None:
    table = evidence({"v": 3, "w": 3})
    gap = difference(table, "KD", ("a", "b"))
    assert gap.arms == {("soft", "KD"), ("soft", "a"), ("soft", "b")}
    for world, arm in (("v", "a"), ("w", "b")):
        expected = paired(table[table.world == world], "KD", arm)
        pd.testing.assert_series_equal(gap.x[gap.x.index.get_level_values(0) == world], expected)


def test_another_metric_has_no_images_and_a_world_without_the_arm_is_left_out() -> None:
    table = evidence({"v": 3, "w": 2})
    assert difference(table, "KD", "a", "val_accuracy").images == {}
    table = table[(table.world == "v") | (table.arm != "a")]
    assert set(difference(table, "KD", "a").x.index.get_level_values("world")) == {"v"}
    nothing = difference(table[:0], "KD", "a")
    assert nothing.x.empty and nothing.images == {}


# --- over_images


def crossed(
    draw: np.random.Generator,
    n: int,
    images: float,
    replicate: float = 0.7,
    noise: float = 25.0,
    of: tuple[int, int] = (500, 200),
) -> Difference:
    """Draw differences (points) about 1: replicates and images are crossed, test sets overlap."""
    each = draw.normal(0, images, of[0])
    found = {}
    for r in range(n):
        rows = draw.permutation(of[0])[: of[1]]
        d = 1 + draw.normal(0, replicate) + each[rows] + draw.normal(0, noise, of[1])
        found["w", r] = (d, rows)
    x = pd.Series({key: d.mean() for key, (d, _) in found.items()})
    return Difference(x.rename_axis(["world", "seed"]), found)


def slow(gap: Difference) -> float:
    """Return the half-width by sums over groups: of one replicate, of one image, of one of both.

    Each sum has the usual correction for the number of its groups.
    """
    cells = [(r, i, v) for r, (d, rows) in gap.images.items() for v, i in zip(d, rows, strict=True)]
    mean = sum(v for _, _, v in cells) / len(cells)
    total = 0.0
    for sign, key in ((1, 0), (1, 1), (-1, slice(0, 2))):
        groups: dict[Any, float] = {}
        for one in cells:
            groups[one[key]] = groups.get(one[key], 0.0) + one[2] - mean
        total += sign * sum(s**2 for s in groups.values()) * len(groups) / (len(groups) - 1)
    return stats.t.ppf(0.975, len(gap.images) - 1) * math.sqrt(total) / len(cells)


def test_over_images_equals_the_slow_sums_over_groups() -> None:
    gap = crossed(np.random.default_rng(0), 6, images=20.0, of=(40, 25))
    found = over_images(gap, "w", 0.95, "points")
    assert found is not None and found.half == pytest.approx(slow(gap))
    assert found.mean == pytest.approx(gap.x.mean()) and (found.n, found.unit) == (6, "points")


@pytest.mark.parametrize(("n", "images"), [(5, 20.0), (10, 20.0), (10, 0.0)])
def test_over_images_covers_the_truth(n: int, images: float) -> None:
    draw, hits, narrow = np.random.default_rng(n), 0, 0
    for _ in range(300):
        gap = crossed(draw, n, images, of=(200, 80))
        wide, own = over_images(gap, "w", 0.95), interval(gap.x)
        assert wide is not None
        hits += wide.low <= 1 <= wide.high
        narrow += own.low <= 1 <= own.high
    assert hits / 300 >= 0.93
    assert images == 0 or narrow < hits  # replicates alone do not know other test images


def test_over_images_is_never_narrower_than_replicates_alone() -> None:
    draw = np.random.default_rng(2)
    for _ in range(50):
        gap = crossed(draw, 5, images=0.0, replicate=0.0)
        wide = over_images(gap, "w", 0.95)
        assert wide is not None and wide.half >= interval(gap.x).half - 1e-9


def test_over_images_needs_two_replicates_of_the_world() -> None:
    gap = crossed(np.random.default_rng(0), 3, images=1.0)
    assert over_images(gap, "another", 0.95) is None
    one = Difference(gap.x, {("w", 0): gap.images["w", 0]})
    assert over_images(one, "w", 0.95) is None


def test_mutants_are_caught() -> None:
    by = [test_over_images_equals_the_slow_sums_over_groups]
    for old, new in (("over + clustered(rows)", "over"), ("- clustered(np", "+ clustered(np")):
        assert_caught(differences.over_images, old, new, by=by)
    by = [test_a_run_that_gave_no_number_is_not_left_out]
    assert_caught(differences.paired, "one[both] - two[both]", "(one - two).dropna()", by=by)
