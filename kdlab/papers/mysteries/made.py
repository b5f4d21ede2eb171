"""Multi-view data made by hand, the net of the theory, and plain gradient descent.

Allen-Zhu, Li 2020, arXiv:2012.09816, the definitions of data and network: every class j has two
orthonormal features, the *views* v_{j,1} and v_{j,2}. A sample consists of patches, and a patch is
a feature times its strength, plus noise. Most samples show both views of their class, and each
feature of another class by chance, weakly.
"""

import functools
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from kdlab.data import Batch, Split
from kdlab.papers.mysteries.method import smoothed_relu
from kdlab.seeds import generator
from kdlab.train.fit import total
from kdlab.train.recipe import SGD

CLASSES, UNITS, PATCHES, WIDTH = 10, 10, 6, 32  # k, m, P and d of the paper
SAMPLES, TEST = 300, 1000  # for training, and in each test set
DONE = 0.05  # cross-entropy at which training ends


@dataclass(frozen=True)
class Setting:
    """How samples are made.

    Args:
        low, high: strength of a view of the sample's own class, drawn evenly between them.
        rate, weak: chance and strength of each feature of another class.
        noise: standard deviation of each number of a patch.
        single: share of the training samples that show one view only.
    """

    low: float = 1.0
    high: float = 1.5
    rate: float = 0.1
    weak: float = 0.4
    noise: float = 0.02
    single: float = 0.0


class Made(NamedTuple):
    """The views (k, 2, d), training samples, and two test sets: both views shown, or one."""

    views: Tensor
    train: Batch
    both: Split
    single: Split


@functools.lru_cache(maxsize=4)
def made(r: int, setting: Setting = Setting()) -> Made:
    """Return replicate `r`: views, training and test samples, all drawn from r.

    Samples of the test set `single` show each view of each class equally often.
    """
    basis = torch.randn(WIDTH, 2 * CLASSES, generator=generator(r, "views"))
    views = torch.linalg.qr(basis)[0].T.reshape(CLASSES, 2, WIDTH).contiguous()

    def part(name: str, n: int, single: float) -> tuple[Tensor, Tensor, Tensor]:
        index, source = torch.arange(n), generator(r, "made", name)
        alone = torch.rand(n, 1, generator=source) < single
        shown = torch.where(alone, torch.eye(2)[index // CLASSES % 2], 1.0)
        return draw(views, index % CLASSES, shown, setting, source), index % CLASSES, index

    train = Batch(*part("train", SAMPLES, setting.single))
    return Made(views, train, Split(*part("both", TEST, 0.0)), Split(*part("single", TEST, 1.0)))


def draw(
    views: Tensor, y: Tensor, shown: Tensor, setting: Setting, source: torch.Generator
) -> Tensor:
    """Return samples (N, P, d) of classes `y` (N,) that show the own views in `shown` (N, 2).

    The strongest features get a patch each; patches that are left hold noise.
    """
    strength = setting.weak * (torch.rand(len(y), CLASSES, 2, generator=source) < setting.rate)
    own = setting.low + (setting.high - setting.low) * torch.rand(len(y), 2, generator=source)
    strength[torch.arange(len(y)), y] = own * shown
    ranks = strength.flatten(1) + 1e-3 * torch.rand(len(y), 2 * CLASSES, generator=source)
    chosen = ranks.argsort(dim=1, descending=True)[:, :PATCHES]
    clean = strength.flatten(1).gather(1, chosen)[..., None] * views.flatten(0, 1)[chosen]
    return clean + setting.noise * torch.randn(clean.shape, generator=source)


def within(y: Tensor, source: torch.Generator) -> Tensor:
    """Return for each row of `y` (N,) another row of the same class, at random; each serves once.

    A class of one row keeps it.
    """
    order = torch.empty_like(y)
    for c in y.unique():
        rows = (y == c).nonzero().flatten()
        ring = rows[torch.randperm(len(rows), generator=source)]
        order[ring] = ring.roll(1)
    return order


class Detectors(nn.Module):
    """The net of the theory: m detectors a class, one layer, no bias, output weights 1.

    z_i(x) = sum over detectors r and patches p of smoothed_relu(<w_{i,r}, x_p>).

    Args:
        source: of the first weights w (k, m, d).
        power, threshold: of `smoothed_relu`.
        start: standard deviation of the first weights; the theory needs it tiny.
    """

    def __init__(
        self,
        source: torch.Generator,
        power: float = 3.0,
        threshold: float = 1.0,
        start: float = 0.01,
    ) -> None:
        super().__init__()
        self.w = nn.Parameter(start * torch.randn(CLASSES, UNITS, WIDTH, generator=source))
        self.power, self.threshold = power, threshold

    def forward(self, x: Tensor) -> Tensor:
        """Map samples (N, P, d) to logits (N, k)."""
        (k, m, d), (n, patches, _) = self.w.shape, x.shape
        z = x.transpose(0, 1).reshape(-1, d) @ self.w.reshape(-1, d).T
        a = smoothed_relu(z, self.power, self.threshold)
        return a.view(patches, n, k * m).sum(dim=0).view(n, k, m).sum(dim=2)

    def strengths(self, views: Tensor) -> Tensor:
        """Return max over r of <w_{j,r}, v_{j,l}>, (k, 2): the best detector of each view."""
        return torch.einsum("kmd,kvd->kmv", self.w.detach(), views).amax(dim=1)

    def known(self, views: Tensor) -> Tensor:
        """Return which views (k, 2) it knows: their best detector has passed the threshold."""
        return self.strengths(views) > self.threshold


def descend(
    method: Any, batch: Batch, steps: int = 1500, stop: float = 0, rate: float = 4, by: Any = SGD
) -> int:
    """Train by plain gradient descent on all samples at once; return the number of updates.

    It ends after `steps`, or where the cross-entropy ("hard") has fallen below `stop`. `by`:
    another optimiser breaks the theory.
    """
    optimiser = by(list(method.parameters()), lr=rate)
    for step in range(steps):
        terms = method(batch)
        if terms["hard"] < stop:
            return step
        optimiser.zero_grad(set_to_none=True)
        total(terms).backward()
        optimiser.step()
    return steps
