"""A claim, its statistic, its interval, its verdict. The rule is written before the run.

The statistic is one number per seed, usually a paired difference. Its mean gets a 95 % interval
from Student's t over seeds. A rule turns mean and interval into a verdict; no p-value decides.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

FEWEST = 5  # seeds below which no verdict is given
VERDICTS = ("reproduced", "direction only", "not reproduced", "not tested here")

Statistic = Callable[[pd.DataFrame], np.ndarray]
Rule = Callable[[float, float, float], str]


@dataclass(frozen=True)
class Claim:
    """One claim of a paper and how it is judged here.

    Args:
        id: short name, e.g. "few-labels".
        text: the claim in one sentence.
        paper: the paper's number, with its table, figure or section.
        statistic: table of runs -> one number per seed (n,). None: not tested here.
        rule: (mean, low, high) -> verdict; see `above`, `below` and `within`.
        unit: of the statistic, e.g. "points".
    """

    id: str
    text: str
    paper: str
    statistic: Statistic | None = None
    rule: Rule | None = None
    unit: str = "points"


def above(margin: float = 0.0) -> Rule:
    """Return the rule of a claimed gain: the interval lies above `margin`, or the mean does."""

    def rule(mean: float, low: float, high: float) -> str:
        if low > margin:
            return "reproduced"
        return "direction only" if mean > margin else "not reproduced"

    return rule


def below(margin: float = 0.0) -> Rule:
    """Return the rule of "no better": the interval lies below `margin`, or the mean does."""
    mirrored = above(-margin)
    return lambda mean, low, high: mirrored(-mean, -high, -low)


def within(margin: float) -> Rule:
    """Return the rule of a claimed equality: the interval is inside +-margin, or the mean is."""

    def rule(mean: float, low: float, high: float) -> str:
        if -margin < low and high < margin:
            return "reproduced"
        return "direction only" if abs(mean) < margin else "not reproduced"

    return rule


def values(table: pd.DataFrame, arm: Any, metric: str, by: str = "arm") -> pd.Series:
    """Return `metric` of one arm, indexed by seed: `cell` for tables with one column of names."""
    return cell(table, metric, **{by: arm})


def paired(first: Any, second: Any, metric: str = "accuracy", by: str = "arm") -> Statistic:
    """Return the statistic `first` minus `second`, for each seed that both have."""

    def statistic(table: pd.DataFrame) -> np.ndarray:
        one, two = (values(table, arm, metric, by) for arm in (first, second))
        both = one.index.intersection(two.index)
        return (one[both] - two[both]).to_numpy(float)

    return statistic


def cell(runs: pd.DataFrame, metric: str = "accuracy", /, **where: Any) -> pd.Series:
    """Return `metric` of the runs with these values in these columns, indexed by seed.

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
    if rows["seed"].duplicated().any():
        raise ValueError(
            f"{where} has several rows with one seed; keep one setting of the table, or name the "
            "columns that tell them apart."
        )
    return rows.set_index("seed")[metric]


def chosen(runs: pd.DataFrame, by: str | list[str], metric: str = "val_accuracy") -> Any:
    """Return the value, or values, of `by` whose runs have the highest mean `metric` over seeds."""
    return runs.groupby(by, sort=False)[metric].mean().idxmax()


def interval(x: Sequence[float] | np.ndarray, level: float = 0.95) -> tuple[float, float, float]:
    """Return (mean, low, high) of `x` (n,): Student's t over seeds; low, high are NaN for n < 2.

    >>> interval([1.0, 2.0, 3.0])[0]
    2.0
    """
    x = np.asarray(x, dtype=float)
    if len(x) < 2:
        return float(x[0]) if len(x) else np.nan, np.nan, np.nan
    if np.ptp(x) == 0:  # a spread of 0 leaves t undefined; the interval is the point
        return float(x[0]), float(x[0]), float(x[0])
    found = stats.t.interval(level, len(x) - 1, loc=x.mean(), scale=stats.sem(x))
    return float(x.mean()), float(found[0]), float(found[1])


def over_images(table: pd.DataFrame, first: Any, second: Any, by: str = "arm") -> float:
    """Return the half-width, in points, of the 95 % interval over test images of a difference.

    Seeds say how far another training would differ, images how far another test set would. The
    difference of each image is averaged over seeds first.
    """
    one, two = (values(table, arm, "correct", by) for arm in (first, second))
    both = one.index.intersection(two.index)
    gap = np.mean([one[s].astype(float) - two[s] for s in both], axis=0)
    return float(100 * stats.norm.ppf(0.975) * gap.std(ddof=1) / np.sqrt(len(gap)))


def judge(claims: Sequence[Claim], table: pd.DataFrame, notebook: str) -> pd.DataFrame:
    """Return one row per claim: notebook, id, claim, paper, ours, low, high, n, unit, verdict.

    Fewer than 5 seeds give numbers and no verdict, and so does one that is no number.
    """
    rows = []
    for claim in claims:
        row: dict[str, Any] = {"notebook": notebook, "id": claim.id, "claim": claim.text}
        row |= {"paper": claim.paper, "ours": np.nan, "low": np.nan, "high": np.nan}
        row |= {"n": 0, "unit": claim.unit, "verdict": "not tested here"}
        if claim.statistic is not None and claim.rule is not None:
            x = claim.statistic(table)
            mean, low, high = interval(x)
            row |= {"ours": mean, "low": low, "high": high, "n": len(x)}
            if len(x) >= FEWEST and np.isfinite(mean):
                row["verdict"] = claim.rule(mean, low, high)
        rows.append(row)
    return pd.DataFrame(rows)
