"""What is measured for Allen-Zhu, Li 2020, and the rules by which it is judged.

`COMPARISONS` are run by ``make evidence``. `claims` judges them: what is subtracted from what, the
margin and the sign were fixed before the first run. A margin is a third of the paper's effect or
0.5 points, whichever is larger. On samples that show one view the theory says: one net half right,
an ensemble and its student all right, a self-distilled student three quarters right. So an effect
is 50 points, or 25 for self-distillation.

Made data needs no images. Its rows stand under the world ``mnist5k``, which lends the numbers of
the replicates; `named` calls them what they are.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

import pandas as pd

from kdlab.papers.mysteries import arms, halves
from kdlab.papers.mysteries.arms import FULL, distilled, labels
from kdlab.papers.mysteries.made import Setting
from kdlab.runs.claims import Claim
from kdlab.runs.differences import Difference, difference, minus
from kdlab.runs.evidence import Comparison
from kdlab.train.recipe import Adam

MADE, IMAGES = "made data", ("mnist5k", "fashion5k")
Arms = dict[str, Callable[..., Any]]
ALONE = Setting(rate=0.0)  # no features of other classes
EVEN = replace(ALONE, low=1.25, high=1.25)  # nor does the strength of the own views vary
SELF = partial(distilled, teachers=1)
VIEWS: Arms = {
    "labels": labels,
    **{f"ensemble of {n}": partial(arms.ensemble, count=n) for n in (2, 3, 5)},
    "trained jointly": arms.joint,
    "trained jointly, mean": partial(arms.joint, mean=True),
    "label smoothing 0.1": partial(labels, smoothing=0.1),
    "KD": distilled,
    "KD, full KL": partial(distilled, **FULL),
    "KD, permuted": partial(distilled, control="permuted"),
    "KD, dealt": partial(distilled, control="dealt"),
    "self-distilled": SELF,
    "self-distilled, same seed": partial(SELF, name=0),
    "self-distilled, dealt": partial(SELF, control="dealt"),
}
HINTS: Arms = {
    "labels": partial(labels, setting=ALONE),
    "ensemble of 5": partial(arms.ensemble, setting=ALONE),
    "KD": partial(distilled, setting=ALONE),
    "KD, full KL": partial(distilled, setting=ALONE, **FULL),
    "labels, even views": partial(labels, setting=EVEN),
    "KD, full KL, even views": partial(distilled, setting=EVEN, **FULL),
}
TICKETS: Arms = {
    "no cap": partial(SELF, form="no cap"),
    "two-sided": partial(SELF, form="two-sided"),
    **{f"full KL, lambda {lam:g}": partial(SELF, **FULL | {"lam": lam}) for lam in (0.1, 0.3, 1.0)},
}
CONDITIONS: Arms = {
    "as in the theory": arms.broken,
    "power 2": partial(arms.broken, power=2.0),
    "power 1: ReLU": partial(arms.broken, power=1.0),
    "first weights x 30": partial(arms.broken, start=0.3),
    "threshold 0.2": partial(arms.broken, threshold=0.2),
    "Adam": partial(arms.broken, pace=(("by", Adam), ("rate", 0.01))),
    "1 in 10 shows one view": partial(arms.broken, setting=Setting(single=0.1)),
}
HALVES: Arms = {
    "ensemble of 5": halves.ensemble,
    "trained jointly, mean": halves.joint,
    "labels": halves.labels,
    "label smoothing 0.1": partial(halves.labels, smoothing=0.1),
    "KD": halves.distilled,
    "self-distilled": partial(halves.distilled, teachers=1),
}
COMPARISONS = [
    Comparison("views", VIEWS, replicates=16),
    Comparison("hints", HINTS),
    Comparison("tickets", TICKETS),
    Comparison("conditions", CONDITIONS),
    Comparison("halves", HALVES, IMAGES, replicates=None),
]
THEOREM, PROOF = "theorems: error μ/2 to 0", "the argument of the proof; no number"
TOLD = {  # what a claim says, and what the paper has on it
    "ensemble": ("Five nets, averaged, see what one of them does not.", THEOREM),
    "joint": ("Training the five nets as one does not do that.", "stated; shown on CIFAR"),
    "kd": ("One student of the five sees what labels do not show it.", THEOREM),
    "hint": ("It does so thanks to weak features of other classes.", PROOF),
    "self": ("A student of one equal net sees a part of that.", "theorems: error μ/2 to μ/4"),
    "halves": ("Real halves: the mean of five beats training as one.", "stated; shown on CIFAR"),
    "mean": ("Training the mean of the five does not do that either.", "stated; shown on CIFAR"),
    "full": ("KD with the whole KL sees what labels do not show.", "used in practice, no proof"),
    "permuted": ("It matters which wrong class a teacher names.", "not in the paper; control"),
    "dealt": ("It matters to which sample an answer belongs.", "not in the paper; control"),
    "seed": ("Self-distillation needs a new seed.", PROOF),
    "tickets": ("Its student takes views its teacher has, not any.", PROOF),
    "leak": ("The whole KL needs no weak features.", "not in the paper"),
    "halves-labels": ("Real halves: five nets beat one.", "not in the paper"),
    "halves-kd": ("Real halves: a student of the five beats labels.", "not in the paper"),
    "random": ("Ensembles of random features gain, and KD loses that.", "abstract"),
}
WHY = "it needs very wide nets, whose features do not learn"


def named(tables: Mapping[str, pd.DataFrame]) -> dict[str, pd.DataFrame]:
    """Return the tables {comparison: rows} in which made data has its own name."""
    found = {}
    for name, rows in tables.items():
        rows = rows if "accuracy" in rows else rows.assign(accuracy=pd.Series(dtype=float))
        found[name] = rows if name == "halves" else rows.assign(world=MADE)
    return found


def claims(runs: Mapping[str, pd.DataFrame]) -> list[Claim]:
    """Return the claims on the tables {comparison: rows}, the primary ones first."""
    views, hints, real = (named(runs)[n] for n in ("views", "hints", "halves"))
    gain, five, twin = difference(views, "KD", "labels"), "ensemble of 5", "self-distilled"
    unhinted = difference(hints, "KD", "labels")
    tickets = difference(views, twin, f"{twin}, dealt", "specific")

    def primary(name: str, x: Difference, margin: float = 50 / 3) -> Claim:
        return Claim(name, *TOLD[name], x, margin=margin)

    def seen(name: str, *arms: Any) -> Claim:
        return replace(primary(name, difference(*arms)), primary=False)

    return [
        primary("ensemble", difference(views, five, "labels")),
        primary("joint", difference(views, five, "trained jointly")),
        primary("kd", gain),
        primary("hint", Difference(minus(gain, unhinted), arms=gain.arms | unhinted.arms)),
        primary("self", difference(views, twin, "labels"), 25 / 3),
        primary("halves", difference(real, five, "trained jointly, mean"), 0.5),
        seen("mean", views, five, "trained jointly, mean"),
        seen("full", views, "KD, full KL", "labels"),
        seen("permuted", views, "KD", "KD, permuted"),
        seen("dealt", views, "KD", "KD, dealt"),
        seen("seed", views, twin, f"{twin}, same seed"),
        replace(primary("tickets", replace(tickets, x=tickets.x.dropna())), primary=False),
        seen("leak", hints, "KD, full KL", "labels"),
        seen("halves-labels", real, five, "labels"),
        seen("halves-kd", real, "KD", "labels"),
        Claim("random", *TOLD["random"], primary=False, why=WHY),
    ]
