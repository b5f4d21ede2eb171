"""The widget of notebook 01: a teacher's size, age and temperature, and what it taught."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy.special import expit, logit
from torch import Tensor

from kdlab.measure import calibration_error, softness, temperature_for
from kdlab.papers.efficacy.figures import ALONE, PUPILS, pupil_look
from kdlab.runs.claims import interval
from kdlab.show.plots import LOOKS, figure, picture

TEACHER = LOOKS["teacher"][0]
ODDS = (2, 5, 10, 20, 40, 60, 80, 90, 95, 98, 99.5)  # ticks in %
CURVE = np.geomspace(0.5, 32, 25)  # temperatures of the entropy curves


class Shelf(NamedTuple):
    """All that the explorer draws from: no network runs while a control moves."""

    classes: Sequence[str]
    image: Tensor  # (C, H, W) in [0, 1]
    row: int  # of that image among the test images
    y: Tensor  # (N,) test labels
    z_train: Mapping[tuple[str, int], Tensor]  # (size, epoch) -> (M, C) logits, images trained on
    z_test: Mapping[tuple[str, int], Tensor]  # (size, epoch) -> (N, C)
    students: pd.DataFrame  # columns pupil, teacher, epoch, T, seed, accuracy
    alone: Mapping[str, float]  # accuracy without a teacher, by student size


def explorer(shelf: Shelf, size: str, epoch: int, T: float, match: str) -> Figure:
    """Draw the teacher `size` after `epoch` at T: distribution, reliability, entropy, students.

    `match`: "" takes T as it is; a teacher's name replaces it by the T at which this teacher is as
    uncertain, on average, as that one is at T after the same epoch.
    """
    own = shelf.z_train[size, epoch]
    if match:
        T = temperature_for(own, softness(shelf.z_train[match, epoch], T))
    short = max(map(len, shelf.classes)) < 3
    fig, axes = figure(2, 2, size=(8.6, 5.2), layout="none" if short else "constrained")
    if short:  # a fixed layout draws faster, and no panel moves when a control does
        fig.subplots_adjust(0.085, 0.1, 0.99, 0.88, wspace=0.27, hspace=0.46)
    z = shelf.z_test[size, epoch]
    answer(axes[0, 0], shelf, z[shelf.row], T)
    reliability(axes[0, 1], z / T, shelf.y)
    entropies(axes[1, 0], shelf, size, epoch, T)
    taught(axes[1, 1], shelf, size, epoch)
    fig.suptitle(f"{size} after {epoch} epochs, T = {T:.3g}", fontsize=12)
    return fig


def answer(ax: Axes, shelf: Shelf, z: Tensor, T: float) -> None:
    """Draw the distribution softmax(z / T) of logits `z` (C,), with the image beside it."""
    p = F.softmax(z / T, dim=0)
    ax.bar(range(len(p)), p.numpy(), color=TEACHER)
    step = max(1, len(p) // 10)
    ax.set_xticks(range(0, len(p), step), list(shelf.classes)[::step], rotation=60 * (step > 1))
    label = shelf.classes[int(shelf.y[shelf.row])]
    ax.set_yticks([0, 0.5, 1])
    ax.set(ylim=(0, 1.02), ylabel="probability", title=f"One test image, label {label}")
    picture(ax.inset_axes((0.78, 0.5, 0.2, 0.45)), shelf.image)


def reliability(ax: Axes, z: Tensor, y: Tensor, bins: int = 10) -> None:
    """Draw accuracy against confidence of logits `z` (N, C) in equal bins; large dot, many images.

    Below the diagonal a teacher is over-confident.
    """
    confidence, guess = F.softmax(z.double(), dim=1).max(dim=1)
    right = (guess == y).double()
    place = (confidence * bins).long().clamp(max=bins - 1).numpy()
    count = np.bincount(place, minlength=bins)
    full = count > 0
    means = [np.bincount(place, part, minlength=bins)[full] for part in (confidence, right)]
    sure, hit = (total / count[full] for total in means)
    ax.plot([0, 1], [0, 1], **ALONE)
    ax.scatter(sure, hit, s=20 + 300 * count[full] / count.sum(), color=TEACHER, alpha=0.8)
    error = calibration_error(confidence, right.bool())
    said = f"accuracy {100 * right.mean():.1f} %\nECE {error:.1f} %"
    ax.annotate(said, (0.97, 0.05), xycoords="axes fraction", ha="right")
    ax.set(xlim=(0, 1.03), ylim=(-0.03, 1.05), xlabel="confidence", ylabel="accuracy")
    ax.set_yticks([0, 0.5, 1])
    ax.set_title("Reliability at T, test images")


def entropies(ax: Axes, shelf: Shelf, size: str, epoch: int, T: float) -> None:
    """Draw the mean entropy of the targets against T for all sizes of this age; mark the chosen."""
    names = [name for name, age in shelf.z_train if age == epoch]
    for place, name in enumerate(names):
        curve = [softness(shelf.z_train[name, epoch], float(at)) for at in CURVE]
        shade = "#BBBBBB" if name != size else TEACHER
        dash = ["-", "--", "-.", ":"][place % 4]
        ax.plot(CURVE, curve, dash, color=shade, label=name, linewidth=2 if name == size else 1.3)
    here = softness(shelf.z_train[size, epoch], T)
    ax.plot(T, here, "*", color=TEACHER, markersize=13)
    ax.annotate(f"{here:.2f} nats", (T, here), (6, -14), textcoords="offset points")
    even = float(torch.tensor(float(len(shelf.classes))).log())
    ax.axhline(even, **ALONE)
    ax.set(xscale="log", xlabel="temperature T", ylabel="mean entropy, nats", ylim=(0, 1.08 * even))
    ax.set_xticks([0.5, 1, 2, 4, 8, 16, 32], ["0.5", "1", "2", "4", "8", "16", "32"])
    ax.minorticks_off()
    ax.set_title("Targets on training images (dashed: even)")
    ax.legend(loc="lower right", fontsize=9)


def taught(ax: Axes, shelf: Shelf, size: str, epoch: int) -> None:
    """Draw the accuracy of every student that had this teacher, at each temperature.

    The axis is the same for all teachers. Its scale, the log of the odds, shows points near 90 % as
    well as the far lower ones of students whose teacher was young.
    """
    runs = shelf.students[(shelf.students.teacher == size) & (shelf.students.epoch == epoch)]
    heights = sorted(set(shelf.students["T"]))
    if runs.empty:
        ax.annotate(
            "no student had this teacher", (0.5, 0.5), xycoords="axes fraction", ha="center"
        )
    for place, pupil in enumerate(PUPILS):
        mine, style = runs[runs.pupil == pupil], pupil_look(pupil)
        for T, group in mine.groupby("T"):
            at = heights.index(T) + 0.16 * place - 0.08
            found = interval(group.accuracy)
            ax.plot([at, at], [found.low, found.high], color=style["color"], linewidth=3, alpha=0.6)
            ax.plot(at, found.mean, linestyle="none", markersize=8, **style)
            side: dict[str, Any] = {"textcoords": "offset points", "fontsize": 9, "va": "center"}
            ax.annotate(f"{found.mean:.1f}", (at, found.mean), (8, 7 if place else -7), **side)
        ax.plot([], [], linestyle="none", label=f"{pupil} student", **style)
        ax.axhline(shelf.alone[pupil], color=style["color"], linestyle="--", linewidth=1.2)
    ax.set_xticks(range(len(heights)), [f"T = {T:g}" for T in heights])
    low, high = log_odds(shelf.students.accuracy.quantile([0.02, 1.0]))
    ax.set_yscale("function", functions=(log_odds, percent))
    ax.set_yticks(ODDS, [f"{tick:g}" for tick in ODDS])
    ax.set_ylim(percent(low - 0.3), percent(high + 0.6))  # after the ticks, which widen it
    ax.set_xlim(-0.5, len(heights) - 0.3)
    ax.set_ylabel("test accuracy in %\n(log-odds scale)")
    ax.set_title("What it taught (dashed: no teacher)")
    ax.legend(loc="lower right", fontsize=9)


def log_odds(percent: Any) -> np.ndarray:
    """Return ln(p / (1 - p)) of shares in %, those beyond the ticks taken as the nearest tick."""
    return logit(np.clip(percent, ODDS[0], ODDS[-1]) / 100)


def percent(log_odds: Any) -> Any:
    """Return the share in % of these log odds."""
    return 100 * expit(log_odds)
