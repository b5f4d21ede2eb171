"""Knowledge distillation. Hinton, Vinyals, Dean 2015, arXiv:1503.02531, section 2.

    L = (1 - alpha) H(y, q_1) + alpha T^2 KL(p_T || q_T)

p_T, q_T: softmax of the teacher's and the student's logits at temperature T. q_1: the student at
T = 1, as it is used after training.

Departures: the paper minimises the cross-entropy H(p_T, q_T). KL has the same gradient and is 0
where the two agree. The paper gives neither alpha nor the optimiser of its MNIST runs. alpha = 0.9
and T = 4 are the values of the public benchmark repositories.
"""

from typing import ClassVar

import torch.nn.functional as F
from torch import Tensor, nn

from kdlab.data import Batch
from kdlab.measure import divergence, in_float32
from kdlab.models import logits_in
from kdlab.train.method import (
    Knob,
    Teacher,
    check_classes,
    check_logits,
    check_share,
    check_teacher,
    check_temperature,
    hard_loss,
    n_classes_of,
)


def kd_loss(z_s: Tensor, z_t: Tensor, T: float) -> Tensor:
    """Soft term T^2 KL(p_T || q_T): summed over classes, averaged over the batch.

    Args:
        z_s: student logits (B, C); half precision is computed in float32. A logit of -inf means
            that the class is ruled out.
        z_t: teacher logits (B, C). No gradient reaches them.
        T: temperature in ]0, 1000]. float32 loses digits above T of about 50: match logits there.

    Returns:
        A scalar in nats times T^2; 0 where student and teacher agree; infinite where the student
        rules out a class that the teacher does not.

    Raises:
        ValueError: shapes differ, or T is out of its range.

    >>> import torch
    >>> z_s, z_t = torch.tensor([[1.0, 2.0, 0.0]]), torch.tensor([[2.0, 0.0, 1.0]])
    >>> round(kd_loss(z_s, z_t, T=2.0).item(), 5)
    0.88206
    """
    check_logits(z_s, z_t)
    check_temperature(T)
    log_q = F.log_softmax(in_float32(z_s) / T, dim=1)  # log q_T
    log_p = F.log_softmax(in_float32(z_t.detach()) / T, dim=1)  # log p_T
    return T**2 * divergence(log_p, log_q).mean()


class KD(nn.Module):
    """A student that listens to a frozen teacher.

    Args:
        student: network from images to logits.
        teacher: answers a batch with logits (B, C), see `kdlab.train.frozen.Frozen`.
        T: temperature > 0 of both networks in the soft term.
        alpha: weight of the soft term in [0, 1]; the hard term gets 1 - alpha.

    Raises:
        ValueError: a value out of its range, or networks of different numbers of classes.
    """

    knobs: ClassVar[tuple[Knob, ...]] = (
        Knob("T", 4.0, "temperature: how far the teacher's answers are softened", 0.5, 50.0),
        Knob("alpha", 0.9, "share of the soft term; the labels get the rest", 0.0, 1.0),
    )

    def __init__(
        self, student: nn.Module, teacher: Teacher, T: float = 4.0, alpha: float = 0.9
    ) -> None:
        super().__init__()
        check_temperature(T)
        check_share("alpha", alpha)
        check_teacher(teacher)
        check_classes(student, teacher)
        self.n_classes = n_classes_of(student)
        self.student, self.teacher, self.T, self.alpha = student, teacher, T, alpha

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        z_s, z_t = logits_in(self.student(batch.x)), self.teacher(batch)
        return {
            "hard": (1 - self.alpha) * hard_loss(z_s, batch.y),
            "soft": self.alpha * kd_loss(z_s, z_t, self.T),
        }

    def predict(self, x: Tensor) -> Tensor:
        return logits_in(self.student(x))
