"""DAFL's generator (Chen et al. 2019) and how it learns from the teacher alone."""

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from kdlab.data import Data
from kdlab.models import Shape, evaluating, tap
from kdlab.papers.data_free.dream import descend
from kdlab.papers.data_free.losses import dafl_terms
from kdlab.papers.data_free.records import last_tap
from kdlab.seeds import owned

LATENT, WIDTH, BATCH, STEPS, RATE = 100, 16, 64, 300, 5e-3


def generator_net(shape: Shape, seed: int, eps: float = 0.8) -> nn.Sequential:
    """Return a generator from z (B, LATENT) to images of `shape`, sides divisible by 4.

    Its last layer gives every channel the mean 0 and the deviation 1 that data sets have here.
    `eps`: of the inner batch norms, which the official code sets to 0.8 where a momentum was
    probably meant.
    """
    c, h, w = shape
    if h % 4 or w % 4:
        raise ValueError(f"images are {h}x{w}; the generator doubles twice: sides divisible by 4.")

    def block(c_in: int, c_out: int) -> list[nn.Module]:
        parts = [nn.Upsample(scale_factor=2), nn.Conv2d(c_in, c_out, 3, padding=1)]
        return [*parts, nn.BatchNorm2d(c_out, eps), nn.LeakyReLU(0.2)]

    cpu = torch.device("cpu")
    with cpu, owned(seed, "init", "generator", device=cpu):
        first = [nn.Linear(LATENT, WIDTH * h * w // 16), nn.Unflatten(1, (WIDTH, h // 4, w // 4))]
        blocks = [nn.BatchNorm2d(WIDTH), *block(WIDTH, WIDTH), *block(WIDTH, WIDTH // 2)]
        last = [nn.Conv2d(WIDTH // 2, c, 3, padding=1), nn.Tanh(), nn.BatchNorm2d(c, affine=False)]
        return nn.Sequential(*first, *blocks, *last)


def dafl(
    net: nn.Module,
    data: Data,
    n: int,
    source: torch.Generator,
    seed: int,
    weights: Sequence[float] = (),
    steps: int = STEPS,
    **options: Any,
) -> Tensor:
    """Train a generator and return `n` images of it, equally many from each later update.

    In the paper the student learns beside the generator and meets the images of all its stages. So
    the images come from the second half of its updates, not from its end alone. Stopped early, it
    returns what there is.

    Args:
        net: the teacher.
        data: tells the shape of an image, and nothing else.
        source: draws z.
        seed: of the generator's first weights.
        weights: of one-hot, activation and balance; none given: those of the paper.
        options: of `kdlab.papers.data_free.dream.descend`.
    """
    maker, name = generator_net(data.in_shape, seed).train(), last_tap(net)
    each, found = math.ceil(n / (steps - steps // 2)), list[Tensor]()

    def draw() -> Tensor:
        return maker(torch.randn(BATCH, LATENT, generator=source))

    now = [draw()]

    def terms_of() -> dict[str, Tensor]:
        now[0] = draw()
        z, features = tap(net, now[0], name)
        return dafl_terms(z, features[name], *weights)

    def keep(step: int, _: float) -> None:
        if step >= steps // 2:
            found.append(now[0][:each].detach().clone())

    with evaluating(net):
        descend(maker.parameters(), terms_of, steps, options.pop("rate", RATE), keep, **options)
    return torch.cat(found or now)[-n:].detach()
