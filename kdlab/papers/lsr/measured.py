"""What the evidence of notebook 02 shows, one figure or table a question of its section Deeper."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from kdlab.papers.lsr.arms import BINS, T
from kdlab.papers.lsr.experiment import HALF
from kdlab.papers.lsr.explorer import best_gaps
from kdlab.papers.lsr.figures import LINES
from kdlab.show.plots import figure, show
from kdlab.show.report import nothing, summary, table
from kdlab.show.words import in_words

KNOWS = {  # column of the evidence: head of the table
    "teacher on test": "teacher, test images",
    "teacher on train": "teacher, training images",
    "overruled": "labels overruled",
    "accuracy": "student, test images",
}
SOME = 5.0  # % of the training images whose label is overruled
NAME = r"(?P<how>\w+), alpha (?P<alpha>[\d.]+), (?P<epochs>\d+) epochs"


def known(tables: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """Return the runs of both comparisons of teachers, each once; no rows where there are none."""
    found = [tables[name] for name in ("badly-trained", "other-teachers") if len(tables[name])]
    none = pd.DataFrame(columns=["world", "arm", "seed", "accuracy", "seconds"])
    return pd.concat(found or [none], ignore_index=True).drop_duplicates(list(none)[:3])


def teachers(runs: pd.DataFrame, name: str) -> None:
    """Show how much each teacher knows, how often it overrules a label, and what came of it."""
    here = runs[runs["world"] == name].reindex(columns=[*runs, *set(KNOWS) - set(runs)])
    here = here[here["teacher on test"].notna()]
    if nothing(here, f"the teachers of {in_words(name)}"):
        return
    told = f"In % of the images, {in_words(name)}: mean ± half-width of the 95 % interval."
    table(summary(here, list(KNOWS)).rename(columns=KNOWS), told, fold="What the teachers know")


def override_map(runs: pd.DataFrame) -> None:
    """Draw the student's accuracy over teachers and alpha, and where the rule says *overruled*."""
    if nothing(runs, "the map"):
        return
    cells = runs.join(runs["arm"].str.extract(NAME).astype({"alpha": float, "epochs": int}))
    means = cells.pivot_table(["accuracy", "overruled"], ["how", "alpha"], "epochs")
    ends, told = (means["accuracy"].min(axis=None), means["accuracy"].max(axis=None)), []
    names = list(dict.fromkeys(cells["how"]))
    fig, axes = figure(1, len(names), size=(11, 4.2), squeeze=False, sharey=True)
    for name, ax in zip(names, axes[0], strict=True):
        here = means.loc[name]
        draw_map(ax, here["accuracy"], here["overruled"], ends)
        ax.set(title=f"reduction: {name}", xlabel="epochs of the teacher's training")
        alpha, n = here["accuracy"].stack().idxmin()
        told.append(f"{name}: lowest at alpha {alpha:g}, {n} epochs")
    axes[0][0].set_ylabel("alpha, the weight of the teacher")
    show(
        fig,
        "The student's accuracy as a map over the teacher's training and alpha. An orange line is "
        f"drawn around the settings in which the rule overrules labels. {'; '.join(told)}.",
        fold="The map and the rule",
    )


def draw_map(
    ax: Axes, accuracy: pd.DataFrame, overruled: pd.DataFrame, ends: tuple[float, float]
) -> None:
    """Draw accuracies over overruled shares; a line parts those of SOME or more from the others."""
    grid, over = accuracy.to_numpy(float), overruled.to_numpy(float)
    ax.imshow(grid, vmin=ends[0], vmax=ends[1] + 1e-9, aspect="auto", origin="lower")
    ax.grid(False)
    for (i, j), value in np.ndenumerate(grid):
        ink = "white" if value < sum(ends) / 2 else "black"
        text = f"{value:.1f} %\n{over[i, j]:.1f} % overruled"
        ax.text(j, i, text, ha="center", va="center", color=ink, fontsize=10)
    inside = np.kron(np.pad(over.round(6) >= SOME, 1), np.ones((50, 50)))
    if inside.any():
        rows, columns = (np.arange(n) / 50 - 1.49 for n in inside.shape)
        ax.contour(columns, rows, inside, [0.5], colors="#D55E00", linewidths=4)
    ax.set(xlim=(-0.55, grid.shape[1] - 0.45), ylim=(-0.55, grid.shape[0] - 0.45))
    ax.set_xticks(range(grid.shape[1]), list(map(str, accuracy.columns)))
    ax.set_yticks(range(grid.shape[0]), [f"{alpha:g}" for alpha in accuracy.index])


def gap_histograms(runs: pd.DataFrame, a_c: float = 0.99, C: int = 10) -> None:
    """Draw how often each gap occurs on test images, and the gap that is best for the loss."""
    if nothing(runs, "the gaps"):
        return
    fig, ax = figure(size=(9.6, 4.2))
    best, told = best_gaps(HALF, T, a_c, C), []
    for name, rows in runs.groupby("arm", sort=False):
        words, colour, dash = LINES[str(name)]
        look = {"color": colour, "linestyle": dash}
        counts = np.sum(np.stack(list(rows["gaps"])), axis=0, dtype=float)
        ax.step(BINS[:-1], counts / counts.sum(), where="post", label=words, **look)
        if best[str(name)] < BINS[-1]:
            ax.axvline(best[str(name)], linewidth=1, **look)
        told.append(f"{words} {rows['gap'].mean():.1f}")
    ax.set(xlabel="gap of a test image: logit of the label minus the mean of the others")
    ax.set(ylabel="share of images", xlim=(-6, 20))
    ax.legend()
    show(
        fig,
        "How often each gap occurs, one outline a loss, with an upright line at the best gap of "
        f"that loss for one image. Mean gaps: {'; '.join(told)}.",
        fold="The gaps",
    )
