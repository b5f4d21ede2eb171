"""A claim, its interval, its outcome. Margin, sign and worlds are written before the run.

The statistic is one number per replicate, usually a paired difference, turned so that the claim
says *above 0*, or, for a claimed equality, *0*. Its mean gets an interval from Student's t over
replicates. Those of a notebook's primary claims are widened so that, with a probability of 95 %, no
outcome among them is false (Holm 1979). A second interval asks for other test images, too.
`outcome` is the whole rule.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from kdlab.runs.differences import (
    Difference,
    Interval,
    cell,
    chosen,
    difference,
    interval,
    over_images,
    paired,
    standard_error,
)

__all__ = ["Claim", "Difference", "Interval", "cell", "chosen", "difference", "halves", "interval"]
__all__ += ["judge", "outcome", "over_images", "paired"]

ALPHA = 0.05  # chance of one or more false outcomes in a notebook
FEWEST = 5  # replicates below which nothing is decided
MOST = 10_000  # replicates beyond which nobody waits for a decision
OUTCOMES = ("no effect that matters", "reproduced", "contradicted", "undecided", "not tested here")
HALVES = ("agree", "one undecided", "both undecided", "contradict")


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

    @property
    def numbers(self) -> pd.Series:
        """One number per replicate; empty where the claim is not tested."""
        x = self.x.x if isinstance(self.x, Difference) else self.x
        return pd.Series(dtype=float) if x is None else x

    def by_world(self, world: str = "") -> dict[str, np.ndarray]:
        """Return {world: numbers (n,)}; `world` names the only one where `x` does not."""
        x = self.numbers
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


def settled(x: np.ndarray, margin: float, equal: bool = False) -> float:
    """Return the smallest alpha at which the interval of `x` holds no border: a p-value.

    Borders are 0 and both ends of the margin; of a claimed equality, the ends alone. Only a false
    interval can exclude the border on which the truth lies, so this is what Holm's procedure needs.
    An outcome such as *no effect that matters* is not enough: it can be right although 0 is true,
    and a second chance for the other claims would then cost more than ALPHA.
    """
    if len(x) < FEWEST or not np.isfinite(x).all():
        return 1.0
    borders = np.array([-margin, margin] if equal else [-margin, 0, margin])
    with np.errstate(divide="ignore", invalid="ignore"):
        near = np.abs(x.mean() - borders).min() / standard_error(x)
    return float(2 * stats.t.sf(np.nan_to_num(near, nan=0.0), len(x) - 1))


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


def needed(x: np.ndarray, claim: Claim, alpha: float) -> int:
    """Return how many replicates of this spread and mean would decide, at most MOST.

    0 where a number is missing, so that nothing can be said.
    """
    if len(x) < 2 or not np.isfinite(x).all():
        return 0
    mean, spread = abs(x.mean()), x.std(ddof=1)
    goal = abs(claim.margin - mean) if claim.equal else max(mean, claim.margin - mean)
    n = np.unique(np.geomspace(max(FEWEST, len(x)), MOST, 400).astype(int))
    decided = stats.t.ppf(1 - alpha / 2, n - 1) * spread / np.sqrt(n) < goal
    return int(n[np.argmax(decided)]) if decided.any() else MOST


def judge(claims: Sequence[Claim], notebook: str, world: str = "") -> pd.DataFrame:
    """Return one row per claim and world: who, what, the interval, the outcome.

    Columns: notebook, id, claim, paper, world, ours, low, high, n, margin, unit, primary, outcome,
    why (for what is not tested), images (half-width over images, NaN where not known), decides
    (replicates that would decide an undecided claim; 0 where they would not, or there is nothing to
    decide). Claims that are *also seen* have an interval of 95 % of their own and no outcome.
    """
    cases = [(claim, name, x) for claim in claims for name, x in claim.by_world(world).items()]
    judged = [i for i, (claim, _, _) in enumerate(cases) if claim.primary]
    ps = [settled(cases[i][2], cases[i][0].margin, cases[i][0].equal) for i in judged]
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
    told, decides, wide = outcome(found, claim.margin, claim.equal), 0, None
    if told == "undecided":
        decides = needed(x, claim, alpha)
    if isinstance(claim.x, Difference):
        wide = over_images(claim.x, world, level, claim.unit)
    if wide and outcome(wide, claim.margin, claim.equal) != told:
        told = "undecided"
    row = _facts(claim, notebook, world, found, told)
    return row | {"images": wide.half if wide else np.nan, "decides": decides}


def _facts(claim: Claim, notebook: str, world: str, found: Interval, told: str) -> dict[str, Any]:
    row: dict[str, Any] = {"notebook": notebook, "id": claim.id, "claim": claim.text}
    row |= {"paper": claim.paper, "world": world, "ours": found.mean}
    row |= {"low": found.low, "high": found.high, "n": found.n, "margin": claim.margin}
    row |= {"unit": claim.unit, "primary": claim.primary, "outcome": told}
    return row | {"equal": claim.equal, "why": claim.why, "images": np.nan, "decides": 0}


def halves(claims: Sequence[Claim], splits: int = 200, seed: int = 0) -> pd.DataFrame:
    """Split the replicates at random into two disjoint halves, again and again; judge each alone.

    Both halves *agree* if they are decided and say the same, and *contradict* each other if they
    are decided and say different things. Claims with fewer than 2 FEWEST replicates are left out.

    Args:
        claims: of which the primary ones are judged, with `x` by (world, seed).

    Returns:
        A row per claim and world: id, claim, world, n, and how many of `splits` fell to each of
        HALVES.
    """
    draw, counts = np.random.default_rng(seed), Counter[tuple[str, str, str]]()
    kept = [_only(claim, _sizes(claim) >= 2 * FEWEST) for claim in claims if claim.primary]
    kept = [claim for claim in kept if len(claim.numbers)]
    if not kept:
        return pd.DataFrame(columns=["id", "claim", "world", "n", *HALVES])
    index = pd.concat([claim.numbers for claim in kept]).index.unique()
    for _ in range(splits):
        luck = pd.Series(draw.random(len(index)), index)
        first = [luck[c.numbers.index].groupby(level="world").rank(pct=True) <= 0.5 for c in kept]
        one, two = (
            judge([_only(*pair) for pair in zip(kept, half, strict=True)], "")
            for half in (first, [~keep for keep in first])
        )
        two = one[["id", "world"]].merge(two, on=["id", "world"])
        kinds = map(_agreement, one["outcome"], two["outcome"])
        counts.update(zip(one["id"], one["world"], kinds, strict=True))
    rows = judge(kept, "")[["id", "claim", "world", "n"]]
    for kind in HALVES:
        rows[kind] = [counts[i, w, kind] for i, w in zip(rows["id"], rows["world"], strict=True)]
    return rows


def _agreement(one: str, two: str) -> str:
    undecided = (one, two).count("undecided")
    if undecided:
        return "both undecided" if undecided == 2 else "one undecided"
    return "agree" if one == two else "contradict"


def _sizes(claim: Claim) -> pd.Series:
    """Return for each number of the claim how many replicates its world has."""
    x = claim.numbers
    return x.groupby(level="world").transform("size") if len(x) else x


def _only(claim: Claim, keep: pd.Series) -> Claim:
    """Return the claim on the replicates that `keep` marks."""
    x = claim.numbers[keep]
    if not isinstance(claim.x, Difference):
        return replace(claim, x=x)
    images = {key: pair for key, pair in claim.x.images.items() if key in x.index}
    return replace(claim, x=replace(claim.x, x=x, images=images))
