"""A folder of pictures, as a reader may bring one, made out of the course's own images."""

from pathlib import Path

import torch
from matplotlib.figure import Figure
from PIL import Image

from kdlab.data import Data, load
from kdlab.seeds import generator
from kdlab.show.plots import figure, picture
from kdlab.store import cache_dir


def coloured(name: str, classes: int = 4, each: int = 150, seed: int = 0) -> Path:
    """Return a folder in the cache that holds `each` PNG pictures of the first `classes`.

    Every picture has a colour of its own, and so has its ground: colour tells nothing of the class.

    Args:
        name: a set of grey images, "mnist5k" or "fashion5k".
        seed: of the colours.

    Raises:
        ValueError: the set has fewer classes, or a class fewer images.
    """
    data = load(name, n_labelled=load(name).pool_size)
    if classes > data.n_classes:
        raise ValueError(f"{name} has {data.n_classes} classes, and {classes} are asked for.")
    folder = cache_dir() / "pictures" / f"{Path(name).stem}-{classes}-{each}-{seed}"
    colours = torch.rand(classes * each, 2, 3, 1, 1, generator=generator(seed, "colours"))
    for label in range(classes):
        rows = (data.train.y == label).nonzero()[:each, 0]
        if len(rows) < each:
            raise ValueError(f"class {label} has {len(rows)} images; ask for no more than that.")
        home = folder / data.classes[label]
        home.mkdir(parents=True, exist_ok=True)
        for place, grey in enumerate(data.images(data.train.x[rows])):
            ink, ground = colours[label * each + place]
            mixed = grey * (0.5 + 0.5 * ink) + (1 - grey) * 0.4 * ground
            pixels = (255 * mixed).round().byte().permute(1, 2, 0).numpy()
            Image.fromarray(pixels).save(home / f"{place:03d}.png")
    return folder


def wall(data: Data, count: int = 8) -> Figure:
    """Return a figure of the first `count` test pictures with their classes."""
    fig, axes = figure(1, count, size=(9.0, 1.5))
    for ax, x, y in zip(axes.flat, data.images(data.test.x), data.test.y.tolist(), strict=False):
        picture(ax, x, data.classes[y])
    return fig
