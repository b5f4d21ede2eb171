"""A network with an exit after each of its blocks, and what an image pays up to each exit."""

import itertools
import re

import torch
from torch import Tensor, nn

from kdlab.models import Residual, Shape, size
from kdlab.seeds import stream
from kdlab.train.method import n_classes_of

HEADS = ("linear", "separable", "residual")


def separable(c: int, d: int) -> nn.Module:
    """Return two convolutions from `c` to `d` channels that halve the map, each in two cheap steps.

    A depthwise 3x3 convolution looks at every channel alone, a pointwise one mixes the channels of
    a pixel. The authors' code puts one such module in the place of each residual stage that the
    exit skips.
    """
    layers: list[nn.Module] = []
    for stride, out in ((2, c), (1, d)):
        layers += [nn.Conv2d(c, c, 3, stride, padding=1, groups=c, bias=False)]
        layers += [nn.Conv2d(c, out, 1, bias=False), nn.BatchNorm2d(out), nn.ReLU()]
    return nn.Sequential(*layers)


def residual(c: int, d: int) -> nn.Module:
    """Return the block of a residual network from `c` to `d` channels that halves the map.

    Its shortcut halves by a mean. A 1x1 convolution with stride 2 does it elsewhere, but of fewer
    than 8 channels, side by side in memory, oneDNN 3.13 writes beyond the end of its memory.
    """
    block, halve = Residual(c, d, stride=2), nn.AvgPool2d(2, ceil_mode=True)
    block.shortcut = nn.Sequential(halve, nn.Conv2d(c, d, 1, bias=False), nn.BatchNorm2d(d))
    return block


def head_of(kind: str, widths: list[int]) -> nn.Module:
    """Return a head from maps of ``widths[0]`` channels to ``widths[-1]`` pooled features.

    "linear" pools at once and maps the few channels to the many features; "separable" and
    "residual" put one module in the place of each block that is skipped.
    """
    pool = [nn.AdaptiveAvgPool2d(1), nn.Flatten()]
    if kind == "linear":
        return nn.Sequential(*pool, nn.Linear(widths[0], widths[-1]))
    module = separable if kind == "separable" else residual
    skipped = [module(c, d) for c, d in itertools.pairwise(widths)]
    return nn.Sequential(*skipped, *pool)


class Exits(nn.Module):
    """A network of `kdlab.models` with an exit after each block; the last exit is its own.

    Args:
        net: with children block1, block2, ..., pool and linear, e.g. "cnn8" or "resnet8".
        head: what stands between a block and the classifier of its exit, one of HEADS.
        seed: of the first weights of heads and classifiers.

    Raises:
        ValueError: another head, or a net without such children.
    """

    def __init__(self, net: nn.Module, head: str = "separable", seed: int = 0) -> None:
        super().__init__()
        names = [name for name, _ in net.named_children()]
        ends = [i + 1 for i, name in enumerate(names) if re.fullmatch(r"block\d+", name)]
        if len(ends) < 2 or names[ends[-1] :] != ["pool", "linear"]:
            raise ValueError(
                f"this {type(net).__name__} has the parts {', '.join(names) or 'none'}; exits need "
                "two or more blocks before pool and linear, as in 'cnn8' or 'resnet8'."
            )
        if head not in HEADS:
            raise ValueError(f"head is {head!r}; choose one of {', '.join(HEADS)}.")
        self.net, self.K = net, len(ends)
        self.stages = [names[a:b] for a, b in itertools.pairwise([0, *ends])]
        widths = [_channels(net.get_submodule(stage[-1])) for stage in self.stages]
        classes = n_classes_of(net) or 0
        with torch.device("cpu"), torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(stream(seed, "init", f"exits {head}"))
            early = range(self.K - 1)
            self.heads = nn.ModuleList(head_of(head, widths[k:]) for k in early)
            self.classifiers = nn.ModuleList(nn.Linear(widths[-1], classes) for _ in early)

    def forward(
        self, x: Tensor, stop: int | None = None, alone: bool = False
    ) -> tuple[list[Tensor], list[Tensor]]:
        """Return logits (B, C) and features (B, d) of the exits, the shallowest first.

        Nothing is computed beyond exit number `stop`, counted from 1. `alone`: of that exit only.
        """
        z, f, last = [], [], stop or self.K
        for k, names in enumerate(self.stages[:last], start=1):
            for name in names:
                x = self.net.get_submodule(name)(x)
            if alone and k < last:
                continue
            own = k == self.K
            f.append((self.net.get_submodule("pool") if own else self.heads[k - 1])(x))
            z.append((self.net.get_submodule("linear") if own else self.classifiers[k - 1])(f[-1]))
        return z, f

    def predict(self, x: Tensor) -> Tensor:
        """Return the logits (B, K, C) of all exits, for `kdlab.measure.logits_of`."""
        return torch.stack(self(x)[0], dim=1)


def _channels(block: nn.Module) -> int:
    """Return how many channels leave a block."""
    return [part for part in block.modules() if isinstance(part, nn.Conv2d)][-1].out_channels


class _Path(nn.Module):
    """The way of an image to exit number `stop`: with all heads before it, or past them."""

    def __init__(self, exits: Exits, stop: int, alone: bool) -> None:
        super().__init__()
        self.exits, self.stop, self.alone = exits, stop, alone

    def forward(self, x: Tensor) -> Tensor:
        return self.exits(x, self.stop, self.alone)[0][-1]


def costs(exits: Exits, in_shape: Shape, alone: bool = False) -> list[int]:
    """Return the multiply-adds of one image (C, H, W) up to each exit.

    An image that asks exit after exit pays for every head on its way. `alone`: one exit is built
    in, and no head before it.
    """
    return [size(_Path(exits, k, alone), in_shape).macs for k in range(1, exits.K + 1)]
