"""The explorer of notebook 08: what peers say of one image while they learn, and who pulls whom."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from kdlab.data import Data
from kdlab.papers.dml.pulls import PEERS, divergences, pulls
from kdlab.runs.claims import interval
from kdlab.show.looks import LOOKS
from kdlab.show.plots import figure, picture

LINES = {"mean member": ("accuracy", *LOOKS["DML"]), "ensemble": ("ensemble", "#2A87BE", "P")}


class Story(NamedTuple):
    """One training: posteriors `q` (M, K, N, C) of K peers for N images at M moments."""

    shares: Sequence[float]  # of the training that is done, one a moment
    q: np.ndarray


class Case(NamedTuple):
    """One image: its name, pixels (C, H, W) in [0, 1], label, and its row in every story."""

    name: str
    image: Tensor
    label: int
    row: int


def moments(story: np.ndarray, shares: Sequence[float]) -> Story:
    """Return the moments of `story` (E + 1, K, N, C), one an epoch, nearest to `shares`."""
    last = len(story) - 1
    epochs = [round(share * last) for share in shares]
    return Story([epoch / max(last, 1) for epoch in epochs], np.asarray(story)[epochs])


def cases(data: Data, chosen: Mapping[str, int]) -> list[Case]:
    """Return the validation images at the rows `chosen`, by name."""
    val = data.val
    return [Case(n, data.images(val.x[r]), int(val.y[r]), r) for n, r in chosen.items()]


def contested(q: np.ndarray, y: Tensor, classes: Sequence[str], count: int = 6) -> dict[str, int]:
    """Return {"a disputed 4": row}: images on which peers 1 and 2 differ most, one a label.

    `q`: posteriors (M, K, N, C), of which the mean over moments counts; `y`: labels (N,).
    """
    pairs = [divergences(moment[:2]) for moment in q]
    gap = np.mean([kl[0, 1] + kl[1, 0] for kl in pairs], axis=0)
    found: dict[int, int] = {}
    for row in np.argsort(-gap).tolist():
        found.setdefault(int(y[row]), row)
    return {f"a disputed {classes[label]}": row for label, row in list(found.items())[:count]}


def explorer(
    stories: Mapping[tuple[int, int], Story],
    runs: pd.DataFrame,
    cases: Sequence[Case],
    classes: Sequence[str],
    image: int,
    moment: int,
    K: int,
    labels: int,
) -> Figure:
    """Draw an image, the posteriors of K peers, who pulls whom, and how it ended.

    `stories` by (labels, K). `runs`: labels, K, accuracy (of the mean member), ensemble. The last
    four say which case, which moment, how many peers and how many labels to show.
    """
    case, story = cases[image], stories[labels, K]
    q = story.q[moment, :, case.row]
    fig, axes = figure(1, 4, size=(11.5, 3.7), width_ratios=[0.7, 1.9, 1.25, 1.5])
    picture(axes[0], case.image, f"label {classes[case.label]}")
    bars(axes[1], q, classes, f"{story.shares[moment]:.0%} of the training")
    axes[1].set_ylabel("probability, one run")
    pulls(axes[2], divergences(q))
    outcome(axes[3], runs[runs["labels"] == labels], K)
    axes[3].set_title(f"{labels} labels: test accuracy, %")
    return fig


def strip(story: Story, case: Case, classes: Sequence[str], chosen: Sequence[int]) -> Figure:
    """Draw an image; its posteriors, and who pulls whom, at the `chosen` moments of `story`."""
    tall = 0.65 if story.q.shape[1] < 3 else 1.1  # a ring needs more room than a pair
    size = (2.4 * len(chosen) + 1.6, 2.45 * (1 + tall))
    shape: dict[str, Any] = {"size": size, "height_ratios": [1, tall]}
    widths = [0.75, *[1] * len(chosen)]
    fig, axes = figure(2, len(widths), width_ratios=widths, **shape)
    picture(axes[0, 0], case.image, f"label {classes[case.label]}")
    axes[1, 0].set_axis_off()
    note = "who pulls whom:\nKL in nats from\nthe target, up to\n1 nat as width"
    axes[1, 0].text(0, 0.5, note, va="center", fontsize=10, transform=axes[1, 0].transAxes)
    for column, moment in zip(axes.T[1:], chosen, strict=True):
        q = story.q[moment, :, case.row]
        bars(column[0], q, classes, f"{story.shares[moment]:.0%} of training")
        pulls(column[1], divergences(q), told=False)
    axes[0, 1].set_ylabel("probability, one run")
    for ax in axes[0, 2:]:
        ax.tick_params(labelleft=False)
        ax.get_legend().remove()
    return fig


def bars(ax: Axes, q: np.ndarray, classes: Sequence[str], title: str) -> None:
    """Draw the posteriors `q` (K, C) of peers side by side for each class."""
    K, step = len(q), max(1, len(classes) // 10)
    for k in range(K):
        place = np.arange(len(classes)) + (k - (K - 1) / 2) * 0.8 / K
        ax.bar(place, q[k], 0.8 / K, color=PEERS[k], label=f"$q_{k + 1}$")
    ax.set_xticks(range(0, len(classes), step), list(classes)[::step])
    ax.tick_params(axis="x", rotation=0 if step == 1 else 60)
    ax.set(ylim=(0, 1.18), xlabel="class", title=title)
    ax.grid(visible=False, axis="x")
    ax.legend(loc="upper right", ncols=K, columnspacing=1, handlelength=1)


def outcome(ax: Axes, runs: pd.DataFrame, K: int) -> None:
    """Draw mean member and ensemble against the number of peers, with intervals; mark `K`."""
    for side, (name, (metric, colour, marker)) in zip((-0.07, 0.07), LINES.items(), strict=True):
        found = [(n, interval(group[metric])) for n, group in runs.groupby("K")]
        n, mean, low, high = np.array([(n, i.mean, i.low, i.high) for n, i in found], float).T
        ax.plot(n + side, mean, marker=marker, color=colour, label=name)
        ax.vlines(n + side, low, high, color=colour)
    ax.axvspan(K - 0.3, K + 0.3, color="#EEEEEE", zorder=0)
    ax.set_xticks(sorted(runs["K"].unique()))
    ax.set_xlabel("peers that learn together")
    ax.legend(loc="lower right")
