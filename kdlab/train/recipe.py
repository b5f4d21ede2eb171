"""How a network is trained: steps, batch, learning rate, augmentation. No data and no network."""

import inspect
import math
from collections.abc import Iterable
from dataclasses import dataclass
from numbers import Integral

import torch
from torch import Tensor, optim

from kdlab.data import shifted

SCHEDULES = ("one-cycle", "steps", "constant")


class _Uncompiled:
    """An optimiser of PyTorch as it is written, without the wrappers for its compiler.

    The first call of a wrapper imports the compiler, which takes time and memory in every process,
    for nothing, because no step is compiled here.
    """

    add_param_group = inspect.unwrap(optim.Optimizer.add_param_group)
    zero_grad = inspect.unwrap(optim.Optimizer.zero_grad)


class SGD(_Uncompiled, optim.SGD):
    """`torch.optim.SGD`."""

    step = torch.no_grad()(inspect.unwrap(optim.SGD.step))


class Adam(_Uncompiled, optim.Adam):
    """`torch.optim.Adam`."""

    step = torch.no_grad()(inspect.unwrap(optim.Adam.step))


@dataclass(frozen=True)
class Recipe:
    """One training recipe; the defaults train the students of this course in about a second.

    Args:
        epochs: passes over the training rows, >= 1.
        steps: number of updates; replaces `epochs`, so that arms with different data are equal.
        batch: rows in a batch; every batch has this size (all rows where there are fewer).
        lr: highest learning rate.
        schedule: "one-cycle" (up over the first 30 %, then cosine to 0), "steps" (times `gamma` at
            each share of the training in `drops`) or "constant".
        momentum, weight_decay: of SGD with Nesterov momentum, or the weight decay of Adam.
        optimiser: "sgd" or "adam".
        shift: every image is moved by up to this many pixels each way, anew in every epoch.
        flip: every second image, at random, is mirrored left to right.

    Raises:
        ValueError: a value is out of its range.
    """

    epochs: int = 20
    steps: int | None = None
    batch: int = 50
    lr: float = 0.1
    schedule: str = "one-cycle"
    drops: tuple[float, ...] = (0.625, 0.75, 0.875)
    gamma: float = 0.1
    momentum: float = 0.9
    weight_decay: float = 5e-4
    optimiser: str = "sgd"
    shift: int = 0
    flip: bool = False

    def __post_init__(self) -> None:
        for name, least in {"epochs": 1, "steps": 1, "batch": 1, "shift": 0}.items():
            value = getattr(self, name)
            unset = value is None and name == "steps"
            if not unset and not (isinstance(value, Integral) and int(value) >= least):
                raise ValueError(f"{name} is {value}; give a whole number, {least} or more.")
        if not 0 < self.lr < math.inf:
            raise ValueError(f"lr is {self.lr}; give a finite number above 0.")
        for name in ("momentum", "weight_decay"):
            if not 0 <= getattr(self, name) < (1 if name == "momentum" else math.inf):
                raise ValueError(f"{name} is {getattr(self, name)}; give 0 or more, momentum < 1.")
        if self.schedule not in SCHEDULES:
            raise ValueError(
                f"schedule is {self.schedule!r}; choose one of {', '.join(SCHEDULES)}."
            )
        if self.optimiser not in ("sgd", "adam"):
            raise ValueError(f"optimiser is {self.optimiser!r}; choose sgd or adam.")

    @property
    def augments(self) -> bool:
        """Whether the student sees other images than the stored ones."""
        return bool(self.shift or self.flip)

    def steps_per_epoch(self, n: int) -> int:
        """Return the full batches in `n` rows, at least 1."""
        return max(1, n // self.batch)

    def total_steps(self, n: int) -> int:
        """Return the number of updates on `n` rows."""
        return self.steps or self.epochs * self.steps_per_epoch(n)

    def total_epochs(self, n: int) -> int:
        """Return the number of epochs on `n` rows, the last one perhaps cut short by `steps`."""
        return -(-self.total_steps(n) // self.steps_per_epoch(n))

    def optimiser_of(self, weights: Iterable[Tensor]) -> optim.Optimizer:
        """Return the optimiser of `weights`."""
        if self.optimiser == "adam":
            return Adam(weights, lr=self.lr, weight_decay=self.weight_decay)
        return SGD(
            weights,
            lr=self.lr,
            momentum=self.momentum,
            weight_decay=self.weight_decay,
            nesterov=self.momentum > 0,
            foreach=True,  # the same numbers with fewer calls from Python
        )

    def rates(self, steps: int) -> list[float]:
        """Return the learning rate of each of `steps` updates."""
        optimiser, rates = self.optimiser_of([torch.zeros(())]), list[float]()
        schedule = self.schedule_of(optimiser, steps)
        for _ in range(steps):
            rates.append(float(schedule.get_last_lr()[0]))
            optimiser.step()  # without a gradient: torch wants it before the schedule moves
            schedule.step()
        return rates

    def schedule_of(self, optimiser: optim.Optimizer, steps: int) -> optim.lr_scheduler.LRScheduler:
        """Return the learning rate schedule, to be moved once after each of `steps` updates."""
        if self.schedule == "one-cycle":
            return optim.lr_scheduler.OneCycleLR(
                optimiser, max_lr=self.lr, total_steps=steps + 1, cycle_momentum=False
            )
        drops = [round(share * steps) for share in self.drops] if self.schedule == "steps" else []
        return optim.lr_scheduler.MultiStepLR(optimiser, milestones=drops, gamma=self.gamma)

    def augment(self, x: Tensor, source: torch.Generator, fill: Tensor | float = 0.0) -> Tensor:
        """Return `x` (B, C, H, W) moved and mirrored as the recipe says.

        `source` is a CPU generator. `fill`, a number or (C, 1, 1), comes in from outside the image.
        """
        if self.shift:
            x = shifted(x, self.shift, source, fill)
        if self.flip:
            mirror = torch.rand(len(x), generator=source).to(x.device) < 0.5
            x = torch.where(mirror[:, None, None, None], x.flip(3), x)
        return x
