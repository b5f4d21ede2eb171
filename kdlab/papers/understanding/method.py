"""Partial targets. Tang, Shivanna, Zhao, Lin, Singh, Chi, Jain 2020, arXiv:2002.03532, abstract.

    L = (1 - alpha) H(y, q_1) + alpha T^2 KL(r || q_T)

    omega = (1 - alpha) + alpha T (r_y - q_T,y) / (1 - q_1,y)

r: a target made from parts of the teacher's softened answer p_T. r_y: its mass on the label y.
q_T: the student. omega: how much larger the gradient of the label's logit is than without a
teacher; the factor T is T^2 from the loss times 1/T from the chain rule.

Departures: the abstract names three effects: smoothing, class relationships, and the rescaling of
each image's gradient. The paper's formulas could not be read, so `make_target`, `omega`,
`from_weights` and the factor T^2 in the loss are the course's own definitions. The names KD-pt
(confidence alone) and KD-topk are as a public reading of its first version tells them. alpha = 0.9
and T = 4 as in notebook 00.
"""

from typing import Any, ClassVar, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kdlab.data import Batch, Data
from kdlab.data.rows import pick
from kdlab.measure import divergence, in_float32
from kdlab.models import logits_in
from kdlab.papers.kd.method import KD
from kdlab.train import method as base
from kdlab.train.frozen import Frozen
from kdlab.train.method import Knob, Teacher, check_logits, check_temperature, hard_loss
from kdlab.train.worlds import Replicate

MASSES, SHAPES = ("mean", "image"), ("even", "class", "weights", "image")
ALL = 1000  # entries of a teacher's answer: no paper of the course has more classes


class Means(NamedTuple):
    """What a teacher says on average: `mass` on the label, `shape` (C, C) among other classes.

    Row y of `shape` is for images with the label y: shares that sum to 1, 0 at y itself.
    """

    mass: float
    shape: Tensor


def make_target(
    z_t: Tensor, y: Tensor, T: float, mass: float | None = None, shape: Tensor | None = None
) -> Tensor:
    """Return the target r (B, C): `mass` on the label, the rest shared out as `shape` says.

    Args:
        z_t: teacher logits (B, C), half precision is computed in float32. No gradient reaches them.
        y: labels (B,), 0 to C - 1.
        T: temperature in ]0, 1000] of the teacher.
        mass: in [0, 1], the same for every image; None: the teacher's own for each image.
        shape: (C, C), 0 or more, row y for the label y (its entry y does not count; ones: evenly);
            None: the teacher's own for each image. A row without any mass is shared out evenly.

    With both None r is the teacher's whole answer: plain KD.

    Raises:
        ValueError: no rows of logits, a label that is none of theirs, or T or `mass` out of range.

    >>> v, y = torch.tensor([[4.0, 2.0, 1.0, 0.0]], dtype=torch.float64), torch.tensor([0])
    >>> make_target(v, y, T=2.0, shape=torch.ones(4, 4)).numpy().round(4).tolist()
    [[0.5793, 0.1402, 0.1402, 0.1402]]
    """
    check_logits(z_t, z_t)
    check_temperature(T)
    base.check_share("mass", mass or 0.0)
    classes = z_t.shape[1]
    if y.shape != z_t.shape[:1] or (y < 0).any() or (y >= classes).any():
        raise ValueError(
            f"labels of shape {tuple(y.shape)} do not fit logits of {tuple(z_t.shape)}; a partial "
            f"target needs a label from 0 to {classes - 1} for each image."
        )
    p = F.softmax(in_float32(z_t.detach()) / T, dim=1)
    if classes == 1:
        return p
    own = F.one_hot(y, classes).to(p)
    held = p.gather(1, y[:, None]) if mass is None else torch.full_like(p[:, :1], mass)
    others = (1 - own) * (p if shape is None else shape.to(p)[y])
    total, even = others.sum(dim=1, keepdim=True), (1 - own) / (classes - 1)
    return own * held + (1 - held) * torch.where(total > 0, others / total, even)


def part(z_t: Tensor, y: Tensor, T: float, told: Means | None, mass: str, shape: str) -> Tensor:
    """Return the target (B, C) in words: `mass` "mean" or "image", `shape` also "even" or "class".

    `told`: the means of the teacher, needed for "mean" and for "class".
    """
    n = z_t.shape[1]
    shared = {"even": z_t.new_ones(n, n), "image": None}.get(shape, told and told.shape)
    return make_target(z_t, y, T, told.mass if told and mass == "mean" else None, shared)


def top_k(r: Tensor, k: int) -> Tensor:
    """Return the target of KD-topk: the k largest entries of r (B, C) stay, the others get equal.

    k = C changes nothing. The label is not forced among the k. Of equal entries the first stays.

    Raises:
        ValueError: k is not from 1 to C.
    """
    if not 1 <= k <= r.shape[1]:
        raise ValueError(f"k is {k}; keep from 1 to all {r.shape[1]} entries of a target.")
    small = r.argsort(dim=1, descending=True, stable=True).argsort(dim=1) >= k
    rest = (r * small).sum(dim=1, keepdim=True) / max(1, r.shape[1] - k)
    return torch.where(small, rest, r)


def means(z_t: Tensor, y: Tensor, T: float) -> Means:
    """Return the teacher's mean mass on the label, and for each class its mean answer without it.

    `z_t` (N, C), `y` (N,): of all labelled training images.
    """
    p = make_target(z_t, y, T)
    own = F.one_hot(y, z_t.shape[1]).to(p)
    total = own.T @ (p * (1 - own))
    return Means((p * own).sum().item() / len(y), total / total.sum(1, keepdim=True).clamp(1e-30))


def cosines(w: Tensor) -> Tensor:
    """Return the cosine (C, C) between the rows of classifier weights `w` (C, F).

    The mean row is taken out first: a softmax cannot see it.
    """
    rows = F.normalize(w - w.mean(dim=0), dim=1)
    return rows @ rows.T


def from_weights(w: Tensor, kappa: float = 3.0) -> Tensor:
    """Return shares (C, C) from a classifier: softmax(kappa cos(w_y, w_k)) over k != y."""
    return F.softmax((kappa * cosines(w)).fill_diagonal_(-torch.inf), dim=1)


def soft_loss(z_s: Tensor, r: Tensor, T: float) -> Tensor:
    """Return T^2 KL(r || q_T): summed over classes, averaged over the batch, 0 at q_T = r.

    Args:
        z_s: student logits (B, C); half precision is computed in float32, -inf rules a class out.
        r: target (B, C), rows sum to 1. No gradient reaches it.
        T: temperature in ]0, 1000].
    """
    check_logits(z_s, r)
    check_temperature(T)
    log_q = F.log_softmax(in_float32(z_s) / T, dim=1)  # log q_T
    return T**2 * divergence(in_float32(r.detach()).log(), log_q).mean()


def partial_loss(z_s: Tensor, z_t: Tensor, y: Tensor, T: float, *parts: Any) -> Tensor:
    """Return the soft term with the target of `make_target`; `parts`: its mass, its shape."""
    check_logits(z_s, z_t)
    return soft_loss(z_s, make_target(z_t, y, T, *parts), T)


def omega(z_s: Tensor, r: Tensor, y: Tensor, T: float, alpha: float) -> Tensor:
    """Return omega (B,): the gradient of the label's logit, over that of the labels alone.

    Below 1 where the target doubts the label more than others do; negative where the student is
    surer than the target; without bound as the student becomes sure (q_1,y near 1).
    """
    check_logits(z_s, r)
    z, own = in_float32(z_s), y[:, None]
    soft, hard = (F.softmax(z / t, dim=1).gather(1, own) for t in (T, 1.0))
    ratio = (in_float32(r).gather(1, own) - soft) / (1 - hard)
    return ((1 - alpha) + alpha * T * ratio)[:, 0]


def labelled(teacher: Teacher, data: Data) -> tuple[Tensor, Tensor]:
    """Return the teacher's logits (N, C) for the labelled training images, and the labels (N,)."""
    x, y, index = pick(data.train, data.train.y >= 0)
    return teacher(Batch(x, y, index)), y


def classifier(net: nn.Module) -> Tensor:
    """Return the weights (C, F) of the last layer of `net`, which must be linear."""
    last = list(net.modules())[-1]
    if not isinstance(last, nn.Linear):
        raise ValueError(f"the last layer is a {type(last).__name__}; give a net that ends linear.")
    return last.weight.detach()


class PartialKD(KD):
    """KD from a part of the teacher's answer: its mass on the label, how it shares out the rest.

    `told`: the teacher's means, needed where a part is a mean; `of` makes them from a replicate.
    """

    knobs: ClassVar[tuple[Knob, ...]] = (
        *KD.knobs,
        Knob("mass", "image", "whose mass the label gets: the mean, or its own", choices=MASSES),
        Knob("shape", "image", "how the other classes share the rest", choices=SHAPES),
        Knob("k", ALL, "entries of the target that stay; the others become equal", 1, ALL),
    )

    def __init__(
        self,
        student: nn.Module,
        teacher: Teacher,
        told: Means | None = None,
        T: float = 4.0,
        alpha: float = 0.9,
        mass: str = "image",
        shape: str = "image",
        k: int = ALL,
    ) -> None:
        super().__init__(student, teacher, T, alpha)
        for knob, value in zip(PartialKD.knobs[2:], (mass, shape, k), strict=True):
            knob.check(value)
        if told is None and (mass == "mean" or shape in ("class", "weights")):
            raise ValueError(f"mass {mass!r}, shape {shape!r} need the teacher's means; use `of`.")
        self.told, self.mass, self.shape, self.k = told, mass, shape, k

    @classmethod
    def of(
        cls, r: Replicate, teacher: Frozen | None = None, data: Data | None = None, **knobs: Any
    ) -> "PartialKD":
        """Build it for replicate `r`; `teacher` and `data` in place of the replicate's own."""
        teacher, data = teacher or r.teacher, data or r.data
        told = means(*labelled(teacher, data), knobs.get("T", 4.0))
        if knobs.get("shape") == "weights":
            told = told._replace(shape=from_weights(classifier(teacher.net)))
        return cls(r.student(), teacher, told, **knobs)

    def target(self, batch: Batch) -> Tensor:
        """Return the target r (B, C) of these images."""
        z_t = self.teacher(batch)
        r = part(z_t, batch.y, self.T, self.told, self.mass, self.shape)
        return top_k(r, min(self.k, r.shape[1]))

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        z_s = logits_in(self.student(batch.x))
        return {
            "hard": (1 - self.alpha) * hard_loss(z_s, batch.y),
            "soft": self.alpha * soft_loss(z_s, self.target(batch), self.T),
        }


class Reweighted(PartialKD):
    """Labels alone: each image weighs as much as the teacher's mass on its label, over the mean.

    Build it by `of`. Only T is a knob: no soft target is left, and nothing to share out.
    """

    knobs: ClassVar[tuple[Knob, ...]] = KD.knobs[:1]

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        z_s, y = in_float32(logits_in(self.student(batch.x))), batch.y
        held = make_target(self.teacher(batch), y, self.T).gather(1, y[:, None])[:, 0]
        weight = held / (self.told.mass if self.told else 1.0)
        return {"hard": (weight * F.cross_entropy(z_s, y, reduction="none")).mean()}
