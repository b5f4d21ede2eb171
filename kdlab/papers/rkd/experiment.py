"""What is measured for Park et al. 2019, and the rules by which it is judged.

`COMPARISONS` are run by ``make evidence``. `claims` judges them: what is subtracted from what, the
margin and the sign were fixed before the first run. A margin is a third of the paper's effect or
0.5 points, whichever is larger. Two effects could not be read: of recall a margin of 2 points, of
the correlation of distances one of 1 hundredth.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

import pandas as pd

from kdlab.papers.kd.arms import kd, labels
from kdlab.papers.kd.experiment import SMOOTHED
from kdlab.papers.rkd.arms import hint, mark, rkd, triplets, unlabelled
from kdlab.runs.claims import Claim
from kdlab.runs.differences import Difference, difference, joined, minus
from kdlab.runs.evidence import Comparison
from kdlab.runs.rows import stacked

Arms = dict[str, Callable[..., Any]]
OFF: dict[str, Any] = {"beta_d": 0.0, "beta_a": 0.0}
FOUR: Arms = {"labels": labels, "KD": kd, "RKD": rkd, "RKD + KD": partial(rkd, soft=0.9)}
FOUR |= {name: partial(labels, smoothing=share) for name, share in SMOOTHED.items()}
ORDERS: Arms = {
    "labels": partial(rkd, **OFF),  # as above, and their relations are measured, too
    "first order: features": partial(hint, beta=3.0),
    "second: distances": partial(rkd, beta_a=0.0),
    "third: angles": partial(rkd, beta_d=0.0),
    "RKD": rkd,
    "KD": partial(rkd, soft=0.9, **OFF),
    "RKD + KD": FOUR["RKD + KD"],
    "control: dealt": partial(rkd, dealt=True),
}
UNSEEN: Arms = {"triplets, labels": triplets, "RKD, no labels": unlabelled}
MARKS: Arms = {"teacher": mark, "pixels": partial(mark, pixels=True)}
COMPARISONS = [
    Comparison("digits", FOUR),
    Comparison("clothes", FOUR, ("fashion5k",)),
    Comparison("photographs", FOUR, ("natural",), replicates=6),
    Comparison("orders", ORDERS),
    Comparison("unseen", UNSEEN | MARKS),
    Comparison("sphere", {"RKD, on the sphere": partial(unlabelled, unit="both")}, replicates=5),
]
HEADLINE = ("digits", "clothes", "photographs")
BEST, CONTROL = "KD + RKD-DA is the best row (Table 4)", "not in the paper; control"
TOLD = {  # what a claim says, and what the paper has on it
    "alone": ("Relations beside labels beat labels.", "CIFAR-100: 71.26 to 72.97 % (Table 4)"),
    "with-kd": ("Relations beside KD beat KD.", BEST),
    "kd-ahead": ("KD beats relations beside labels.", "74.26 to 72.97 % (Table 4)"),
    "unseen": (
        "Relations, without a label, find more of unseen classes than labels do.",
        "Table 1",
    ),
    "closer": ("Beside KD, relations bring a student's distances closer.", "what L_D asks for"),
    "right-examples": ("It matters which image has which relations.", CONTROL),
    "kd-on-top": ("KD beside relations beats relations.", BEST),
    "better-with-kd": ("Relations add more with KD than without.", "asked by the reader"),
    "smoothing": ("Relations beat label smoothing.", CONTROL),
    "order": ("Relations beat matched features.", "its thesis (Sec. 1)"),
    "angles": ("Angles alone end above distances alone.", "stated (Sec. 3.2.2)"),
    "free-length": ("An embedding of free length finds more.", "stated; no number could be read"),
    "beats-teacher": ("The student finds more than its teacher.", "on Cars 196 (Table 1)"),
    "specialise": ("On inverted images the student is further behind.", "stated (Sec. 4.1.4)"),
    "few-shot": ("RKD self-distillation improves prototypical nets.", "Tables 5 and 6"),
    "self": ("A generation of self-distillation improves the teacher.", "Table 2"),
}


def headline(runs: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """Return the runs of all worlds of what also trains live."""
    return stacked(runs, *HEADLINE)


def claims(runs: Mapping[str, pd.DataFrame]) -> list[Claim]:
    """Return the claims on the tables {comparison: rows}, the primary ones first."""
    orders, unseen, spheres = runs["orders"], runs["unseen"], runs["sphere"]
    sides = pd.concat([unseen, spheres]) if len(spheres) else spheres
    dealt, sphere, free = "control: dealt", "RKD, on the sphere", "RKD, no labels"

    def across(first: str, *second: str) -> Difference:
        return joined(*(difference(runs[name], first, second) for name in HEADLINE))

    def primary(name: str, x: Any, margin: float = 0.5, unit: str = "points") -> Claim:
        return Claim(name, *TOLD[name], x, margin=margin, unit=unit)

    def seen(name: str, x: Any, why: str = "") -> Claim:
        return replace(primary(name, x), primary=False, why=why)

    gain, ahead = across("RKD + KD", "KD"), difference(unseen, free, "teacher")
    return [
        primary("alone", across("RKD", "labels"), margin=0.57),
        primary("with-kd", gain),
        primary("kd-ahead", across("KD", "RKD")),
        primary("unseen", difference(unseen, *reversed(UNSEEN)), 2.0, "points of recall"),
        primary(
            "closer",
            difference(orders, "RKD + KD", "KD", "correlation"),
            1.0,
            "points of correlation",
        ),
        primary("right-examples", difference(orders, "RKD", dealt)),
        seen("kd-on-top", across("RKD + KD", "RKD")),
        seen("better-with-kd", minus(gain, across("RKD", "labels"))),
        seen("smoothing", across("RKD", *SMOOTHED)),
        seen("order", difference(orders, "RKD", "first order: features")),
        seen("angles", difference(orders, "third: angles", "second: distances")),
        seen("free-length", difference(sides, free, sphere)),
        seen("beats-teacher", ahead),
        seen("specialise", minus(ahead, difference(unseen, free, "teacher", "inverted"))),
        seen("few-shot", None, "few-shot tasks are left out"),
        seen("self", None, "self-distillation is left out"),
    ]
