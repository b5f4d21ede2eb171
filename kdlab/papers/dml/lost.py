"""Pairs that lose their way: the loss of every update, and the same arms at half the learning rate.

In the comparison *pair* both peers of one replicate end far below all others. Half of the course's
rate was fixed before the runs of these arms, and all of them have it, beside the pair at the full
rate.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from torch import Tensor

from kdlab.data import Batch
from kdlab.papers.dml.arms import trained
from kdlab.papers.dml.method import DML
from kdlab.papers.kd.arms import kd, labels
from kdlab.train.worlds import Replicate

SHARE = 0.5

Row = dict[str, Any]


class Watched(DML):
    """A pair that keeps what each update cost: (labels, peers), each the mean of both, in nats."""

    def __init__(self, *peers: Any, **knobs: Any) -> None:
        super().__init__(*peers, **knobs)
        self.costs: list[list[float]] = []

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        """Return the terms of both peers."""
        terms = super().forward(batch)
        found = [[terms[f"{kind} {k}"].item() for k in (1, 2)] for kind in ("hard", "peers")]
        self.costs.append([sum(both) / 2 for both in found])
        return terms


def watched(r: Replicate) -> Row:
    """The pair of `kdlab.papers.dml.arms.pair`, with ``costs`` (2, updates): labels and peers."""
    method = Watched.of(r)
    return trained(method, r) | {"costs": np.array(method.costs, dtype=np.float32).T}


ARMS: dict[str, Callable[..., Row]] = {"labels": labels, "KD": kd, "DML": watched}


def slowly(r: Replicate, name: str) -> Row:
    """One of `ARMS`, whose learning rate is a `SHARE` of the world's."""
    own = r.world.recipe
    return ARMS[name](Replicate(replace(r.world, recipe=replace(own, lr=SHARE * own.lr)), r.r))
