"""FitNets. Romero, Ballas, Kahou, Chassang, Gatta, Bengio 2015, arXiv:1412.6550, section 2.

    L_HT = 1/2 || f_t - r(f_s) ||^2
    L_KD = H(y, q_1) + lambda H(p_T, q_T)

Two stages, two calls of `fit`. First L_HT (equation 3) trains the student up to its guided layer,
whose map is f_s, and a regressor r, so that r(f_s) predicts f_t, the map of the teacher's hint
layer. Then r is thrown away, and L_KD (equation 2) trains the whole student with T = 3, while
lambda falls from 4 to 1 in a straight line.

Departures. The paper does not say how L_HT is averaged: "half sum" adds up the units of an image
and averages over images. "rows" is what the official code (adri-romsor/FitNets) computes, a sum
over the rows of a map and a mean over all else. "mean" is what public benchmarks in PyTorch take,
and the default here: half sum = C H W / 2 times mean, rows = H / 2 times mean. ReLU stands for
maxout. `Joint` adds the hint to notebook 00's loss, in one stage, as the benchmarks do; the paper
does not.
"""

from typing import Any, ClassVar, Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kdlab.data import Batch, Data
from kdlab.measure import features_of, in_float32
from kdlab.models import logits_in, tap
from kdlab.papers.fitnets.nets import REGRESSOR, build_regressor, up_to
from kdlab.papers.kd.method import kd_loss
from kdlab.train.method import (
    Knob,
    Teacher,
    check_classes,
    check_logits,
    check_temperature,
    hard_loss,
    n_classes_of,
)
from kdlab.train.worlds import Replicate

REDUCTIONS = ("mean", "rows", "half sum")
REDUCTION = Knob("reduction", "mean", "how the squares are put together", choices=REDUCTIONS)


def hint_loss(predicted: Tensor, f_t: Tensor, reduction: str = "mean") -> Tensor:
    """Return how far the regressor's output is from the teacher's map, averaged over images.

    Args:
        predicted: r(f_s), (B, C, H, W); half precision is computed in float32.
        f_t: the teacher's map (B, C, H, W). No gradient reaches it.
        reduction: one of REDUCTIONS.

    Returns:
        A scalar, 0 where they agree.

    Raises:
        ValueError: shapes differ or are no maps, or an unknown reduction.

    >>> one, two = torch.ones(1, 2, 3, 1), torch.zeros(1, 2, 3, 1)
    >>> [hint_loss(one, two, reduction).item() for reduction in REDUCTIONS]
    [1.0, 1.5, 3.0]
    """
    REDUCTION.check(reduction)
    if predicted.shape != f_t.shape or f_t.dim() != 4 or not f_t.numel():
        raise ValueError(
            f"the regressor gives the shape {tuple(predicted.shape)} and the hint layer "
            f"{tuple(f_t.shape)}; both must be (B, C, H, W), equal and not empty."
        )
    squares = (in_float32(f_t.detach()) - in_float32(predicted)).square()
    if reduction == "half sum":
        return squares.sum(dim=(1, 2, 3)).mean() / 2
    return squares.sum(dim=2).mean() / 2 if reduction == "rows" else squares.mean()


def soft_loss(z_s: Tensor, z_t: Tensor, T: float) -> Tensor:
    """Return the soft cross-entropy H(p_T, q_T), without T^2: summed over classes, batch mean.

    Args:
        z_s, z_t: logits (B, C) of student and teacher; half precision is computed in float32. No
            gradient reaches the teacher. A logit of -inf means that the class is ruled out.
        T: temperature of both, in ]0, 1000].

    Raises:
        ValueError: shapes differ, or T is out of its range.

    >>> z_s, z_t = torch.tensor([[1.0, 2.0, 0.0]]), torch.tensor([[2.0, 0.0, 1.0]])
    >>> round(soft_loss(z_s, z_t, T=2.0).item(), 4)
    1.2407
    """
    check_logits(z_s, z_t)
    check_temperature(T)
    log_q = F.log_softmax(in_float32(z_s) / T, dim=1)
    p = F.softmax(in_float32(z_t.detach()) / T, dim=1)
    return -torch.where(p > 0, p * log_q, 0).sum(dim=1).mean()  # 0 * -inf is no number


def weight_at(progress: float, top: float = 4.0, end: float = 1.0) -> float:
    """Return lambda when a share `progress` of stage 2 is done: from `top` straight to `end`."""
    return top + (end - top) * progress


class Hints(nn.Module):
    """Stage 1: the student up to its guided layer and the regressor learn to predict the hint.

    The layers above are not run: neither their weights nor their batch statistics move.

    Args:
        student: a sequential network from images to logits.
        teacher: answers a batch with the map of `hint`, see `kdlab.train.frozen.Frozen`.
        data: its first training image tells the shapes of the maps.
        guided, hint: layers of student and teacher with maps (B, C, H, W).
        reduction, regressor: see `hint_loss` and `kdlab.papers.fitnets.nets.build_regressor`.
        seed: of the regressor's first weights.

    Raises:
        ValueError: no such layer, maps that no regressor can match, or an unknown choice.
    """

    knobs: ClassVar[tuple[Knob, ...]] = (REDUCTION, REGRESSOR)

    def __init__(
        self,
        student: nn.Module,
        teacher: Teacher,
        data: Data,
        guided: str = "block2",
        hint: str = "block2",
        reduction: str = "mean",
        regressor: str = "conv",
        seed: int = 0,
    ) -> None:
        super().__init__()
        REDUCTION.check(reduction)
        self.student, self.part, self.teacher = student, up_to(student, guided), teacher
        self.guided, self.hint, self.reduction = guided, hint, reduction
        self.n_classes = n_classes_of(student)
        x, y, index = (column[:1] for column in data.train)
        f_s = features_of(self.part, x, guided)
        f_t = teacher.answers(Batch(x, y, index), [hint])[1][hint]
        self.r = build_regressor(f_s.shape[1:], f_t.shape[1:], regressor, seed)

    @classmethod
    def of(cls, r: Replicate, **knobs: Any) -> Self:
        """Return the method for the world's student and teacher.

        Block 2 is guided by block 2, or by block 3 of a teacher whose block 2 has a larger map.
        """
        student, x = r.student(), r.data.train.x[:1]
        sides = [features_of(net, x, "block2").shape[-1] for net in (student, r.teacher.net)]
        hint = "block2" if sides[1] <= sides[0] else "block3"
        return cls(student, r.teacher_of(taps=hint), r.data, hint=hint, seed=r.r, **knobs)

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        f_t = self.teacher.answers(batch, [self.hint])[1][self.hint]
        return {"hint": hint_loss(self.r(self.part(batch.x)), f_t, self.reduction)}

    def predict(self, x: Tensor) -> Tensor:
        return self.student(x)


class Soft(nn.Module):
    """Stage 2: the whole student learns labels, and soft targets whose weight falls.

    Args:
        student: from images to logits.
        teacher: answers a batch with logits (B, C).
        T: temperature of both networks in the soft term.
        top, end: lambda, the weight of the soft term, at both ends of this `fit`.

    Raises:
        ValueError: a value out of its range, or networks of different numbers of classes.
    """

    knobs: ClassVar[tuple[Knob, ...]] = (
        Knob("T", 3.0, "temperature: how far the teacher's answers are softened", 0.5, 50.0),
        Knob("top", 4.0, "weight of the soft term at first; the labels have 1", 0.0, 20.0),
        Knob("end", 1.0, "weight of the soft term in the end", 0.0, 20.0),
    )

    def __init__(
        self,
        student: nn.Module,
        teacher: Teacher,
        T: float = 3.0,
        top: float = 4.0,
        end: float = 1.0,
    ) -> None:
        super().__init__()
        for knob, value in zip(self.knobs, (T, top, end), strict=True):
            knob.check(value)
        check_classes(student, teacher)
        self.n_classes = n_classes_of(student)
        self.student, self.teacher, self.T, self.top, self.end = student, teacher, T, top, end

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        z_s, z_t = logits_in(self.student(batch.x)), self.teacher(batch)
        weight = weight_at(batch.progress, self.top, self.end)
        return {"hard": hard_loss(z_s, batch.y), "soft": weight * soft_loss(z_s, z_t, self.T)}

    def predict(self, x: Tensor) -> Tensor:
        return self.student(x)


class Joint(Hints):
    """One stage: notebook 00's loss and the hint, as the benchmarks combine them.

    With alpha = 0 labels and hint are left, which benchmarks call FitNet.

    Args:
        beta: weight of the hint term.
        alpha: of notebook 00's KD, with its T = 4.
        others: guided, hint, reduction, regressor and seed of `Hints`.

    Raises:
        ValueError: a value out of its range; see also `Hints`.
    """

    knobs: ClassVar[tuple[Knob, ...]] = (
        Knob("beta", 10.0, "weight of the hint term", 0.0, 10_000.0),
        Knob("alpha", 0.9, "share of the soft term; the labels get the rest", 0.0, 1.0),
    )

    def __init__(
        self,
        student: nn.Module,
        teacher: Teacher,
        data: Data,
        beta: float = 10.0,
        alpha: float = 0.9,
        **others: Any,
    ) -> None:
        super().__init__(student, teacher, data, **others)
        check_classes(student, teacher)
        for knob, value in zip(self.knobs, (beta, alpha), strict=True):
            knob.check(value)
        self.beta, self.alpha = beta, alpha

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        z_s, features = tap(self.student, batch.x, self.guided)
        z_t, hints = self.teacher.answers(batch, [self.hint])
        predicted = self.r(features[self.guided])
        return {
            "hard": (1 - self.alpha) * hard_loss(z_s, batch.y),
            "soft": self.alpha * kd_loss(z_s, z_t, T=4.0),
            "hint": self.beta * hint_loss(predicted, hints[self.hint], self.reduction),
        }
