"""What the evidence of notebook 00 shows, one figure or table a question of its section Deeper."""

import re

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from kdlab.runs.differences import interval
from kdlab.show.plots import band, dots, figure, show
from kdlab.show.report import nothing, summary, table
from kdlab.show.words import in_words
from kdlab.train.worlds import WORLDS


def panels(runs: pd.DataFrame, height: float) -> tuple[Figure, list[tuple[str, Axes]]]:
    """Return a figure with a panel for each world of `runs`, and the (world, axes) pairs."""
    names = list(dict.fromkeys(runs["world"]))
    fig, axes = figure(1, len(names), size=(9.6, height), squeeze=False)
    for name, ax in zip(names, axes[0], strict=True):
        ax.set_title(in_words(name))
    return fig, list(zip(names, axes[0], strict=True))


def measures(soft: pd.DataFrame, name: str) -> None:
    """Show accuracy, likelihood, calibration and entropy of every arm in one world."""
    here = soft[soft["world"] == name]
    if nothing(here, in_words(name)):
        return
    table(
        summary(here, ["accuracy", "nll", "ece", "entropy"]),
        f"Test images, {in_words(name)}: mean ± half-width of the 95 % interval. "
        "Accuracy and ECE in %, NLL and entropy in nats.",
        fold="What lies behind the mean",
    )


def ladder(regime: pd.DataFrame, patience: pd.DataFrame) -> None:
    """Draw accuracy against the number of updates, labels alone and KD, a panel a world."""
    runs = regime.copy()
    runs["updates"] = [int(re.findall(r"\d+", arm)[0]) for arm in runs["arm"]]
    runs["arm"] = [arm.split(",")[0] for arm in runs["arm"]]
    longest = patience[patience["arm"].str.endswith("4 times")]
    longest = longest.assign(updates=8000, arm=[arm.split(",")[0] for arm in longest["arm"]])
    runs = pd.concat([runs, longest[longest["seed"].isin(runs["seed"])]])
    fig, pairs = panels(runs, 3.2)
    for name, ax in pairs:
        for place, (arm, rows) in enumerate(runs[runs["world"] == name].groupby("arm", sort=False)):
            band(ax, rows, "updates", "accuracy", arm, place)
        ax.axvline(WORLDS[name].recipe.steps or 0, color="#8C8C8C", linestyle=":")
        ax.set(xscale="log", xlabel="updates")
        ax.set_xticks(sorted(runs["updates"].unique()), minor=False)
        ax.set_xticklabels([f"{n:,}" for n in sorted(runs["updates"].unique())], rotation=45)
        ax.minorticks_off()
    pairs[0][1].set_ylabel("test accuracy in % (axis cut)")
    pairs[0][1].legend()
    alt = "Accuracy of labels alone and of KD against the number of updates, one panel a world."
    show(fig, alt, fold="Longer and longer")


def temperatures(runs: pd.DataFrame) -> None:
    """Draw the small student's accuracy at each temperature, a panel a world."""
    fig, pairs = panels(runs, 2.6)
    means = []
    for name, ax in pairs:
        here = runs[runs["world"] == name]
        dots(ax, here, "accuracy", label="test accuracy in %")
        best = here.groupby("arm", sort=False)["accuracy"].mean().idxmax()
        means.append(f"{in_words(name)}: best at {best}")
    show(
        fig,
        "The small student at three temperatures, replicates and intervals. " + "; ".join(means),
    )


def unseen(runs: pd.DataFrame, biases: np.ndarray) -> None:
    """Draw the recall of the class never shown against its raised bias, a panel a world."""
    fig, pairs = panels(runs, 3.2)
    told = []
    for name, ax in pairs:
        here = runs[runs["world"] == name]
        for dash, (arm, rows) in zip(["-", "--"], here.groupby("arm", sort=False), strict=True):
            curves = np.stack(list(rows["curve"]))
            found = [interval(column) for column in curves.T]
            (line,) = ax.plot(biases, [f.mean for f in found], linestyle=dash, label=arm)
            ends = [f.low for f in found], [f.high for f in found]
            ax.fill_between(biases, *ends, color=line.get_color(), alpha=0.15, linewidth=0)
            told.append(f"{in_words(name)}, {arm}: {interval(rows['recall'], unit='%')}")
        ax.axvline(here.loc[here["arm"] == "KD", "bias"].mean(), color="#8C8C8C", linestyle=":")
        ax.set(xlabel="added to its bias", ylim=(-2, 102))
    pairs[0][1].set_ylabel("recall of that class in %")
    pairs[-1][1].legend(loc="lower right")
    show(
        fig,
        "Recall of the class never shown against its raised bias; dotted: the mean bias that "
        "validation images choose. There " + "; ".join(told) + ".",
    )
