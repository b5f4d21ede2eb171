"""Stage 1: a small head on a frozen teacher learns which image a turned one was made from.

The SS head is two layers on the features before the teacher's last layer. Each view must find its
own original among those of the batch, by the cosine of their projections. The teacher itself does
not move, so its head often errs, and how it errs tells who looks like whom.
"""

from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kdlab.data import Batch, Data
from kdlab.measure import in_float32
from kdlab.papers.sskd.views import Seen, Views
from kdlab.seeds import owned
from kdlab.train.fit import fit
from kdlab.train.method import check_temperature
from kdlab.train.worlds import Replicate

EPS = 1e-3  # a shorter vector counts as this long: a cosine's slope is endless at 0
SHARE = 0.1  # of the student's updates; after more, hardly an answer is wrong: nothing to rank


def similarity(v: Tensor, u: Tensor) -> Tensor:
    """Return the cosines (R, B) of each view with each original.

    Args:
        v, u: projections (R, D) of views and (B, D) of originals; half precision is computed in
            float32. A vector of zeros has cosine 0 with all others.

    Raises:
        ValueError: the shapes do not fit.
    """
    if v.dim() != 2 or u.dim() != 2 or v.shape[1] != u.shape[1] or not (v.numel() and u.numel()):
        raise ValueError(
            f"the projections have shapes {tuple(v.shape)} and {tuple(u.shape)}; give (R, D) of "
            "the views and (B, D) of the originals, not empty."
        )
    v, u = (F.normalize(in_float32(part), dim=1, eps=EPS) for part in (v, u))
    return v @ u.T


def contrastive_loss(v: Tensor, u: Tensor, own: Tensor, tau: float) -> Tensor:
    """Stage 1, L_ssp: each view must find its own original among those of the batch.

    Args:
        v, u: as in `similarity`.
        own: (R,), the row in `u` of each view's original.
        tau: temperature in ]0, 1000].

    Returns:
        A scalar in nats. With B originals, chance is log B, and right answers with all others at
        right angles still cost log(1 + (B - 1) exp(-1 / tau)).

    >>> u = torch.eye(2)
    >>> round(contrastive_loss(u, u, torch.tensor([0, 1]), tau=1.0).item(), 4)
    0.3133
    """
    check_temperature(tau)
    return F.cross_entropy(similarity(v, u) / tau, own)


def build_head(features: int, seed: int, who: str) -> nn.Sequential:
    """Return an SS head, (B, F) to (B, F); equal arguments give equal weights."""
    cpu = torch.device("cpu")
    with cpu, owned(seed, "init", "SS head", who, device=cpu):
        layers = nn.Linear(features, features), nn.ReLU(), nn.Linear(features, features)
        return nn.Sequential(*layers)


def own_rows(seen: Seen) -> Tensor:
    """Return the originals' rows (B V,) of the views, which stand image by image."""
    b, v = seen.z.shape[:2]
    return torch.arange(b, device=seen.z.device).repeat_interleave(v)


class Pretext(nn.Module):
    """Stage 1: only the teacher's SS head learns, on features that stand in a table.

    Args:
        views: with the frozen teacher's features.
        tau: temperature.
        seed: of the head's first weights.
    """

    n_classes = 0  # its answers name no classes

    def __init__(self, views: Views, tau: float = 0.5, seed: int = 0) -> None:
        super().__init__()
        self.views, self.tau = views, tau
        self.head = build_head(views.f.shape[-1], seed, "teacher")

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        """Return the loss of all views of the batch."""
        seen = self.views(batch)
        u, v = self.head(seen.f[:, 0]), self.head(seen.f[:, 1:].flatten(0, 1))
        return {"ssp": contrastive_loss(v, u, own_rows(seen), self.tau)}


def stage_one(r: Replicate, views: Views, data: Data | None = None) -> nn.Module:
    """Train the teacher's SS head on the training images of a replicate, or `data`; return it."""
    one = Pretext(views, seed=r.r)
    fit(one, data or r.data, replace(r.recipe(SHARE), lr=0.05), r.r)
    return one.head
