"""What is measured for Zhang et al. 2019 (BYOT), and the rules by which it is judged.

`COMPARISONS` are run by ``make evidence``. `claims` judges them: what is subtracted from what, the
margin and the sign were fixed before the first run. A margin is a third of the paper's effect or
0.5 points, whichever is larger. In "smoothing" it is that of "deepest": two ways to the same gain
differ where one of them lacks as much as would matter of it.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import pandas as pd

from kdlab.papers.byot.arms import byot, plain, separate
from kdlab.papers.byot.nets import HEADS
from kdlab.papers.kd.arms import kd, labels
from kdlab.papers.kd.experiment import SMOOTHED
from kdlab.runs.claims import Claim
from kdlab.runs.differences import difference
from kdlab.runs.evidence import Comparison

Arms = dict[str, Callable[..., Any]]
WORLDS = ("mnist5k", "fashion5k", "natural")
ENSEMBLE, ADAPTIVE = -2, -1  # rows of "answers", after those of the exits
BOTH: Arms = {"labels": labels, "BYOT": byot}
SMOOTH: Arms = {name: partial(labels, smoothing=share) for name, share in SMOOTHED.items()}
SUPERVISED: Arms = {"deep supervision": partial(byot, alpha=0.0, beta=0.0)}
SEPARATE: Arms = {"equal teacher": separate, "wider teacher": partial(separate, net="cnn8")}
TERMS: Arms = {"+ KL": partial(byot, beta=0.0), "+ hint": partial(byot, alpha=0.0), "BYOT": byot}
OTHERS: Arms = {
    "not detached": partial(byot, detach=False),
    "permuted": partial(byot, permute=True),
    "ensemble teaches": partial(byot, teacher="ensemble"),
}
KINDS: Arms = {kind: byot if kind == "separable" else partial(byot, head=kind) for kind in HEADS}
NARROW: Arms = {net: partial(plain, net=net) for net in ("cnn2", "cnn3")}
COMPARISONS = [
    Comparison("exits", {"KD": kd, **SMOOTH, **BOTH}, WORLDS, replicates=None),
    Comparison("price", {**BOTH, **SUPERVISED, **SEPARATE}, replicates=10),
    Comparison("parts", {**SUPERVISED, **TERMS, **OTHERS}, replicates=5),
    Comparison("heads", KINDS, replicates=5),
    Comparison("rivals", {**NARROW, **BOTH}, replicates=5),
]

NO, SAID = "not in the paper", "said to; no number could be confirmed"
TOLD = {  # what a claim says, and what the paper has on it
    "ensemble": ("All exits together beat the plain net.", "+2.65 in the mean (abstract)"),
    "deepest": ("The deepest exit alone beats the plain net.", "mean of 7 nets +2.38 (main table)"),
    "distillation": ("The deepest exit beats deep supervision's.", "78.38 to 78.64 (DFS quotes)"),
    "equal-cost": ("BYOT beats KD of equal cost, the better of two teachers.", SAID),
    "smoothing": ("BYOT beats label smoothing.", f"{NO}; later 77.88 to 78.72"),
    "early": ("The last exit but one beats the plain net.", "on 5 of 7 nets (main table)"),
    "shallow": ("The first exit beats deep supervision's.", "67.23 to 67.85 (DFS quotes)"),
    "separate": ("BYOT beats KD from a far larger teacher, trained first.", SAID),
    "ranking": ("BYOT beats BYOT with the wrong classes permuted.", f"{NO}; control"),
    "detach": ("BYOT beats BYOT whose deepest exit bends to the others.", f"{NO}; control"),
    "hint": ("The feature term helps the deepest exit.", f"{NO}; asked by a reader"),
    "adaptive": ("Leaving early beats a narrower net of equal cost.", f"{NO}; asked by a reader"),
    "imagenet": ("It holds on ImageNet.", "so the paper says"),
}


def at_exit(table: pd.DataFrame, place: int, column: str) -> pd.DataFrame:
    """Return `table` with runs that have exits judged by another answer than the deepest exit's.

    Args:
        place: row of the array "answers".
        column: of the accuracy of this answer.
    """
    table = table.copy()
    for i, row in table[table["answers"].notna()].iterrows() if "answers" in table else ():
        bits = np.unpackbits(row["answers"][place])[: len(row["correct"])]
        table.at[i, "accuracy"], table.at[i, "correct"] = row[column], bits.astype(bool)
    return table


def claims(runs: Mapping[str, pd.DataFrame]) -> list[Claim]:
    """Return the claims on the tables {comparison: rows}, the primary ones first."""
    exits, price, parts, rivals = (runs[name] for name in ("exits", "price", "parts", "rivals"))

    def primary(name: str, *arms: Any, margin: float = 0.5) -> Claim:
        return Claim(name, *TOLD[name], difference(*arms), margin=margin)

    def seen(name: str, *arms: Any) -> Claim:
        return replace(primary(name, *arms), primary=False)

    cheap = at_exit(rivals, ADAPTIVE, "adaptive")
    return [
        primary("ensemble", at_exit(exits, ENSEMBLE, "ensemble"), "BYOT", "labels", margin=0.88),
        primary("deepest", exits, "BYOT", "labels", margin=0.79),
        primary("distillation", price, "BYOT", "deep supervision"),
        primary("equal-cost", price, "BYOT", tuple(SEPARATE)),
        primary("smoothing", exits, "BYOT", tuple(SMOOTH), margin=0.79),
        primary("early", at_exit(price, 1, "exit 2"), "BYOT", "labels"),
        seen("shallow", at_exit(price, 0, "exit 1"), "BYOT", "deep supervision"),
        seen("separate", exits, "BYOT", "KD"),
        seen("ranking", parts, "BYOT", "permuted"),
        seen("detach", parts, "BYOT", "not detached"),
        seen("hint", parts, "BYOT", "+ KL"),
        seen("adaptive", cheap, "BYOT", "cnn3"),
        Claim("imagenet", *TOLD["imagenet"], primary=False, why="it needs a huge data set"),
    ]
