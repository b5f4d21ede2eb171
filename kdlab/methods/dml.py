"""Deep mutual learning. Zhang, Xiang, Hospedales, Lu 2018, arXiv:1706.00384, section 3.

    L_k = H(y, q_k) + 1 / (K - 1) sum_{l != k} KL(q_l || q_k)

q_k: softmax of the logits of peer k at T = 1. Each loss moves its own peer only: the others are
targets, and no gradient reaches them. DML_e (section 3.6) has one target instead, the mean posterior
of the others. Semi-supervised (section 3.4): rows without a label enter the second term alone.

Departures: `DML` moves all peers at once from one forward pass each, as public reproductions do.
`DMLInTurn` is the paper's Algorithm 1. The authors' code sums over peers instead of averaging, and
draws a batch for each peer; "sum" gives the first, the second is not reproduced.
"""

import math
from collections.abc import Iterable, Iterator, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kdlab.data import Batch, shifted
from kdlab.methods.kd import hard_loss, kd_loss
from kdlab.seeds import generator

TARGETS = ("each", "sum", "mean", "logits")


def mean_posterior(z: Sequence[Tensor]) -> Tensor:
    """Return the log of the mean posterior (B, C) of peers with logits `z`, each (B, C).

    Logarithms of probabilities are logits: their softmax is the mean posterior.
    """
    return torch.logsumexp(F.log_softmax(torch.stack(list(z)), dim=2), dim=0) - math.log(len(z))


def mimicry_loss(z_k: Tensor, others: Sequence[Tensor], target: str = "each") -> Tensor:
    """Second term of peer k: summed over classes, averaged over the batch.

    Args:
        z_k: logits (B, C) of peer k.
        others: logits (B, C) of each other peer. No gradient reaches them.
        target: "each", mean of KL(q_l || q_k) over l; "sum", their sum, K - 1 times as much;
            "mean", DML_e: KL to the mean posterior; "logits", KL to the softmax of mean logits.

    Returns:
        A scalar in nats; 0 where all peers agree.

    Raises:
        ValueError: no other peer, an unknown target, or shapes that differ.

    >>> z = [torch.tensor([[0.0, 0.0]]), torch.tensor([[math.log(3), 0.0]])]
    >>> round(mimicry_loss(z[0], z[1:]).item(), 6), round(mimicry_loss(z[1], z[:1]).item(), 6)
    (0.130812, 0.143841)
    """
    check_target(target)
    if not others:
        raise ValueError("a peer has 0 others to learn from; give the logits of one or more.")
    if target == "mean":
        return kd_loss(z_k, mean_posterior(others), T=1.0)
    if target == "logits":
        return kd_loss(z_k, torch.stack(list(others)).mean(dim=0), T=1.0)
    total = torch.stack([kd_loss(z_k, z_l, T=1.0) for z_l in others])
    return total.sum() if target == "sum" else total.mean()


class DML(nn.Module):
    """Peers that learn from the labels and from each other, all at once.

    Args:
        peers: two or more networks from images to logits, with different weights.
        weight: of the mimicry term, >= 0; 0 trains the peers independently.
        target: what a peer mimics, see `mimicry_loss`.
        shift: each peer sees each batch moved by up to this many pixels, each in its own way.
        fill: value of a black pixel for that, ``data.black``.
        seed: of the peers' views.

    Raises:
        ValueError: fewer than two peers, two that are equal, or a value out of its range.
    """

    def __init__(
        self,
        peers: Iterable[nn.Module],
        weight: float = 1.0,
        target: str = "each",
        shift: int = 0,
        fill: Tensor | float = 0.0,
        seed: int = 0,
    ) -> None:
        super().__init__()
        self.peers = nn.ModuleList(peers)
        check_peers(self.peers)
        check_target(target)
        if not 0 <= weight < math.inf:
            raise ValueError(f"weight is {weight}; give a finite number, 0 or more.")
        if shift < 0 or shift != int(shift):
            raise ValueError(f"shift is {shift}; give a whole number of pixels, 0 or more.")
        self.weight, self.target, self.shift, self.fill, self.seed = (
            *(weight, target, int(shift), fill, seed),
        )

    def view(self, k: int, batch: Batch) -> Tensor:
        """Return the images (B, C, H, W) as peer `k` sees them: its own stream for every update."""
        if not self.shift:
            return batch.x
        source = generator(self.seed, "view", k, batch.progress)
        fill = self.fill.to(batch.x.device) if isinstance(self.fill, Tensor) else self.fill
        return shifted(batch.x, self.shift, source, fill)

    def terms(self, k: int, z: Sequence[Tensor], y: Tensor) -> dict[str, Tensor]:
        """Return the loss of peer `k`, given the logits (B, C) of all peers and labels (B,)."""
        found = {f"hard {k + 1}": hard_loss(z[k], y)}
        if self.weight:
            others = [z_l for other, z_l in enumerate(z) if other != k]
            mimicry = mimicry_loss(z[k], others, self.target)
            found[f"mimicry {k + 1}"] = self.weight * mimicry
        return found

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        z = [peer(self.view(k, batch)) for k, peer in enumerate(self.peers)]
        return {name: t for k in range(len(z)) for name, t in self.terms(k, z, batch.y).items()}

    def predict(self, x: Tensor) -> Tensor:
        """Return the logits of the first peer: a member is reported, not the ensemble."""
        return self.peers[0](x)


class DMLInTurn(DML):
    """Peers that learn one after the other on the same batch: the paper's Algorithm 1.

    A peer meets the posteriors that the others have after their update on this very batch.
    """

    def updates(self, batch: Batch) -> Iterator[dict[str, Tensor]]:
        """Yield the loss of one peer after the other; each is to be minimised before the next."""
        views = [self.view(k, batch) for k in range(len(self.peers))]
        z = [peer(x) for peer, x in zip(self.peers, views, strict=True)]
        for k, peer in enumerate(self.peers):
            yield self.terms(k, z, batch.y)
            if k + 1 < len(z):
                with torch.no_grad():  # copied buffers: batch norm counts a batch once, not twice
                    buffers = {name: b.clone() for name, b in peer.named_buffers()}
                    z[k] = torch.func.functional_call(peer, buffers, (views[k],))


def check_peers(peers: Sequence[nn.Module]) -> None:
    """Refuse fewer than two peers, and two with equal weights: these would agree for ever."""
    if len(peers) < 2:
        raise ValueError(
            f"mutual learning got {len(peers)} peer; give two or more networks, or use CE for one."
        )
    held = [[p.detach().cpu() for p in peer.parameters()] for peer in peers]
    for b in range(len(held)):
        for a in range(b):
            if len(held[a]) == len(held[b]) and all(map(torch.equal, held[a], held[b])):
                raise ValueError(
                    f"peers {a + 1} and {b + 1} have equal weights and would never disagree; "
                    "build them with different seeds."
                )


def check_target(target: str) -> None:
    """Refuse a target that `mimicry_loss` does not know."""
    if target not in TARGETS:
        raise ValueError(f"target is {target!r}; choose one of {', '.join(TARGETS)}.")
