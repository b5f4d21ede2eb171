"""What is measured for Chen et al. 2020 (OKDDip), and the rules by which it is judged.

`COMPARISONS` are run by ``make evidence``. `claims` judges them: what is subtracted from what, the
margin and the sign were fixed before the first run. A margin is a third of the paper's effect or
0.5 points, whichever is larger. The paper draws distances and gives no number for them, so the two
claims on distance ask for a tenth of the distance of independent branches. The comparison *slowly*
and its claims came later than the rows of *leader* and *rivals* on digits, because a group broke in
two replicates of ten; they were written before their own run.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

import pandas as pd

from kdlab.papers.kd.arms import kd, labels
from kdlab.papers.kd.experiment import SMOOTHED
from kdlab.papers.okddip.arms import mutual, okddip, one
from kdlab.papers.okddip.slowly import ARMS, slowly
from kdlab.runs.claims import Claim
from kdlab.runs.differences import cell, difference
from kdlab.runs.evidence import Comparison

Arms = dict[str, Callable[..., Any]]
WORLDS = ("mnist5k", "fashion5k")
ALONE: Arms = {name: partial(labels, smoothing=share) for name, share in SMOOTHED.items()}
ALONE |= {"labels": labels, "KD": kd}
BOTH: Arms = {"OKDDip": okddip, "ONE": one}
LEVELS: Arms = {"OKDDip": okddip, "one level": partial(okddip, second=False), "DML": mutual}
TARGETS: Arms = {
    "independent": partial(okddip, first="none"),
    "ONE, weight 0.3": partial(one, weight=0.3),
    **BOTH,
    "mean target": partial(okddip, first="uniform"),
    "not detached": partial(okddip, detach="nothing"),
}
NETWORKS: Arms = {
    "independent": TARGETS["independent"],
    "OKDDip": okddip,
    "independent networks": partial(okddip, first="none", shared=0),
    "OKDDip, networks": partial(okddip, shared=0),
}
HALF = "half the rate"
SLOWLY: Arms = {f"{name}, {HALF}": partial(slowly, name=name) for name in ARMS}
COMPARISONS = [
    Comparison("leader", {**ALONE, "OKDDip": okddip}, (*WORLDS, "natural"), replicates=None),
    Comparison("rivals", {"labels": labels, **BOTH}, WORLDS, replicates=10),
    Comparison("levels", LEVELS, replicates=10),
    Comparison("targets", TARGETS, replicates=10),
    Comparison("networks", NETWORKS, replicates=3),
    Comparison("slowly", SLOWLY, replicates=10),
]

NO = "not in the paper"
TOLD = {  # what a claim says, and what the paper has on it
    "plain": (
        "The leader beats the plain net.",
        "ResNet-32: error 30.0 (CMFF) to 25.65 % (Table 2)",
    ),
    "one": (
        "The leader beats a member of ONE.",
        "ResNet-32: error 26.4 (CMFF) to 25.65 % (Table 2)",
    ),
    "dml": ("The leader beats DML of equal cost.", "error 22.50 to 21.09 % (a summary)"),
    "target": ("One target for all draws the members together.", "a figure; no number"),
    "kept": ("OKDDip's peers stay farther apart than ONE's.", "a figure; no number"),
    "two-level": (
        "The leader gains by the mean of the peers.",
        "without it 2.16 worse (a summary)",
    ),
    "one-level": ("The leader gains by the peers' own lessons.", f"{NO}; asked by a reader"),
    "attention": (
        "Attention beats a plain mean as the peers' target.",
        "plain mean 0.72 worse (a summary)",
    ),
    "ensemble": ("The peers together beat ONE's members together.", "said so; no number"),
    "detach": ("Not detached, the peers are farther apart.", f"{NO}; asked by the code"),
    "kd": ("The leader beats KD from a far larger teacher, trained first.", NO),
    "smoothing": ("The leader beats label smoothing.", f"{NO}; control"),
    "trunk": ("Separate networks are farther apart than branches.", "a figure; no number"),
    "slowly": ("At half the rate, too, the leader beats the plain net.", f"{NO}; control"),
    "slowly-one": ("At half the rate, too, it beats a member of ONE.", f"{NO}; control"),
    "slowly-dml": ("At half the rate, too, it beats DML of equal cost.", f"{NO}; control"),
    "slowly-kept": ("At half the rate, too, its peers are farther apart.", f"{NO}; control"),
    "imagenet": ("It holds on ImageNet.", "ResNet-34: error 25.42 %"),
}
SHARE = "% of the distance of independent branches"


def apart(table: pd.DataFrame, first: str, second: str, base: str = "independent") -> pd.Series:
    """Return how much farther apart the peers of `first` are than those of `second`.

    For each replicate, in % of the distance of the arm `base`; empty where an arm is missing.
    """
    if not {first, second, base} <= set(table["arm"]):
        return pd.Series(dtype=float)
    a, b, c = (cell(table, "distance", arm=arm) for arm in (first, second, base))
    return (100 * (a - b) / c).dropna()


def slower(table: pd.DataFrame) -> list[Claim]:
    """Return four claims once more, on arms that all trained at half the rate."""

    def half(name: str, other: str, margin: float = 0.5) -> Claim:
        x = difference(table, f"OKDDip, {HALF}", f"{other}, {HALF}")
        return Claim(name, *TOLD[name], x, margin=margin)

    names = [f"{name}, {HALF}" for name in ("OKDDip", "ONE", "independent")]
    kept = Claim("slowly-kept", *TOLD["slowly-kept"], apart(table, *names), margin=10.0, unit=SHARE)
    return [
        half("slowly", "labels", 1.45),
        half("slowly-one", "ONE"),
        half("slowly-dml", "DML"),
        kept,
    ]


def claims(runs: Mapping[str, pd.DataFrame]) -> list[Claim]:
    """Return the claims on the tables {comparison: rows}, the primary ones first."""
    leader, levels, mixed = (runs[name] for name in ("leader", "levels", "targets"))

    def primary(name: str, *arms: Any, margin: float = 0.5) -> Claim:
        return Claim(name, *TOLD[name], difference(*arms), margin=margin)

    def farther(name: str, table: pd.DataFrame, *arms: str) -> Claim:
        return Claim(name, *TOLD[name], apart(table, *arms), margin=10.0, unit=SHARE)

    def seen(claim: Claim) -> Claim:
        return replace(claim, primary=False)

    return [
        primary("plain", leader, "OKDDip", "labels", margin=1.45),
        primary("one", runs["rivals"], "OKDDip", "ONE"),
        primary("dml", levels, "OKDDip", "DML"),
        farther("target", mixed, "independent", "ONE"),
        farther("kept", mixed, "OKDDip", "ONE"),
        primary("two-level", levels, "OKDDip", "one level", margin=0.72),
        seen(primary("one-level", mixed, "OKDDip", "independent")),
        seen(primary("attention", mixed, "OKDDip", "mean target")),
        seen(primary("ensemble", runs["rivals"], "OKDDip", "ONE", "ensemble")),
        seen(farther("detach", mixed, "not detached", "OKDDip")),
        seen(primary("kd", leader, "OKDDip", "KD")),
        seen(primary("smoothing", leader, "OKDDip", tuple(SMOOTHED))),
        seen(farther("trunk", runs["networks"], "independent networks", "independent")),
        *(seen(claim) for claim in slower(runs["slowly"])),
        Claim("imagenet", *TOLD["imagenet"], primary=False, why="it needs a huge data set"),
    ]
