"""The arms of notebook 06 at a lower learning rate, for a student that the course's rate destroys.

SSKD adds two losses to those of KD, so its gradient is larger. `mlp30` has no batch norm: at the
course's rate nearly all its units are switched off within a few hundred updates, in every
replicate. A quarter of the rate was fixed before the runs of these arms, and both arms have it.
"""

from dataclasses import replace
from typing import Any

from kdlab.papers.sskd.arms import kd_told, sskd
from kdlab.train.worlds import Replicate

SHARE = 0.25


def slow(r: Replicate) -> Replicate:
    """Return the same replicate whose students have a share of the learning rate."""
    own = r.world.recipe
    return Replicate(replace(r.world, recipe=replace(own, lr=SHARE * own.lr)), r.r)


def slow_kd(r: Replicate, net: str) -> dict[str, Any]:
    """Notebook 00's KD for the student `net`."""
    return kd_told(slow(r), net=net)


def slow_sskd(r: Replicate, net: str) -> dict[str, Any]:
    """Both stages for the student `net`."""
    return sskd(slow(r), net=net)
