"""Views: an image turned or moved, and what a frozen teacher answers to each of them.

Every image has VIEWS changed versions. They follow from the image, its index and the seed, so the
teacher is asked about them once, and its answers stand in tables. Two pools:

* ``rotations``: turned by 90, 180 and 270 degrees, as the official code does;
* ``moves``: turned by up to 25 degrees, zoomed by 0.8 to 1.25, and shifted by up to a tenth of the
  side; each image has moves of its own.
"""

import math
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kdlab.data import Batch, Data
from kdlab.measure import in_float32
from kdlab.models import evaluating, plain, tap, taps
from kdlab.seeds import generator
from kdlab.train.frozen import Frozen, by_index
from kdlab.train.method import Knob, check_teacher

VIEWS = 3  # changed versions of each image
POOL = Knob("pool", "rotations", "how images are changed", choices=("rotations", "moves"))
ANGLE, ZOOM, SHIFT = math.radians(25), math.log(1.25), 0.2  # 0.2 of half a side on each axis
PART = 200  # images that the teacher is asked about at once


class Seen(NamedTuple):
    """The views of a batch, and the teacher's answers to them.

    `x`: (B, V, C, H, W) views. `z`: (B, V, K) logits for them. `f`: (B, 1 + V, D) features, first
    those of the image as it is.
    """

    x: Tensor
    z: Tensor
    f: Tensor


class Views(nn.Module):
    """Makes the views of a batch and knows what a teacher says of them; it has no weights.

    Args:
        teacher: frozen, with a network; its features are those before its last layer.
        data: the answers to the views of its training images are stored, by index.
        pool: one of those of POOL.
        seed: of the moves.

    Raises:
        ValueError: an unknown pool, images that are not square, or a teacher without a network.
    """

    image: Tensor
    theta: Tensor
    black: Tensor
    z: Tensor
    f: Tensor

    def __init__(self, teacher: Frozen, data: Data, pool: str = "rotations", seed: int = 0) -> None:
        super().__init__()
        POOL.check(pool)
        check_teacher(teacher)
        if not (names := taps(teacher.net)):
            raise ValueError("the views need a teacher with a network; give Frozen(net, data).")
        if data.in_shape[1] != data.in_shape[2]:
            raise ValueError(f"images of {data.in_shape} cannot be turned; give square ones.")
        self.teacher, self.pool, self.dealt = teacher, pool, False
        self.name = names[-1]
        x, _, index = data.train
        theta = moves(int(index.max()) + 1, seed)
        for name, value in {"theta": theta, "black": data.black, "image": x[:1]}.items():
            self.register_buffer(name, value, persistent=False)
        rows = [self._asked(*pair) for pair in zip(x.split(PART), index.split(PART), strict=True)]
        for name, parts in zip(("z", "f"), zip(*rows, strict=True), strict=True):
            self.register_buffer(name, by_index(index, torch.cat(parts)), persistent=False)

    def forward(self, batch: Batch, which: Tensor | None = None) -> Seen:
        """Return the views `which` (B, V) of `batch`, numbers from 0, or all; see `Seen`."""
        if which is None:
            which = torch.arange(VIEWS, device=batch.x.device).expand(len(batch.x), -1)
        x = self.make(batch.x, batch.index, which)
        if batch.stored or self.dealt:
            z, f = self.z[batch.index], self.f[batch.index]
        else:
            z, f = self._asked(batch.x, batch.index)
        rows = torch.arange(len(x), device=x.device)[:, None]
        return Seen(x, z[rows, which], torch.cat([f[:, :1], f[rows, 1 + which]], dim=1))

    def make(self, x: Tensor, index: Tensor, which: Tensor) -> Tensor:
        """Return the views `which` (B, V) of images `x` (B, C, H, W): (B, V, C, H, W)."""
        count = which.shape[1]
        rows, which = x.repeat_interleave(count, dim=0), which.flatten()
        if self.pool == "moves":
            theta = self.theta[index.repeat_interleave(count), which]
            grid = F.affine_grid(theta, list(rows.shape), align_corners=False)
            rows = F.grid_sample(rows - self.black, grid, align_corners=False) + self.black
        else:
            for view in range(VIEWS):
                mine = which == view
                rows[mine] = torch.rot90(rows[mine], view + 1, (2, 3))
        return rows.unflatten(0, (len(x), count))

    def deal(self, source: torch.Generator) -> "Views":
        """Deal the features of each image, with all its views, to another one: a control.

        What is right stays right, and as surely: image and views move together. Which other images
        are like it is lost. From here on all answers come from the tables.
        """
        rows = (~self.f.flatten(1).isnan().any(dim=1)).nonzero().flatten()
        order = torch.randperm(len(rows), generator=source).to(rows.device)
        self.f[rows], self.dealt = self.f[rows[order]], True
        return self

    @torch.no_grad()
    def _asked(self, x: Tensor, index: Tensor) -> tuple[Tensor, Tensor]:
        """Return the network's logits (B, VIEWS, K) and features (B, 1 + VIEWS, D)."""
        which = torch.arange(VIEWS, device=x.device).expand(len(x), -1)
        whole = torch.cat([x[:, None], self.make(x, index, which)], dim=1)
        net = plain(self.teacher.net).to(x.device)
        with evaluating(net):
            z, found = tap(net, whole.flatten(0, 1), [self.name])
        shape = (len(x), 1 + VIEWS)
        f = in_float32(found[self.name]).flatten(1)
        return in_float32(z).unflatten(0, shape)[:, 1:], f.unflatten(0, shape)


def moves(n: int, seed: int) -> Tensor:
    """Return the affine maps (n, VIEWS, 2, 3) of n images, as `torch.nn.functional` has them."""
    u = 2 * torch.rand(4, n, VIEWS, generator=generator(seed, "moves")) - 1
    angle, zoom, shift = ANGLE * u[0], (ZOOM * u[1]).exp(), SHIFT * u[2:]
    cos, sin = zoom * angle.cos(), zoom * angle.sin()
    rows = torch.stack([cos, -sin, shift[0]], dim=-1), torch.stack([sin, cos, shift[1]], dim=-1)
    return torch.stack(rows, dim=-2)


def drawn(batch: Batch, count: int, seed: int) -> Tensor:
    """Return which `count` views (B, count) of each image a step shows; equal steps draw alike."""
    if count == VIEWS:
        draws = torch.arange(VIEWS).expand(len(batch.x), -1)
    else:
        source = generator(seed, "views", batch.progress)
        draws = torch.rand(len(batch.x), VIEWS, generator=source).argsort(dim=1)[:, :count]
    return draws.to(batch.x.device)
