"""What the evidence of notebook 04 shows, one figure or table a question."""

from collections.abc import Mapping

import pandas as pd

from kdlab.papers.fitnets.experiment import BOTH, DEPTHS, HT
from kdlab.papers.fitnets.nets import KINDS
from kdlab.runs.differences import interval, paired
from kdlab.runs.rows import stacked
from kdlab.show.looks import look
from kdlab.show.plots import dots, figure, show
from kdlab.show.report import nothing, table

CHANCE = 50.0  # % above which a net has left chance
Tables = Mapping[str, pd.DataFrame]


def headline(runs: Tables) -> pd.DataFrame:
    """Return the rows of the thin deep nets in all worlds; without any, a table with columns."""
    return stacked(runs, "deep", "clothes", "photographs")


def split(grid: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of the grid with columns kind, depth and arm (KD, or hints first)."""
    parts = grid["arm"].str.extract(r"^(?P<kind>\w+), (?P<depth>\d+): (?P<arm>.+)$")
    return grid.drop(columns="arm").join(parts.astype({"depth": int}))


def depths(grid: pd.DataFrame) -> None:
    """Draw every run against depth, its medians joined, a panel a kind of net."""
    if nothing(grid, "depth and kind of net"):
        return
    rows = split(grid)
    fig, axes = figure(1, len(KINDS), size=(10.5, 3.4), sharey=True)
    for ax, kind in zip(axes, KINDS, strict=True):
        for side, name in zip((-0.4, 0.4), BOTH, strict=True):
            here = rows[(rows["kind"] == kind) & (rows["arm"] == name)]
            middle = here.groupby("depth")["accuracy"].median()
            ax.plot(middle.index + side, middle, label=name, **look(name))
            ax.plot(
                here["depth"] + side, here["accuracy"], ".", color=look(name)["color"], alpha=0.4
            )
        ax.set(title=kind, xlabel="layers", xticks=DEPTHS)
    axes[0].set_ylabel("test accuracy in %")
    axes[-1].legend(loc="lower left")
    told = "Accuracy by depth, a panel a kind of net: one dot a replicate, lines join the medians."
    show(fig, told, fold="Depth and kind of net")


def chance(grid: pd.DataFrame) -> None:
    """Show who leaves chance, the medians, and the paired difference, by kind and depth."""
    if nothing(grid, "who leaves chance"):
        return
    lines = []
    for (kind, depth), rows in split(grid).groupby(["kind", "depth"], sort=False):
        line = {"net": kind, "layers": depth}
        for name, runs in rows.groupby("arm", sort=False)["accuracy"]:
            line[f"{name}: left chance"] = f"{(runs > CHANCE).sum()} of {len(runs)}"
            line[f"{name}: median"] = f"{runs.median():.1f}"
        whole = set(BOTH) <= set(rows["arm"])
        line["hints gain"] = str(interval(paired(rows, HT, "KD"), unit="points")) if whole else "–"
        lines.append(line)
    caption = f"Left chance: above {CHANCE:g} % of test images. Gain: hints first minus KD alone."
    table(pd.DataFrame(lines), caption, fold="Who leaves chance")


def arms(rows: pd.DataFrame, what: str) -> None:
    """Draw a row of dots for each arm of one comparison."""
    if nothing(rows, what):
        return
    fig, ax = figure(size=(9.2, 0.9 + 0.6 * rows["arm"].nunique()))
    dots(ax, rows, "accuracy", label="test accuracy in % (axis cut)")
    means = rows.groupby("arm", sort=False)["accuracy"].mean()
    told = ", ".join(f"{name} {mean:.1f} %" for name, mean in means.items())
    show(fig, f"One dot a replicate, with mean and interval of each arm: {told}.", fold=what)
