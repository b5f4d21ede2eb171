"""What is measured for Zhang, Xiang, Hospedales, Lu 2018, and the rules by which it is judged.

`COMPARISONS` are run by ``make evidence``. `claims` judges them: what is subtracted from what, the
margin and the sign were fixed before the first run. A margin is a third of the paper's effect or
0.5 points, whichever is larger; for entropies, of ln(1.7099 / 0.2602). Accuracy is that of the mean
member, never of an ensemble, unless a claim says so. A shorter notebook (250 labels, 250 updates,
five seeds) had tried most arms before; of its two weights of the features' distance the larger one
is kept. The comparison *slowly* and its two claims came later than the rows of *pair*, because one
pair of ten had lost its way; they were written before their own run.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import pandas as pd

from kdlab.papers.dml.arms import FeaturesToo, ShuffledPeer, cohort, pair, unlabelled
from kdlab.papers.dml.lost import ARMS, slowly, watched
from kdlab.papers.kd.arms import kd, labels
from kdlab.papers.kd.experiment import SMOOTHED
from kdlab.runs.claims import Claim
from kdlab.runs.differences import Difference, difference, joined
from kdlab.runs.evidence import Comparison

Arms = dict[str, Callable[..., Any]]
TWICE, SHUFFLED = "labels, twice as long", "control: shuffled peer"
INDEPENDENT, FEATURES, WITHOUT = "labels, two nets", "features too", "unlabelled too"
EACH, MEAN = "DML, each peer", "their mean, DML_e"
HEAD: Arms = {"labels": labels, "DML": pair, "KD": kd}
HEAD |= {name: partial(labels, smoothing=share) for name, share in SMOOTHED.items()}
CONTROLS: Arms = {TWICE: partial(labels, longer=2.0), SHUFFLED: partial(pair, make=ShuffledPeer)}
READER: Arms = {INDEPENDENT: partial(pair, weight=0.0), "DML": pair}
READER |= {FEATURES: partial(pair, make=FeaturesToo), WITHOUT: unlabelled}
HALF = "half the rate"
SLOWLY: Arms = {f"{name}, {HALF}": partial(slowly, name=name) for name in ARMS}
COMPARISONS = [
    Comparison("pair", HEAD | CONTROLS, replicates=10),
    Comparison("clothes", HEAD, ("fashion5k",), replicates=10),
    Comparison("photographs", HEAD, ("natural",), replicates=6),
    Comparison("ensemble", {EACH: cohort, MEAN: partial(cohort, target="mean")}, replicates=10),
    Comparison("reader", READER, replicates=5),
    Comparison("slowly", {"DML": watched} | SLOWLY, replicates=10),
]
NO, SLIDES = "not in the paper", "stated (authors' slides)"
WITH_PEER = "ResNet-32, CIFAR-100: 71.19 and 70.75 % with a peer (Table 2), "
TOLD = {  # what a claim says, and what the paper has on it
    "pair": ("A net that learns with a peer beats the same net alone.", WITH_PEER + "68.99 alone"),
    "equal-cost": ("It beats one net alone that trains twice as long.", f"{NO}; equal cost"),
    "own-image": ("It beats a net whose peer answers for other images.", f"{NO}; control"),
    "beats-kd": ("It beats KD from a large frozen teacher.", WITH_PEER + "69.48 by KD (Table 4)"),
    "one-by-one": ("Each of two peers as a teacher beats their mean, DML_e.", "stated (Sec. 3.6)"),
    "entropy": ("Answers of peers have a higher entropy.", "1.7099 to 0.2602 nats, ResNet-32"),
    "smoothing": ("It beats label smoothing, whose amount validation images choose.", NO),
    "together": ("Two peers as one beat two independent nets as one.", NO),
    "flat-raw": ("Raw noise on the weights raises the training loss less.", "shown, no number"),
    "flat-filter": ("Noise in proportion to each filter raises the training loss less.", NO),
    "flat-accuracy": ("Noise in proportion to each filter costs less training accuracy.", NO),
    "alike": ("Answers of peers lie closer together.", SLIDES),
    "features": ("Matching features as well costs accuracy.", SLIDES),
    "diversity": ("With matched features, too, the mean of both nets gains less over one.", SLIDES),
    "unlabelled": ("Unlabelled images in the mutual term help.", "claimed (Sec. 3.4)"),
    "slowly": ("At half the learning rate it beats the same net alone.", f"{NO}; control"),
    "slowly-kd": ("At half the learning rate it beats KD.", f"{NO}; control"),
    "persons": ("Peers beat KD in finding a person again.", "mAP 45.16 KD, 52.95 DML (Table 4)"),
}


def derived(table: pd.DataFrame) -> pd.DataFrame:
    """Return `table` with what follows from its columns.

    ``correct``: the share of members that are right, where a run has several; "gain of two": points
    that two nets as one gain over one; "log entropy".
    """
    table = table.copy()
    for i, row in table[table["answers"].notna()].iterrows() if "answers" in table else ():
        bits = np.unpackbits(row["answers"], axis=1)[:, : len(row["correct"])]
        table.at[i, "correct"] = bits.mean(axis=0)
    if {"ensemble of 2", "accuracy"} <= set(table):
        table["gain of two"] = table["ensemble of 2"] - table["accuracy"]
    if "entropy" in table:
        table["log entropy"] = np.log(table["entropy"])
    return table


def claims(runs: Mapping[str, pd.DataFrame]) -> list[Claim]:
    """Return the claims on the tables {comparison: rows}, the primary ones first."""
    tables = {name: derived(table) for name, table in runs.items()}
    digits = tables["pair"]
    worlds = [digits, tables["clothes"], tables["photographs"]]

    def primary(name: str, x: Difference, margin: float = 0.5, unit: str = "points") -> Claim:
        return Claim(name, *TOLD[name], x, margin=margin, unit=unit)

    def over(*arms: Any) -> Difference:
        return joined(*(difference(table, *arms) for table in worlds))

    def seen(
        name: str, *arms: str, of: str = "reader", margin: float = 0.5, unit: str = "points"
    ) -> Claim:
        x = difference(tables[of], *arms)
        return replace(primary(name, x, margin, unit), primary=False)

    softer = over("DML", "labels", "log entropy")
    return [
        primary("pair", over("DML", "labels"), margin=0.66),
        primary("equal-cost", difference(digits, "DML", TWICE)),
        primary("own-image", difference(digits, "DML", SHUFFLED)),
        primary("beats-kd", over("DML", "KD")),
        primary("one-by-one", difference(tables["ensemble"], EACH, MEAN)),
        primary("entropy", softer, margin=0.63, unit="ln of the ratio"),
        replace(primary("smoothing", over("DML", tuple(SMOOTHED))), primary=False),
        seen("together", "DML", INDEPENDENT, "ensemble of 2"),
        seen("flat-raw", INDEPENDENT, "DML", "loss, raw", unit="nats"),
        seen("flat-filter", INDEPENDENT, "DML", "loss, filter", unit="nats"),
        seen("flat-accuracy", INDEPENDENT, "DML", "accuracy, filter"),
        seen("alike", INDEPENDENT, "DML", "apart", unit="nats"),
        seen("features", "DML", FEATURES, "accuracy"),
        seen("diversity", "DML", FEATURES, "gain of two"),
        seen("unlabelled", WITHOUT, "DML", "accuracy"),
        seen("slowly", f"DML, {HALF}", f"labels, {HALF}", of="slowly", margin=0.66),
        seen("slowly-kd", f"DML, {HALF}", f"KD, {HALF}", of="slowly"),
        Claim("persons", *TOLD["persons"], primary=False, why="it needs pictures of people"),
    ]
