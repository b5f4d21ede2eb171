"""Distillation that stops part-way. Cho, Hariharan 2019, arXiv:1910.01348, sections 5.3 and 5.5.

    L = w_hard H(y, q_1) + w_soft T^2 KL(p_T || q_T)
    (w_hard, w_soft) = (1 - alpha, alpha) while progress < stop, (1, 0) afterwards

progress: share of the student's training that is done. The paper calls this ESKD, early-stopped
knowledge *distillation*. A *teacher* whose own training ended early is another thing and needs no
loss: see `kdlab.papers.efficacy.arms.school`.

Departures: the paper prints L = alpha L_cls + (1 - alpha) L_KD with alpha = 0.9, the code it builds
on has 0.9 on the soft term; we take 0.9 on the soft term. No source gives the paper's moment of
stopping, nor the weight of the hard term afterwards; we take 1, so that plain training goes on.
KL instead of cross-entropy, as in `kdlab.papers.kd.method`. `equal_entropy` is the course's own:
the paper tries one higher temperature, the same for all teachers (sections 5.1 and 5.6).
"""

from typing import ClassVar

from torch import Tensor, nn

from kdlab.data import Batch
from kdlab.measure import softness, temperature_for
from kdlab.models import logits_in
from kdlab.papers.kd.method import KD, kd_loss
from kdlab.train.method import Knob, Teacher, check_share, hard_loss

Weights = tuple[float, float]


def loss_weights(now: float, stop: float, alpha: float = 0.9, after: float = 1.0) -> Weights:
    """Return (w_hard, w_soft) at the moment `now`.

    Args:
        now: how far the student's training is, in the unit of `stop`: a share, or epochs done.
        stop: from this moment on the teacher is no longer followed.
        alpha: weight of the soft term before, in [0, 1].
        after: weight of the hard term afterwards. 1 - alpha keeps what it was before; under SGD
            that trains on with a tenth of the step for alpha = 0.9.

    >>> [tuple(round(w, 2) for w in loss_weights(epoch, 10)) for epoch in (9, 10)]
    [(0.1, 0.9), (1.0, 0.0)]
    """
    return (1 - alpha, alpha) if now < stop else (after, 0.0)


def stop_terms(z_s: Tensor, z_t: Tensor, y: Tensor, T: float, w: Weights) -> dict[str, Tensor]:
    """Return the terms {"hard", "soft"} of the loss: scalars, weighted by `w` = (w_hard, w_soft).

    Args:
        z_s, z_t: logits (B, C) of student and teacher, as `kdlab.papers.kd.method.kd_loss` takes
            them. With w_soft = 0 the teacher's are not looked at.
        y: labels (B,), -1 where there is none.
        T: temperature in ]0, 1000] of the soft term.

    Raises:
        ValueError: shapes differ, or T is out of its range, while w_soft is not 0.
    """
    soft = w[1] * kd_loss(z_s, z_t, T) if w[1] else z_s.new_zeros(())
    return {"hard": w[0] * hard_loss(z_s, y), "soft": soft}


def stop_loss(z_s: Tensor, z_t: Tensor, y: Tensor, T: float, w: Weights) -> Tensor:
    """Return the loss, the sum of `stop_terms`: summed over classes, averaged over the batch.

    >>> import torch
    >>> z_s, z_t = torch.tensor([[1.0, 2.0, 0.0]]), torch.tensor([[2.0, 0.0, 1.0]])
    >>> round(stop_loss(z_s, z_t, torch.tensor([0]), 2.0, (0.1, 0.9)).item(), 5)  # .1 * 1.40761
    0.93461
    """
    return sum(stop_terms(z_s, z_t, y, T, w).values(), z_s.new_zeros(()))


def equal_entropy(z: Tensor, reference: Tensor, T: float) -> float:
    """Return the factor k for which k z is, on average, as uncertain at T as `reference`.

    One number for all images: the ranking of the classes stays, and so does the accuracy.

    Args:
        z, reference: logits (N, C) and (M, C) of two teachers.
        T: temperature > 0 at which the mean entropies of their softmax become equal.

    Raises:
        ValueError: no factor reaches this entropy, as where all logits of `z` are alike.

    >>> import torch
    >>> z = torch.tensor([[3.0, 0.0, 1.0]])
    >>> round(equal_entropy(3 * z, z, T=4.0), 4)
    0.3333
    """
    return T / temperature_for(z, softness(reference, T))


class KDStop(KD):
    """A student that follows its teacher for a while, then goes on with the labels alone.

    Args:
        student: network from images to logits.
        teacher: answers a batch with logits (B, C), see `kdlab.train.frozen.Frozen`. It is asked
            no more after the stop.
        T: temperature > 0 of both networks in the soft term.
        alpha: weight of the soft term until then, in [0, 1]; the hard term gets 1 - alpha.
        stop: share of the training in [0, 1] after which the teacher is left. 1: plain KD. 0: the
            teacher is never asked, which is CE for ``after=1`` and, for less, the control that
            shows what a small weight of the hard term does by itself.
        after: weight of the hard term from then on, in [0, 1].

    Raises:
        ValueError: a value out of its range, or networks of different numbers of classes.
    """

    knobs: ClassVar[tuple[Knob, ...]] = (
        *KD.knobs,
        Knob("stop", 0.5, "share of the training after which the teacher is left", 0.0, 1.0),
        Knob("after", 1.0, "weight of the labels from then on", 0.0, 1.0),
    )

    def __init__(
        self,
        student: nn.Module,
        teacher: Teacher,
        T: float = 4.0,
        alpha: float = 0.9,
        stop: float = 0.5,
        after: float = 1.0,
    ) -> None:
        super().__init__(student, teacher, T, alpha)
        check_share("stop", stop)
        check_share("after", after)
        self.stop, self.after = stop, after

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        w = loss_weights(batch.progress, self.stop, self.alpha, self.after)
        z_s = logits_in(self.student(batch.x))
        return stop_terms(z_s, self.teacher(batch) if w[1] else z_s, batch.y, self.T, w)
