"""A group of networks that learn together: separate, or branches on a trunk that all share."""

import itertools
import math
import re
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from typing import Any, Self

import torch
from torch import Tensor, nn

from kdlab.data import Batch
from kdlab.seeds import stream
from kdlab.train.method import Knob
from kdlab.train.worlds import Replicate

SIZE = 4  # members: those of the paper, three peers and a leader


class Group(nn.Module):
    """Networks of `kdlab.models` whose first `shared` blocks are one and the same.

    Member 0 is what one deploys, and the trunk is its own: with equal weights it begins as a plain
    student does.

    Args:
        students: two or more, with different weights; each with block1, block2, ..., pool, linear.
        shared: blocks that all have in common, fewer than there are; 0: separate networks.

    Raises:
        ValueError: too few students, two that are equal, or nets without such blocks.
    """

    width: int  # D, of the features
    channels: int  # of the trunk's map
    n_classes: int

    def __init__(self, students: Iterable[nn.Module], shared: int = 2) -> None:
        super().__init__()
        nets: list[Any] = list(students)
        if len(nets) < 2:
            raise ValueError(f"a group got {len(nets)} student; give two or more networks.")
        kinds = [[name for name, _ in net.named_children()] for net in nets]
        names, blocks = kinds[0], [i for i, n in enumerate(kinds[0]) if re.match(r"block\d", n)]
        fits = names[-2:] == ["pool", "linear"] and 0 <= shared < len(blocks)
        if not fits or any(names != other for other in kinds):
            raise ValueError(
                f"nets of {', '.join(names) or 'no parts'} cannot share {shared} blocks: give nets "
                "of one family, such as 'cnn4', and leave each one block at least of its own."
            )
        for (a, one), (b, two) in itertools.combinations(enumerate(nets), 2):
            if torch.equal(one.linear.weight, two.linear.weight):
                raise ValueError(f"students {a} and {b} are equal; build them with other seeds.")
        cut = blocks[shared - 1] + 1 if shared else 0
        parts = [list(net.named_children()) for net in nets]
        self.trunk = nn.Sequential(OrderedDict(parts[0][:cut]))
        self.branches = nn.ModuleList(nn.Sequential(OrderedDict(part[cut:])) for part in parts)
        self.width, self.n_classes = nets[0].linear.in_features, nets[0].linear.out_features
        convs = [part for part in self.trunk.modules() if isinstance(part, nn.Conv2d)]
        first = next(part for part in nets[0].modules() if isinstance(part, nn.Conv2d))
        self.channels = convs[-1].out_channels if convs else first.in_channels

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return of M members the logits (M, B, C), the features (M, B, D), and the trunk's map."""
        h = self.trunk(x)
        branches: list[Any] = [*self.branches]
        f = torch.stack([branch[:-1](h) for branch in branches])
        z = [branch[-1](f_a) for branch, f_a in zip(branches, f, strict=True)]
        return torch.stack(z), f, h

    def member(self, k: int) -> nn.Sequential:
        """Return member `k` as the plain network it is, with the same weights, not a copy."""
        parts = [*self.trunk.named_children(), *self.branches[k].named_children()]
        return nn.Sequential(OrderedDict(parts))


COMMON = (
    Knob("shared", 2, "blocks that all members have in common; 0: separate networks", 0, 2),
    Knob("T", 3.0, "temperature of targets and answers", 0.5, 50.0),
    Knob("weight", 1.0, "weight of what members learn from each other", 0.0, 10.0),
    Knob("ramp", 0.27, "share of the training in which that weight grows", 0.0, 1.0),
)


def ramp_up(progress: float, ramp: float) -> float:
    """Return w in [e^-5, 1] after the share `progress` of the training; `ramp` 0: always 1."""
    return math.exp(-5 * (1 - min(progress / ramp, 1)) ** 2) if ramp else 1.0


class Together(nn.Module):
    """What all methods on a group have in common; each adds its loss.

    Args:
        students, shared: of the `Group`.
        T, weight, ramp: see COMMON.
        seed: of the first weights of what a method adds to the group.
    """

    group: Group

    def __init__(
        self,
        students: Iterable[nn.Module],
        shared: int = 2,
        T: float = 3.0,
        weight: float = 1.0,
        ramp: float = 0.27,
        *,
        seed: int = 0,
    ) -> None:
        super().__init__()
        check_knobs(COMMON, locals())
        self.group, self.seed = Group(students, shared), seed
        self.T, self.weight, self.ramp = T, weight, ramp
        self.n_classes = self.group.n_classes
        self.begin()

    def begin(self) -> None:
        """Add what the method needs beside the group."""

    @classmethod
    def of(cls, r: Replicate, **knobs: Any) -> Self:
        """Return the method on SIZE fresh students of `r`; the first is that of all other arms."""
        return cls([r.student(peer=k) for k in range(SIZE)], seed=r.r, **knobs)

    def fresh(self, name: str, features: int, out: int) -> nn.Linear:
        """Return a linear layer whose first weights follow from the seed and its name."""
        with torch.device("cpu"), torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(stream(self.seed, "init", name))
            return nn.Linear(features, out, bias=False)

    def w(self, batch: Batch) -> float:
        """Return the weight of what members learn from each other, at this moment."""
        return self.weight * ramp_up(batch.progress, self.ramp)

    def predict(self, x: Tensor) -> Tensor:
        """Return the logits (B, C) of what one deploys: member 0, a plain student."""
        return self.group.member(0)(x)


def check_knobs(knobs: Iterable[Knob], values: Mapping[str, Any]) -> None:
    """Refuse a value that its knob cannot take."""
    for knob in knobs:
        knob.check(values[knob.name])
