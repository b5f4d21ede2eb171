"""Distillation as the theorem does it. Allen-Zhu, Li 2020, arXiv:2012.09816, the theoretical part.

    L = H(y, q_1) + lambda / 2 sum_i (min(q_i - p_i, 0))^2,    p, q = softmax(min(z, T^2) / T)

p of the teacher, q of the student. The paper writes min(tau^2 z, 1) / tau: its tau is 1 / T here. A
score counts up to T^2 and no further (the *cap*), and the student moves only where it gives a class
less than the teacher does (*one-sided*). The gradient of the soft term is min(q - p, 0) times the
gradient of q. The net of the theory has the smoothed ReLU of power >= 3, see `smoothed_relu`.

Departures: the paper takes tau = 1 / log^2 k and lets k, the number of classes, grow; here T = 2
and lambda = 256. The squares of small gaps in probability are small, so lambda is large. In
practice one uses the whole KL at T = 4 instead: ``form="KL"``.
"""

from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kdlab.data import Batch
from kdlab.measure import in_float32
from kdlab.papers.kd.method import kd_loss
from kdlab.train import method as shared
from kdlab.train.method import Knob, Teacher

# Forms of the soft term: (is there a cap, is it one-sided).
FORMS = {"theorem": (True, True), "no cap": (False, True), "two-sided": (True, False)}


def slope(z: Tensor, power: float = 3.0, threshold: float = 1.0) -> Tensor:
    """Return the slope of `smoothed_relu`: (z / threshold)^(power - 1), between 0 and 1."""
    return (z.clamp(0, threshold) / threshold) ** (power - 1) * (z > 0)


def smoothed_relu(z: Tensor, power: float = 3.0, threshold: float = 1.0) -> Tensor:
    """Activation of the theory: 0 below 0, a power up to the threshold, a line of slope 1 above.

    z^power / (power threshold^(power - 1)) for z from 0 to the threshold, and
    z - (1 - 1 / power) threshold beyond. Power 1 is the plain ReLU.

    Args:
        z: any shape.
        power: 1 or more; the theory needs 3 or more.
        threshold: above 0; where the slope has become 1.

    Raises:
        ValueError: power or threshold out of its range.

    >>> [round(smoothed_relu(torch.tensor(z)).item(), 4) for z in (-1.0, 0.5, 1.0, 2.0)]
    [0.0, 0.0417, 0.3333, 1.3333]
    """
    if not (power >= 1 and threshold > 0):
        raise ValueError(f"power is {power}, threshold {threshold}; give power >= 1, threshold > 0")
    with torch.no_grad():
        low, steep = z.clamp(0, threshold), slope(z, power, threshold)
        value = low * steep / power + (z - low).clamp(min=0)
    return value + steep * (z - z.detach())  # its slope is known: three times as fast as autograd


def pull_up(z_s: Tensor, z_t: Tensor, T: float, cap: bool = True, one_sided: bool = True) -> Tensor:
    """Soft term of the theorem: half the squared gaps of q below p, averaged over the batch.

    Args:
        z_s: student logits (B, C); half precision is computed in float32. They are scores with a
            zero of their own: with the cap, a constant added to a row does change the loss.
        z_t: teacher logits (B, C). No gradient reaches them.
        T: temperature in ]0, 1000]; logits count up to T^2.
        cap: False counts them in full.
        one_sided: False pulls the student down as well, where it gives more than the teacher.

    Returns:
        A scalar, 0 where student and teacher agree.

    Raises:
        ValueError: shapes differ, or T is out of its range.

    >>> z_s, z_t = torch.tensor([[1.0, 2.0, 0.0]]), torch.tensor([[9.0, 0.0, 2.0]])
    >>> round(pull_up(z_s, z_t, T=2.0).item(), 5)
    0.0658
    """
    shared.check_logits(z_s, z_t)
    shared.check_temperature(T)
    top = T**2 if cap else torch.inf
    q = F.softmax(in_float32(z_s).clamp(max=top) / T, dim=1)
    p = F.softmax(in_float32(z_t.detach()).clamp(max=top) / T, dim=1)
    gap = (q - p).clamp(max=0) if one_sided else q - p
    return 0.5 * gap.square().sum(dim=1).mean()


class ViewKD(nn.Module):
    """A student that adds what its teacher sees to its own cross-entropy.

    Args:
        student: network from inputs to logits.
        teacher: answers a batch with logits (B, C), see `kdlab.train.frozen.Frozen`.
        T: temperature; with a cap, logits count up to T^2.
        lam: weight of the soft term; the hard term has 1.
        form: "theorem", "no cap", "two-sided" (of `pull_up`), or "KL", which is T^2 KL(p_T || q_T).

    Raises:
        ValueError: a value out of its range, or networks of different numbers of classes.
    """

    knobs: ClassVar[tuple[Knob, ...]] = (
        Knob("T", 2.0, "temperature; logits count up to its square", 0.5, 50.0),
        Knob("lam", 256.0, "weight of the soft term; about 1 for KL", 0.0, 10_000.0),
        Knob("form", "theorem", "how student and teacher are compared", choices=(*FORMS, "KL")),
    )

    def __init__(
        self,
        student: nn.Module,
        teacher: Teacher,
        T: float = 2.0,
        lam: float = 256.0,
        form: str = "theorem",
    ) -> None:
        super().__init__()
        for knob, value in zip(self.knobs, (T, lam, form), strict=True):
            knob.check(value)
        if isinstance(teacher, nn.Module):  # would be trained along, or asked for a Batch
            raise ValueError(f"the teacher is a {type(teacher).__name__}; give Frozen(net, data).")
        shared.check_classes(student, teacher)
        self.n_classes = shared.n_classes_of(student)
        self.student, self.teacher, self.T, self.lam, self.form = student, teacher, T, lam, form

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        z_s, z_t = self.student(batch.x), self.teacher(batch)
        form = FORMS.get(self.form)
        soft = pull_up(z_s, z_t, self.T, *form) if form else kd_loss(z_s, z_t, self.T)
        return {"hard": shared.hard_loss(z_s, batch.y), "soft": self.lam * soft}

    def predict(self, x: Tensor) -> Tensor:
        return self.student(x)
