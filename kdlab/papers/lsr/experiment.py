"""What is measured for Yuan et al. 2020, and the rules by which it is judged.

`COMPARISONS` are run by ``make evidence``. `claims` judges them: what is subtracted from what, the
margin and the sign were fixed before the first run. A margin is a third of the paper's effect or
0.5 points, whichever is larger. Effects are those on MobileNetV2, of Re-KD on ResNet18, CIFAR-100.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

import pandas as pd

from kdlab.papers.kd.arms import kd, labels
from kdlab.papers.lsr.arms import RELEASED, alone, de_kd, re_kd, reg, self_kd, share
from kdlab.papers.lsr.arms import T as HOT
from kdlab.papers.lsr.method import REDUCTIONS, lsr_equivalent
from kdlab.runs.claims import Claim
from kdlab.runs.differences import difference
from kdlab.runs.evidence import Comparison

Arms = dict[str, Callable[..., Any]]

WORLDS = ("mnist5k", "fashion5k", "natural")
HALF = 0.5  # alpha of the arms whose gaps are drawn
EPSILON = lsr_equivalent(HALF, HOT, 0.99, C=10)[0]  # by which the untempered Tf-KD_reg smooths
SMOOTHED: Arms = {f"label smoothing {e}": partial(labels, smoothing=e) for e in (0.1, 0.3)}
VIRTUAL: Arms = {"Tf-KD_reg": reg, "Tf-KD_reg, alpha 0.5": partial(reg, alpha=HALF)}
STANDING: Arms = {"labels": labels, "KD": kd, **SMOOTHED, "De-KD": de_kd}
OTHERS: Arms = {
    **STANDING,
    "Re-KD": re_kd,
    "Tf-KD_self": self_kd,
    **VIRTUAL,
    "De-KD, released": partial(de_kd, alpha=RELEASED, reduction="mean"),
    "5 % of the labels": share,
    "labels, 4 times": partial(labels, longer=4),
}
MAP = {
    f"{how}, alpha {a:g}, {n} epochs": partial(de_kd, epochs=n, longer=0.25, alpha=a, reduction=how)
    for how in REDUCTIONS
    for a in (0.3, 0.9, 0.99)
    for n in (1, 2, 4, 20)
}
GAPS: Arms = {
    "labels": alone,
    "label smoothing": partial(alone, smoothing=EPSILON),
    "untempered": partial(reg, alpha=HALF, form="untempered"),
    "squared": partial(reg, alpha=HALF),
    "literal": partial(reg, alpha=HALF, form="literal"),
}
COMPARISONS = [
    Comparison("badly-trained", STANDING, WORLDS, replicates=None),
    Comparison("other-teachers", OTHERS, WORLDS[:1], replicates=10),
    Comparison("map", MAP, WORLDS[:1], replicates=5),
    Comparison("gaps", GAPS, WORLDS[:1], replicates=3),
]
TEXTS = {
    "badly-trained": "A badly trained teacher helps: De-KD beats labels.",
    "no-knowledge": "It helps as much as a teacher that saw no image: De-KD equals Tf-KD_reg.",
    "released": "De-KD as released beats the label term that it contains: 5 % of the labels.",
    "smaller": "A student can teach a larger net: Re-KD beats labels.",
    "itself": "A net can teach its own copy: Tf-KD_self beats labels.",
    "virtual": "Tf-KD_reg beats label smoothing; validation images choose the amount of both.",
    "weight": "5 % of the labels' loss, and nothing else, beat all of it.",
    "teacher-free": "Tf-KD_reg is as good as KD from a well-trained teacher at T = 4.",
    "smoothing": "Label smoothing beats labels.",
    "longer": "Tf-KD_self beats labels that train four times as long.",
}
PAPER = {
    "badly-trained": "68.38 to 70.65 % from a teacher at 15.48 %",
    "no-knowledge": "its thesis, without a number",
    "released": "not in the paper; the control that it lacks",
    "smaller": "ResNet18 75.87 to 77.28 % from MobileNetV2",
    "itself": "68.38 to 70.96 %",
    "virtual": "70.88 against 69.32 %",
    "weight": "not in the paper; a second change in its code",
    "teacher-free": "70.88 against 71.05 %",
    "smoothing": "68.38 to 69.32 %",
    "longer": "not in the paper; control",
}


def claims(runs: Mapping[str, pd.DataFrame]) -> list[Claim]:
    """Return the claims on the tables {comparison: rows}, the primary ones first."""
    bad, other = runs["badly-trained"], runs["other-teachers"]

    def primary(name: str, *arms: Any, margin: float = 0.5, equal: bool = False) -> Claim:
        x = difference(*arms)
        return Claim(name, TEXTS[name], PAPER[name], x, margin=margin, equal=equal)

    def seen(name: str, *arms: Any) -> Claim:
        return replace(primary(name, *arms), primary=False)

    return [
        primary("badly-trained", bad, "De-KD", "labels", margin=0.76),
        primary("no-knowledge", other, "De-KD", "Tf-KD_reg", equal=True),
        primary("released", other, "De-KD, released", "5 % of the labels", margin=0.76),
        primary("smaller", other, "Re-KD", "labels"),
        primary("itself", other, "Tf-KD_self", "labels", margin=0.86),
        primary("virtual", other, tuple(VIRTUAL), tuple(SMOOTHED), margin=0.52),
        seen("weight", other, "5 % of the labels", "labels"),
        seen("teacher-free", other, tuple(VIRTUAL), "KD"),
        seen("smoothing", bad, tuple(SMOOTHED), "labels"),
        seen("longer", other, "Tf-KD_self", "labels, 4 times"),
    ]
