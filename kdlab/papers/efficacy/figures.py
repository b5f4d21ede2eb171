"""Figures of notebook 01, Cho, Hariharan 2019: what the runs say about teachers and students."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from kdlab.runs.claims import interval
from kdlab.show.plots import band, figure, look

PUPILS = {"small": ("#0072B2", "s"), "large": ("#009E73", "^")}  # one look per student size
ALONE: dict[str, Any] = {"color": "#333333", "linestyle": "--", "linewidth": 1.2}


def pupil_look(pupil: str) -> dict[str, Any]:
    """Return colour and marker of the small or the large student."""
    colour, marker = PUPILS[pupil]
    return {"color": colour, "marker": marker}


def level(ax: Axes, x: Sequence[float], name: str) -> None:
    """Draw the mean of `x` over seeds as a dashed line with its 95 % interval as a band."""
    found = interval(x)
    ax.axhline(found.mean, label=name, **ALONE)
    ax.axhspan(found.low, found.high, color="#333333", alpha=0.08, linewidth=0)


def size_axis(ax: Axes, params: Mapping[str, int]) -> None:
    """Label a logarithmic axis of weights by the teachers' names; `params`: name -> weights."""
    ax.set_xscale("log")
    ax.set_xticks(list(params.values()), [f"{n}\n{p / 1000:.1f}k" for n, p in params.items()])
    ax.minorticks_off()
    ax.set_xlabel("teacher, thousands of weights")


def sizes(
    grid: pd.DataFrame, chosen: pd.DataFrame, alone: pd.DataFrame, params: Mapping[str, int]
) -> Figure:
    """Draw student accuracy against teacher size, one panel per student size.

    Args:
        grid: runs with columns pupil, teacher, T, seed, accuracy; those at T = 4 are drawn.
        chosen: the same columns, one temperature for each student and teacher.
        alone: runs without a teacher, columns pupil, accuracy.
        params: weights of each teacher, by name.
    """
    fig, axes = figure(1, 2, size=(8.4, 3.2))
    for ax, pupil in zip(axes, PUPILS, strict=True):
        curves = [("T = 4", grid[grid["T"] == 4], "-"), ("T chosen on validation", chosen, ":")]
        for name, runs, dash in curves:
            mine = runs[runs.pupil == pupil].assign(weights=lambda r: r.teacher.map(params))
            band(ax, mine, "weights", "accuracy", name, **pupil_look(pupil) | {"linestyle": dash})
        level(ax, alone.loc[alone.pupil == pupil, "accuracy"].tolist(), "no teacher")
        size_axis(ax, params)
        ax.set_title(f"{pupil} student (axis cut)")
        ax.legend(loc="lower right")
    axes[0].set_ylabel("test accuracy in %")
    return fig


def mimicry(grid: pd.DataFrame, params: Mapping[str, int]) -> Figure:
    """Draw how far students stay from their teachers, against teacher size, at T = 4.

    `grid`: columns pupil, teacher, T, seed, "KL train", "KL test" (nats), disagreement (%).
    """
    fig, axes = figure(1, 3, size=(8.8, 2.9))
    labels = {
        "KL train": "KL on training images, nats",
        "KL test": "KL on test images, nats",
        "disagreement": "disagreement on test images in %",
    }
    for ax, (metric, label) in zip(axes, labels.items(), strict=True):
        for pupil in PUPILS:
            mine = grid[(grid.pupil == pupil) & (grid["T"] == 4)]
            mine = mine.assign(weights=mine.teacher.map(params))
            band(ax, mine, "weights", metric, f"{pupil} student", **pupil_look(pupil))
        size_axis(ax, params)
        ax.tick_params(axis="x", labelsize=9)
        ax.set_title(label, fontsize=10)
        ax.set_xlabel("")
        ax.set_ylim(bottom=0)
    axes[1].set_xlabel("teacher, thousands of weights")
    axes[0].legend()
    return fig


def curves(panels: Mapping[str, pd.DataFrame]) -> Figure:
    """Draw validation accuracy and likelihood against the share of training done, with intervals.

    `panels`: title -> runs with columns arm, seed, "val accuracies" and "val nlls", each an array
    with one value an epoch.
    """
    fig, axes = figure(2, len(panels), size=(7.6, 3.7), sharex=True, squeeze=False)
    rows = {"val accuracies": "val. accuracy in %", "val nlls": "val. NLL in nats"}
    arms = list(dict.fromkeys(str(arm) for runs in panels.values() for arm in runs["arm"]))
    for column, (title, runs) in enumerate(panels.items()):
        for ax, (metric, label) in zip(axes[:, column], rows.items(), strict=True):
            for arm, group in runs.groupby("arm", sort=False):
                long = group[["seed", metric]].explode(metric).astype(float)
                epochs = long.groupby("seed").cumcount() + 1
                style = {"markersize": 4, "markevery": 2}
                long["share"] = epochs / epochs.max()
                band(ax, long, "share", metric, str(arm), arms.index(str(arm)), **style)
            ax.set_ylabel(label if column == 0 else "")
            whole = np.stack(list(runs[metric]))
            late = whole[:, whole.shape[1] // 3 :]
            room = 0.02 * np.ptp(late) + 1e-6
            ax.set_ylim(np.quantile(late, 0.02) - room, late.max() + room)
        axes[0, column].set_title(f"{title} (axes cut)")
        axes[1, column].set_xlabel("share of the student's training done")
    axes[1, 0].legend(loc="upper right")
    return fig


def early(panels: Mapping[str, tuple[pd.DataFrame, pd.DataFrame, Sequence[float]]]) -> Figure:
    """Draw what a teacher scores and what its student scores against the teacher's epochs.

    `panels`: title -> (teachers, students, accuracies of students without a teacher). Both tables
    have the columns way, epochs, seed, accuracy. A way is "snapshot" or "annealed"; "to the end"
    closes both lines, and rows with another way are left out.
    """
    fig, axes = figure(1, len(panels), size=(8.6, 3.4), squeeze=False)
    for ax, (title, (teachers, students, alone)) in zip(axes[0], panels.items(), strict=True):
        for role, runs, style in (
            ("teacher", teachers, look("teacher")),
            ("student", students, pupil_look("small")),
        ):
            for way, dash in (("annealed", "-"), ("snapshot", ":")):
                mine = runs[runs.way.isin([way, "to the end"])]
                if way in set(mine.way):
                    name = f"{role}, {way}"
                    band(ax, mine, "epochs", "accuracy", name, **style | {"linestyle": dash})
        level(ax, alone, "student, no teacher")
        ax.set_xticks(sorted(set(teachers.epochs)))
        ax.set(title=f"{title} (axis cut)", xlabel="epochs of the teacher")
        ax.legend(loc="best", fontsize=9)
    axes[0, 0].set_ylabel("test accuracy in %")
    return fig
