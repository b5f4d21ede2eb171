"""Figures of notebook 02, Yuan, Tay, Li, Wang, Feng 2020, that need no evidence."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from kdlab.papers.lsr.explorer import GAPS, best_gaps, pulls, targets
from kdlab.papers.lsr.method import lsr_equivalent
from kdlab.show.looks import LOOKS
from kdlab.show.plots import figure

SHOWN = 10  # classes that the bars show
GREEN, RED, INK = LOOKS["label smoothing"][0], LOOKS["teacher"][0], LOOKS["labels"][0]
BROWN = LOOKS["Tf-KD_reg"][0]
BARS = {"label": INK, "label smoothing": GREEN, "virtual teacher": BROWN, "teacher": RED}
LINES = {  # of a loss: words, colour, dash
    "labels": ("labels", INK, ":"),
    "label smoothing": ("label smoothing", GREEN, "-"),
    "untempered": ("Tf-KD_reg, untempered", BROWN, (0, (2, 3))),
    "squared": ("Tf-KD_reg, squared", "#0072B2", "--"),
    "literal": ("Tf-KD_reg, literal", "#BF5B96", "-."),
}


def explorer(alpha: float, T: float, a_c: float, C: int) -> Figure:
    """Draw the targets of one image, and what each loss asks of the gap of its label."""
    fig, (left, right) = figure(1, 2, size=(11, 4.7), width_ratios=[1.15, 1])
    found = targets(alpha, T, a_c, C)
    at, width = np.arange(min(C, SHOWN)), 0.8 / len(found)
    for place, (name, p) in enumerate(found.items()):
        left.bar(at + (place - 1.5) * width, p[: len(at)], width, color=BARS[name], label=name)
    left.set_xticks(at, ["label", *map(str, at[1:])])
    left.set(ylim=(0, 1.3), yticks=np.linspace(0, 1, 6), ylabel="probability")
    rest = f"; {C - SHOWN} more are not drawn" if C > SHOWN else ""
    left.set(xlabel=f"class{rest}", title=f"Targets at T = {T:g}")
    left.legend(loc="upper right", ncols=2)
    draw_pulls(right, alpha, T, a_c, C)
    right.set(ylim=(-1.05, 2.1), yticks=np.linspace(-1, 1, 5))  # the legend lies above all lines
    right.legend(loc="upper right")
    epsilon, _ = lsr_equivalent(alpha, T, a_c, C)
    right.set_title(f"Pull on the gap; equal epsilon {epsilon:.4f}")
    return fig


def draw_pulls(ax: Axes, alpha: float, T: float, a_c: float, C: int) -> None:
    """Draw the pull of each loss against the gap, and a dot where it is 0."""
    best = best_gaps(alpha, T, a_c, C)
    for name, pull in pulls(alpha, T, a_c, C, GAPS).items():
        words, colour, dash = LINES[name]
        told = f"{best[name]:.2f}" if best[name] < np.inf else "no best gap"
        ax.plot(GAPS, pull, color=colour, linestyle=dash, label=f"{words}: {told}")
        if best[name] <= GAPS[-1]:
            ax.plot(best[name], 0, "o", color=colour, markersize=8)
    ax.axhline(0, color=INK, linewidth=0.8)
    ax.set(xlim=(GAPS[0], GAPS[-1]), ylim=(-1.05, 1.05), ylabel="pull towards a larger gap")
    ax.set_xlabel("gap: logit of the label minus the others")


def twin(alpha: float, a_c: float, C: int, temperatures: Sequence[float]) -> Figure:
    """Draw the pull of each loss on the gap at several temperatures side by side."""
    fig, axes = figure(1, len(temperatures), size=(11, 3.8), sharey=True)
    for ax, T in zip(axes, temperatures, strict=True):
        draw_pulls(ax, alpha, T, a_c, C)
        ax.set_title(f"T = {T:g}")
        ax.label_outer()
    lines = [line for line in axes[0].lines if not str(line.get_label()).startswith("_")]
    fig.legend(lines, [words for words, *_ in LINES.values()], loc="outside upper center", ncols=5)
    return fig
