"""The two pictures of the shoot-out."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from kdlab.shootout.ranking import cells, over, pairs
from kdlab.show.forest import SPARE, WORLD_LOOKS
from kdlab.show.plots import figure
from kdlab.show.words import in_words

BASE = "labels"
WIDE = 3  # times the usual width of an interval, beyond which the axis ends


def leads(runs: Mapping[str, pd.DataFrame]) -> Figure:
    """Draw each method's lead over labels alone, a column a world, in the order of the first.

    An interval many times as wide as the others would make them points, so it ends in an arrow, and
    a mean that lies outside is written there.

    Args:
        runs: {world: rows of its comparison}, at least one.
    """
    found = {world: over(rows, BASE) for world, rows in runs.items()}
    order = list(next(iter(found.values())).index)
    fig, axes = figure(1, len(found), size=(10, 5.2), sharey=True, squeeze=False)
    for ax, (world, x) in zip(axes[0], found.items(), strict=True):
        colour, marker = WORLD_LOOKS.get(world, SPARE)
        x, places = x.reindex(order), np.arange(len(order))
        far = WIDE * float((x["high"] - x["low"]).median())
        means, x = x["mean"], x.clip(-far, far)
        ax.axvline(0, color="#333333", linewidth=1)
        ax.hlines(places, x["low"], x["high"], color=colour, linewidth=3, alpha=0.7)
        for side, arrow in (("low", "<"), ("high", ">")):
            cut = x[side].abs() == far
            ax.plot(x[side][cut], places[cut], arrow, color=colour, markersize=8)
        beyond = means.abs() > far
        ax.plot(means[~beyond], places[~beyond], marker, color=colour, markersize=8)
        for place in places[beyond]:  # the mean itself lies outside: its number stands at the end
            mean, inwards = means.iloc[place], "left" if means.iloc[place] < 0 else "right"
            ax.text(np.sign(mean) * 0.93 * far, place - 0.45, f"mean {mean:+.1f}", ha=inwards)
        ax.set_title(in_words(world))
        ax.set_xlabel("points over labels alone")
        ax.set_yticks(places, order)
        ax.grid(visible=False, axis="y")
    axes[0, 0].set_ylim(len(order) - 0.4, -0.6)
    return fig


def leads_alt(runs: Mapping[str, pd.DataFrame]) -> str:
    """Return `leads` in words."""
    told = []
    for world, rows in runs.items():
        x = over(rows, BASE)
        numbers = "; ".join(f"{name} {lead:+.1f}" for name, lead in x["mean"].items())
        told.append(f"{in_words(world)}: {numbers}")
    return "Points over labels alone, the best first. " + ". ".join(told) + "."


def apart(runs: pd.DataFrame) -> Figure:
    """Draw who is told apart from whom: a mark where the row's method beats the column's."""
    order, told = list(cells(runs)), pairs(runs)
    at = {name: i for i, name in enumerate(order)}
    fig, ax = figure(size=(7.5, 6))
    for pair in told.itertuples():
        x, y = at[pair.worse], at[pair.better]
        ax.plot(x, y, "s" if pair.apart else ".", color="#0072B2" if pair.apart else "#999999")
    ax.set_xticks(range(len(order)), order, rotation=60, ha="right")
    ax.set_yticks(range(len(order)), order)
    ax.invert_yaxis()
    ax.set_xlabel("than this one")
    ax.set_ylabel("this method is better")
    ax.grid(visible=False)
    return fig


def apart_alt(runs: pd.DataFrame) -> str:
    """Return `apart` in words."""
    told = pairs(runs)
    firm = [f"{pair.better} than {pair.worse}" for pair in told.itertuples() if pair.apart]
    better = ", ".join(firm) or "nobody"
    return f"Of {len(told)} pairs {len(firm)} are told apart. Better: {better}."
