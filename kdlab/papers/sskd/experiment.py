"""What is measured for Xu et al. 2020, and the rules by which it is judged.

`COMPARISONS` are run by ``make evidence``. `claims` judges them: what is subtracted from what, the
margin and the sign were fixed before the first run. A margin is a third of the paper's effect or
0.5 points, whichever is larger. All arms make equally many updates of equally many rows, see
`kdlab.papers.sskd.arms`: the paper's own method makes updates of four times as many rows as its KD.
The updates of stage 1 were chosen on replicate 500, by the share of its answers that are right.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

import pandas as pd

from kdlab.papers.kd.arms import kd, labels
from kdlab.papers.sskd.arms import kd_told, same_rows, sskd
from kdlab.papers.sskd.slower import slow_kd, slow_sskd
from kdlab.runs.claims import Claim
from kdlab.runs.differences import difference, joined, minus
from kdlab.runs.evidence import Comparison

Arms = dict[str, Callable[..., Any]]
BOTH: Arms = {"KD": kd, "SSKD": sskd}
SMOOTH, ROWS, CONTROL, MOVES = "label smoothing 0.1", "same rows", "control: L_ss shuffled", "moves"
LADDER: Arms = {"labels": labels, SMOOTH: partial(labels, smoothing=0.1), "KD": kd, ROWS: same_rows}
LADDER |= {"with L_T": partial(sskd, lambda_ss=0.0), "SSKD": sskd}
LADDER[CONTROL] = partial(sskd, shuffled=True)
PHOTOGRAPHS: Arms = BOTH | {ROWS: same_rows, MOVES: partial(sskd, pool="moves")}
PARTS: Arms = {"SSKD": sskd, "with L_ss": partial(sskd, lambda_T=0.0)}
PARTS |= {"all rows kept": partial(sskd, ratio=1.0), MOVES: partial(sskd, pool="moves")}
FEW, NOISE = "a quarter of the images", "half of the labels wrong"
LESS: Arms = {f"KD, {FEW}": partial(kd_told, share=0.25), f"SSKD, {FEW}": partial(sskd, share=0.25)}
LESS |= {f"KD, {NOISE}": partial(kd_told, noise=0.5), f"SSKD, {NOISE}": partial(sskd, noise=0.5)}
OTHER: Arms = {"KD": partial(kd_told, net="mlp30"), "SSKD": partial(sskd, net="mlp30")}
SLOW = "a quarter of the learning rate"  # added when SSKD's student had stayed at chance
OTHER |= {f"KD, {SLOW}": partial(slow_kd, net="mlp30")}
OTHER |= {f"SSKD, {SLOW}": partial(slow_sskd, net="mlp30")}
COMPARISONS = [
    Comparison("ladder", LADDER, replicates=10),
    Comparison("clothes", BOTH, ("fashion5k",), replicates=10),
    Comparison("photographs", PHOTOGRAPHS, ("natural",), replicates=6),
    Comparison("other", OTHER, replicates=10),
    Comparison("parts", PARTS, replicates=5),
    Comparison("less", BOTH | LESS, replicates=5),
]
ADDED = "not in the paper; control"
TOLD = {  # what a claim says, and what the paper has on it
    "better": (
        "SSKD beats KD at equal cost.",
        "CIFAR-100: 76.04 to 74.92 and 75.33 to 72.98 % (README); at four times the rows",
    ),
    "same-rows": ("SSKD beats plain KD that sees the turned images, too.", ADDED),
    "similarities": ("The similarities add to the classes of turned images.", "Fig. 3b, no number"),
    "who-is-alike": (
        "It matters who is alike: SSKD beats SSKD with likenesses dealt to other images.",
        ADDED,
    ),
    "other-student": (
        "SSKD beats KD where the student is of another kind than its teacher.",
        "ResNet50 to MobileNetV2: 72.57 against 67.35 % (README)",
    ),
    "other-slowly": (
        "At a quarter of the learning rate SSKD beats KD for a student of another kind.",
        "not in the paper; added after the first run",
    ),
    "turned-classes": ("The classes of turned images add to KD.", "Fig. 3b, no number"),
    "few-images": ("SSKD beats KD on a quarter of the images.", "about 7 points (Fig. 4a)"),
    "noise": (
        "Half of the labels wrong cost SSKD less than they cost KD.",
        "they cost SSKD 0.45 points (Fig. 4b)",
    ),
    "turns": ("Turned images teach more than slightly moved ones.", "not in the paper"),
    "selection": ("Keeping 75 % of the wrong rows beats keeping all.", "Table 1, best at 75 %"),
    "smoothing": ("SSKD beats label smoothing.", "not in the paper; asked by later work"),
}


def saved(less: pd.DataFrame) -> pd.Series:
    """Return what noise costs KD, minus what it costs SSKD, in points."""
    return minus(*(difference(less, f"SSKD{end}", f"KD{end}") for end in (f", {NOISE}", "")))


def claims(runs: Mapping[str, pd.DataFrame]) -> list[Claim]:
    """Return the claims on the tables {comparison: rows}, the primary ones first."""
    ladder, photographs, parts = (runs[name] for name in ("ladder", "photographs", "parts"))

    def primary(name: str, x: Any, margin: float = 0.5) -> Claim:
        return Claim(name, *TOLD[name], x, margin=margin)

    def seen(name: str, x: Any, margin: float = 0.5) -> Claim:
        return replace(primary(name, x, margin), primary=False)

    gaps = [difference(table, "SSKD", "KD") for table in (ladder, runs["clothes"], photographs)]
    rows = [difference(table, "SSKD", ROWS) for table in (ladder, photographs)]
    turns = [difference(table, "SSKD", MOVES) for table in (parts, photographs)]
    return [
        primary("better", joined(*gaps), margin=0.6),
        primary("same-rows", joined(*rows)),
        primary("similarities", difference(ladder, "SSKD", "with L_T")),
        primary("who-is-alike", difference(ladder, "SSKD", CONTROL)),
        primary("other-student", difference(runs["other"], "SSKD", "KD"), margin=1.7),
        seen("other-slowly", difference(runs["other"], f"SSKD, {SLOW}", f"KD, {SLOW}"), margin=1.7),
        seen("turned-classes", difference(ladder, "with L_T", "KD")),
        seen("few-images", difference(runs["less"], f"SSKD, {FEW}", f"KD, {FEW}")),
        seen("noise", saved(runs["less"])),
        seen("turns", joined(*turns)),
        seen("selection", difference(parts, "SSKD", "all rows kept")),
        seen("smoothing", difference(ladder, "SSKD", SMOOTH)),
    ]
