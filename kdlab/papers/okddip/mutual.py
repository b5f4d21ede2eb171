"""Deep mutual learning at equal cost, the control. Zhang et al. 2018, arXiv:1706.00384, section 3.

    L = sum_a H(y, q_a) + w / (M - 1) sum_a sum_{b != a} KL(q_b || q_a)

Each of M members has all others as its targets, one by one, at T = 1, each a constant. Here they
are branches on the trunk of OKDDip, and w is ramped up as there, so that the price is the same.
"""

import itertools

from torch import Tensor

from kdlab.data import Batch
from kdlab.papers.okddip.method import labelled, pull
from kdlab.papers.okddip.nets import Together


def mutual_loss(z: Tensor) -> Tensor:
    """Return 1 / (M - 1) sum_a sum_{b != a} KL(q_b || q_a) for logits (M, B, C)."""
    a, b = zip(*itertools.permutations(range(len(z)), 2), strict=True)
    return pull(z[[*a]], z[[*b]].detach().softmax(dim=2), T=1.0) / (len(z) - 1)


class Mutual(Together):
    """Members that learn from the labels and from each other; the first is deployed."""

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        """Return the terms "hard" and "peers"."""
        z, *_ = self.group(batch.x)
        return {"hard": labelled(z, batch.y), "peers": self.w(batch) * mutual_loss(z)}
