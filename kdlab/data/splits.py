"""Divide a data set into pool, validation and test, stratified and in a class-balanced order."""

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from kdlab.seeds import generator


class Raw(NamedTuple):
    """A data set as read and checked, before any split or normalisation."""

    name: str
    x: np.ndarray  # (N, C, H, W) uint8, or floats in [0, 1]
    y: np.ndarray  # (N,) int64
    classes: tuple[str, ...]
    test_x: np.ndarray | None = None  # the official test set; None: cut one from x
    test_y: np.ndarray | None = None
    n_labelled: int | None = None  # the default of this data set; None: the whole pool
    val_x: np.ndarray | None = None  # validation images that come apart; None: cut them from x
    val_y: np.ndarray | None = None


class Part(NamedTuple):
    """Images (N, C, H, W), not normalised, and labels (N,) int64 of one part."""

    x: np.ndarray
    y: np.ndarray


def balanced_order(y: Tensor, gen: torch.Generator) -> tuple[Tensor, Tensor]:
    """Return a random order of the labels `y` (N,), and each entry's number within its class.

    The order runs in rounds: every class once, in shuffled order, then every class again. So any
    prefix holds as many of one class as of another, give or take one, while the classes last.
    """
    shuffled = torch.randperm(len(y), generator=gen)
    by_class = shuffled[torch.argsort(y[shuffled], stable=True)]
    counts = torch.bincount(y)
    first = counts.cumsum(0) - counts
    rank = torch.arange(len(y)) - first.repeat_interleave(counts)
    again = torch.randperm(len(y), generator=gen)  # the order of the classes within a round
    rounds = again[torch.argsort(rank[again], stable=True)]
    return by_class[rounds], rank[rounds]


def deal(raw: Raw, shares: tuple[float, ...], seed: int) -> list[Part]:
    """Deal the rows of `raw` to a pool and one more part for each of `shares`, class by class.

    A share is rounded within each class and is never empty; the pool gets what is left.
    Raises ValueError if a class has too few images for that.
    """
    y = torch.from_numpy(raw.y)
    counts = torch.bincount(y)
    sizes = [(counts * share).round().long().clamp(min=1) for share in shares]
    pool = counts - sum(sizes, torch.zeros_like(counts))
    if pool.min() < 1:
        c = int(pool.argmin())
        raise ValueError(
            f"The class {raw.classes[c]} has only {counts[c]} image(s), expected at least "
            f"{len(shares) + 1} to split {raw.name}: add images or drop the class."
        )
    order, rank = balanced_order(y, generator(seed, "split"))
    bounds = torch.stack([pool, *sizes]).cumsum(0)[:, y[order]]
    part = (rank >= bounds).sum(0)
    rows = [order[part == p].numpy() for p in range(len(shares) + 1)]
    return [Part(np.ascontiguousarray(raw.x[r]), raw.y[r]) for r in rows]


def three_parts(raw: Raw, seed: int) -> dict[str, Part]:
    """Return the parts ``pool``, ``val`` and ``test``.

    Without an official test set 50, 10 and 40 % of each class, with one 90 and 10 % of the
    training images beside it, the test images in their own order. Validation images that come
    apart stay as they are, too.
    """
    if raw.test_x is None or raw.test_y is None:
        pool, val, test = deal(raw, (0.1, 0.4), seed)
    elif raw.val_x is not None and raw.val_y is not None:
        (pool,) = deal(raw, (), seed)
        val = Part(np.ascontiguousarray(raw.val_x), raw.val_y)
        test = Part(np.ascontiguousarray(raw.test_x), raw.test_y)
    else:
        pool, val = deal(raw, (0.1,), seed)
        test = Part(np.ascontiguousarray(raw.test_x), raw.test_y)
    return {"pool": pool, "val": val, "test": test}


def quarter_turns(part: Part, seed: int, name: str) -> Part:
    """Return every image of `part` in its four quarter turns, label 4 * y + turn, balanced order.

    Turns are counter-clockwise. `name` of the part names its random stream.
    """
    x = np.concatenate([np.rot90(part.x, turn, axes=(2, 3)) for turn in range(4)])
    y = np.concatenate([4 * part.y + turn for turn in range(4)])
    order = balanced_order(torch.from_numpy(y), generator(seed, "split", "rot40", name))[0].numpy()
    return Part(x[order], y[order])


def statistics(x: np.ndarray) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return the mean and standard deviation per channel of `x` (N, C, H, W), on the scale [0, 1].

    Bytes are summed as whole numbers, so every machine gets the same figures.
    Raises ValueError if a channel is constant: it cannot be normalised.
    """
    mean, std = [], []
    for c in range(x.shape[1]):
        plane = x[:, c]
        if x.dtype == np.uint8:
            total = int(plane.sum(dtype=np.int64))
            squares = int(np.square(plane, dtype=np.uint16).sum(dtype=np.int64))
            m, s = total / plane.size, (squares * plane.size - total**2) ** 0.5 / plane.size
            m, s = m / 255, s / 255
        else:
            m, s = float(plane.mean(dtype=np.float64)), float(plane.std(dtype=np.float64))
        if s < 1e-6:
            raise ValueError(
                f"Channel {c} has the same value in every training image, expected pictures: "
                f"drop this channel."
            )
        mean.append(m)
        std.append(s)
    return tuple(mean), tuple(std)


def normalised(x: np.ndarray, mean: tuple[float, ...], std: tuple[float, ...]) -> Tensor:
    """Return `x` (N, C, H, W), uint8 or in [0, 1], as float32 with the statistics taken out."""
    out = torch.from_numpy(x).to(torch.float32, memory_format=torch.contiguous_format, copy=True)
    if x.dtype == np.uint8:
        out.div_(255)  # in place: a second copy of CIFAR would cost 600 MB
    return out.sub_(torch.tensor(mean)[:, None, None]).div_(torch.tensor(std)[:, None, None])
