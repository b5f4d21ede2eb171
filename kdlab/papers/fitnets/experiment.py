"""What is measured for Romero et al. 2015, and the rules by which it is judged.

`COMPARISONS` are run by ``make evidence``. `claims` judges them: what is subtracted from what, the
margin and the sign were fixed before the first run. The margin of thin deep nets is a third of the
paper's effect at 19 layers (88.2 to 91.61 %), that of the joint form 0.5 points. Depth and recipe
were chosen after some twenty trial runs on replicates 500 and 501, which the evidence lacks.
"""

import itertools
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

import pandas as pd

from kdlab.papers.fitnets import arms
from kdlab.papers.fitnets.arms import DEPTH, hints_first, joint
from kdlab.papers.fitnets.nets import KINDS
from kdlab.papers.kd.arms import kd, labels
from kdlab.runs.claims import Claim
from kdlab.runs.differences import difference, joined, minus
from kdlab.runs.evidence import Comparison

Arms = dict[str, Callable[..., Any]]
DEPTHS = (5, 11, DEPTH)
HT, LABEL, CONTROL = "hint, then KD", "label hint, then KD", "control: untrained hint"
BOTH: Arms = {"KD": arms.kd, HT: hints_first}
SKIPS: Arms = {name: partial(arm, kind="skips") for name, arm in BOTH.items()}


def of(arm: Any, kind: str, depth: int) -> Any:
    """Return an arm for this kind and depth, written as elsewhere, so that runs are shared."""
    options: dict[str, Any] = {"kind": kind} if kind != "plain" else {}
    options |= {"depth": depth} if depth != DEPTH else {}
    return partial(arm, **options) if options else arm


DEEP: Arms = BOTH | {"labels": arms.labels, "teacher": arms.teacher}
DEEP |= {LABEL: arms.label_hint, CONTROL: arms.untrained_hint}
GRID: Arms = {}
for kind, depth, (name, arm) in itertools.product(KINDS, DEPTHS, BOTH.items()):
    GRID[f"{kind}, {depth}: {name}"] = of(arm, kind, depth)
TWICE: Arms = {name: partial(arm, longer=2) for name, arm in BOTH.items()}
JOINT: Arms = {"labels": labels, "KD": kd, "joint": joint}
JOINT["hint alone"] = partial(joint, alpha=0.0)
JOINT["label smoothing 0.1"] = partial(labels, smoothing=0.1)
BETAS: Arms = {"beta = 1": partial(joint, beta=1.0), "beta = 10": joint}
LAYERS: Arms = {
    "layer 5 from block 2": partial(hints_first, guided="layer5", hint="block2"),
    "layer 9 from block 2": hints_first,
    "layer 9 from block 2, dense": partial(hints_first, regressor="dense"),
    "layer 14 from block 3": partial(hints_first, guided="layer14", hint="block3"),
}
COMPARISONS = [
    Comparison("deep", DEEP, replicates=10),
    Comparison("clothes", BOTH, ("fashion5k",), replicates=10),
    Comparison("photographs", BOTH, ("natural",), replicates=6),
    Comparison("skips", SKIPS, replicates=10),
    Comparison("joint", JOINT, replicates=None),
    Comparison("grid", GRID, replicates=5),
    Comparison("patience", TWICE, replicates=5),
    Comparison("layers", LAYERS, replicates=5),
    Comparison("beta", BETAS | {"beta = 100": partial(joint, beta=100.0)}, replicates=5),
]
READER, ADDED = "not in the paper; asked by the reader", "not in the paper; control"
LATER = "not in the paper; +0.32 points in the mean of seven pairs (RepDistiller's README)"
TOLD = {  # what a claim says, and what the paper, or others, have on it
    "deep": (
        "A plain net of 17 layers learns more when hints come before KD than by KD alone.",
        "KD trains 7 layers, hints 13 (Sec. 4.1); at 7 layers 89.45 to 90.1 % (Fig. 2b)",
    ),
    "label-hint": (
        "A teacher's hint beats a hint of labels.",
        "a label hint failed to learn; deep supervision 88.2, hint 91.61 % (Sec. 3.1)",
    ),
    "trained-hint": ("Hints of a trained teacher beat those of an untrained one.", ADDED),
    "after-resnet": ("With batch norm and skips, hints before KD change nothing.", READER),
    "joint": ("On a net of today, KD and a hint in one stage beat KD.", READER),
    "benchmark": ("On a net of today, labels and a hint in one stage beat labels.", LATER),
    "fade": ("Hints gain more in the plain net than with batch norm and skips.", READER),
    "patience": ("Hints still win when both train twice as long.", ADDED),
    "beats-teacher": ("The thin student beats its teacher.", "91.61 to 90.18 % (Table 1)"),
    "depth-pays": ("With hints, 17 plain layers beat 5.", "11 over 5: +3.4, +4.11 (Sec. 4.1)"),
}


def claims(runs: Mapping[str, pd.DataFrame]) -> list[Claim]:
    """Return the claims on the tables {comparison: rows}, the primary ones first."""

    def primary(name: str, x: Any, margin: float = 1.1, **options: Any) -> Claim:
        return Claim(name, *TOLD[name], x, margin=margin, **options)

    def seen(name: str, x: Any) -> Claim:
        return replace(primary(name, x), primary=False)

    deep, one_stage = runs["deep"], runs["joint"]
    gap, skips = difference(deep, HT, "KD"), difference(runs["skips"], HT, "KD")
    others = [difference(runs[name], HT, "KD") for name in ("clothes", "photographs")]
    ends = [f"plain, {depth}: {HT}" for depth in (DEPTHS[-1], DEPTHS[0])]
    return [
        primary("deep", joined(gap, *others)),
        primary("label-hint", difference(deep, HT, LABEL)),
        primary("trained-hint", difference(deep, HT, CONTROL)),
        primary("after-resnet", skips, equal=True),
        primary("joint", difference(one_stage, "joint", "KD"), 0.5),
        primary("benchmark", difference(one_stage, "hint alone", "labels"), 0.5),
        seen("fade", minus(gap, skips)),
        seen("patience", difference(runs["patience"], HT, "KD")),
        seen("beats-teacher", difference(deep, HT, "teacher")),
        seen("depth-pays", difference(runs["grid"], *ends)),
    ]
