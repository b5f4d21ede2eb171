"""The forest plot: every primary claim in every world, its interval and its outcome."""

import textwrap

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator

from kdlab.show.plots import figure, show
from kdlab.show.report import nothing
from kdlab.show.words import in_words, where_it_holds

WORLD_LOOKS = {  # colour and marker of each world; SPARE is for a reader's own
    "mnist5k": ("#0072B2", "o"),
    "fashion5k": ("#D55E00", "s"),
    "rot40": ("#009E73", "^"),
    "natural": ("#9467B5", "D"),
}
SPARE = ("#333333", "v")
FAR = 8  # margins, beyond which the axis is compressed


def forest(judged: pd.DataFrame) -> Figure:
    """Draw one row per primary claim and world: interval, mean, outcome at its right.

    Claims have different units, so each effect is divided by the smallest that matters, the margin
    of its claim: right of 0 speaks for the claim, and the grey band from -1 to 1 is too small to
    matter. A claimed equality holds inside the band.

    Args:
        judged: of `kdlab.runs.claims.judge`.

    Raises:
        ValueError: no primary claim has numbers.
    """
    rows = _drawn(judged)
    fig, ax = figure(size=(10, min(6, 1.5 + 0.32 * len(rows))))
    ax.axvspan(-1, 1, color="#E3E3E3", zorder=0)
    ax.axvline(0, color="#333333", linewidth=1)
    for world, part in rows.groupby("world", sort=False):
        colour, marker = WORLD_LOOKS.get(str(world), SPARE)
        ax.hlines(part["y"], part["low"], part["high"], color=colour, linewidth=3, alpha=0.7)
        style = {"marker": marker, "color": colour, "markersize": 8, "linestyle": "none"}
        ax.plot(part["ours"], part["y"], label=in_words(str(world)) or "here", **style)
    scale = ""
    if np.nanmax(np.abs(rows[["ours", "low", "high"]])) > FAR:
        scale = " (axis compressed beyond 2)"
        ax.set_xscale("symlog", linthresh=2)
        ax.xaxis.set_major_locator(FixedLocator([-100, -30, -10, -3, -1, 0, 1, 3, 10, 30, 100]))
        ax.xaxis.set_major_formatter("{x:g}")
    middles = rows.groupby("id", sort=False).agg({"y": "mean", "claim": "first"})
    ax.set_yticks(middles["y"], [textwrap.fill(text, 44) for text in middles["claim"]], fontsize=10)
    ax.set_ylim(rows["y"].max() + 0.7, -0.7)
    ax.grid(visible=False, axis="y")
    told = ax.secondary_yaxis("right")
    told.set_yticks(rows["y"], rows["outcome"], fontsize=10)
    for side in (ax, told):
        side.tick_params(axis="y", length=0)
    told.spines["right"].set_visible(False)
    sides = "grey: too small to matter; right of it: for the claim; left of it: against the claim"
    if rows["equal"].any():
        sides += "\na claim that two are equal holds inside the grey; on both sides: against it"
    ax.set_xlabel(f"effect divided by the smallest effect that matters{scale}\n{sides}")
    fig.legend(loc="outside upper center", ncols=len(WORLD_LOOKS))
    return fig


def show_forest(judged: pd.DataFrame) -> None:
    """Display the forest in a fold, since it answers guesses; say so where nothing is measured."""
    known = judged[judged["primary"].astype(bool) & judged["ours"].notna()]
    if not nothing(known, "these claims"):
        show(forest(judged), forest_alt(judged), fold="The forest of claims")


def _drawn(judged: pd.DataFrame) -> pd.DataFrame:
    """Return the rows that have numbers, in units of their margin, with their places `y`."""
    rows = judged[judged["primary"].astype(bool) & judged["ours"].notna()].copy()
    if rows.empty:
        raise ValueError("no primary claim has numbers to draw; measure them first.")
    for column in ("ours", "low", "high"):
        rows[column] = rows[column].astype(float) / rows["margin"]
    claims = pd.factorize(rows["id"])[0]
    rows["y"] = np.arange(len(rows)) + 0.7 * claims  # room between two claims
    return rows


def forest_alt(judged: pd.DataFrame) -> str:
    """Return in words what `forest` shows."""
    rows = _drawn(judged)
    told = [
        f"{part['claim'].iloc[0].rstrip('.')}: {where_it_holds(part)}."
        for _, part in rows.groupby("id", sort=False)
    ]
    return (
        "Forest plot: an interval for each claim and kind of image, each effect divided by the "
        f"smallest that matters. {' '.join(told)}"
    )
