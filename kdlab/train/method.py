"""What a method is, what a teacher is, the student alone, and the checks that all methods share.

A method owns the networks that it trains. `fit` asks it for named loss terms and needs no more.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar, Protocol

import torch.nn.functional as F
from torch import Tensor, nn

from kdlab.data import Batch
from kdlab.measure import in_float32
from kdlab.models import logits_in

HOTTEST = 1000.0  # the temperature above which float32 has no digits left for T^2 KL


@dataclass(frozen=True)
class Knob:
    """An argument of a method that a reader may turn.

    Args:
        name: of the argument of the constructor.
        default: its value there.
        meaning: one line in plain words.
        low, high: the ends of its range, both allowed, for numbers.
        choices: what it may be, for anything else.
    """

    name: str
    default: float | int | str | bool
    meaning: str
    low: float = -math.inf
    high: float = math.inf
    choices: tuple[str | bool, ...] = ()

    def check(self, value: object) -> None:
        """Raise ValueError where the knob cannot be turned to `value`."""
        if self.choices:
            fits, range_ = value in self.choices, f"one of {', '.join(map(str, self.choices))}"
        else:
            number = isinstance(value, int | float) and not isinstance(value, bool)
            fits = number and self.low <= value <= self.high  # type: ignore[operator]
            range_ = f"a number from {self.low:g} to {self.high:g}"
        if not fits:
            raise ValueError(f"{self.name} is {value!r}; give {range_} ({self.meaning}).")


class Method(Protocol):
    """What `kdlab.train.fit.fit` trains: an `nn.Module` with these.

    ``updates(batch)``, which is optional, yields the terms of several updates on one batch.
    """

    # how many classes it can name; None: not known yet; 0: its answers name no classes
    n_classes: int | None
    knobs: ClassVar[tuple[Knob, ...]]

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        """Return the loss terms by name, already weighted: scalars, summed by `fit`."""
        ...

    def predict(self, x: Tensor) -> Tensor:
        """Return the logits (B, C) of what one deploys after training."""
        ...


class Teacher(Protocol):
    """Answers a batch; `kdlab.train.frozen.Frozen` is one."""

    taps: tuple[str, ...]

    def __call__(self, batch: Batch) -> Tensor:
        """Return logits (B, C)."""
        ...

    def answers(self, batch: Batch, names: Iterable[str] = ()) -> tuple[Tensor, dict[str, Tensor]]:
        """Return logits (B, C) and the features of the named taps."""
        ...


def hard_loss(z: Tensor, y: Tensor, smoothing: float = 0.0) -> Tensor:
    """Cross-entropy H(y, q_1), averaged over the rows that carry a label.

    Args:
        z: logits (B, C); half precision is computed in float32.
        y: labels (B,), -1 where there is none.
        smoothing: share of each label spread evenly over all classes, in [0, 1).

    Returns:
        A scalar in nats; 0, with a zero gradient, where no row carries a label.

    >>> import torch
    >>> round(hard_loss(torch.tensor([[1.0, 2.0, 0.0]]), torch.tensor([0])).item(), 4)
    1.4076
    """
    z = in_float32(z)
    total = F.cross_entropy(z, y, ignore_index=-1, label_smoothing=smoothing, reduction="sum")
    return total / (y >= 0).sum().clamp(min=1)


class CE(nn.Module):
    """The student alone: the baseline of every comparison.

    Args:
        student: network from images (B, C, H, W) to logits.
        smoothing: label smoothing in [0, 1).
    """

    knobs: ClassVar = (Knob("smoothing", 0.0, "share of each label spread evenly", 0.0, 0.9),)

    def __init__(self, student: nn.Module, smoothing: float = 0.0) -> None:
        super().__init__()
        if not 0 <= smoothing < 1:
            raise ValueError(f"smoothing is {smoothing}; give a share from 0 up to, not with, 1.")
        self.student, self.smoothing = student, smoothing
        self.n_classes = n_classes_of(student)

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        """Return the cross-entropy with the labels."""
        return {"hard": hard_loss(logits_in(self.student(batch.x)), batch.y, self.smoothing)}

    def predict(self, x: Tensor) -> Tensor:
        """Return the student's logits (B, C)."""
        return logits_in(self.student(x))


def n_classes_of(net: object) -> int | None:
    """Return how many classes a network, or a frozen teacher, knows; None where that is not told.

    Told by a teacher's table of logits, or by the end of an `nn.Sequential` that is linear, as in
    all of `kdlab.models`. A linear layer elsewhere may be a projector that no logits pass.
    """
    if callable(told := getattr(net, "stored_classes", None)) and (n := told()):
        return n
    net = getattr(net, "net", net)
    while isinstance(net, nn.Sequential) and len(net):
        net = net[-1]
    return net.out_features if isinstance(net, nn.Linear) else None


def check_teacher(teacher: object) -> None:
    """Refuse what answers no batch: a bare network would be trained along."""
    if isinstance(teacher, nn.Module) or not (
        callable(teacher) or hasattr(teacher, "stored_classes")
    ):
        raise ValueError(f"the teacher is a {type(teacher).__name__}; give Frozen(net, data).")


def check_classes(student: nn.Module, teacher: object) -> None:
    """Refuse a student and a teacher of different numbers of classes, where both are known."""
    mine, told = n_classes_of(student), n_classes_of(teacher)
    if mine and told and mine != told:
        raise ValueError(
            f"the student knows {mine} classes and the teacher {told}; give both the same classes."
        )


def check_temperature(T: float) -> None:
    """Refuse a temperature outside ]0, HOTTEST]."""
    if not 0 < T <= HOTTEST:
        raise ValueError(
            f"T is {T}; a temperature is above 0 (1 = as trained, 4 = the default) and at most "
            f"{HOTTEST:g}: beyond that, match the logits themselves."
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
