"""Distillation that stops part-way. Cho, Hariharan 2019, arXiv:1910.01348, sections 5.3 and 5.5.

    L = w_hard H(y, q_1) + w_soft T^2 KL(p_T || q_T)
    (w_hard, w_soft) = (1 - alpha, alpha) while progress < stop, (1, 0) afterwards

progress: share of the student's training that is done. The paper calls this ESKD, early-stopped
knowledge *distillation*. A *teacher* whose own training ended early is another thing and needs no
loss: see `kdlab.train.teachers.snapshots` for one caught on its way, and a teacher with a short
recipe for one that was brought to rest.

Departures: the paper prints L = alpha L_cls + (1 - alpha) L_KD with alpha = 0.9, the code it builds
on has 0.9 on the soft term; we take 0.9 on the soft term. No source gives the paper's moment of
stopping, nor the weight of the hard term afterwards; we take 1, so that plain training goes on.
KL instead of cross-entropy, as in `kdlab.papers.kd.method`.
"""

from typing import ClassVar

from torch import Tensor, nn

from kdlab.data import Batch
from kdlab.papers.kd.method import KD, kd_loss
from kdlab.train.method import Knob, Teacher, check_share, hard_loss


def loss_weights(
    now: float, stop: float, alpha: float = 0.9, after: float = 1.0
) -> tuple[float, float]:
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
        w_hard, w_soft = loss_weights(batch.progress, self.stop, self.alpha, self.after)
        z_s = self.student(batch.x)
        hard = w_hard * hard_loss(z_s, batch.y)
        if not w_soft:
            return {"hard": hard, "soft": z_s.new_zeros(())}
        return {"hard": hard, "soft": w_soft * kd_loss(z_s, self.teacher(batch), self.T)}
