"""What the shoot-out holds: who can be told apart from whom, and whether others rank so, too."""

import itertools
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import stats

from kdlab.runs.differences import LEVEL, interval

DRAWS = 2000  # of the replicates, for the interval of an agreement


def cells(runs: pd.DataFrame) -> pd.DataFrame:
    """Return accuracies (%), a row a replicate and a column a method, the best mean first.

    Replicates that not all methods have are left out, since methods are compared within them.
    """
    wide = runs.pivot_table("accuracy", "seed", "arm").dropna()
    return wide[wide.mean().sort_values(ascending=False).index]


def pairs(runs: pd.DataFrame) -> pd.DataFrame:
    """Compare every two methods within replicates.

    Returns:
        A row a pair: "better" and "worse" by their means; mean, low and high of the difference in
        points, intervals that hold together, for all pairs at once, with 95 % (Student's t,
        Bonferroni); and whether the pair is told "apart", its interval above 0.
    """
    wide = cells(runs)
    names = list(itertools.combinations(wide.columns, 2))
    level = 1 - (1 - LEVEL) / max(1, len(names))
    rows = []
    for better, worse in names:
        x = interval(wide[better] - wide[worse], level)
        rows.append((better, worse, x.mean, x.low, x.high, x.low > 0))
    return pd.DataFrame(rows, columns=["better", "worse", "mean", "low", "high", "apart"])


def table(runs: pd.DataFrame) -> pd.DataFrame:
    """Return mean and deviation (%) of each method, the best first, and from how many it is told.

    "beats" and "beaten by" count the pairs that `pairs` tells apart.
    """
    wide, told = cells(runs), pairs(runs)
    told = told[told["apart"]]
    found = pd.DataFrame({"mean": wide.mean(), "deviation": wide.std(), "n": len(wide)})
    for name, side in (("beats", "better"), ("beaten by", "worse")):
        found[name] = told[side].value_counts().reindex(found.index, fill_value=0)
    return found


def over(runs: pd.DataFrame, base: str) -> pd.DataFrame:
    """Return each other method's lead over `base` in points: mean, low, high, the best first.

    The intervals hold together, for all these methods at once, with 95 %.
    """
    wide = cells(runs)
    others = [name for name in wide if name != base]
    level = 1 - (1 - LEVEL) / max(1, len(others))
    found = [interval(wide[name] - wide[base], level) for name in others]
    return pd.DataFrame(found, index=others)[["mean", "low", "high"]]


@dataclass(frozen=True)
class Public:
    """A public table: accuracy in % of methods that take part here, by their names here."""

    name: str
    source: str
    accuracy: Mapping[str, float]


@cache
def public() -> list[Public]:
    """Return the public tables of ``public.toml``."""
    text = Path(__file__).with_name("public.toml").read_text(encoding="utf-8")
    return [Public(**entry) for entry in tomllib.loads(text)["table"]]


@dataclass(frozen=True)
class Agreement:
    """How a ranking here goes with a public one, over the methods that both have.

    `tau` is Kendall's: 1 where all pairs stand in the same order, -1 where none does. Its interval
    is over replicates drawn again (percentiles, 95 %): it does not speak of other methods.
    """

    tau: float
    low: float
    high: float
    methods: int
    alike: int
    pairs: int


def agreement(runs: pd.DataFrame, *tables: Public) -> Agreement:
    """Compare the ranking of `runs` with public ones; pairs are formed within each table.

    Raises:
        ValueError: no table shares two methods with `runs`.
    """
    wide, compared = cells(runs), list[tuple[str, str]]()
    for one in tables:
        shared = [name for name in one.accuracy if name in wide]
        ranked = sorted(shared, key=lambda name: -one.accuracy[name])
        compared += itertools.combinations(ranked, 2)
    if not compared:
        raise ValueError("no public table has two methods of these runs; nothing can be ranked.")
    leads = np.stack([(wide[a] - wide[b]).to_numpy() for a, b in compared], axis=1)

    def tau(x: np.ndarray, axis: int = 0) -> np.ndarray:
        return np.sign(x.mean(axis=axis)).mean(axis=-1)

    source, n = np.random.default_rng(0), len(leads)
    drawn = [tau(leads[source.integers(n, size=n)]) for _ in range(DRAWS)]
    low, high = np.quantile(drawn, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    alike = int((leads.mean(axis=0) > 0).sum())
    names = {name for pair in compared for name in pair}
    return Agreement(float(tau(leads)), float(low), float(high), len(names), alike, len(compared))


def worlds_alike(one: pd.DataFrame, other: pd.DataFrame) -> float:
    """Return Kendall's tau between the rankings in two worlds, over the methods that both have."""
    a, b = (cells(runs).mean() for runs in (one, other))
    shared = a.index.intersection(b.index)
    return float(stats.kendalltau(a[shared], b[shared]).statistic)
