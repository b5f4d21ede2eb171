"""Where images to distil on come from. Each source takes a replicate and how many are wanted.

It returns images (n, C, H, W) on the scale of the teacher's data, and how many bytes of metadata
must come along with the teacher.
"""

import functools
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import matplotlib.cbook
import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from kdlab.data import Data, Split, load
from kdlab.measure import logits_of
from kdlab.models import taps
from kdlab.papers.data_free import dream
from kdlab.papers.data_free.dream import PUBLISHED, Weights, classes, deep_inversion, from_records
from kdlab.papers.data_free.generator import dafl
from kdlab.papers.data_free.records import Records
from kdlab.papers.kd.method import KD
from kdlab.seeds import generator
from kdlab.store import digest
from kdlab.train.fit import fit
from kdlab.train.frozen import Frozen
from kdlab.train.worlds import Replicate

NET = "cnn8"  # the teacher: the paper's pair is a net and one of half as many channels
PART = 125  # images that are dreamt at once
OTHER = {"mnist5k": "fashion5k", "fashion5k": "mnist5k"}
Made = tuple[Tensor, int]


def teacher(r: Replicate, net: str = NET) -> Frozen:
    """Return the teacher of a replicate."""
    return r.teacher_of(net)


def made(data: Data, x: Tensor) -> Data:
    """Return `data` with the images `x` (n, C, H, W) for training, without labels."""
    y, key = torch.full((len(x),), -1), digest(data.key, "made", x.numpy())
    rows = Split(x, y, torch.arange(len(x)))
    none = Split(*(column[:0] for column in rows))
    return replace(data, train=rows, unlabelled=none, truth=y, views=1, key=key)


def asked(teacher: Frozen, data: Data) -> Frozen:
    """Return the teacher with stored answers for `data`, however strange its images are."""
    return Frozen(teacher.net, data, logits=logits_of(teacher.net, data.train.x))


# --- no synthesis ---------------------------------------------------------------------------------


def real(r: Replicate, n: int) -> Made:
    """The images that the teacher learned from, then others like them."""
    x = torch.cat([r.data.train.x, r.data.unlabelled.x])[:n]
    return x, x.numel()  # a byte a pixel


def other(r: Replicate, n: int) -> Made:
    """Real images of another kind: clothes for a teacher of digits, digits for one of clothes."""
    if r.world.name not in OTHER:
        raise ValueError(f"no other images go with {r.world.name!r}; take {', '.join(OTHER)}.")
    data = load(OTHER[r.world.name], seed=r.r)
    return torch.cat([data.train.x, data.unlabelled.x])[:n], 0


def gaussian(r: Replicate, n: int, **_: Any) -> Made:
    """Noise of mean 0 and deviation 1 in every pixel."""
    return dream.noise(n, r.data, generator(r.r, "gaussian")), 0


def shuffled(r: Replicate, n: int) -> Made:
    """Real images whose pixels changed places, each image in its own order: a control."""
    x, size = real(r, n)
    order = torch.rand(x[:, :1].shape, generator=generator(r.r, "shuffled")).flatten(2).argsort(2)
    return x.flatten(2).gather(2, order.expand(-1, x.shape[1], -1)).view_as(x), size


@functools.lru_cache(maxsize=1)
def photograph() -> Tensor:
    """Return the one image, (1, 3, 150, 128): Grace Hopper, as Matplotlib brings her along."""
    file: Any = matplotlib.cbook.get_sample_data("grace_hopper.jpg")
    with file:
        pixels = np.asarray(Image.open(file).convert("RGB").resize((128, 150)), np.float32)
    return torch.from_numpy(pixels / 255).permute(2, 0, 1)[None]


def one_image(r: Replicate, n: int) -> Made:
    """Pieces of one photograph: zoomed, turned, mirrored, with other contrast."""
    source, (c, h, w) = generator(r.r, "one image"), r.data.in_shape
    zoom, turn, right, down, gain, flip = torch.rand(6, n, generator=source)
    zoom, turn, mirror = 0.1 + 0.5 * zoom, torch.pi * turn, 2 * flip.round() - 1
    cos, sin, rest = zoom * turn.cos(), zoom * turn.sin(), 1 - zoom
    places = [mirror * cos, -sin, rest * (2 * right - 1), mirror * sin, cos, rest * (2 * down - 1)]
    grid = F.affine_grid(torch.stack(places, dim=1).view(n, 2, 3), [n, c, h, w], False)
    page = photograph() if c == 3 else photograph().mean(dim=1, keepdim=True)
    x = F.grid_sample(page.expand(n, -1, -1, -1), grid, "bilinear", "reflection", False)
    x = x - x.mean(dim=(1, 2, 3), keepdim=True)
    x = x / x.std(dim=(1, 2, 3), keepdim=True).clamp(min=1e-3)
    return (0.5 + gain)[:, None, None, None] * x, page.numel()


# --- synthesis ------------------------------------------------------------------------------------


def records(
    r: Replicate, n: int, layers: str = "all", covary: bool = True, net: str = NET, **options: Any
) -> Made:
    """Lopes et al.: records of the logits ("top") or of every tap as well ("all")."""
    source, model = generator(r.r, "records"), teacher(r, net).net
    names = taps(model) if layers == "all" else ()
    kept = Records.of(model, r.data.train.x, r.data.train.y, names, covary)
    parts = [
        from_records(model, r.data, kept, y, source, **options)
        for y in classes(n, r.data).split(PART)
    ]
    return torch.cat(parts), kept.bytes


def generated(
    r: Replicate, n: int, weights: Sequence[float] = (), net: str = NET, **options: Any
) -> Made:
    """DAFL: images of a generator that learned from the teacher alone."""
    model, source = teacher(r, net).net, generator(r.r, "dafl")
    return dafl(model, r.data, n, source, r.r, weights, **options), 0


def inverted(
    r: Replicate, n: int, weights: Weights = PUBLISHED, net: str = NET, **options: Any
) -> Made:
    """DeepInversion; with a weight of the competition, ADI.

    There a rival student learns from all images so far, before each further part of them is made
    where it and the teacher disagree. It is thrown away in the end.
    """
    told, source, found = teacher(r, net), generator(r.r, "inverted"), list[Tensor]()
    rival = r.student(peer=1)
    for place, y in enumerate(classes(n, r.data).split(PART)):
        now = weights if place else weights._replace(rival=0.0)  # nobody to compete with yet
        found.append(deep_inversion(told.net, r.data, y, source, now, rival, **options))
        if weights.rival:
            so_far = made(r.data, torch.cat(found))
            fit(KD(rival, asked(told, so_far), alpha=1.0), so_far, r.recipe(0.05), r.r)
    return torch.cat(found), 0
