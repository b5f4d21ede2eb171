"""What is measured for Tang et al. 2020, and the rules by which it is judged.

`COMPARISONS` are run by ``make evidence``. `claims` judges them: what is subtracted from what, the
margin and the sign were fixed before the first run. No number of the paper could be read, so the
margin is 0.5 points of accuracy. Of a correlation or an AUROC, which are about another question, it
is 10 points: as much as a reader sees in a picture.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

import pandas as pd

from kdlab.papers.kd.arms import kd, kd_permuted, labels
from kdlab.papers.understanding.arms import flipped, geometry, part, reweighted, taught
from kdlab.papers.understanding.method import MASSES
from kdlab.runs.claims import Claim
from kdlab.runs.differences import Difference, difference, joined
from kdlab.runs.evidence import Comparison
from kdlab.runs.rows import stacked

CELLS = {  # (whose mass the label gets, how the other classes share the rest): arm
    ("mean", "even"): "smoothing at T",
    ("mean", "class"): "relations",
    ("mean", "image"): "image relations",
    ("image", "even"): "confidence",
    ("image", "class"): "confidence + relations",
    ("image", "image"): "KD",
}
ARMS: dict[str, Callable[..., Any]] = {
    "labels": labels,
    **{arm: partial(part, mass=mass, shape=shape) for (mass, shape), arm in CELLS.items()},
    "KD": kd,
    "KD, permuted": kd_permuted,
    "label smoothing 0.1": partial(labels, smoothing=0.1),
    "weighted labels": reweighted,
}
FIRST = ("labels", "confidence", "KD", "KD, permuted", "label smoothing 0.1")
LARGEST = {f"k = {k}": partial(part, k=k) for k in (2, 5)}
TEACHERS = {"smoothed": partial(taught, smoothing=0.1), "over-trained": partial(taught, longer=3)}
FLIPPED = {CELLS[mass, "even"]: partial(flipped, mass=mass) for mass in MASSES}
HEADLINE = ("parts", "clothes", "photographs")
COMPARISONS = [
    Comparison("parts", ARMS),
    Comparison("clothes", {arm: ARMS[arm] for arm in (*FIRST, "smoothing at T")}, ("fashion5k",)),
    Comparison("photographs", {arm: ARMS[arm] for arm in FIRST}, ("natural",), replicates=6),
    Comparison("top", {"KD": kd, **LARGEST}, replicates=5),
    Comparison("flipped", FLIPPED),
    Comparison("geometry", {a: partial(geometry, told=a) for a in FIRST[:3]}, ("rot40",)),
    Comparison("teachers", {"KD": kd, **TEACHERS}, replicates=5),
]
FACTOR, READING = "one of three factors (abstract)", "told by a public reading of its first version"
TOLD = {  # what a claim says, and what the paper has on it
    "relations": ("Relations: KD beats a teacher whose rest is shared out evenly.", FACTOR),
    "confidence": ("Confidence in each image beats its mean over all images.", FACTOR),
    "smoothing": ("Smoothing: the mean confidence, with an even rest, beats labels.", FACTOR),
    "order": ("Confidence without relations beats relations without confidence.", READING),
    "geometry": ("A student's classes come to lie as the teacher relates them.", READING),
    "flipped": ("A low omega finds wrong labels, better than guessing.", "no number (abstract)"),
    "weights": ("Labels, weighted by the teacher, beat labels.", "asked by Furlanello et al. 2018"),
    "image": ("What an image says beyond its class helps KD.", "not in the abstract"),
    "top": ("KD from the 2 or 5 largest entries beats KD.", f"25 to 50 % of classes, {READING}"),
    "noise": ("With 20 % wrong labels, confidence beats its mean.", "not in the abstract"),
    "smoothed": ("A teacher of smoothed labels teaches less.", "a failure it explains"),
    "over-trained": ("A teacher that is sure of all images teaches less.", "a failure it explains"),
    "scale": ("The same on CIFAR-100 and ImageNet.", "its own data sets"),
}


def shares(v: Mapping[str, Any]) -> dict[str, Any]:
    """Divide KD's gain over labels among its parts: {part: share}, which add up to the gain.

    A share is what a part adds, averaged over all orders in which the parts can be added. Smoothing
    comes first, because without it there is nothing to relate; the relations of the image replace
    those of its class. Shapley 1953, with the precedence of Faigle and Kern 1992.

    `v`: {arm: accuracy, or any other score}, numbers or series, of "labels" and `CELLS`.
    """
    even, own, image, sure, both, kd = (v[arm] for arm in CELLS.values())
    return {
        "smoothing": even - v["labels"],
        "relations of the class": (2 * (own - even) + (both - sure)) / 3,
        "relations of the image": ((image - own) + 2 * (kd - both)) / 3,
        "confidence": ((sure - even) + (both - own) + (kd - image)) / 3,
    }


def headline(runs: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """Return the evidence from every world of what also trains live."""
    return stacked(runs, *HEADLINE)


def across(runs: Mapping[str, pd.DataFrame], *arms: str) -> Difference:
    """Return the first arm minus the second in all worlds of HEADLINE that have both."""
    return joined(*(difference(runs[name], *arms) for name in HEADLINE))


def claims(runs: Mapping[str, pd.DataFrame]) -> list[Claim]:
    """Return the claims on the tables {comparison: rows}, the primary ones first."""
    parts, noise, teachers = (runs[name] for name in ("parts", "flipped", "teachers"))
    near = difference(runs["geometry"], "KD", "confidence", "likeness")
    found = noise[noise["arm"] == "confidence"].set_index(["world", "seed"])

    def primary(name: str, x: pd.Series | Difference | None, *options: Any, **more: Any) -> Claim:
        return Claim(name, *TOLD[name], x, *options, **more)

    def seen(name: str, *arms: Any) -> Claim:
        return replace(primary(name, difference(*arms)), primary=False)

    return [
        primary("relations", across(runs, "KD", "confidence")),
        primary("confidence", across(runs, "confidence", "smoothing at T")),
        primary("smoothing", across(runs, "smoothing at T", "labels")),
        primary("order", difference(parts, "confidence", "relations")),
        primary("geometry", near, 10.0, unit="points of correlation"),
        primary(
            "flipped", found["found"] - 50 if len(found) else None, 10.0, unit="points of AUROC"
        ),
        seen("weights", parts, "weighted labels", "labels"),
        seen("image", parts, "KD", "confidence + relations"),
        seen("top", runs["top"], ("k = 2", "k = 5"), "KD"),
        seen("noise", noise, "confidence", "smoothing at T"),
        seen("smoothed", teachers, "KD", "smoothed"),
        seen("over-trained", teachers, "KD", "over-trained"),
        Claim("scale", *TOLD["scale"], primary=False, why="it needs a GPU and the large data sets"),
    ]
