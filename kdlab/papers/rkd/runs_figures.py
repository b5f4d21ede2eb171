"""Figures of notebook 05 that are made of runs: classifiers, orders, retrieval, leaving home."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from kdlab.papers.rkd.figures import OWN
from kdlab.runs.claims import cell, interval
from kdlab.show.looks import LOOKS, look
from kdlab.show.plots import band, dots, figure

LOOKS.update(OWN)  # arms of this notebook alone
DASHES = ("-", "--", ":", "-.", (0, (1, 4)))


def two_by_two(parts: Mapping[str, tuple[pd.DataFrame, str]]) -> Figure:
    """Draw accuracy without and with relations, a line without and one with soft targets.

    Args:
        parts: title -> (runs of the arms "hard labels", "KD", "RKD", "RKD + KD", what their names
            end with).
    """
    fig, axes = figure(1, len(parts), size=(8.8, 3.4), squeeze=False)
    for ax, (title, (runs, end)) in zip(axes[0], parts.items(), strict=True):
        for without, with_it in (("hard labels", "RKD"), ("KD", "RKD + KD")):
            ends = (without + end, with_it + end)
            two = runs[runs["arm"].isin(ends)]
            two = two.assign(place=two["arm"].eq(with_it + end) * 1)
            # its label starts with _: the legend names the ends of the line
            style = {"color": look(without)["color"], "marker": ""}
            band(ax, two, "place", "accuracy", "_" + without, **style)
            for place, (name, arm) in enumerate(zip((without, with_it), ends, strict=True)):
                mean = cell(runs, arm=arm).mean()
                ax.plot(place, mean, label=name, linestyle="none", markersize=8, **look(name))
        ax.set_xticks([0, 1], ["without relations", "with RKD"])
        ax.set(ylabel="test accuracy in % (axis cut)", title=title, xlim=(-0.2, 1.2))
    fig.legend(*axes[0][0].get_legend_handles_labels(), loc="outside lower center", ncols=4)
    return fig


def told(x: Sequence[float] | np.ndarray, digits: int = 2) -> str:
    """Return differences over seeds for a table: mean, 95 % interval, and on which side of 0.

    >>> told([1.0, 1.5, 2.0])
    '+1.50 [+0.26, +2.74] more'
    """
    found = interval(x)
    side = "more" if found.low > 0 else "less" if found.high < 0 else "open"
    mean, low, high = (f"{v:+z.{digits}f}" for v in (found.mean, found.low, found.high))
    return f"{mean} [{low}, {high}] {side}"


def orders(runs: pd.DataFrame, arms: Sequence[str]) -> Figure:
    """Draw accuracy and both measures of relations, a row per arm."""
    shown = pd.concat([runs[runs["arm"] == arm] for arm in arms])
    fig, axes = figure(1, 3, size=(9.8, 3.5), sharey=True)
    dots(axes[0], shown, "accuracy", label="test accuracy in %\n(axis cut)")
    dots(axes[1], shown.assign(correlation=100 * shown["correlation"]), "correlation")
    axes[1].set_xlabel("correlation of distances in %\n(axis cut)")
    dots(axes[2], shown, "degrees", label="difference of angles in degrees\n(axis cut)")
    for ax, metric, scale in zip(
        axes, ("accuracy", "correlation", "degrees"), (1, 100, 1), strict=True
    ):
        leave_out(ax, shown.assign(x=scale * shown[metric]), "x", list(arms))
    return fig


def leave_out(ax: Axes, runs: pd.DataFrame, metric: str, arms: Sequence[str]) -> None:
    """Spread the axis over all arms but the controls; say at its edge where such a mean lies."""
    off = runs["arm"].str.startswith("control")
    shown = [x for _, x in runs[~off].groupby("arm")[metric]]
    ends = [(found.low, found.high, *x) for x in shown for found in [interval(x)]]
    low, high = np.nanmin(np.hstack(ends)), np.nanmax(np.hstack(ends))
    room = 0.1 * (high - low) or 1.0
    ax.set_xlim(low - room, high + room)
    for name, group in runs[off].groupby("arm"):
        mean = group[metric].mean()
        if not low - room <= mean <= high + room:
            left = mean < low
            told = f"← {mean:.1f}, off the axis" if left else f"off the axis, {mean:.1f} →"
            side: dict[str, Any] = {"ha": "left" if left else "right", "va": "center"}
            place = (0.02 if left else 0.98, arms.index(str(name)))  # share of the width, row
            box = {"fc": "white", "ec": "none", "pad": 1}  # no grid line runs through it
            ax.text(*place, told, transform=ax.get_yaxis_transform(), fontsize=10, bbox=box, **side)


def retrieval(runs: pd.DataFrame, marks: Mapping[str, float]) -> Figure:
    """Draw recall@1, a row per arm, and grey lines at `marks`, what no student was trained for."""
    fig, ax = figure(size=(8.6, 3.6))
    dots(ax, runs, "recall@1", label="recall@1 on unseen classes in % (axis cut)")
    for place, (name, mark) in enumerate(marks.items()):
        style = {"linestyle": DASHES[place % len(DASHES)], "color": "#8C8C8C", "linewidth": 1.3}
        ax.axvline(mark, label=f"{name}: {mark:.1f}", **style)
    ax.legend(loc="upper left", bbox_to_anchor=(1.01, 1), title="for comparison")
    return fig


def leaving_home(
    runs: pd.DataFrame, alone: Sequence[str], student: str, teacher: tuple[float, float]
) -> Figure:
    """Draw recall during training of the arms `alone`, and recall as written against inverted.

    Bands on the left are 95 % intervals over seeds.

    Args:
        runs: rows with ``path`` (epochs,), ``recall@1`` and ``inverted``.
        alone: arms of the left panel.
        student: arm of the right panel, a line per seed.
        teacher: its recall as written, and inverted.
    """
    fig, (left, right) = figure(1, 2, size=(9.0, 3.1))
    for place, arm in enumerate(alone):
        band(left, _epochs(cell(runs, "path", arm=arm)), "epoch", "recall", arm, place)
    left.set(xlabel="epoch", ylabel="recall@1 on unseen classes\nin % (axis cut)")
    left.legend()
    right.plot([0, 1], teacher, label="teacher", **look("teacher"))
    home, away = (cell(runs, column, arm=student) for column in ("recall@1", "inverted"))
    for place, pair in enumerate(zip(home, away, strict=True)):
        label = None if place else f"{student}, each seed"
        right.plot([0, 1], pair, alpha=0.6, label=label, **look(student))
    right.set_xticks([0, 1], ["as written", "inverted"])
    right.set(xlim=(-0.2, 1.2), ylabel="recall@1 in % (axis cut)")
    right.legend()
    return fig


def _epochs(paths: pd.Series) -> pd.DataFrame:
    """Return one row per seed and epoch of `paths`, an array (epochs,) per seed."""
    rows = [(e, recall) for path in paths for e, recall in enumerate(path, start=1)]
    return pd.DataFrame(rows, columns=["epoch", "recall"])
