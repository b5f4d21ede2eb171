"""Figures of notebook 09, Chen et al. 2020: a group while it trains."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from kdlab.papers.okddip.arms import Moment, watched
from kdlab.papers.okddip.method import ONE, OKDDip
from kdlab.papers.okddip.nets import Together
from kdlab.show.plots import figure
from kdlab.train.worlds import Replicate

WAYS = ("OKDDip", "OKDDip, not detached", "ONE")
# number of a moment -> colour, dash
LINES = {"leader": ("#BF5B96", "-"), "peer": ("#0072B2", "--"), "ensemble": ("#333333", ":")}


Stories = dict[str, list[Moment]]  # way -> moments: no network runs while a slider moves


def stories_of(r: Replicate, longer: float = 0.125) -> Stories:
    """Train each of WAYS for `longer` of its usual training and look at it on the way."""
    methods: list[Together] = [OKDDip.of(r), OKDDip.of(r, detach="nothing"), ONE.of(r)]
    return {way: watched(m, r, longer) for way, m in zip(WAYS, methods, strict=True)}


def at(stories: Stories, way: str, done: float) -> Moment:
    """Return the moment that is nearest to `done`: the numbers behind `explorer`."""
    return min(stories[way], key=lambda moment: abs(moment.done - done))


def explorer(stories: Stories, way: str, done: float) -> Figure:
    """Draw who listens to whom, how far the members are apart, and accuracy over time."""
    now, grid = at(stories, way, done), at(stories, way, done).tables
    fig, axes = figure(1, 3, size=(11, 3.8), width_ratios=[1, 1.2, 1.5])
    peers = [f"peer {k + 1}" for k in range(len(grid["attention"]))]
    members, titles = ["leader", *peers], ["leader", "mean peer", "peers together"]
    if np.isnan(grid["attention"]).any():  # ONE
        members = [f"member {k + 1}" for k in range(len(grid["distances"]))]
        titles = ["member 1", "mean member", "members together"]
        axes[0].text(0.5, 0.5, "no attention:\none target for all", ha="center", va="center")
        axes[0].set_axis_off()
    else:
        _grid(axes[0], grid["attention"], peers, 1.0, 2)
        axes[0].set(title="who (row) listens to whom")
    top = max(m.tables["distances"].max() for story in stories.values() for m in story)
    _grid(axes[1], grid["distances"], members, top, 0)
    axes[1].set_title(f"distances; mean of pairs {now.numbers['distance']:.1f}")
    for (column, (colour, dash)), label in zip(LINES.items(), titles, strict=True):
        line = [m.numbers[column] for m in stories[way]]
        axes[2].plot([m.done for m in stories[way]], line, dash, color=colour, label=label)
    axes[2].axvline(now.done, color="#8C8C8C")
    axes[2].set(xlabel="share of training done", ylabel="validation accuracy in %", ylim=(0, 102))
    axes[2].legend(loc="lower right")
    return fig


def _grid(ax: Axes, grid: np.ndarray, names: list[str], top: float, digits: int) -> None:
    """Draw a table of numbers, from 0 in white to `top` in blue."""
    ax.imshow(grid, cmap="Blues", vmin=0, vmax=1.4 * max(top, 1e-9), aspect="auto")
    for (a, b), value in np.ndenumerate(grid):
        ax.text(b, a, f"{value:.{digits}f}", ha="center", va="center")
    ax.set_xticks(range(len(names)), names, rotation=30)
    ax.set_yticks(range(len(names)), names)
    ax.grid(False)
