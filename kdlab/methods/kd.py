"""Knowledge distillation. Hinton, Vinyals, Dean 2015, arXiv:1503.02531, section 2.

    L = (1 - alpha) H(y, q_1) + alpha T^2 KL(p_T || q_T)

p_T, q_T: softmax of the teacher's and the student's logits at temperature T. q_1: the student at
T = 1, as it is used after training.

Departures: the paper minimises the cross-entropy H(p_T, q_T). KL has the same gradient and is 0
where the two agree. The paper gives neither alpha nor the optimiser of its MNIST runs. alpha = 0.9
and T = 4 are the values of the public benchmark repositories.
"""

import math
from collections.abc import Callable

import torch.nn.functional as F
from torch import Tensor, nn

from kdlab.data import Batch

Teacher = Callable[[Batch], Tensor]  # answers a batch with logits (B, C); see teachers.Frozen


def kd_loss(z_s: Tensor, z_t: Tensor, T: float) -> Tensor:
    """Soft term T^2 KL(p_T || q_T): summed over classes, averaged over the batch.

    Args:
        z_s: student logits (B, C).
        z_t: teacher logits (B, C). No gradient reaches them.
        T: temperature > 0. float32 loses digits above T of about 50: match logits there.

    Returns:
        A scalar in nats times T^2; 0 where student and teacher agree.

    Raises:
        ValueError: shapes differ, or T is not a finite number above 0.

    >>> import torch
    >>> z_s, z_t = torch.tensor([[1.0, 2.0, 0.0]]), torch.tensor([[2.0, 0.0, 1.0]])
    >>> round(kd_loss(z_s, z_t, T=2.0).item(), 6)
    0.882058
    """
    check_logits(z_s, z_t)
    check_temperature(T)
    log_q = F.log_softmax(z_s / T, dim=1)  # log q_T
    log_p = F.log_softmax(z_t.detach() / T, dim=1)  # log p_T
    return T**2 * F.kl_div(log_q, log_p, reduction="batchmean", log_target=True)


def hard_loss(z: Tensor, y: Tensor, smoothing: float = 0.0) -> Tensor:
    """Cross-entropy H(y, q_1), averaged over the rows that carry a label.

    Args:
        z: logits (B, C).
        y: labels (B,), -1 where there is none.
        smoothing: share of each label spread evenly over all classes, in [0, 1).

    Returns:
        A scalar in nats; 0, with a zero gradient, where no row carries a label.

    >>> import torch
    >>> round(hard_loss(torch.tensor([[1.0, 2.0, 0.0]]), torch.tensor([0])).item(), 6)
    1.407606
    """
    total = F.cross_entropy(z, y, ignore_index=-1, label_smoothing=smoothing, reduction="sum")
    return total / (y >= 0).sum().clamp(min=1)


class CE(nn.Module):
    """The student alone: the baseline of every comparison.

    Args:
        student: network from images (B, C, H, W) to logits.
        smoothing: label smoothing in [0, 1).
    """

    def __init__(self, student: nn.Module, smoothing: float = 0.0) -> None:
        super().__init__()
        if not 0 <= smoothing < 1:
            raise ValueError(f"smoothing is {smoothing}; give a share from 0 up to, not with, 1.")
        self.student, self.smoothing = student, smoothing
        self.n_classes = n_classes_of(student)

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        return {"hard": hard_loss(self.student(batch.x), batch.y, self.smoothing)}

    def predict(self, x: Tensor) -> Tensor:
        return self.student(x)


class KD(nn.Module):
    """A student that listens to a frozen teacher.

    Args:
        student: network from images to logits.
        teacher: answers a batch with logits (B, C), see `kdlab.teachers.Frozen`.
        T: temperature > 0 of both networks in the soft term.
        alpha: weight of the soft term in [0, 1]; the hard term gets 1 - alpha.

    Raises:
        ValueError: a value out of its range, or networks of different numbers of classes.
    """

    def __init__(
        self, student: nn.Module, teacher: Teacher, T: float = 4.0, alpha: float = 0.9
    ) -> None:
        super().__init__()
        check_temperature(T)
        check_share("alpha", alpha)
        if isinstance(teacher, nn.Module):  # would be trained along, or asked for a Batch
            raise ValueError(f"the teacher is a {type(teacher).__name__}; give Frozen(net, data).")
        check_classes(student, teacher)
        self.n_classes = n_classes_of(student)
        self.student, self.teacher, self.T, self.alpha = student, teacher, T, alpha

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        z_s, z_t = self.student(batch.x), self.teacher(batch)
        return {
            "hard": (1 - self.alpha) * hard_loss(z_s, batch.y),
            "soft": self.alpha * kd_loss(z_s, z_t, self.T),
        }

    def predict(self, x: Tensor) -> Tensor:
        return self.student(x)


def n_classes_of(net: object) -> int | None:
    """Return how many classes a network, or a frozen teacher, knows; None where that is not told.

    Told by a teacher's table of logits, or by a last module that is linear, as in all of
    `kdlab.models`.
    """
    if isinstance(table := getattr(net, "table", None), Tensor):
        return table.shape[1]
    net = getattr(net, "net", net)
    last = list(net.modules())[-1] if isinstance(net, nn.Module) else None
    return last.out_features if isinstance(last, nn.Linear) else None


def check_classes(student: nn.Module, teacher: object) -> None:
    """Refuse a student and a teacher of different numbers of classes, where both are known."""
    mine, told = n_classes_of(student), n_classes_of(teacher)
    if mine and told and mine != told:
        raise ValueError(
            f"the student knows {mine} classes and the teacher {told}; give both the same classes."
        )


def check_labels(y: Tensor, n_classes: int | None) -> None:
    """Refuse labels (N,) that a student of `n_classes` cannot name; None: that is not known."""
    if n_classes and (y >= n_classes).any():
        raise ValueError(
            f"the labels go up to {int(y.max())}, but the student knows {n_classes} classes, from "
            f"0 to {n_classes - 1}; build it with data.n_classes."
        )


def check_temperature(T: float) -> None:
    """Refuse a temperature that is not a finite number above 0."""
    if not 0 < T < math.inf:
        raise ValueError(
            f"T is {T}; a temperature is a finite number above 0 (1 = as trained, 4 = the default)."
        )


def check_share(name: str, value: float) -> None:
    """Refuse a weight outside [0, 1]."""
    if not 0 <= value <= 1:
        raise ValueError(f"{name} is {value}; it is a share, so give a number from 0 to 1.")


def check_logits(z_s: Tensor, z_t: Tensor) -> None:
    """Refuse logits that are not two tables of one shape (B, C), not empty."""
    if z_s.shape != z_t.shape or z_s.dim() != 2 or not z_s.numel():
        raise ValueError(
            f"student logits have shape {tuple(z_s.shape)} and teacher logits {tuple(z_t.shape)}; "
            "both must be (B, C), equal and not empty: do both networks know the same classes?"
        )
