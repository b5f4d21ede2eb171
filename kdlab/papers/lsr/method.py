"""KD as label smoothing. Yuan, Tay, Li, Wang, Feng 2020, arXiv:1909.11723, sections 3 and 4.

    L = (1 - alpha) H(y, q_1) + alpha KL(p_T || q_T)

p_T: a teacher at temperature T (equation 4). Which teacher gives the method its name: a smaller
net (Re-KD), one that was hardly trained (De-KD), a copy of the student (Tf-KD_self, equation 7), or
none (Tf-KD_reg, equations 8 and 9): there p_d has mass a_c on the label and spreads the rest evenly
over the other classes. Label smoothing (equations 1 to 3) has the uniform distribution for p_T.

The paper and its released code differ, so both are here. `FORMS` say what is compared:

* "squared": T^2 KL(p_T || q_T), the default of this course, and the code's KD;
* "literal": KL(p_T || q_T), the equation as it is printed;
* "untempered": KL(p_T || q_1), the code's Tf-KD_reg on CIFAR.

`REDUCTIONS`: "batchmean" sums over classes, as KL does; "mean", as in the released code, divides by
the number of classes, too.

Departures: batchmean and alpha = 0.16, which is the share of the teacher in the released code for
its alpha = 0.95 on 100 classes. T^2. No multiplier of 50 or 100, which the code has on some nets.
p_d is softened as in the code, softmax(p_d / T), a softmax of probabilities.
"""

import math
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kdlab.data import Batch
from kdlab.measure import divergence, in_float32
from kdlab.models import logits_in
from kdlab.papers.kd.method import KD
from kdlab.train.gate import check_labels
from kdlab.train.method import (
    CE,
    Knob,
    Teacher,
    check_logits,
    check_share,
    check_temperature,
    hard_loss,
)

FORMS = ("squared", "literal", "untempered")
REDUCTIONS = ("batchmean", "mean")
FORM = Knob("form", "squared", "T^2 and T, T alone, or a student at T = 1", choices=FORMS)
REDUCTION = Knob("reduction", "batchmean", "sum over classes, or their mean", choices=REDUCTIONS)


def soft_term(
    z_s: Tensor, z_t: Tensor, T: float, form: str = "squared", reduction: str = "batchmean"
) -> Tensor:
    """KL of a student from a softened teacher, in one of `FORMS` and one of `REDUCTIONS`.

    Args:
        z_s: student logits (B, C); half precision is computed in float32.
        z_t: what is divided by T and passed through a softmax: teacher logits (B, C), or p_d. No
            gradient reaches it.
        T: temperature in ]0, 1000].

    Returns:
        A scalar; 0 where student and softened teacher agree; infinite where the student rules out
        a class that the teacher does not.

    Raises:
        ValueError: shapes differ, or an argument is out of its range.

    >>> z_s, z_t = torch.tensor([[1.0, 2.0, 0.0]]), torch.tensor([[2.0, 0.0, 1.0]])
    >>> [round(soft_term(z_s, z_t, 2.0, form).item(), 4) for form in FORMS]
    [0.8821, 0.2205, 0.5083]
    """
    check_logits(z_s, z_t)
    check_temperature(T)
    FORM.check(form)
    REDUCTION.check(reduction)
    log_q = F.log_softmax(in_float32(z_s) / (1 if form == "untempered" else T), dim=1)
    log_p = F.log_softmax(in_float32(z_t.detach()) / T, dim=1)
    kl = divergence(log_p, log_q).mean() * (T**2 if form == "squared" else 1)
    return kl / z_s.shape[1] if reduction == "mean" else kl


def virtual_teacher(
    y: Tensor, C: int, a_c: float = 0.99, dtype: torch.dtype = torch.float32
) -> Tensor:
    """Return p_d (B, C): mass `a_c` on the label `y` (B,), the rest even on the other classes.

    Raises:
        ValueError: a row without a label, a label that is none of the C classes, or `a_c` outside
            [0, 1].

    >>> virtual_teacher(torch.tensor([1]), 3, a_c=0.9)
    tensor([[0.0500, 0.9000, 0.0500]])
    """
    check_share("a_c", a_c)
    check_labels(y, C)
    if C < 1 or (y < 0).any():
        raise ValueError(
            f"p_d needs a label from 0 to {C - 1} for each row; the lowest is {int(y.min())}."
        )
    top, rest = (a_c, (1 - a_c) / (C - 1)) if C > 1 else (1.0, 0.0)
    return torch.full((len(y), C), rest, dtype=dtype, device=y.device).scatter(1, y[:, None], top)


def reg_term(
    z_s: Tensor,
    y: Tensor,
    T: float,
    a_c: float = 0.99,
    form: str = "squared",
    reduction: str = "batchmean",
) -> Tensor:
    """Soft term of Tf-KD_reg: `soft_term` from the virtual teacher, over rows with a label.

    Args:
        z_s: student logits (B, C).
        y: labels (B,), -1 where there is none.
        T, a_c: temperature in ]0, 1000], and mass on the label in [0, 1], of p_d.
        form, reduction: see `FORMS` and `REDUCTIONS`.

    Raises:
        ValueError: as `soft_term` and `virtual_teacher`.

    >>> z_s, y = torch.tensor([[1.0, 2.0, 0.0]]), torch.tensor([0])
    >>> round(reg_term(z_s, y, 20.0, form="untempered").item(), 4)
    0.3093
    """
    z, y = in_float32(z_s)[y >= 0], y[y >= 0]
    if not len(z):
        return z.sum()  # 0, with a zero gradient
    return soft_term(z, virtual_teacher(y, z.shape[1], a_c, z.dtype), T, form, reduction)


def lsr_equivalent(
    alpha: float, T: float, a_c: float, C: int, reduction: str = "batchmean"
) -> tuple[float, float]:
    """Return (epsilon, weight): the untempered Tf-KD_reg is weight * H(y smoothed by epsilon, q_1).

    Up to a constant, for every student: p_d at T is a mixture of label and uniform distribution.

    Raises:
        ValueError: fewer than two classes, or an argument out of its range.

    >>> [round(n, 6) for n in lsr_equivalent(0.3, 5.0, 0.9, 10)]
    [0.294275, 1.0]
    """
    check_share("alpha", alpha)
    check_share("a_c", a_c)
    check_temperature(T)
    REDUCTION.check(reduction)
    if C < 2:
        raise ValueError(f"C is {C}; smoothing moves mass to other classes, so give 2 or more.")
    gap = a_c - (1 - a_c) / (C - 1)  # between the label and another class, in p_d
    p_c = 1 / (1 + (C - 1) * math.exp(-gap / T))  # on the label, in softmax(p_d / T)
    delta = p_c - (1 - p_c) / (C - 1)
    soft = alpha / (C if reduction == "mean" else 1)
    weight = 1 - alpha + soft
    return soft * (1 - delta) / weight, weight


class Distil(KD):
    """A student that listens to any teacher, with the switches between paper and code.

    Args:
        student: network from images to logits.
        teacher: answers a batch with logits (B, C). Re-KD: a smaller net. De-KD: one that was
            hardly trained. Tf-KD_self: a trained copy of the student.
        T: temperature > 0 of the soft term.
        alpha: weight of the soft term in [0, 1]; the hard term gets 1 - alpha.
        form, reduction: see `FORMS` and `REDUCTIONS`.
    """

    knobs: ClassVar[tuple[Knob, ...]] = (
        Knob("T", 20.0, "temperature: how far the teacher's answers are softened", 0.5, 50.0),
        Knob("alpha", 0.16, "share of the soft term; the labels get the rest", 0.0, 1.0),
        FORM,
        REDUCTION,
    )

    def __init__(
        self,
        student: nn.Module,
        teacher: Teacher,
        T: float = 20.0,
        alpha: float = 0.16,
        form: str = "squared",
        reduction: str = "batchmean",
    ) -> None:
        super().__init__(student, teacher, T, alpha)
        FORM.check(form)
        REDUCTION.check(reduction)
        self.form, self.reduction = form, reduction

    def soft(self, z_s: Tensor, batch: Batch) -> Tensor:
        """Return the soft term, without its weight."""
        return soft_term(z_s, self.teacher(batch), self.T, self.form, self.reduction)

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        z_s = logits_in(self.student(batch.x))
        hard, soft = hard_loss(z_s, batch.y), self.soft(z_s, batch)
        return {"hard": (1 - self.alpha) * hard, "soft": self.alpha * soft}


def nobody(batch: Batch) -> Tensor:
    """Stand where a method has no teacher."""
    raise ValueError("Tf-KD_reg asks no teacher: its answer is written down.")


class TfReg(Distil):
    """Tf-KD_reg: there is no teacher; its answer is written down, see `virtual_teacher`.

    Args:
        student: network from images to logits.
        T, a_c: temperature of the virtual teacher, and its mass on the label.
        alpha, form, reduction: as in `Distil`.
    """

    knobs: ClassVar[tuple[Knob, ...]] = (
        *Distil.knobs,
        Knob("a_c", 0.99, "mass of the virtual teacher on the label, before softening", 0.0, 1.0),
    )

    def __init__(
        self,
        student: nn.Module,
        T: float = 20.0,
        alpha: float = 0.16,
        form: str = "squared",
        reduction: str = "batchmean",
        a_c: float = 0.99,
    ) -> None:
        check_share("a_c", a_c)
        super().__init__(student, nobody, T, alpha, form, reduction)  # type: ignore[arg-type]
        self.a_c = a_c

    def soft(self, z_s: Tensor, batch: Batch) -> Tensor:
        """Return the soft term, without its weight."""
        return reg_term(z_s, batch.y, self.T, self.a_c, self.form, self.reduction)


class Share(CE):
    """The control: (1 - alpha) H(y, q_1) alone, as if the soft term had been crossed out.

    Args:
        student: network from images to logits.
        alpha: what is missing from the weight of the labels, in [0, 1].
        smoothing: of the labels, in [0, 1[.
    """

    knobs: ClassVar = (  # type: ignore[assignment]  # CE says that it has one
        Knob("alpha", 0.95, "what is missing from the weight of the labels", 0.0, 1.0),
        *CE.knobs,
    )

    def __init__(self, student: nn.Module, alpha: float = 0.95, smoothing: float = 0.0) -> None:
        super().__init__(student, smoothing)
        check_share("alpha", alpha)
        self.alpha = alpha

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        return {"hard": (1 - self.alpha) * super().forward(batch)["hard"]}
