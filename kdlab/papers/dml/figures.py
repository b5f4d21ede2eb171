"""Figures of notebook 08, Zhang, Xiang, Hospedales, Lu 2018; its explorer is in dml_explorer."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from kdlab.papers.dml.pulls import PEERS
from kdlab.show.looks import look
from kdlab.show.plots import band, figure

DASHES = ("-", "--", ":", "-.")


def tails(ax: Axes, spread: Mapping[str, np.ndarray], last: int = 5) -> None:
    """Draw the mean probability of the most likely, second, ... class (C,) of each arm."""
    for place, (name, p) in enumerate(spread.items()):
        ranks = range(1, min(last, len(p)) + 1)
        ax.plot(ranks, p[:last], DASHES[place % 4], label=name, **look(name, place))
        ax.set_xticks(ranks)
    ax.set(yscale="log", xlabel="rank of the class", ylabel="mean probability (log scale)")
    ax.legend()


def rises(ax: Axes, runs: pd.DataFrame, column: str, sigmas: Sequence[float]) -> None:
    """Draw how the array in `column`, one number a sigma, rises: mean and 95 % band of each arm."""
    for place, (name, group) in enumerate(runs.groupby("arm", sort=False)):
        points = group[[column]].assign(sigma=[sigmas] * len(group)).explode([column, "sigma"])
        points = points.astype(float)
        band(ax, points, "sigma", column, str(name), place, linestyle=DASHES[place % 4])
    ax.legend()


def closeness(ax: Axes, runs: pd.DataFrame) -> None:
    """Draw, for each arm, how alike the peers' features are against what two of them gain as one.

    A faint mark a seed, a large one for the mean.
    """
    for place, (name, group) in enumerate(runs.groupby("arm", sort=False)):
        x, y = group["cka"].to_numpy(), (group["ensemble of 2"] - group["accuracy"]).to_numpy()
        style: dict[str, Any] = look(str(name), place) | {"linestyle": "none"}
        ax.plot(x, y, alpha=0.35, markersize=5, **style)
        ax.plot(x.mean(), y.mean(), markersize=11, label=name, **style)
    ax.set(xlabel="linear CKA of the peers' features (axis cut)")
    ax.set_ylabel("two as one gain, points")
    ax.legend()


def sizes(ax: Axes, runs: pd.DataFrame, metric: str) -> None:
    """Draw `metric` against the number of peers, a line with its 95 % band for each label count."""
    for place, (count, group) in enumerate(runs.groupby("labels")):
        style = look("DML") | {"linestyle": DASHES[place % 4]}  # a label count is no method
        band(ax, group, "K", metric, f"{count} labels", **style)
    ax.set_xlabel("peers that learn together")
    ax.set_xticks(sorted(runs["K"].unique()))
    ax.legend(handlelength=4)


def curves(table: pd.DataFrame) -> Figure:
    """Draw a training as it goes: the accuracy of two peers, and their two losses.

    `table` has a row a report: update, and for peer k "accuracy k", "hard k" and "peers k".
    """
    fig, (left, right) = figure(1, 2, size=(9, 2.8))
    for k, marker in ((1, "o"), (2, "s")):
        style: dict[str, Any] = {"color": PEERS[k - 1], "marker": marker, "markersize": 4}
        left.plot(table["update"], table[f"accuracy {k}"], label=f"peer {k}", **style)
        right.plot(table["update"], table[f"hard {k}"], "-", label=f"label, peer {k}", **style)
        if f"peers {k}" in table:
            named = {"label": f"weighted KL, peer {k}"} | style
            right.plot(table["update"], table[f"peers {k}"], ":", **named)
    left.set(xlabel="updates (one run)", ylabel="validation accuracy in %", ylim=(0, 101))
    room = 1.4 * right.dataLim.y1  # for the legend
    right.set(xlabel="updates (one run)", ylabel="loss in nats", ylim=(0, room))
    left.legend(loc="lower right")
    right.legend(ncols=2)
    return fig
