"""Figures: one look, intervals drawn, every picture with a text for those who cannot see it."""

import base64
import html
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from IPython.display import display
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image
from torch import Tensor

from kdlab.runs.claims import interval
from kdlab.show.folds import folded
from kdlab.show.looks import NEUTRAL, known, look

STYLE = Path(__file__).with_name("style.mplstyle")


def figure(
    rows: int = 1, columns: int = 1, size: tuple[float, float] | None = None, **options: Any
) -> tuple[Figure, Any]:
    """Return (figure, axes) in the course's style, `size` in inches; like ``plt.subplots``.

    The style stays on: legends and images that are added later take it, too.
    """
    plt.style.use(STYLE)
    fig, axes = plt.subplots(rows, columns, figsize=size, **options)
    plt.close(fig)  # shown by `show` alone, never a second time by the inline backend
    return fig, axes


def show(fig: Figure, alt: str, fold: str = "") -> None:
    """Display `fig` as a small PNG with the alternative text `alt`, and free it.

    `fold`: a picture that answers a guess lies in a fold of this title.

    Raises:
        ValueError: see `bundle`.
    """
    display(bundle(fig, alt, fold), raw=True)


show_figure = show  # its name beside the package `kdlab.show`


def bundle(fig: Figure, alt: str, fold: str = "", opened: bool = False) -> dict[str, str]:
    """Return what a notebook keeps of `fig`, by MIME type, and free it; see `show` and `folded`.

    Raises:
        ValueError: `alt` is shorter than 20 characters: say what the picture shows.
    """
    if len(alt.strip()) < 20:
        raise ValueError(f"alt is {alt!r}; say in a sentence what the picture shows.")
    data = base64.b64encode(png(fig)).decode()
    plt.close(fig)  # a figure made by pyplot itself would stay in memory
    picture = f'<img alt="{html.escape(alt)}" src="data:image/png;base64,{data}">'
    if fold:  # no bare image: a viewer would show it outside of the fold
        return {"text/html": folded(picture, fold, opened), "text/plain": fold}
    return {"text/html": picture, "image/png": data, "text/plain": alt}


def png(fig: Figure, colours: int = 64) -> bytes:
    """Return `fig` as PNG with a palette of `colours`, a quarter of the size of full colour."""
    canvas, small = FigureCanvasAgg(fig), io.BytesIO()
    canvas.draw()  # `savefig` would draw twice, and pack the pixels only to unpack them here
    page = Image.fromarray(np.asarray(canvas.buffer_rgba())).convert("RGB")
    page = page.quantize(colours, Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE)
    page.save(small, format="png", optimize=True)
    return small.getvalue()


def dots(
    ax: Axes, runs: pd.DataFrame, metric: str, by: str = "arm", label: str = "", digits: int = 1
) -> None:
    """Draw one row per arm: every seed a faint dot, the mean a marker, its 95 % interval a bar."""
    names = list(dict.fromkeys(runs[by]))
    for place, name in enumerate(names):
        x = runs.loc[runs[by] == name, metric].to_numpy(float)
        found, style = interval(x), look(str(name)) if known(str(name)) else NEUTRAL
        ax.plot(x, np.full(len(x), place), ".", color=style["color"], alpha=0.35, markersize=5)
        ax.plot(
            [found.low, found.high], [place, place], color=style["color"], linewidth=3, alpha=0.8
        )
        ax.plot(found.mean, place, linestyle="none", markersize=8, **style)
        above: dict[str, Any] = {"textcoords": "offset points", "ha": "center", "fontsize": 10}
        ax.annotate(f"{found.mean:z.{digits}f}", (found.mean, place), (0, 8), **above)
    ax.set_yticks(range(len(names)), [plain(str(name)) for name in names])
    ax.set_ylim(len(names) - 0.4, -0.6)
    ax.set_xlabel(label or metric)


def band(
    ax: Axes, runs: pd.DataFrame, x: str, y: str, name: str, place: int = 0, **options: Any
) -> None:
    """Draw the mean of `y` against `x` with the 95 % interval over seeds as a band."""
    style = look(name, place) | options
    found = [(value, interval(group[y])) for value, group in runs.groupby(x)]
    at, mean, low, high = np.array([(v, i.mean, i.low, i.high) for v, i in found], float).T
    ax.plot(at, mean, label=name, **style)
    ax.fill_between(at, low, high, color=style["color"], alpha=0.15, linewidth=0)


def heat(ax: Axes, frame: pd.DataFrame, digits: int = 2, best: str = "min") -> None:
    """Draw `frame` as a map with the numbers written in; the best of each row is framed.

    Colours compare within a row, from its lowest to its highest number. `best` is "min" or "max".
    A missing number is a dash.
    """
    grid = frame.to_numpy(float)
    ranks = frame.sub(frame.min(axis=1), axis=0)
    shade = ranks.div(ranks.max(axis=1), axis=0).to_numpy(float)
    ax.imshow(shade, aspect="auto", vmin=0, vmax=1)
    ax.grid(False)
    for set_ticks, names in ((ax.set_xticks, frame.columns), (ax.set_yticks, frame.index)):
        names = [f"{name:g}" if isinstance(name, float) else str(name) for name in names]
        set_ticks(range(len(names)), names)
    for i, row in enumerate(grid):
        for j, value in enumerate(row):
            text = "–" if np.isnan(value) else f"{value:z.{digits}f}"
            ink = "white" if shade[i, j] < 0.5 else "black"
            ax.text(j, i, text, ha="center", va="center", color=ink)
        if not np.isnan(row).all():
            j = int(np.nanargmin(row) if best == "min" else np.nanargmax(row))
            corner, size = (j - 0.48, i - 0.46), (0.96, 0.92)
            ax.add_patch(plt.Rectangle(corner, *size, fill=False, ec="#D55E00", lw=3))
    ax.set_xlabel(str(frame.columns.name or ""))
    ax.set_ylabel(str(frame.index.name or ""))


def ticks(ax: Axes, classes: Sequence[str], most: int = 10) -> None:
    """Name the classes below the axis, about `most` of them; long names stand upright."""
    step = max(1, len(classes) // most)
    names = [plain(name) for name in classes[::step]]
    turned = 90 if max(map(len, names)) > 3 else 0
    ax.set_xticks(range(0, len(classes), step), names, rotation=turned)


def plain(text: str) -> str:
    """Return a name so that matplotlib draws it as it is: a dollar sign begins no formula."""
    return text.replace("$", r"\$")


def picture(ax: Axes, image: Tensor, title: str = "") -> None:
    """Draw one image (C, H, W) with values in [0, 1], grey where C is 1."""
    grid = image.detach().cpu().numpy()
    ax.imshow(grid[0] if len(grid) == 1 else grid.transpose(1, 2, 0), cmap="gray", vmin=0, vmax=1)
    ax.set_axis_off()
    ax.set_title(plain(title), loc="center", fontsize=10)
