"""What the shoot-out measures; its rules were fixed before the first run.

In each world all methods train the same student with the same images and as many updates, with the
knobs that `tuning` has chosen there. Beside it, on digits: with a teacher of another family, and
with as many operations in all as KD costs, its teacher included. The regime, the nets and the
recipe are those of the worlds, as in all notebooks. The accuracy on test images after the last
update counts.
"""

from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from kdlab.runs.claims import Claim
from kdlab.runs.evidence import Comparison
from kdlab.runs.rows import FOLDER, read
from kdlab.shootout.entrant import Cost, Entrant
from kdlab.shootout.tuning import LONGER, NOTEBOOK, WAYS, Chosen, chosen, tries

WORLDS = ("mnist5k", "fashion5k", "natural")
TUNING, REPLICATES = 2, 10  # replicates of the tries, and of what is compared
OTHER = "resnet8"  # about as many weights as cnn32, with skips
MEASURE = "KD"  # whose training, with its teacher's, is the price of all in "equal operations"
PASS = "RKD"  # its set-up is one pass of all images through the teacher, and nothing else


class Equal(Chosen):
    """The arms that train until they have cost as many operations as KD with its teacher."""

    def made(self) -> dict[str, Entrant]:
        """Return {name: arm}; none before costs are counted."""
        price, found = prices(self.world), super().made()
        lengths = {name: longer(name, price) for name in found if name in price.index}
        return {
            name: WAYS[name].entrant(dict(found[name].knobs), longer=round(n, 2))
            for name, n in lengths.items()
            if n > 0
        }


def prices(world: str, folder: Path = FOLDER) -> pd.DataFrame:
    """Return the counts of `kdlab.shootout.entrant.costs`, a row a method, with sums.

    A teacher that answers with logits alone had them stored before the counting began, so its pass
    over the images is added: "fixed" is all that comes before the first update. "updates" are as
    many as the knobs ask for that were chosen, "total" is the whole training.
    """
    runs = read(NOTEBOOK, "costs", folder)
    runs = runs[runs["world"] == world].set_index("arm")
    if runs.empty:
        return runs
    asked = runs["teacher"] > 0
    answered = runs["set-up"].clip(lower=runs["set-up"].get(PASS, 0))
    fixed = runs["teacher"] + answered.where(asked, runs["set-up"])
    times = {name: knobs.get(LONGER, 1) for name, knobs in chosen(world, folder).items()}
    updates = runs["updates"] * [times.get(name, 1) for name in runs.index]
    total = fixed + updates * runs["update"]
    return runs.assign(fixed=fixed, updates=updates, total=total)


def longer(name: str, price: pd.DataFrame) -> float:
    """Return for how many times the world's updates the price of KD suffices; see `prices`."""
    own, usual = price.loc[name], price.loc[MEASURE]
    return float((usual["total"] - own["fixed"]) / (usual["updates"] * own["update"]))


COUNTED: Mapping[str, Cost] = {
    name: Cost(way.entrant(way.tries[1] if way.tries else {}, longer=1))
    for name, way in WAYS.items()
}
COMPARISONS = [
    Comparison("tuning", tries(), WORLDS, TUNING),
    Comparison("costs", COUNTED, WORLDS, 1),
    *(Comparison(world, Chosen(world), (world,), REPLICATES) for world in WORLDS),
    Comparison("other-teacher", Chosen(WORLDS[0], teacher=OTHER), WORLDS[:1], REPLICATES),
    Comparison("equal-operations", Equal(WORLDS[0], leave=("labels, longer",)), WORLDS[:1], 10),
]


def claims(tables: Mapping[str, pd.DataFrame]) -> list[Claim]:
    """Return no claim: the shoot-out asks who can be told apart, see `kdlab.shootout.ranking`."""
    return []
