"""The arms of notebook 09 at half of the course's learning rate.

At the full rate a group breaks in some replicates: one or more of its members guess until the end.
Half of the rate was fixed before the runs of these arms.
"""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

from kdlab.papers.kd.arms import labels
from kdlab.papers.okddip.arms import mutual, okddip, one
from kdlab.train.worlds import Replicate

SHARE = 0.5
ARMS: dict[str, Callable[..., Any]] = {
    "labels": labels,
    "independent": partial(okddip, first="none"),
    "ONE": one,
    "OKDDip": okddip,
    "DML": mutual,
}


def slowly(r: Replicate, name: str) -> dict[str, Any]:
    """One of `ARMS`, whose learning rate is a `SHARE` of the world's."""
    own = r.world.recipe
    slow = Replicate(replace(r.world, recipe=replace(own, lr=SHARE * own.lr)), r.r)
    return dict(ARMS[name](slow))
