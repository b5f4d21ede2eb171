"""What the evidence of notebook 09 shows, one figure or table a question."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from kdlab.papers.okddip.arms import STORY
from kdlab.runs.differences import interval
from kdlab.show.looks import look
from kdlab.show.plots import band, figure, show
from kdlab.show.report import nothing, summary, table

ROW = ("accuracy", "peer", "ensemble", "gain", "disagreement", "distance", "correlation")
WORDS = {"distance": "distance between peers, in 1/100", "self-weight": "weight on oneself"}
WHOLE = 0.9  # a group of which less is left has broken, see `broken`
LOST, SOUND = "#D55E00", "#0072B2"
LADDER = ("independent", "ONE, weight 0.3", "ONE")  # the weight of the one target: 0, 0.3, 1
PANELS = {"peer": "mean member", "ensemble": "members together", "accuracy": "the one deployed"}


def style(arm: str) -> dict[str, Any]:
    """Return colour and marker of an arm; ONE with a smaller weight is hollow."""
    return look(arm) | ({"markerfacecolor": "white"} if "weight" in arm else {})


def grouped(runs: pd.DataFrame, what: str) -> pd.DataFrame:
    """Return the rows of arms that train a group; say so where there are none."""
    here = runs[runs["distance"].notna()] if "distance" in runs else runs[:0]
    nothing(here, what[0].lower() + what[1:])
    return here


def groups(runs: pd.DataFrame, what: str, columns: Sequence[str] = ROW) -> None:
    """Show accuracy and diversity of every arm that trains a group."""
    if len(here := grouped(runs, what)):
        rows, by_arm = summary(here, columns), broken(here).groupby(here["arm"])
        counts = {arm: f"{int(x.sum())} of {len(x)}" for arm, x in by_arm}
        told = f"{what}: mean ± half-width of the 95 % interval, where more than one run stands."
        table(rows.assign(broken=rows["arm"].map(counts)), told, fold=f"The table: {what}")


def broken(runs: pd.DataFrame) -> pd.Series:
    """Return for each group whether it broke: who is deployed, or the mean member, knows little.

    Little is less than a share WHOLE of the median network of `runs` in that world.
    """
    usual = runs.groupby("world")["accuracy"].transform("median")
    return runs[["peer", "accuracy"]].min(axis=1) < WHOLE * usual


def breaks(runs: Mapping[str, pd.DataFrame], world: str, arm: str = "OKDDip") -> None:
    """Draw the mean peer of each replicate while it trains, a panel for each table of `runs`."""
    groups = {name: grouped(rows[rows["world"] == world], name) for name, rows in runs.items()}
    here = {
        name: rows.assign(broken=broken(rows))[rows["arm"].str.startswith(arm)]
        for name, rows in groups.items()
        if len(rows)
    }
    if nothing(next(iter(here.values()), pd.DataFrame()), "groups that break"):
        return
    fig, axes = figure(1, len(here), size=(10.5, 3.6), sharey=True, squeeze=False)
    told = []
    for ax, (name, rows) in zip(axes[0], here.items(), strict=True):
        for story, bad in zip(rows["story"], rows["broken"], strict=True):
            line = pd.DataFrame(story, columns=STORY, dtype=float)
            style = {"color": LOST if bad else SOUND, "linewidth": 2 if bad else 1}
            ax.plot(line["progress"], line["peer"], **style)
        told.append(f"{name}: {rows['broken'].sum()} of {len(rows)} groups broke")
        ax.set(title=told[-1], xlabel="share of the training done")
    axes[0, 0].set_ylabel("mean peer, validation, %")
    show(fig, f"Accuracy of the mean peer while {arm} trains. {'; '.join(told)}.", fold="When?")


def over_time(runs: pd.DataFrame, columns: Sequence[str], what: str) -> None:
    """Draw columns of STORY against the share of the training that is done, a panel each."""
    if (here := grouped(runs, what)).empty:
        return
    (fig, axes), told = figure(1, len(columns), size=(10, 3.6), squeeze=False), []
    for ax, column in zip(axes[0], columns, strict=True):
        for arm, rows in here.groupby("arm", sort=False):
            line = pd.DataFrame(np.concatenate([*rows["story"]]), columns=STORY, dtype=float)
            if len(line := line.dropna(subset=[column])):
                band(ax, line, "progress", column, str(arm), **style(str(arm)))
                last = line.loc[line["progress"] == line["progress"].max(), column]
                told.append(f"{arm}, {WORDS[column]} at the end {interval(last)}")
        ax.set(xlabel="share of the training done", ylabel=WORDS[column])
    fig.legend(*axes[0][0].get_legend_handles_labels(), loc="outside upper center", ncols=3)
    show(fig, f"{what}. {'; '.join(told)}.", fold=f"The figure: {what}")


def fair(runs: pd.DataFrame, what: str) -> None:
    """Draw accuracy against distance: a line for ONE at growing weight, points for the others.

    Above the line a group is more accurate than ONE is with members as far apart. Groups that have
    broken are left out: how far their members are apart says nothing.
    """
    if (here := grouped(runs, what)).empty:
        return
    bad = broken(here)
    here, told = here[~bad], [f"left out, since they broke: {bad.sum()} of {len(bad)} groups"]
    fig, axes = figure(1, 3, size=(10.5, 3.8))
    for ax, (column, title) in zip(axes, PANELS.items(), strict=True):
        found = {}
        for arm, rows in here.groupby("arm", sort=False):
            x, y = interval(rows["distance"]), interval(rows[column])
            options = style(str(arm)) | {"label": str(arm), "linestyle": "none"}
            ax.errorbar(x.mean, y.mean, y.half, x.half, **options)
            found[arm] = x.mean, y.mean
            told.append(f"{title}, {arm}: {y.mean:.1f} at distance {x.mean:.1f}")
        line = [found.get(arm, (np.nan, np.nan)) for arm in LADDER]
        ax.plot(*zip(*line, strict=True), ":", color="#333333", zorder=0)
        ax.set(xlabel="distance between peers, in 1/100", title=title)
    axes[0].set_ylabel("test accuracy in % (axis cut)")
    fig.legend(*axes[0].get_legend_handles_labels(), loc="outside upper center", ncols=3)
    show(fig, f"{what}. {'; '.join(told)}.", fold=f"The figure: {what}")
