"""One number per replicate, usually a paired difference, and the interval of its mean."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

LEVEL = 0.95  # of an interval that stands alone
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


def interval(x: Iterable[float], level: float = LEVEL, unit: str = "") -> Interval:
    """Return the mean of `x` (n,) with its interval by Student's t.

    >>> print(interval([1.0, 2.0, 3.0], unit="points"))
    +2.00 [-0.48, +4.48] points, n = 3
    """
    x = np.asarray(list(x), dtype=float)
    if len(x) < 2:
        return Interval(float(x[0]) if len(x) else np.nan, np.nan, np.nan, len(x), unit)
    return _student(x.mean(), standard_error(x), len(x), level, unit)


def standard_error(x: np.ndarray) -> float:
    """Return the standard error of the mean of `x` (n,), for n of 2 or more."""
    return float(x.std(ddof=1) / np.sqrt(len(x)))


def _student(mean: float, error: float, n: int, level: float, unit: str) -> Interval:
    half = stats.t.ppf((1 + level) / 2, n - 1) * error
    return Interval(float(mean), float(mean - half), float(mean + half), n, unit)


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
    """Return `first` minus `second`, for each replicate that both have; see `cell`.

    A run whose metric is no number stays, so that it is seen.
    """
    one, two = (cell(table, metric, **{by: arm}) for arm in (first, second))
    both = one.index.intersection(two.index)
    return one[both] - two[both]


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
        a, b = (
            side[0] if len(side) == 1 else chosen(rows[rows["arm"].isin(side)], "arm")
            for side in sides
        )
        gaps.append(paired(rows, a, b, metric))
        if metric == "accuracy" and "correct" in rows:
            one, two, at = (
                cell(rows, m, arm=arm) for m, arm in (("correct", a), ("correct", b), ("rows", a))
            )
            for key in gaps[-1].index:
                if one[key] is not None and two[key] is not None:
                    images[key] = 100 * (one[key].astype(float) - two[key]), at[key]
    x = pd.concat(gaps) if gaps else pd.Series(dtype=float)
    return Difference(x, images, frozenset((name, arm) for side in sides for arm in side))


def joined(*found: Difference) -> Difference:
    """Return the differences of several tables, each of other worlds, as one."""
    x = [gap.x for gap in found if len(gap.x)]
    images = {key: pair for gap in found for key, pair in gap.images.items()}
    arms = frozenset[tuple[str, str]]().union(*(gap.arms for gap in found))
    return Difference(pd.concat(x) if x else pd.Series(dtype=float), images, arms)


def minus(one: Difference, other: Difference) -> pd.Series:
    """Return how much larger one difference is than another, in the replicates that both have."""
    if one.x.empty or other.x.empty:
        return pd.Series(dtype=float)
    both = one.x.index.intersection(other.x.index)
    return one.x[both] - other.x[both]


def over_images(gap: Difference, world: str, level: float, unit: str = "") -> Interval | None:
    """Return the interval over replicates *and* test images, None where images are not known.

    A crossed model of replicate and image, since the test sets of the replicates overlap: the
    variance is clustered both ways (Cameron, Gelbach, Miller 2011, Journal of Business and Economic
    Statistics 29), and never taken below the one over replicates alone.
    """
    found = [pair for key, pair in gap.images.items() if key[0] == world]
    if len(found) < 2:
        return None
    d, rows = (np.concatenate(column) for column in zip(*found, strict=True))
    replicates = np.repeat(np.arange(len(found)), [len(pair[0]) for pair in found])
    mean = float(d.mean())
    apart = d - mean

    def clustered(groups: np.ndarray) -> float:
        sums, n = np.bincount(groups, apart), int(np.count_nonzero(np.bincount(groups)))
        return float(sums @ sums) * n / max(1, n - 1) / len(d) ** 2

    over = clustered(replicates)
    both = over + clustered(rows) - clustered(np.arange(len(d)))
    return _student(mean, np.sqrt(max(both, over)), len(found), level, unit)
