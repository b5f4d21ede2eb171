"""Deep mutual learning. Zhang, Xiang, Hospedales, Lu 2018, arXiv:1706.00384, section 3.

    L_k = H(y, q_k) + 1 / (K - 1) sum_{l != k} KL(q_l || q_k)

q_k: softmax of the logits of peer k, T = 1. The other peers are targets: no gradient reaches them.
DML_e (section 3.6) has one target, the mean posterior of the others. Rows without a label enter the
second term alone (section 3.4).

Departures: `DML` moves all peers at once, as public reproductions do; `DMLInTurn` is the paper's
Algorithm 1. The authors' code sums over peers ("sum" here) and draws a batch for each (not here).
"""

import itertools
import math
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, ClassVar, Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kdlab.data import Batch
from kdlab.measure import in_float32
from kdlab.models import logits_in
from kdlab.papers.kd.method import kd_loss
from kdlab.train.method import Knob, check_logits, hard_loss, n_classes_of
from kdlab.train.worlds import Replicate

TARGETS = ("each", "sum", "mean", "logits")


def mean_posterior(z: Sequence[Tensor]) -> Tensor:
    """Return the log of the mean posterior (B, C) of peers with logits `z`, each (B, C).

    Logarithms of probabilities are logits: their softmax is the mean posterior. It is -inf for a
    class that all peers rule out.
    """
    return torch.logsumexp(F.log_softmax(stacked(z), dim=2), dim=0) - math.log(len(z))


def stacked(z: Sequence[Tensor]) -> Tensor:
    """Return the logits of K peers as one table (K, B, C), in float32 or better."""
    return torch.stack([in_float32(z_l) for z_l in z])


def mimicry_loss(z_k: Tensor, others: Sequence[Tensor], target: str = "each") -> Tensor:
    """Second term of peer k: summed over classes, averaged over the batch.

    Args:
        z_k: logits (B, C) of peer k; half precision is computed in float32. A logit of -inf means
            that the class is ruled out.
        others: logits (B, C) of each other peer. No gradient reaches them.
        target: "each", mean of KL(q_l || q_k) over l; "sum", their sum, K - 1 times as much;
            "mean", DML_e: KL to the mean posterior; "logits", KL to the softmax of mean logits,
            which rules out a class as soon as one peer does.

    Returns:
        A scalar in nats; 0 where all peers agree; infinite where peer k rules out a class that its
        target does not.

    Raises:
        ValueError: no other peer, an unknown target, or logits that are not all of one shape.

    >>> z = [torch.tensor([[0.0, 0.0]]), torch.tensor([[math.log(3), 0.0]])]
    >>> round(mimicry_loss(z[0], z[1:]).item(), 6), round(mimicry_loss(z[1], z[:1]).item(), 6)
    (0.130812, 0.143841)
    """
    check_target(target)
    if not others:
        raise ValueError("a peer has 0 others to learn from; give the logits of one or more.")
    for z_l in others:
        check_logits(z_k, z_l)
    if target == "mean":
        return kd_loss(z_k, mean_posterior(others), T=1.0)
    if target == "logits":
        return kd_loss(z_k, stacked(others).mean(dim=0), T=1.0)
    each = torch.stack([kd_loss(z_k, z_l, T=1.0) for z_l in others])
    return each.sum() if target == "sum" else each.mean()


class DML(nn.Module):
    """Peers that learn from the labels and from each other, all at once.

    Args:
        peers: two or more networks from images to logits, with different weights.
        weight: of the second term, >= 0; 0 trains the peers independently.
        target: what a peer mimics, see `mimicry_loss`; two peers know one target only.

    Raises:
        ValueError: fewer than two peers, two that are equal, or a value out of its range.
    """

    knobs: ClassVar[tuple[Knob, ...]] = (
        Knob("weight", 1.0, "weight of what a peer learns from the others", 0.0, 10.0),
    )
    count: ClassVar = 2  # of the peers that `of` makes

    @classmethod
    def of(cls, r: Replicate, **knobs: Any) -> Self:
        """Return peers of replicate r that begin with different weights."""
        return cls([r.student(peer=k) for k in range(cls.count)], **knobs)

    def __init__(
        self, peers: Iterable[nn.Module], weight: float = 1.0, target: str = "each"
    ) -> None:
        super().__init__()
        self.peers = nn.ModuleList(peers)
        check_peers(self.peers)
        check_target(target)
        if not 0 <= weight < math.inf:
            raise ValueError(f"weight is {weight}; give a finite number, 0 or more.")
        self.weight, self.target = weight, target

    @property
    def n_classes(self) -> int | None:
        """How many classes the peers know; asked by `kdlab.train.fit.fit` before it trains."""
        known = [n for n in map(n_classes_of, self.peers) if n]
        if len(set(known)) > 1:
            told = " and ".join(str(n) for n in dict.fromkeys(known))
            raise ValueError(f"the peers know {told} classes; give all peers the same classes.")
        return known[0] if known else None

    def terms(self, k: int, z: Sequence[Tensor], y: Tensor) -> dict[str, Tensor]:
        """Return the loss of peer `k`, given the logits (B, C) of all peers and labels (B,)."""
        found = {f"hard {k + 1}": hard_loss(z[k], y)}
        if self.weight:
            others = [z_l for place, z_l in enumerate(z) if place != k]
            found[f"peers {k + 1}"] = self.weight * mimicry_loss(z[k], others, self.target)
        return found

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        z = [logits_in(peer(batch.x)) for peer in self.peers]
        return {name: t for k in range(len(z)) for name, t in self.terms(k, z, batch.y).items()}

    def predict(self, x: Tensor) -> Tensor:
        """Return the logits of the first peer: a member is reported, not the ensemble."""
        return logits_in(self.peers[0](x))


class DMLInTurn(DML):
    """The paper's Algorithm 1: on each batch one peer after the other.

    A peer's targets come from the weights that the others have by then.
    """

    def updates(self, batch: Batch) -> Iterator[dict[str, Tensor]]:
        """Yield the loss of one peer after the other, each to be minimised before the next."""
        z = [logits_in(peer(batch.x)) for peer in self.peers]
        for k, peer in enumerate(self.peers):
            yield self.terms(k, z, batch.y)
            if k == len(z) - 1:  # nobody is left to learn from the last one
                return
            with torch.no_grad():  # on copies of the buffers: batch norm counts a batch only once
                buffers = {name: value.clone() for name, value in peer.named_buffers()}
                z[k] = logits_in(torch.func.functional_call(peer, buffers, (batch.x,)))


class Cohort(DML):
    """Three peers: with two others it matters what a peer mimics."""

    knobs: ClassVar = (*DML.knobs, Knob("target", "each", "what a peer mimics", choices=TARGETS))
    count: ClassVar = 3


def check_peers(peers: nn.ModuleList) -> None:
    """Refuse fewer than two peers, and two with equal weights: these would agree for ever."""
    if len(peers) < 2:
        raise ValueError(f"DML got {len(peers)} peer; give two or more networks, or use CE.")
    weights = [[p.detach().cpu() for p in peer.parameters()] for peer in peers]
    for (a, first), (b, second) in itertools.combinations(enumerate(weights, start=1), 2):
        if len(first) == len(second) and all(map(torch.equal, first, second)):
            told = f"peers {a} and {b} have equal weights and would never disagree"
            raise ValueError(f"{told}; build them with different seeds.")


def check_target(target: str) -> None:
    """Refuse a target that `mimicry_loss` does not know."""
    if target not in TARGETS:
        raise ValueError(f"target is {target!r}; choose one of {', '.join(TARGETS)}.")
