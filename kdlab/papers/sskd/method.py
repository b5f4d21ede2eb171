"""SSKD. Xu, Liu, Li, Loy 2020, arXiv:2006.07114, section 3.

    L_ssp = - 1/R sum_i log softmax_k(cos(v_i, u_k) / tau)[own original of i]
    L = 0.1 L_ce + 0.9 L_kd + 2.7 L_T + 10 L_ss

u: what a small head, the SS head, makes of an image's features; v: the same of a changed image, a
view. Stage 1 trains the teacher's head by L_ssp while the teacher itself stays frozen. Stage 2
trains the student and a head of its own: L_ce and L_kd are notebook 00's terms on the images as
they are, L_T is the soft term on the views, and L_ss is tau^2 KL between the two networks' rows
softmax_k(cos(v_i, u_k) / tau). L_ss is a mean over the rows that are kept: those that the teacher
gets right, and of its wrong ones a share with the least bad answers.

Departures. Numbers are those of the official code (xuguodong03/SSKD); the paper's appendix, as it
is quoted, has the last two weights the other way round. The views are rotations, as in that code,
or small moves; the paper also drops and distorts colours, and crops. A step shows one of an image's
three views, drawn anew: the same mean at half the cost; `views_a_step` = 3 is what the code does.
Stage 1 has a tau, as the equation says; the code has none. As in the code, L_T keeps all rows. Of
equal ranks the earlier row is kept.
"""

from typing import Any, ClassVar, Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kdlab.data import Batch
from kdlab.measure import divergence, features_of, in_float32
from kdlab.models import logits_in, tap, taps
from kdlab.papers.kd.method import kd_loss
from kdlab.papers.sskd.pretext import build_head, own_rows, similarity, stage_one
from kdlab.papers.sskd.views import VIEWS, Views, drawn
from kdlab.train.method import (
    Knob,
    check_classes,
    check_logits,
    check_share,
    check_temperature,
    hard_loss,
    n_classes_of,
)
from kdlab.train.worlds import Replicate


def rank_of(scores: Tensor, right: Tensor) -> Tensor:
    """Return how many answers beat the `right` (R,) one in each row of `scores` (R, K)."""
    return (scores > scores.gather(1, right[:, None])).sum(dim=1)


def keep_rows(rank: Tensor, ratio: float) -> Tensor:
    """Return which rows are kept (R,): all of rank 0, and int(ratio x others) of lowest rank.

    Args:
        rank: (R,), whole numbers from 0; of equal ones the earlier rows are kept.
        ratio: share of the wrong rows, in [0, 1].

    Raises:
        ValueError: the ratio is no share.

    >>> keep_rows(torch.tensor([3, 0, 1, 2, 9]), 0.5).tolist()
    [False, True, True, True, False]
    """
    check_share("ratio", ratio)
    wrong = int((rank > 0).sum())
    best = rank.argsort(stable=True)[: len(rank) - wrong + int(ratio * wrong)]
    return torch.zeros_like(rank, dtype=torch.bool).index_fill_(0, best, True)


def transfer_loss(a_s: Tensor, a_t: Tensor, T: float, keep: Tensor) -> Tensor:
    """Return T^2 KL(teacher || student) of answers (R, K), averaged over the rows `keep` (R,).

    With cosines and T = tau it is L_ss; the same on logits, all rows kept, is notebook 00's term.

    Args:
        a_s, a_t: answers of student and teacher; half precision is computed in float32, -inf rules
            an answer out, no gradient reaches the teacher.
        T: temperature in ]0, 1000].
        keep: rows that count, booleans.

    Returns:
        A scalar; 0, with a zero gradient, where no row is kept.

    Raises:
        ValueError: shapes differ, or T is out of its range.
    """
    check_logits(a_s, a_t)
    check_temperature(T)
    if keep.shape != a_s.shape[:1]:
        raise ValueError(f"{tuple(keep.shape)} rows to keep of {len(a_s)}; give (R,) booleans.")
    log_q = F.log_softmax(in_float32(a_s[keep]) / T, dim=1)
    log_p = F.log_softmax(in_float32(a_t.detach()[keep]) / T, dim=1)
    return T**2 * divergence(log_p, log_q).sum() / keep.sum().clamp(min=1)


class SSKD(nn.Module):
    """Stage 2: the student learns labels, classes and similarities at once.

    Args:
        student: from images to logits; the SS head stands on the features before its last layer.
        views: of the teacher, see `kdlab.papers.sskd.views.Views`.
        head: the teacher's, after stage 1. It no longer learns.
        T, alpha: temperature and share of the soft terms on classes.
        lambda_T, lambda_ss: weights of L_T and L_ss.
        tau, ratio: temperature and kept share of wrong rows in L_ss.
        views_a_step: how many of its three views an image shows in each step.
        seed: of the student's head, and of which views are drawn.

    Raises:
        ValueError: a value out of its range, or networks of different numbers of classes.
    """

    pool: ClassVar[str] = "rotations"
    taught: ClassVar[bool] = True  # the lab: views are answers of the replicate's teacher
    knobs: ClassVar[tuple[Knob, ...]] = (
        Knob("T", 4.0, "temperature: how far the teacher's answers are softened", 0.5, 50.0),
        Knob("alpha", 0.9, "share of the soft term; the labels get the rest", 0.0, 1.0),
        Knob("lambda_T", 2.7, "weight of the classes of turned images", 0.0, 100.0),
        Knob("lambda_ss", 10.0, "weight of the similarities between images", 0.0, 1000.0),
        Knob("tau", 0.5, "temperature of the similarities", 0.05, 10.0),
        Knob("ratio", 0.75, "share of the wrong similarity rows that is kept", 0.0, 1.0),
        Knob("views_a_step", 1, "how many views of each image a step shows", 1, VIEWS),
    )

    def __init__(
        self,
        student: nn.Module,
        views: Views,
        head: nn.Module,
        T: float = 4.0,
        alpha: float = 0.9,
        lambda_T: float = 2.7,
        lambda_ss: float = 10.0,
        tau: float = 0.5,
        ratio: float = 0.75,
        views_a_step: int = 1,
        seed: int = 0,
    ) -> None:
        super().__init__()
        given = T, alpha, lambda_T, lambda_ss, tau, ratio, views_a_step
        for knob, value in zip(self.knobs, given, strict=True):
            knob.check(value)
        check_classes(student, views.teacher)
        self.n_classes = n_classes_of(student)
        self.student, self.views, self.teacher = student, views, views.teacher
        self.T, self.alpha, self.tau, self.views_a_step = T, alpha, tau, views_a_step
        self.lambda_T, self.lambda_ss, self.ratio, self.seed = lambda_T, lambda_ss, ratio, seed
        self.of_teacher = head.requires_grad_(False)
        self.tap = taps(student)[-1]
        width = features_of(student, views.image, self.tap).flatten(1).shape[1]
        self.head = build_head(width, seed, "student")

    @classmethod
    def of(cls, r: Replicate, **knobs: Any) -> Self:
        """Return the method for the world's student and teacher, after stage 1."""
        views = Views(r.teacher, r.data, cls.pool, r.r)
        return cls(r.student(), views, stage_one(r, views), seed=r.r, **knobs)

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        seen, b = self.views(batch, drawn(batch, self.views_a_step, self.seed)), len(batch.x)
        z, f = tap(self.student, torch.cat([batch.x, seen.x.flatten(0, 1)]), self.tap)
        p, own, z_t = self.head(f[self.tap].flatten(1)), own_rows(seen), seen.z.flatten(0, 1)
        u_t, v_t = self.of_teacher(seen.f[:, 0]), self.of_teacher(seen.f[:, 1:].flatten(0, 1))
        a_s, a_t = similarity(p[b:], p[:b]), similarity(v_t, u_t)
        keep = keep_rows(rank_of(a_t, own), self.ratio)
        return {
            "hard": (1 - self.alpha) * hard_loss(z[:b], batch.y),
            "soft": self.alpha * kd_loss(z[:b], self.teacher(batch), self.T),
            "turned": self.lambda_T * kd_loss(z[b:], z_t, self.T),
            "alike": self.lambda_ss * transfer_loss(a_s, a_t, self.tau, keep),
        }

    def predict(self, x: Tensor) -> Tensor:
        return logits_in(self.student(x))


class SSKDMoves(SSKD):
    """The same with small moves of each image instead of rotations, where it is made by `of`."""

    pool = "moves"


class SameRows(nn.Module):
    """The control of equal cost: plain KD, which also sees the views and counts them as images.

    Args:
        student, views, views_a_step, seed: as in `SSKD`.
        T, alpha: of notebook 00's loss, on images and views alike; a view has its image's label.
    """

    knobs: ClassVar[tuple[Knob, ...]] = (*SSKD.knobs[:2], SSKD.knobs[-1])
    taught: ClassVar[bool] = SSKD.taught

    def __init__(
        self,
        student: nn.Module,
        views: Views,
        T: float = 4.0,
        alpha: float = 0.9,
        views_a_step: int = 1,
        seed: int = 0,
    ) -> None:
        super().__init__()
        for knob, value in zip(self.knobs, (T, alpha, views_a_step), strict=True):
            knob.check(value)
        check_classes(student, views.teacher)
        self.n_classes = n_classes_of(student)
        self.student, self.views, self.teacher = student, views, views.teacher
        self.T, self.alpha, self.views_a_step, self.seed = T, alpha, views_a_step, seed

    @classmethod
    def of(cls, r: Replicate, **knobs: Any) -> Self:
        """Return the method for the world's student and teacher."""
        return cls(r.student(), Views(r.teacher, r.data, seed=r.r), seed=r.r, **knobs)

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        seen = self.views(batch, drawn(batch, self.views_a_step, self.seed))
        z = logits_in(self.student(torch.cat([batch.x, seen.x.flatten(0, 1)])))
        z_t = torch.cat([self.teacher(batch), seen.z.flatten(0, 1)])
        y = torch.cat([batch.y, batch.y[own_rows(seen)]])
        return {
            "hard": (1 - self.alpha) * hard_loss(z, y),
            "soft": self.alpha * kd_loss(z, z_t, self.T),
        }

    def predict(self, x: Tensor) -> Tensor:
        return logits_in(self.student(x))
