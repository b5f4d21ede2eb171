"""Rows of images and labels: what a step sees, what a part holds, how rows are cut and joined."""

from typing import NamedTuple

import torch
from torch import Tensor


class Batch(NamedTuple):
    """What a method sees in one step.

    `x`: (B, C, H, W) float32, normalised. `y`: (B,) int64, -1 = no label. `index`: (B,) int64, the
    key of stored teacher outputs. `stored`: `x` are the stored images, not augmented ones.
    `progress`: share of the training done, in [0, 1].
    """

    x: Tensor
    y: Tensor
    index: Tensor  # type: ignore[assignment]  # a tuple has a method of that name
    stored: bool = True
    progress: float = 0.0


class Split(NamedTuple):
    """Images of one part. A tuple of three: count its images with ``len(split.y)``.

    `x`: (N, C, H, W) float32, normalised. `y`: (N,) int64, -1 = no label. `index`: (N,) int64,
    position in the pool, -1 in validation and test, for which no teacher output is stored.
    """

    x: Tensor
    y: Tensor
    index: Tensor  # type: ignore[assignment]


def shifted(x: Tensor, shift: int, gen: torch.Generator, fill: Tensor | float) -> Tensor:
    """Return `x` (N, C, H, W) with each image moved by -shift..shift pixels in y and in x.

    Draws from `gen` (CPU); pixels from outside get `fill`, (C, 1, 1) or a number.
    """
    n, _, h, w = x.shape
    down, right = torch.randint(0, 2 * shift + 1, (2, n), generator=gen).to(x.device)
    # torch's pad knows no value per channel
    padded = torch.nn.functional.pad(x - fill, (shift,) * 4) + fill
    windows = padded.unfold(2, h, 1).unfold(3, w, 1)  # (N, C, 2 shift + 1, 2 shift + 1, H, W)
    return windows[torch.arange(n, device=x.device), :, down, right]


def pick(split: Split, mask: Tensor) -> Split:
    """Return the rows of `split` where `mask` (N,) is true: a view if they are neighbours."""
    rows = mask.nonzero().flatten()
    if len(rows) and rows[-1] - rows[0] + 1 == len(rows):
        return Split(*(column[rows[0] : rows[-1] + 1] for column in split))
    return Split(*(column[rows] for column in split))


def none(split: Split) -> Split:
    """Return no rows, of the shapes and types of `split`."""
    return Split(*(column[:0] for column in split))


def join(a: Split, b: Split) -> Split:
    """Return the rows of `a`, then those of `b`; images that lie side by side are not copied."""
    y, index = torch.cat([a.y, b.y]), torch.cat([a.index, b.index])
    if not len(a.y) or not len(b.y):
        return Split(a.x if len(a.y) else b.x, y, index)
    same = a.x.untyped_storage().data_ptr() == b.x.untyped_storage().data_ptr()
    if same and a.x.data_ptr() + a.x.nbytes == b.x.data_ptr():
        return Split(a.x.as_strided((len(y), *a.x.shape[1:]), a.x.stride()), y, index)
    return Split(torch.cat([a.x, b.x]), y, index)
