"""A claim, its interval, its outcome. Margin, sign and worlds are written before the run.

The statistic is one number per replicate, usually a paired difference, turned so that the claim
says *above 0*, or, for a claimed equality, *0*. Its mean gets an interval from Student's t over
replicates that holds for all primary claims of a notebook at once (Holm 1979). A second interval
asks for other test images, too. `outcome` is the whole rule.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

ALPHA = 0.05  # chance of one or more false outcomes in a notebook
FEWEST = 5  # replicates below which nothing is decided
MOST = 10_000  # replicates beyond which nobody waits for a decision
OUTCOMES = (
    *("no effect that matters", "reproduced", "contradicted", "undecided", "not tested here"),
)
NARROW = 0.02  # width of an interval that two decimals would show as one number


@dataclass(frozen=True)
class Interval:
    """Mean of `n` numbers with the ends of its interval, NaN for fewer than two."""

    mean: float
    low: float
    high: float
    n: int
    unit: str = ""

    @property
    def half(self) -> float:
        """Half of its width."""
        return (self.high - self.low) / 2

    def __str__(self) -> str:
        """Say it in words, e.g. "+1.47 [+0.95, +1.99] points, n = 10".

        Two decimals; one where it is wider than 10, unless that would hide on which side of 0 an
        end lies; four where two would show one number.
        """
        if self.mean != self.mean:
            return "–"
        known = self.low == self.low
        digits = 4 if known and 0 < self.high - self.low < NARROW else 2
        if known and self.high - self.low > 10 and min(abs(self.low), abs(self.high)) >= 0.05:
            digits = 1
        ends = f" [{self.low:+z.{digits}f}, {self.high:+z.{digits}f}]" if known else ""
        return f"{self.mean:+z.{digits}f}{ends} {self.unit}".rstrip() + f", n = {self.n}"


def interval(x: Iterable[float], level: float = 1 - ALPHA, unit: str = "") -> Interval:
    """Return the mean of `x` (n,) with its interval by Student's t.

    >>> print(interval([1.0, 2.0, 3.0], unit="points"))
    +2.00 [-0.48, +4.48] points, n = 3
    """
    x = np.asarray(list(x), dtype=float)
    if len(x) < 2:
        return Interval(float(x[0]) if len(x) else np.nan, np.nan, np.nan, len(x), unit)
    low, high = _student(x.mean(), stats.sem(x), len(x) - 1, level)
    return Interval(float(x.mean()), low, high, len(x), unit)


def _student(mean: float, error: float, df: int, level: float) -> tuple[float, float]:
    half = stats.t.ppf((1 + level) / 2, df) * error
    return float(mean - half), float(mean + half)


@dataclass(frozen=True)
class Difference:
    """One number per replicate, and where it comes from; made by `difference`.

    Args:
        x: indexed by seed, or by world and seed.
        images: per (world, seed) the difference of every test image (N,), in points, and the rows
            (N,) of these images in their world; empty where that is not known.
        arms: the (comparison, arm) pairs it is made of.
    """

    x: pd.Series
    images: dict[Any, tuple[np.ndarray, np.ndarray]] = field(default_factory=dict)
    arms: frozenset[tuple[str, str]] = frozenset()


def index_of(table: pd.DataFrame) -> list[str]:
    """Return the columns by which rows of different arms are paired."""
    return [name for name in ("world", "seed") if name in table]


def cell(runs: pd.DataFrame, metric: str = "accuracy", /, **where: Any) -> pd.Series:
    """Return `metric` of the runs with these values in these columns, by (world and) seed.

    For tables with several columns of names: ``cell(grid, student="small", T=4.0)``.

    Raises:
        KeyError: no such run, column or metric; says which there are.
        ValueError: a seed stands there twice, so that runs cannot be paired by it.
    """
    rows = runs if where and metric in runs else runs[:0]
    for name, value in where.items():
        rows = rows[rows[name] == value] if name in rows else rows[:0]
    if rows.empty:
        have = {name: list(dict.fromkeys(runs[name])) for name in where if name in runs}
        told = f"no {metric!r} of runs with {where}; name columns of this table, {list(runs)}"
        raise KeyError(f"{told}, and values that they have: {have}.")
    found = rows.set_index(index_of(rows))[metric]
    if found.index.has_duplicates:
        raise ValueError(
            f"{where} has several rows with one seed; keep one setting of the table, or name the "
            "columns that tell them apart."
        )
    return found


def chosen(runs: pd.DataFrame, by: str | list[str], metric: str = "val_accuracy") -> Any:
    """Return the value, or values, of `by` whose runs have the highest mean `metric` over seeds."""
    return runs.groupby(by, sort=False)[metric].mean().idxmax()


def paired(
    table: pd.DataFrame, first: Any, second: Any, metric: str = "accuracy", by: str = "arm"
) -> pd.Series:
    """Return `first` minus `second`, for each replicate that both have; see `cell`."""
    gap = cell(table, metric, **{by: first}) - cell(table, metric, **{by: second})
    return gap.dropna()


def difference(
    table: pd.DataFrame,
    first: str | Sequence[str],
    second: str | Sequence[str],
    metric: str = "accuracy",
) -> Difference:
    """Return `first` minus `second` in every world, with what each test image says.

    Args:
        table: of `kdlab.runs.evidence.read`, with a column world.
        first, second: an arm; or several, of which the mean validation accuracy chooses one in
            each world.
        metric: the difference is per image, too, where it is "accuracy".
    """
    sides = [(side,) if isinstance(side, str) else tuple(side) for side in (first, second)]
    name = table.attrs.get("name", "")
    gaps, images = [], {}
    for _, rows in table.groupby("world", sort=False):
        if not all(set(side) <= set(rows["arm"]) for side in sides):
            continue
        a, b = (chosen(rows[rows["arm"].isin(side)], "arm") for side in sides)
        gaps.append(paired(rows, a, b, metric))
        if metric == "accuracy" and "correct" in rows:
            one, two, at = (
                cell(rows, m, arm=arm) for m, arm in (("correct", a), ("correct", b), ("rows", a))
            )
            for key in gaps[-1].index:
                images[key] = 100 * (one[key].astype(float) - two[key]), at[key]
    x = pd.concat(gaps) if gaps else pd.Series(dtype=float)
    return Difference(x, images, frozenset((name, arm) for side in sides for arm in side))


@dataclass(frozen=True)
class Claim:
    """One claim of a paper and how it is judged.

    Args:
        id: short name, e.g. "few-labels".
        text: the claim in one sentence.
        paper: the paper's number, with its table, figure or section.
        x: one number per replicate, above 0 where the claim is right; in several worlds by (world,
            seed). None: not tested here.
        margin: the smallest effect that matters, above 0.
        equal: the claim says that there is no effect.
        primary: it is judged; others are *also seen*, an interval without an outcome.
        unit: of `x`.
        why: for a claim that is not tested, the reason.
    """

    id: str
    text: str
    paper: str
    x: pd.Series | Difference | None = None
    margin: float = 0.5
    equal: bool = False
    primary: bool = True
    unit: str = "points"
    why: str = ""

    def __post_init__(self) -> None:
        if not 0 < self.margin < np.inf:
            raise ValueError(f"the margin of {self.id!r} is {self.margin}; give a number above 0.")

    def by_world(self, world: str = "") -> dict[str, np.ndarray]:
        """Return {world: numbers (n,)}; `world` names the only one where `x` does not."""
        x = self.x.x if isinstance(self.x, Difference) else self.x
        if x is None:
            return {}
        if x.index.nlevels == 1:
            return {world: x.to_numpy(float)} if len(x) else {}
        return {str(k): g.to_numpy(float) for k, g in x.groupby(level="world", sort=False)}


def outcome(found: Interval, margin: float, equal: bool = False) -> str:
    """Return the outcome of a claim, the first rule that fits; see `Claim`.

    Inside the margin on both sides: *no effect that matters*, which for a claimed equality is
    *reproduced*. On the claimed side of 0: *reproduced*. On the other side, or for an equality
    outside the margin: *contradicted*. Else *undecided*.
    """
    if found.n < FEWEST or not np.isfinite([found.low, found.high]).all():
        return "undecided"
    if -margin < found.low and found.high < margin:
        return "reproduced" if equal else "no effect that matters"
    if equal:
        return "contradicted" if found.low > margin or found.high < -margin else "undecided"
    if found.low > 0:
        return "reproduced"
    return "contradicted" if found.high < 0 else "undecided"


def decisive(x: np.ndarray, margin: float, equal: bool = False) -> float:
    """Return the smallest alpha at which the interval of `x` decides: its p-value."""
    if len(x) < FEWEST or not np.isfinite(x).all():
        return 1.0
    mean, error, df = abs(x.mean()), stats.sem(x), len(x) - 1
    with np.errstate(divide="ignore", invalid="ignore"):
        beyond = np.array([mean - margin if equal else mean, margin - mean]) / error
    tails = 2 * stats.t.sf(np.nan_to_num(beyond, nan=0.0), df)
    return float(min(tails.min(), 1.0))


def holm(p: Sequence[float], alpha: float = ALPHA) -> list[float]:
    """Return the alpha of each interval: what Holm's procedure spends on it.

    The smallest p is held against alpha / m, the next against alpha / (m - 1), until one is not
    small enough; all that follow share its alpha. Holm 1979, Scandinavian Journal of Statistics 6.

    >>> [round(a, 4) for a in holm([0.001, 0.9, 0.02])]
    [0.0167, 0.05, 0.025]
    """
    spent, left, stopped = [alpha] * len(p), len(p), False
    for place in np.argsort(p, kind="stable"):
        spent[place] = alpha / left
        stopped = stopped or p[place] > spent[place]
        left -= not stopped
    return spent


def over_images(gap: Difference, world: str, level: float, unit: str = "") -> Interval | None:
    """Return the interval over replicates *and* test images, None where images are not known.

    A crossed model of replicate and image: the variance is clustered both ways (Cameron, Gelbach,
    Miller 2011), since the test sets of the replicates overlap.
    """
    import statsmodels.api as sm

    found = [pair for key, pair in gap.images.items() if key[0] == world]
    if len(found) < 2:
        return None
    d, rows = (np.concatenate(column) for column in zip(*found, strict=True))
    replicates = np.repeat(np.arange(len(found)), [len(pair[0]) for pair in found])
    groups = np.column_stack([replicates, rows.astype(np.int64)])
    if not np.ptp(d):
        return Interval(float(d[0]), float(d[0]), float(d[0]), len(found), unit)
    fitted = sm.OLS(d, np.ones(len(d))).fit(cov_type="cluster", cov_kwds={"groups": groups})
    error = float(np.sqrt(max(fitted.cov_params()[0, 0], 0)))
    low, high = _student(d.mean(), error, len(found) - 1, level)
    return Interval(float(d.mean()), low, high, len(found), unit)


def needed(x: np.ndarray, margin: float, alpha: float) -> int:
    """Return how many replicates of this spread and mean would decide, at most MOST."""
    mean, spread = abs(x.mean()), x.std(ddof=1)
    goal = max(mean, margin - mean)
    n = np.unique(np.geomspace(max(FEWEST, len(x)), MOST, 400).astype(int))
    halves = stats.t.ppf(1 - alpha / 2, n - 1) * spread / np.sqrt(n)
    return int(n[np.argmax(halves < goal)]) if (halves < goal).any() else MOST


def judge(claims: Sequence[Claim], notebook: str, world: str = "") -> pd.DataFrame:
    """Return one row per claim and world: who, what, the interval, the outcome.

    Columns: notebook, id, claim, paper, world, ours, low, high, n, margin, unit, primary, outcome,
    images (half-width over images, NaN where not known), decides (replicates that would decide an
    undecided claim, else 0). Claims that are *also seen* have an interval of 95 % of their own.
    """
    cases = [(claim, name, x) for claim in claims for name, x in claim.by_world(world).items()]
    judged = [i for i, (claim, _, _) in enumerate(cases) if claim.primary]
    ps = [decisive(cases[i][2], cases[i][0].margin, cases[i][0].equal) for i in judged]
    alphas = dict(zip(judged, holm(ps), strict=True))
    rows = [_row(*case, notebook, alphas.get(i)) for i, case in enumerate(cases)]
    for claim in claims:
        if not claim.by_world(world):
            nothing = Interval(np.nan, np.nan, np.nan, 0)
            rows.append(_facts(claim, notebook, world, nothing, "not tested here"))
    order = {claim.id: place for place, claim in enumerate(claims)}
    return pd.DataFrame(sorted(rows, key=lambda row: order[row["id"]]))


def _row(
    claim: Claim, world: str, x: np.ndarray, notebook: str, alpha: float | None
) -> dict[str, Any]:
    level = 1 - (alpha or ALPHA)
    found = interval(x, level, claim.unit)
    if alpha is None:
        return _facts(claim, notebook, world, found, "")
    told = outcome(found, claim.margin, claim.equal)
    wide = None
    if isinstance(claim.x, Difference):
        wide = over_images(claim.x, world, level, claim.unit)
    if wide and outcome(wide, claim.margin, claim.equal) != told:
        told = "undecided"
    row = _facts(claim, notebook, world, found, told) | {"images": wide.half if wide else np.nan}
    if told == "undecided" and len(x) > 1:
        row["decides"] = needed(x, claim.margin, alpha)
    return row


def _facts(claim: Claim, notebook: str, world: str, found: Interval, told: str) -> dict[str, Any]:
    row = {"notebook": notebook, "id": claim.id, "claim": claim.text, "paper": claim.paper}
    row |= {"world": world, "ours": found.mean, "low": found.low, "high": found.high, "n": found.n}
    row |= {"margin": claim.margin, "unit": claim.unit, "primary": claim.primary, "outcome": told}
    return row | {"images": np.nan, "decides": 0}
