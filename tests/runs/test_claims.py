"""Outcomes follow from intervals, false ones are rare, and what is judged is told in full."""

import functools
import math
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from kdlab.runs import claims as module
from kdlab.runs.claims import (
    ALPHA,
    FEWEST,
    HALVES,
    MOST,
    OUTCOMES,
    Claim,
    Difference,
    Interval,
    halves,
    holm,
    interval,
    judge,
    needed,
    outcome,
    settled,
)
from tests.mutants import assert_caught
from tests.runs.test_differences import crossed

COLUMNS = [
    "notebook",
    "id",
    "claim",
    "paper",
    "world",
    "ours",
    "low",
    "high",
    "n",
    "margin",
    "unit",
]
COLUMNS += ["primary", "outcome", "equal", "why", "images", "decides"]
GOOD = [2.0, 2.5, 2.5, 1.6, 2.1]  # clearly above 0


def series(x: Any, world: str = "") -> pd.Series:
    """Return numbers indexed by seed, or by (world, seed)."""
    if not world:
        return pd.Series(x, dtype=float).rename_axis("seed")
    keys = [(world, seed) for seed in range(len(x))]
    return pd.Series(x, pd.MultiIndex.from_tuples(keys, names=["world", "seed"]), dtype=float)


# --- the rule


@pytest.mark.parametrize(
    ("low", "high", "unequal", "equal"),
    [
        (-0.4, 0.4, "no effect that matters", "reproduced"),
        (0.1, 0.4, "no effect that matters", "reproduced"),  # above 0, and too small to matter
        (-0.4, -0.1, "no effect that matters", "reproduced"),
        (0.1, 0.6, "reproduced", "undecided"),
        (0.6, 0.9, "reproduced", "contradicted"),
        (-0.6, -0.1, "contradicted", "undecided"),
        (-0.9, -0.6, "contradicted", "contradicted"),
        (-0.1, 0.6, "undecided", "undecided"),
        (-0.6, 0.6, "undecided", "undecided"),
        (0.0, 0.6, "undecided", "undecided"),  # an interval that touches 0 does not exclude it
        (-0.5, 0.4, "undecided", "undecided"),  # nor one that touches the margin
        (-0.4, 0.5, "undecided", "undecided"),
        (math.nan, math.nan, "undecided", "undecided"),
        (-math.inf, math.inf, "undecided", "undecided"),
    ],
)
def test_the_first_rule_that_fits(low: float, high: float, unequal: str, equal: str) -> None:
    found = Interval((low + high) / 2, low, high, n=10)
    assert outcome(found, 0.5) == unequal and outcome(found, 0.5, equal=True) == equal
    assert outcome(replace(found, n=FEWEST), 0.5) == unequal
    assert outcome(replace(found, n=FEWEST - 1), 0.5) == "undecided"


def test_mutants_of_the_rule_are_caught() -> None:
    cases = test_the_first_rule_that_fits.pytestmark[0].args[1]
    rows = [functools.partial(test_the_first_rule_that_fits, *case) for case in cases]

    def all_rows() -> None:
        for row in rows:
            row()

    for old, new in (
        ("found.low > 0", "found.low >= 0"),
        ("found.high < margin", "found.high <= margin"),
        ("-margin < found.low", "-margin <= found.low"),
        ("found.high < 0", "found.mean < 0"),
        ("found.n < FEWEST", "found.n < FEWEST - 1"),
        ("found.low > margin", "found.low > 0"),
    ):
        assert_caught(outcome, old, new, by=[all_rows])


# --- what Holm's procedure gets and gives


@pytest.mark.parametrize("equal", [False, True])
@pytest.mark.parametrize("mean", [-1.2, -0.5, -0.3, 0.02, 0.2, 0.45, 0.9])
def test_settled_is_the_alpha_at_which_the_interval_leaves_its_borders(
    mean: float, equal: bool
) -> None:
    x = mean + np.array([-0.2, -0.1, 0.0, 0.0, 0.1, 0.2])
    p = settled(x, 0.5, equal)
    borders = (-0.5, 0.5) if equal else (-0.5, 0.0, 0.5)

    def holds(alpha: float) -> bool:
        found = interval(x, 1 - alpha)
        return any(found.low <= border <= found.high for border in borders)

    assert 0 <= p <= 1 and holds(0.99 * p)
    assert p > 0.99 or not holds(min(1.01 * p, 1.0))


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    ("x", "p"), [(GOOD[:4], 1), ([*GOOD, math.nan], 1), ([2.0] * 6, 0), ([0.0] * 6, 1)]
)
def test_settled_at_the_ends(x: list[float], p: float) -> None:
    assert settled(np.array(x), 0.5) == p


def test_holm_spends_as_holm_rejects() -> None:
    draw = np.random.default_rng(0)
    for m in (1, 2, 5, 12):
        for _ in range(50):
            p = draw.beta(0.3, 4, m)
            spent = np.array(holm(p))
            order = np.argsort(p)
            rejected = np.zeros(m, bool)
            for step, place in enumerate(order):  # Holm's own words
                if p[place] > ALPHA / (m - step):
                    break
                rejected[place] = True
            assert list(p <= spent) == list(rejected)
            assert (np.diff(spent[order]) >= 0).all() and spent.min() == pytest.approx(ALPHA / m)


def test_holm_of_nothing_and_of_ties() -> None:
    assert holm([]) == []
    assert holm([0.9, 0.9]) == [ALPHA / 2, ALPHA / 2]


# --- simulation: false outcomes are rare, intervals cover

MARGIN = 0.5
TRUTHS = {
    "mixed": [0, 0.25, 0.5, 0.75, -0.5, -0.2, 0, 0.5, 1.5, 0, 0.5, 0.75],
    "nothing matters": [0.0] * 12,
    "at the margin": [0.5] * 12,
}
EQUAL = np.arange(12) >= 9  # the last three claims say that there is no effect
SPREAD = np.tile(np.linspace(0.5, 1, 4), 3)
NOTEBOOKS = 4000


def drawn(truth: np.ndarray, sizes: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Return numbers (notebooks, claims, most replicates), and how many of them each claim has.

    A claim goes on to the next size until the half-width of its 95 % interval is below the margin.
    """
    draw = np.random.default_rng(len(sizes))
    noise = draw.standard_normal((NOTEBOOKS, 12, sizes[-1]))
    x = truth[:, None] + SPREAD[:, None] * noise
    n = np.full((NOTEBOOKS, 12), sizes[-1])
    for size in sizes[-2::-1]:
        half = stats.t.ppf(0.975, size - 1) * x[..., :size].std(axis=2, ddof=1) / size**0.5
        n = np.where(half < MARGIN, size, n)
    return x, n


def judged_all(x: np.ndarray, n: np.ndarray) -> dict[str, np.ndarray]:
    """Judge all notebooks at once, written apart from the package: arrays (notebooks, claims)."""
    used = np.arange(x.shape[2]) < n[..., None]
    mean = (x * used).sum(axis=2) / n
    spread = np.sqrt((((x - mean[..., None]) * used) ** 2).sum(axis=2) / (n - 1))
    error = spread / np.sqrt(n)
    borders = np.abs(mean[..., None] - np.array([-MARGIN, 0, MARGIN]))
    borders[:, EQUAL, 1] = np.inf
    p = 2 * stats.t.sf(borders.min(axis=2) / error, n - 1)
    order, level = np.argsort(p, axis=1), np.empty_like(p)
    left, going = np.full(NOTEBOOKS, 12), np.ones(NOTEBOOKS, bool)
    for place in order.T:
        rows = np.arange(NOTEBOOKS), place
        level[rows] = ALPHA / left
        going &= p[rows] <= level[rows]
        left = left - going
    half = stats.t.isf(level / 2, n - 1) * error
    low, high = mean - half, mean + half
    inside, beyond = (low > -MARGIN) & (high < MARGIN), (low > MARGIN) | (high < -MARGIN)
    return {
        "low": low,
        "high": high,
        "no effect that matters": inside & ~EQUAL,
        "reproduced": np.where(EQUAL, inside, ~inside & (low > 0)),
        "contradicted": np.where(EQUAL, beyond, ~inside & (high < 0)),
        "mean": mean,
        "half": stats.t.ppf(0.975, n - 1) * error,  # of an interval that stands alone
    }


def false(found: dict[str, np.ndarray], truth: np.ndarray) -> np.ndarray:
    """Tell which outcomes are false (notebooks, claims)."""
    small = np.abs(truth) < MARGIN
    return (
        (found["no effect that matters"] & ~small)
        | (found["reproduced"] & np.where(EQUAL, ~small, truth <= 0))
        | (found["contradicted"] & np.where(EQUAL, np.abs(truth) <= MARGIN, truth >= 0))
    )


@pytest.mark.parametrize("name", TRUTHS)
@pytest.mark.parametrize("sizes", [(10,), (20,), (40,), (10, 20, 40)])
def test_intervals_cover_and_few_notebooks_have_a_false_outcome(
    name: str, sizes: tuple[int, ...]
) -> None:
    truth = np.array(TRUTHS[name])
    found = judged_all(*drawn(truth, sizes))
    covered = np.abs(found["mean"] - truth) <= found["half"]
    assert covered.mean(axis=0).min() >= 0.93
    share, chance = false(found, truth).any(axis=1).mean(), (ALPHA * (1 - ALPHA) / NOTEBOOKS) ** 0.5
    assert share <= ALPHA + 3 * chance
    if sizes == (40,) and name == "mixed":  # it is not by silence that nothing is false
        assert found["reproduced"][:, 8].mean() > 0.9


@functools.cache
def some() -> tuple[np.ndarray, np.ndarray, dict[str, np.ndarray]]:
    """Return the first notebooks of a simulation: numbers, how many, and how they are judged."""
    x, n = drawn(np.array(TRUTHS["mixed"]), (10, 20, 40))
    return x, n, judged_all(x, n)


def check_that_the_package_judges_as_the_simulation() -> None:
    x, n, found = some()
    for book in range(12):
        claims = [
            Claim(str(k), "", "", series(x[book, k, : n[book, k]]), MARGIN, equal=bool(EQUAL[k]))
            for k in range(12)
        ]
        judged = judge(claims, "00", "mnist5k")
        for end in ("low", "high"):
            np.testing.assert_allclose(judged[end], found[end][book])
        for told in OUTCOMES[:3]:
            assert list(judged["outcome"] == told) == list(found[told][book])


def test_the_package_judges_as_the_simulation() -> None:
    check_that_the_package_judges_as_the_simulation()
    for old, new in (("[-margin, 0, margin]", "[-margin, margin]"), (".min()", ".max()")):
        assert_caught(settled, old, new, by=[check_that_the_package_judges_as_the_simulation])
    assert_caught(
        holm, "alpha / left", "alpha", by=[check_that_the_package_judges_as_the_simulation]
    )
    assert_caught(
        judge, "alphas.get(i)", "ALPHA", by=[check_that_the_package_judges_as_the_simulation]
    )


# --- how many replicates would decide


@pytest.mark.parametrize(("mean", "equal"), [(0.3, False), (0.0, False), (0.3, True), (0.9, True)])
def test_as_many_replicates_as_are_said_to_be_needed_do_decide(mean: float, equal: bool) -> None:
    shape = np.array([-1.0, 1.0, -0.8, 0.8, -1.2, 1.2])
    claim = Claim("a", "", "", series(GOOD), 0.5, equal)
    n = needed(mean + shape, claim, 0.05)
    assert FEWEST < n < MOST

    def decided(n: int) -> bool:  # n numbers of the same mean and spread
        half = stats.t.ppf(0.975, n - 1) * shape.std(ddof=1) / math.sqrt(n)
        return outcome(Interval(mean, mean - half, mean + half, n), 0.5, equal) != "undecided"

    assert decided(n) and not decided(int(0.9 * n))


def test_needed_at_the_ends() -> None:
    claim = Claim("a", "", "", margin=0.5, equal=True)
    assert needed(np.array([0.0, 1.0] * 5), claim, 0.05) == MOST  # it lies on the border
    assert (
        needed(np.array([1.0, math.nan]), claim, 0.05) == needed(np.array([1.0]), claim, 0.1) == 0
    )


# --- judge


GAIN = Claim("gain", "KD is better.", "Table 1: 3.1", series(GOOD))


def test_judge_gives_one_full_row_per_claim_and_world() -> None:
    two = pd.concat([series(GOOD, "mnist5k"), series(np.negative(GOOD), "natural")])
    judged = judge([replace(GAIN, id="two", x=two), GAIN], "00_kd", "rot40")
    assert list(judged.columns) == COLUMNS
    assert list(judged.id) == ["two", "two", "gain"]
    assert list(judged.world) == ["mnist5k", "natural", "rot40"]
    assert list(judged.outcome) == ["reproduced", "contradicted", "reproduced"]
    row = judged.iloc[0]
    assert (row.notebook, row.claim, row.paper) == ("00_kd", "KD is better.", "Table 1: 3.1")
    assert (row.ours, row.n, row.margin, row.unit) == (np.mean(GOOD), 5, 0.5, "points")


def test_intervals_are_wider_the_more_claims_are_judged() -> None:
    unclear = replace(GAIN, id="unclear", x=series([-2.0, 2.5, 2.5, -1.6, -1.0]))
    one, two = judge([unclear], "00"), judge([unclear, GAIN], "00")
    assert interval(unclear.x).low == pytest.approx(one.low[0])  # type: ignore[arg-type]
    level = 1 - ALPHA / 2
    assert interval(GAIN.x, level).low == pytest.approx(two.low[1])  # type: ignore[arg-type]


def test_what_is_also_seen_has_an_interval_of_its_own_and_no_outcome() -> None:
    seen = replace(GAIN, id="seen", primary=False)
    judged = judge([GAIN, seen], "00")
    assert list(judged.outcome) == ["reproduced", ""]
    assert judged.low[0] == judged.low[1] == pytest.approx(interval(GOOD).low)


def test_a_claim_without_numbers_is_not_tested_and_says_why() -> None:
    nothing = [replace(GAIN, x=x, why="no GPU") for x in (None, series([]), Difference(series([])))]
    for claim in nothing:
        (row,) = judge([claim], "00_kd").to_dict("records")
        assert (row["outcome"], row["why"], row["n"]) == ("not tested here", "no GPU", 0)
        assert math.isnan(row["ours"])


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("seeds", range(1, FEWEST))
def test_fewer_than_five_replicates_give_numbers_and_decide_nothing(seeds: int) -> None:
    (row,) = judge([replace(GAIN, x=series(GOOD[:seeds]))], "00_kd").to_dict("records")
    assert row["outcome"] == "undecided" and row["n"] == seeds
    assert row["ours"] == pytest.approx(np.mean(GOOD[:seeds])) and math.isnan(row["low"]) == (
        seeds < 2
    )


def test_a_run_without_a_number_decides_nothing() -> None:
    (row,) = judge([replace(GAIN, x=series([*GOOD, math.nan]))], "00").to_dict("records")
    assert row["outcome"] == "undecided" and row["n"] == 6 and row["decides"] == 0


def test_an_undecided_claim_says_how_many_replicates_would_decide() -> None:
    x = series([1.0, -0.9, 1.2, -0.8, 0.7, -0.6, 0.5, 1.1])
    (row,) = judge([replace(GAIN, x=x)], "00").to_dict("records")
    assert row["outcome"] == "undecided"
    assert row["decides"] == needed(x.to_numpy(), GAIN, ALPHA) > 8
    assert judge([GAIN], "00").decides[0] == 0


def check_that_other_test_images_can_turn_an_outcome() -> None:
    calm = crossed(np.random.default_rng(3), 10, images=0.0, replicate=0.05, noise=3.0)
    tied = crossed(np.random.default_rng(3), 10, images=40.0, replicate=0.05, noise=3.0)
    shift = 1.0 - tied.x.mean()
    images = {key: (d + shift, rows) for key, (d, rows) in tied.images.items()}
    tied = replace(tied, x=(tied.x - tied.x.mean()) / 20 + 1.0, images=images)  # one test set
    judged = judge([replace(GAIN, id="calm", x=calm), replace(GAIN, id="tied", x=tied)], "00")
    assert list(judged.outcome) == ["reproduced", "undecided"]
    calm_row, tied_row = judged.to_dict("records")
    assert tied_row["low"] > 0 > tied_row["ours"] - tied_row["images"]
    assert tied_row["decides"] == 0  # more replicates would not help
    assert calm_row["images"] < calm_row["ours"]


def test_other_test_images_can_turn_an_outcome_to_undecided() -> None:
    check_that_other_test_images_can_turn_an_outcome()
    by = [check_that_other_test_images_can_turn_an_outcome]
    assert_caught(module._row, 'told = "undecided"', "pass", by=by)


@pytest.mark.parametrize("margin", [0.0, -1.0, math.nan, math.inf])
def test_a_margin_is_a_number_above_0(margin: float) -> None:
    with pytest.raises(ValueError, match="margin"):
        Claim("a", "", "", margin=margin)


# --- halves


def made(mean: float, spread: float, **replicates: int) -> pd.Series:
    draw = np.random.default_rng(7)
    return pd.concat([series(draw.normal(mean, spread, n), w) for w, n in replicates.items()])


def test_halves_agree_where_the_effect_is_clear() -> None:
    claims = [
        replace(GAIN, id="clear", x=made(3, 0.3, mnist5k=20, natural=12)),
        replace(GAIN, id="wide", x=made(0, 3, mnist5k=20)),
        replace(GAIN, id="few", x=made(3, 0.3, mnist5k=9)),
        replace(GAIN, id="seen", x=made(3, 0.3, mnist5k=20), primary=False),
        replace(GAIN, id="none", x=None),
    ]
    found = halves(claims, splits=10)
    assert list(zip(found.id, found.world, found.n, strict=True)) == [
        ("clear", "mnist5k", 20),
        ("clear", "natural", 12),
        ("wide", "mnist5k", 20),
    ]
    assert (found[list(HALVES)].sum(axis=1) == 10).all()
    assert list(found["agree"]) == [10, 10, 0] and found["both undecided"][2] > 5
    pd.testing.assert_frame_equal(found, halves(claims, splits=10))


def test_halves_are_disjoint_and_judged_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    met: list[list[set[Any]]] = []

    def spy(claims: Any, notebook: str, world: str = "") -> pd.DataFrame:
        met.append([set(claim.numbers.index) for claim in claims])
        assert all(set(c.x.images) == set(c.numbers.index) for c in claims)
        return judge(claims, notebook, world)

    monkeypatch.setattr(module, "judge", spy)
    gap = crossed(np.random.default_rng(0), 11, images=1.0, of=(50, 20))
    halves([replace(GAIN, x=gap)], splits=10)
    pairs = list(zip(met[:20:2], met[1:20:2], strict=True))
    for (one,), (two,) in pairs:
        assert not one & two and one | two == set(gap.x.index) and {len(one), len(two)} == {5, 6}
    assert len({frozenset(one) for (one,), _ in pairs}) > 5


@pytest.mark.parametrize(
    ("one", "two", "kind"),
    [
        ("reproduced", "reproduced", "agree"),
        ("no effect that matters", "no effect that matters", "agree"),
        ("reproduced", "contradicted", "contradict"),
        ("reproduced", "no effect that matters", "contradict"),
        ("reproduced", "undecided", "one undecided"),
        ("undecided", "contradicted", "one undecided"),
        ("undecided", "undecided", "both undecided"),
    ],
)
def test_how_two_halves_compare(one: str, two: str, kind: str) -> None:
    assert module._agreement(one, two) == kind


def test_halves_of_nothing_are_an_empty_table() -> None:
    assert list(halves([Claim("a", "", "")]).columns) == [
        "id",
        "claim",
        "world",
        "n",
        *HALVES,
    ]
