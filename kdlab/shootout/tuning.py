"""Who takes part, what each may turn, and the choice: as many tries for each.

The rules were fixed before the first run. A method enters in the form that its paper has; its three
tries turn what its paper tunes, or scale the weights of its terms down and up. Validation images
choose. The replicates of the tries are not those of the comparison.
"""

from collections.abc import ItemsView, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from kdlab.runs.rows import FOLDER, read
from kdlab.shootout.entrant import Entrant

NOTEBOOK = "12_lab"
TRIED = 1000  # the first replicate of the tries
LONGER = "longer"  # stands among the knobs of a try: updates, in units of the world's

Knobs = dict[str, Any]


@dataclass(frozen=True)
class Way:
    """How a method takes part.

    Args:
        method: its name in the lab.
        paper: the notebook that teaches it.
        tries: what is turned, the usual values in the middle; none: nothing is chosen.
        fixed: knobs that all tries share.
    """

    method: str
    paper: str
    tries: tuple[Knobs, ...] = ()
    fixed: tuple[tuple[str, Any], ...] = ()

    def entrant(self, knobs: Knobs, **options: Any) -> Entrant:
        """Return the arm that turns `knobs`."""
        turned = dict(self.fixed) | {k: v for k, v in knobs.items() if k != LONGER}
        options.setdefault("longer", knobs.get(LONGER, 1))
        return Entrant(self.method, tuple(turned.items()), **options)


def one(knob: str, *values: Any) -> tuple[Knobs, ...]:
    """Return a try for each value of one knob."""
    return tuple({knob: value} for value in values)


def scaled(**weights: float) -> tuple[Knobs, ...]:
    """Return three tries: all `weights` a third, as they are, three times."""
    return tuple({k: f * w for k, w in weights.items()} for f in (1 / 3, 1, 3))


HINTS, WITH_KD = one("beta", 1.0, 10.0, 100.0), (("soft", 0.9), ("hard", 0.1))
WAYS = {
    "labels": Way("labels", "00_kd"),
    "labels, longer": Way("labels", "00_kd", one(LONGER, 2, 3, 4)),
    "label smoothing": Way("labels", "02_kd_as_lsr", one("smoothing", 0.1, 0.3, 0.5)),
    "KD": Way("KD", "00_kd", one("T", 2.0, 4.0, 8.0)),
    "KD, left early": Way("KDStop", "01_efficacy", one("stop", 0.25, 0.5, 0.75)),
    "Tf-KD_reg": Way("TfReg", "02_kd_as_lsr", one("alpha", 0.16, 0.5, 0.9)),
    "KD, top classes": Way("PartialKD", "03_understanding", one("k", 2, 3, 5)),
    "hint": Way("Joint", "04_fitnets", HINTS, (("alpha", 0.0),)),
    "KD + hint": Way("Joint", "04_fitnets", HINTS),
    "RKD": Way("RKD", "05_rkd", scaled(beta_d=25.0, beta_a=50.0)),
    "KD + RKD": Way("RKD", "05_rkd", scaled(beta_d=25.0, beta_a=50.0), WITH_KD),
    "SSKD": Way("SSKD", "06_sskd", scaled(lambda_T=2.7, lambda_ss=10.0)),
    "BYOT": Way("BYOT", "07_byot", one("alpha", 0.1, 0.3, 0.6)),
    "DML": Way("DML", "08_dml", scaled(weight=1.0)),
    "ONE": Way("ONE", "09_okddip", scaled(weight=1.0)),
    "OKDDip": Way("OKDDip", "09_okddip", scaled(weight=1.0)),
}


def told(knobs: Knobs) -> str:
    """Say what a try turns, e.g. "beta_d 25, beta_a 50"."""
    return ", ".join(f"{name} {value:.3g}" for name, value in knobs.items())


def tries() -> dict[str, Entrant]:
    """Return {"KD: T 4": arm} of all tries."""
    return {
        f"{name}: {told(knobs)}": way.entrant(knobs, first=TRIED)
        for name, way in WAYS.items()
        for knobs in way.tries
    }


def chosen(world: str, folder: Path = FOLDER) -> dict[str, Knobs]:
    """Return {name: knobs} that validation images choose; without evidence of all tries, none.

    The mean over the replicates of the tries decides; of equal ones the first is taken.
    """
    runs = read(NOTEBOOK, "tuning", folder)
    runs = runs[runs["world"] == world] if len(runs) else pd.DataFrame(columns=["arm"])
    if not set(tries()) <= set(runs["arm"]):
        return {}
    means = runs.groupby("arm")["val_accuracy"].mean()
    found = {}
    for name, way in WAYS.items():
        found[name] = max(way.tries, key=lambda t: means[f"{name}: {told(t)}"], default={})
    return found


class Chosen(Mapping[str, Entrant]):
    """The arms of the comparison in one world, with the knobs that its tries have chosen.

    They are made when asked for, so that tries and comparison are measured in one go. Without the
    tries there are none.
    """

    def __init__(self, world: str, leave: tuple[str, ...] = (), **options: Any) -> None:
        self.world, self.leave, self.options = world, leave, options

    def made(self) -> dict[str, Entrant]:
        """Return {name: arm}."""
        found = chosen(self.world)
        return {
            name: WAYS[name].entrant(knobs, **self.options)
            for name, knobs in found.items()
            if name not in self.leave
        }

    def items(self) -> ItemsView[str, Entrant]:
        """Return names and arms, all from one reading of the tries."""
        return self.made().items()

    def __getitem__(self, name: str) -> Entrant:
        return self.made()[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.made())

    def __len__(self) -> int:
        return len(self.made())
