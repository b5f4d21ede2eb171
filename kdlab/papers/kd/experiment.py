"""What is measured for Hinton, Vinyals, Dean 2015, and the rules by which it is judged.

`COMPARISONS` are run by ``make evidence``. `claims` judges them: what is subtracted from what, the
margin and the sign were fixed before the first run. A margin is a third of the paper's effect or
0.5 points, whichever is larger.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

import pandas as pd

from kdlab.papers.kd.arms import kd, kd_permuted, labels, unseen
from kdlab.runs.claims import Claim
from kdlab.runs.differences import difference
from kdlab.runs.evidence import Comparison

WORLDS = ("mnist5k", "fashion5k", "natural")
UPDATES = (250, 500, 1000, 2000, 4000)
BOTH: dict[str, Callable[..., Any]] = {"labels": labels, "KD": kd}
SMOOTHED = {"label smoothing 0.1": 0.1, "label smoothing 0.3": 0.3}
COMPARISONS = [
    Comparison(
        "soft",
        {
            "labels": labels,
            "KD": kd,
            "KD, permuted": kd_permuted,
            **{name: partial(labels, smoothing=share) for name, share in SMOOTHED.items()},
        },
        WORLDS,
        replicates=None,
    ),
    Comparison(
        "temperature",
        {f"T = {T:g}": partial(kd, T=T, small=True) for T in (1.0, 4.0, 20.0)},
        WORLDS,
        replicates=None,
    ),
    Comparison("unseen", {"KD": unseen, "no column": partial(unseen, column=False)}, WORLDS, None),
    Comparison(
        "patience",
        {
            "labels, 4 times": partial(labels, longer=4),
            "KD, 4 times": partial(kd, longer=4),
            "KD": kd,
        },
        WORLDS[:1],
        replicates=10,
    ),
    Comparison(
        "regime",
        {
            f"{name}, {n} updates": partial(arm, longer=n / 2000)
            for n in UPDATES
            for name, arm in BOTH.items()
        },
        WORLDS,
        replicates=3,
    ),
]


TOLD = {  # what a claim says, and what the paper has on it
    "few-labels": (
        "Soft targets beat labels: same student, images and number of updates.",
        "MNIST test errors 146 to 74 of 10,000 (Sec. 3)",
    ),
    "ratios": (
        "The ranking of the wrong classes carries it: KD beats KD with wrong classes permuted.",
        "stated, no number (Sec. 1)",
    ),
    "smoothing": (
        "KD beats label smoothing, whose amount validation images choose.",
        "not in the paper; asked by later work",
    ),
    "unseen": (
        "A class never shown is recognised once its bias is raised, more than without its "
        "column in the teacher's answers.",
        "98.6 % of the test 3s, after the bias is raised (Sec. 3)",
    ),
    "temperature": (
        "A small student learns more at T = 4 than at T = 20.",
        "2 x 30 units: T of 2.5 to 4 clearly better (Sec. 3)",
    ),
    "patience": (
        "KD still helps when both students train four times as long.",
        "not in the paper; asked by later work",
    ),
    "equal-cost": (
        "KD beats labels that train four times as long as it does.",
        "not in the paper; control",
    ),
    "lower-temperature": (
        "A small student learns more at T = 4 than at T = 1.",
        "2 x 30 units: T of 2.5 to 4 clearly better (Sec. 3)",
    ),
    "unseen-before": (
        "Before its bias is raised, a class never shown is recognised.",
        "86.8 % of the test 3s (Sec. 3)",
    ),
    "ensemble": (
        "One student recovers most of the gain of an ensemble of ten.",
        "frame accuracy 58.9, 61.1, 60.8 % (Table 1)",
    ),
    "specialists": (
        "Specialists improve a very large model.",
        "top-1 25.0 to 26.1 % (Table 3)",
    ),
}
RECALL = "points of recall"


def claims(runs: Mapping[str, pd.DataFrame]) -> list[Claim]:
    """Return the claims on the tables {comparison: rows}, the primary ones first."""
    soft, heat, omitted, long = (runs[n] for n in ("soft", "temperature", "unseen", "patience"))

    def primary(name: str, *arms: Any, margin: float = 0.5, unit: str = "points") -> Claim:
        return Claim(name, *TOLD[name], difference(*arms), margin=margin, unit=unit)

    def seen(name: str, *arms: Any, **options: Any) -> Claim:
        return replace(primary(name, *arms, **options), primary=False)

    return [
        primary("few-labels", soft, "KD", "labels"),
        primary("ratios", soft, "KD", "KD, permuted"),
        primary("smoothing", soft, "KD", tuple(SMOOTHED)),
        primary("unseen", omitted, "KD", "no column", "recall", margin=33.0, unit=RECALL),
        primary("temperature", heat, "T = 4", "T = 20"),
        primary("patience", long, "KD, 4 times", "labels, 4 times"),
        seen("equal-cost", long, "KD", "labels, 4 times"),
        seen("lower-temperature", heat, "T = 4", "T = 1"),
        seen("unseen-before", omitted, "KD", "no column", "before", margin=29.0, unit=RECALL),
        Claim("ensemble", *TOLD["ensemble"], primary=False, why="it needs ten teachers"),
        Claim("specialists", *TOLD["specialists"], primary=False, why="it needs a huge data set"),
    ]
