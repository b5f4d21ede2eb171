"""The arms of notebook 08: each takes a replicate, trains peers, returns what it measured."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from kdlab.data import Batch, Data, Split
from kdlab.measure import cka, evaluate, features_of, fidelity, logits_of, members
from kdlab.models import tap
from kdlab.papers.dml.flatness import rise
from kdlab.papers.dml.method import DML, Cohort
from kdlab.train.fit import fit
from kdlab.train.worlds import Replicate

SIGMAS = {"raw": (0.02, 0.04, 0.06, 0.08, 0.1), "filter": (0.05, 0.1, 0.15, 0.2, 0.3)}  # noise
MIDDLE, DRAWS, SEEN = 2, 3, 500  # the sigma of the claims; draws of noise; training images asked
BETA = 0.1  # weight of the features' distance

Row = dict[str, Any]


class ShuffledPeer(DML):
    """The negative control: each target is the peer's answer to another image of the batch."""

    def terms(self, k: int, z: Sequence[Tensor], y: Tensor) -> dict[str, Tensor]:
        """Return the loss of peer `k`; the others answer for the image before."""
        moved = [z_l if place == k else z_l.roll(1, dims=0) for place, z_l in enumerate(z)]
        return super().terms(k, moved, y)


class FeaturesToo(DML):
    """Two peers that also match their pooled features: BETA times the squared distance."""

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        """Return the terms of both peers, and one more that moves both."""
        (z_1, f_1), (z_2, f_2) = (tap(peer, batch.x, "pool") for peer in self.peers)
        apart = (f_1["pool"] - f_2["pool"]).square().sum(dim=1).mean()
        terms = self.terms(0, [z_1, z_2], batch.y) | self.terms(1, [z_1, z_2], batch.y)
        return terms | {"features": BETA * apart}


def pair(r: Replicate, make: type[DML] = DML, weight: float = 1.0) -> Row:
    """Two peers that learn together; with `weight` 0 each learns alone."""
    return trained(make.of(r, weight=weight), r)


def cohort(r: Replicate, target: str = "each", longer: float = 0.25) -> Row:
    """Three peers. A question about two losses with one gradient needs no long training."""
    return trained(Cohort.of(r, target=target), r, longer=longer)


def unlabelled(r: Replicate) -> Row:
    """Two peers, and half of every batch has no label: it enters the mutual term alone."""
    repeat = max(1, len(r.data.unlabelled.y) // len(r.data.train.y))
    return trained(DML.of(r), r, r.data.with_unlabelled(repeat))


def trained(method: DML, r: Replicate, data: Data | None = None, longer: float = 1) -> Row:
    """Train the peers and measure them, each number as the mean over members.

    Returns:
        What `kdlab.measure.members` says of the test images, ``val_accuracy`` (%), and what
        `flatness` says. ``correct`` (N,) is of the first peer, ``answers`` holds the bits of all:
        (K, N / 8). How alike the first two are: ``apart``, KL between their posteriors in nats, and
        ``cka`` of their pooled features.
    """
    fit(method, data or r.data, r.recipe(longer), r.r)
    nets, (x, y, _) = list(method.peers), r.data.test
    z = torch.stack([logits_of(net, x) for net in nets])
    right = (z.argmax(dim=2) == y).numpy()
    row = members(z, y) | {"correct": right[0], "answers": np.packbits(right, axis=1)}
    row["val_accuracy"] = np.mean([evaluate(net, r.data.val)["accuracy"] for net in nets])
    row |= {"apart": fidelity(z[0], z[1]).kl}
    row |= {"cka": cka(*(features_of(net, x, "pool") for net in nets[:2]))}
    return row | flatness(nets, Split(*(column[:SEEN] for column in r.data.train)))


def flatness(nets: Sequence[nn.Module], seen: Split) -> Row:
    """Return what noise on the weights costs on training images, see `kdlab.papers.dml.flatness`.

    For each kind of noise: "rise KIND" (S,), nats at all SIGMAS; "loss, KIND" (nats) and
    "accuracy, KIND" (points) at the MIDDLE one.
    """
    row: Row = {"training loss": np.mean([evaluate(net, seen)["nll"] for net in nets])}
    for kind, sigmas in SIGMAS.items():
        costs = [rise(net, seen, sigmas, kind == "filter", DRAWS) for net in nets]
        loss, accuracy = (np.mean([c[name] for c in costs], axis=0) for name in costs[0])
        row |= {f"rise {kind}": loss, f"loss, {kind}": loss[MIDDLE]}
        row |= {f"accuracy, {kind}": accuracy[MIDDLE]}
    return row
