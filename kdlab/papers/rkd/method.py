"""Relational knowledge distillation. Park, Kim, Lu, Cho 2019, arXiv:1904.05068, section 3.

    L = hard H(y, q_1) + soft T^2 KL(p_T || q_T) + beta_D L_D + beta_A L_A
    L_D = mean over (i, j) of l(psi_D(t_i, t_j), psi_D(s_i, s_j)),  psi_D(a, b) = |a - b| / mu
    L_A = mean over (i, j, k) of l(psi_A(t_i, t_j, t_k), psi_A(s_i, s_j, s_k))
    psi_A(a_i, a_j, a_k) = <e^ij, e^kj>,  e^ij = (a_i - a_j) / |a_i - a_j|

t, s: features of teacher and student (equations 4 to 7). l: Huber, delta 1. mu: the mean distance
over the pairs i != j of this batch, for each network its own, not detached. j: the vertex.

Departures: the paper sums, we average over all B^2 and B^3 entries, degenerate ones (0) included,
as the official code does; the weights 25 and 50 belong to this mean. That code takes mu over
distances above 0, we over all pairs. A batch whose rows all coincide has psi_D = 0 for every pair.
The code raises each distance to 1e-6 first and so answers 1, as for points that all lie equally far
apart: a collapsed student would cost less than almost any that has not learned yet. Its gradient is
0 either way. A difference shorter than a millionth of the root mean square one has no direction:
its cosines are 0 and so are their gradients, where the code's reach 1e10.
"""

import math
from functools import partial
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from kdlab import models
from kdlab.data import Batch
from kdlab.measure import in_float32
from kdlab.papers.kd.method import kd_loss
from kdlab.train.method import (
    Knob,
    Teacher,
    check_classes,
    check_teacher,
    check_temperature,
    hard_loss,
    n_classes_of,
)

CELLS = 2**22  # numbers in the largest tensor of the angle term: 16 MiB in float32
TINY = 1e-6  # share of the root mean square length below which a vector has no direction
UNIT = ("both", "teacher", "neither")


def unit(v: Tensor, mean_square: Tensor) -> Tensor:
    """Return `v` (..., C) with rows of length 1; a row of no length becomes 0, its gradient 0."""
    square = v.square().sum(dim=-1, keepdim=True)
    long = square > TINY**2 * mean_square
    return v * (torch.where(long, square, 1).rsqrt() * long)  # `v` is large, `long` is not


def on_sphere(f: Tensor) -> Tensor:
    """Return features (B, ...) as rows (B, C) of length 1; a row of zeros stays."""
    f = scaled(f.flatten(1))
    return unit(f, f.detach().square().sum(dim=1).mean())


def scaled(f: Tensor) -> Tensor:
    """Return `f` in float32 or better, with 1 as its largest number: no square overflows."""
    f = in_float32(f)
    largest = f.detach().abs().amax()
    return f / torch.where(largest > 0, largest, 1)


def centred(f: Tensor) -> Tensor:
    """Return features (B, ...) as rows (B, C) about their mean, with 1 as the largest number.

    Relations do not see the rest. Rows that differ by no more than rounding become 0, collapsed.
    """
    f = scaled(f.flatten(1))
    gaps = f - f.mean(dim=0)
    return scaled(gaps * (gaps.detach().abs().amax() > 8 * torch.finfo(f.dtype).eps))


def distances(f: Tensor) -> Tensor:
    """Return psi_D (B, B) of features (B, ...), equations 4 and 5; all 0 where all rows coincide.

    On a CPU it never holds the B^2 C differences, only their B^2 lengths.

    >>> distances(torch.tensor([[0.0, 0.0], [3.0, 0.0], [0.0, 4.0]]))[0, 1:]
    tensor([0.7500, 1.0000])
    """
    f = centred(f)
    # not by a product of matrices: that loses the digits of points close to each other
    d = torch.cdist(f, f, compute_mode="donot_use_mm_for_euclid_dist")
    mu = d.sum() / max(len(f) * (len(f) - 1), 1)
    return d / torch.where(mu > 0, mu, 1)


def angles(f: Tensor, vertices: slice = slice(None)) -> Tensor:
    """Return psi_A (V, B, B) of features (B, ...): [j, i, k] is the cosine at vertex j, equation 6.

    0 where two of the three coincide. `vertices` chooses the j: V of the B rows.
    """
    f = centred(f)
    mean_square = 2 * f.detach().square().sum(dim=1).mean()  # of a_i - a_j over all pairs
    e = unit(f - f[vertices, None], mean_square)
    return e @ e.transpose(1, 2)


def rkd_distance(f_s: Tensor, f_t: Tensor) -> Tensor:
    """L_D, a scalar: 0 for a batch of 1, and for one of 2 whose rows differ.

    Args:
        f_s: student features (B, ...).
        f_t: teacher features (B, ...), of any other size. No gradient reaches them.

    Raises:
        ValueError: they are not of the same number of images, at least 1.

    >>> triangle = torch.tensor([[0.0, 0.0], [3.0, 0.0], [0.0, 4.0]])
    >>> line = torch.tensor([[0.0], [1.0], [2.0]])
    >>> round(18 * rkd_distance(triangle, line).item(), 5)
    1.0
    """
    check_features(f_s, f_t)
    return F.huber_loss(distances(f_s), distances(f_t.detach()), reduction="mean", delta=1.0)


def rkd_angle(f_s: Tensor, f_t: Tensor) -> Tensor:
    """L_A, a scalar: 0 for batches of 1 and 2. Arguments and errors as in `rkd_distance`.

    There are B^3 cosines. They are computed for as many vertices at a time as fit CELLS numbers,
    at least one, and once more for the gradient: no tensor is larger than CELLS, B^2 or B C,
    whichever is most, and about four live at a time.

    >>> line, folded = torch.tensor([[0.0], [1.0], [2.0]]), torch.tensor([[0.0], [2.0], [1.0]])
    >>> round(27 * rkd_angle(folded, line).item(), 5)
    6.0
    """
    check_features(f_s, f_t)
    f_s, f_t = centred(f_s), centred(f_t.detach())
    n, step = len(f_s), vertices_at_once(f_s, f_t)
    again = partial(checkpoint, angle_sum, use_reentrant=False, preserve_rng_state=False)
    ask = angle_sum if step >= n else again  # a part forgets its tensors until its gradient is due
    parts = [ask(f_s, f_t, slice(j, j + step)) for j in range(0, n, step)]
    return torch.stack(parts).sum() / n**3


def vertices_at_once(f_s: Tensor, f_t: Tensor) -> int:
    """Return for how many vertices the cosines of both (B, C) and (B, D) fit CELLS, at least 1."""
    n, widest = len(f_s), max(*f_s.shape, *f_t.shape)
    return max(CELLS // (n * widest), 1)


def angle_sum(f_s: Tensor, f_t: Tensor, vertices: slice) -> Tensor:
    """Return the sum of l over all triples with these vertices."""
    psi_s, psi_t = angles(f_s, vertices), angles(f_t, vertices)
    # smooth_l1_loss says the same, but it keeps psi_t for its gradient, also within a checkpoint
    return F.huber_loss(psi_s, psi_t, reduction="sum", delta=1.0)


class RKD(nn.Module):
    """A student that copies the teacher's distances and angles, beside labels and soft targets.

    Args:
        student: network from images to logits, or to an embedding.
        teacher: answers a batch with logits and features, see `kdlab.train.frozen.Frozen`.
        tap: whose output is compared, e.g. "pool"; "linear" is the output of the network itself.
        beta_d, beta_a: weights of L_D and L_A. 25 and 50 for classification, 1 and 2 where the
            relations are all there is to learn.
        hard, soft: weights of cross-entropy and of T^2 KL; the paper has 1 and, with KD, also 1.
        T: temperature > 0 of the soft term.
        unit: whose features get length 1 first. "both": the official code for classification,
            "teacher": for metric learning, "neither": the public benchmarks.
        teacher_tap: where the teacher's tap has another name.

    Terms of weight 0 are neither computed nor returned.

    Raises:
        ValueError: a value out of its range, a tap that the student does not have, or networks of
            different numbers of classes. A tap that the teacher lacks is refused when it is asked.
    """

    knobs: ClassVar[tuple[Knob, ...]] = (
        Knob("beta_d", 25.0, "weight of the distances", 0.0, 1000.0),
        Knob("beta_a", 50.0, "weight of the angles", 0.0, 1000.0),
        Knob("hard", 1.0, "weight of the labels", 0.0, 10.0),
        Knob("soft", 0.0, "weight of the teacher's answers", 0.0, 10.0),
        Knob("T", 4.0, "temperature: how far the teacher's answers are softened", 0.5, 50.0),
        Knob("unit", "both", "whose features get length 1 first", choices=UNIT),
    )

    def __init__(
        self,
        student: nn.Module,
        teacher: Teacher,
        tap: str = "pool",
        beta_d: float = 25.0,
        beta_a: float = 50.0,
        hard: float = 1.0,
        soft: float = 0.0,
        T: float = 4.0,
        unit: str = "both",
        teacher_tap: str | None = None,
    ) -> None:
        super().__init__()
        check_temperature(T)
        check_teacher(teacher)
        self.weights = {"hard": hard, "soft": soft, "distance": beta_d, "angle": beta_a}
        check_weights(self.weights)
        if unit not in UNIT:
            raise ValueError(f"unit is {unit!r}; choose one of {', '.join(UNIT)}.")
        if soft:  # without, the student may return an embedding
            check_classes(student, teacher)
        self.n_classes = n_classes_of(student) if hard else 0  # it may return an embedding
        self.student, self.teacher, self.T, self.unit = student, teacher, T, unit
        self.tap, self.teacher_tap = tap, teacher_tap or tap
        models.check_taps(student, tap)

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        z_s, found = models.tap(self.student, batch.x, self.tap)
        z_t, told = self.teacher.answers(batch, [self.teacher_tap])
        f_s, f_t = found[self.tap], told[self.teacher_tap]
        f_s = on_sphere(f_s) if self.unit == "both" else f_s
        f_t = f_t if self.unit == "neither" else on_sphere(f_t)
        terms = {
            "hard": lambda: hard_loss(z_s, batch.y),
            "soft": lambda: kd_loss(z_s, z_t, self.T),
            "distance": lambda: rkd_distance(f_s, f_t),
            "angle": lambda: rkd_angle(f_s, f_t),
        }
        return {name: weight * terms[name]() for name, weight in self.weights.items() if weight}

    def predict(self, x: Tensor) -> Tensor:
        return models.logits_in(self.student(x))


def check_features(f_s: Tensor, f_t: Tensor) -> None:
    """Refuse features that are not of the same images, one row each, at least one."""
    if min(f_s.dim(), f_t.dim()) < 2 or len(f_s) != len(f_t) or not f_s.numel() * f_t.numel():
        raise ValueError(
            f"student features have shape {tuple(f_s.shape)} and teacher features "
            f"{tuple(f_t.shape)}; give (B, ...) of the same B images, at least one."
        )


def check_weights(weights: dict[str, float]) -> None:
    """Refuse weights below 0 or without an end, and weights that are all 0."""
    for name, weight in weights.items():
        if not 0 <= weight < math.inf:
            raise ValueError(f"the weight of the term {name!r} is {weight}; give 0 or more.")
    if not any(weights.values()):
        raise ValueError("all four weights are 0; give one term a weight above 0.")
