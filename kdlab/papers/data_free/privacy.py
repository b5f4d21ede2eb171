"""What comes out of a teacher when a class has few images: inversion, and distances to records."""

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from kdlab.data import Data, load
from kdlab.data.rows import pick
from kdlab.measure import evaluate
from kdlab.models import taps
from kdlab.papers.data_free.dream import PUBLISHED, deep_inversion, from_records
from kdlab.papers.data_free.records import Records
from kdlab.papers.data_free.sources import NET
from kdlab.seeds import generator
from kdlab.store import digest
from kdlab.train.recipe import Recipe
from kdlab.train.teachers import teacher
from kdlab.train.worlds import Replicate

SIZES = (1, 2, 5, 20, 100)  # images of the class
TRIES, STEPS = 8, 300  # images made, and their updates
RECIPE = Recipe(steps=400)  # no augmentation: the teacher may learn its images by heart
WAYS = {"records": None, "batch norm": PUBLISHED, "weights": PUBLISHED._replace(bn=0.0)}


def with_few(r: Replicate, size: int) -> tuple[Data, int]:
    """Return data with 100 labelled images a class but `size` of class c, and c = r mod C."""
    data = load(r.world.name, n_labelled=100 * r.data.n_classes, seed=r.r).without_unlabelled()
    c = r.r % data.n_classes
    own = data.train.y == c
    train = pick(data.train, ~own | (own.cumsum(dim=0) <= size))
    return replace(data, train=train, key=digest(data.key, "few", c, size)), c


def psnr(x: Tensor, others: Tensor) -> Tensor:
    """Return how near the nearest of `others` is to each of `x` (B, C, H, W), in dB of [0, 1]."""
    errors = (x[:, None] - others[None]).square().flatten(2).mean(dim=2)
    return -10 * errors.amin(dim=1).clamp(min=1e-10).log10()


def inverted(r: Replicate, size: int, tries: int = TRIES, steps: int = STEPS) -> dict[str, Any]:
    """Train a teacher with `size` images of one class and invert that class in three ways.

    Returns:
        {way: (images made, images of the class that it learned from, equally many test images)},
        all in [0, 1], and "net": the teacher.
    """
    data, c = with_few(r, size)
    net = teacher(data, NET, RECIPE, r.r).net
    inside = data.train.x[data.train.y == c]
    outside = data.test.x[data.test.y == c][: len(inside)]
    found, y = dict[str, Any](net=net), torch.full((tries,), c)
    for way, weights in WAYS.items():
        source = generator(r.r, "privacy", way)
        if weights is None:
            kept = Records.of(net, data.train.x, data.train.y, taps(net))
            x = from_records(net, data, kept, y, source, steps=steps)
        else:
            x = deep_inversion(net, data, y, source, weights, steps=steps)
        found[way] = tuple(data.images(part) for part in (x, inside, outside))
    return found


def leak(r: Replicate, size: int, tries: int = TRIES, steps: int = STEPS) -> dict[str, Any]:
    """Return for each way how much nearer the made images are to images that the teacher knows.

    In dB, the mean over made images of the PSNR to the nearest of the class's training images, less
    that to the nearest of equally many test images. 0: they say nothing about who was in the data.
    Also each PSNR to a training image, "records near" and so on, and the teacher's accuracy.
    """
    found = inverted(r, size, tries, steps)
    row = {"accuracy": evaluate(found.pop("net"), r.data.test)["accuracy"]}
    for way, (x, inside, outside) in found.items():
        near, far = psnr(x, inside).mean().item(), psnr(x, outside).mean().item()
        row |= {way: near - far, f"{way} near": near}
    return row


def exposure(f: Tensor, n: int) -> tuple[Tensor, Tensor]:
    """Return distances to a record of `n` images: of these (n,), and of the images left out.

    Args:
        f: features (N, U) of images of one class. The record is the mean of the first n.
    """
    if not 1 <= n < len(f):
        raise ValueError(f"n is {n}; give 1 to {len(f) - 1}, so that one image is left out.")
    apart = (f - f[:n].mean(dim=0)).norm(dim=1)
    return apart[:n], apart[n:]


def told_apart(f: Tensor, n: int) -> float:
    """Return how often a member is nearer to the record than an image left out, in %."""
    inside, outside = exposure(f, n)
    nearer = (inside[:, None] < outside).double() + (inside[:, None] == outside).double() / 2
    return 100 * nearer.mean().item()
