"""Figures of notebook 03, Tang et al. 2020."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from kdlab.papers.understanding.experiment import CELLS
from kdlab.papers.understanding.method import labelled, means, omega, part
from kdlab.show.looks import LOOKS
from kdlab.show.plots import figure, picture, ticks
from kdlab.train.worlds import Replicate

TEACHER, TARGET = LOOKS["teacher"][0], LOOKS["KD"][0]
PULLS = {"labels alone": "#333333", "mean mass": "#8C8C8C", "this target": TARGET}
AHEAD = torch.linspace(0, 14, 141)  # by how much a student's logit of the label exceeds the others


class Told(NamedTuple):
    """The labelled images and what a teacher says of them; no network runs while a slider moves."""

    z: Tensor  # (N, C) teacher logits
    y: Tensor  # (N,) labels
    x: Tensor  # (N, channels, H, W) in [0, 1]
    classes: Sequence[str]

    def part(self, T: float, mass: str, shape: str) -> Tensor:
        """Return the targets (N, C) of `kdlab.papers.understanding.method.part`."""
        return part(self.z, self.y, T, means(self.z, self.y, T), mass, shape)


def told_by(r: Replicate) -> Told:
    """Return what the teacher of replicate `r` says of its labelled images."""
    return Told(*labelled(r.teacher, r.data), r.data.images(r.data.train.x), r.data.classes)


def cases(told: Told, label: int = 2, pair: Sequence[int] = (3, 7)) -> list[tuple[str, int]]:
    """Return (name, row) of four images: the one the teacher is surest of and the most doubtful.

    Then, of those with the label `label`, the nearest to each of the two classes `pair`.
    """
    label, *pair = (c % len(told.classes) for c in (label, *pair))
    mass = told.part(4.0, "image", "image").gather(1, told.y[:, None])[:, 0]
    found = [("surest", int(mass.argmax())), ("most doubtful", int(mass.argmin()))]
    for near, far in (pair, pair[::-1]):
        gap = (told.z[:, near] - told.z[:, far]).masked_fill(told.y != label, -torch.inf)
        found.append((f"{told.classes[label]}, towards {told.classes[near]}", int(gap.argmax())))
    return found


def taken_apart(
    told: Told, row: int, T: float, mass: str, shape: str, alpha: float = 0.9
) -> dict[str, Tensor]:
    """Return all numbers behind the explorer, of the teacher's answer and the target put together.

    p, r: (C,), the teacher's answer and the target. PULLS: on the label's logit of students whose
    logits are AHEAD for the label and 0 for the others. omega: of a student that knows nothing.
    """
    ways = {"p": ("image", "image"), "r": (mass, shape), "mean": ("mean", shape)}
    p, r, mean = (told.part(T, *way)[row] for way in ways.values())
    z, y = torch.zeros(len(AHEAD), len(p)), told.y[row].expand(len(AHEAD))
    z[:, y[0]] = AHEAD
    doubt = 1 - z.softmax(dim=1)[:, y[0]]
    own, usual = (omega(z, target.expand_as(z), y, T, alpha) for target in (r, mean))
    pulls = {"labels alone": doubt, "mean mass": usual * doubt, "this target": own * doubt}
    return {"p": p, "r": r, **pulls, "omega": own[0]}


def explorer(told: Told, row: int, T: float, mass: str, shape: str) -> Figure:
    """Draw one image, the target beside the teacher's answer, and its pull on the label's logit."""
    now, label = taken_apart(told, row, T, mass, shape), told.classes[int(told.y[row])]
    fig, (left, middle, right) = figure(1, 3, size=(10.5, 3.9), width_ratios=[0.8, 2, 1.6])
    picture(left, told.x[row], f"label {label}")
    _target(middle, told.classes, now["p"], now["r"])
    middle.set(ylim=(0, 1.25), yticks=np.linspace(0, 1, 6), title=f"Target at T = {T:g}")
    middle.legend(loc="upper right", ncols=2)
    lost = (now["p"] * (now["p"] / now["r"]).log()).nan_to_num().sum().clamp(min=0)
    note = f"mass on {label}: {now['r'][told.y[row]]:.3f}\nlost: KL {lost:.3f} nats"
    middle.annotate(note, (0.98, 0.68), xycoords="axes fraction", ha="right")
    for name, colour in PULLS.items():
        dash = "--" if name == "mean mass" else "-"
        right.plot(AHEAD.numpy(), now[name].numpy(), dash, color=colour, label=name)
    right.axhline(0, color="#333333", linewidth=0.8)
    right.set(xlabel="student's logit of the label, others 0", title="Pull on the label's logit")
    right.legend(loc="lower left", title=f"omega at 0: {now['omega']:.2f}")
    return fig


def _target(ax: Axes, classes: Sequence[str], p: Tensor, r: Tensor) -> None:
    """Draw the target as bars and the teacher's answer as marks on top."""
    at = np.arange(len(classes))
    ax.bar(at, r.numpy(), 0.75, color=TARGET, alpha=0.75, label="target $r$")
    ax.plot(
        at, p.numpy(), "_", color=TEACHER, markersize=13, markeredgewidth=2.5, label="teacher $p_T$"
    )
    ticks(ax, classes)
    ax.set_xlabel("class")
    ax.grid(False, axis="x")


def six(told: Told, row: int, T: float) -> Figure:
    """Draw the six targets of one image: rows as its mass, columns as the shape of the rest."""
    fig, axes = figure(2, 3, size=(10.5, 4.6), sharex=True, sharey=True)
    for ax, (way, arm) in zip(axes.flat, CELLS.items(), strict=True):
        _target(ax, told.classes, told.part(T, "image", "image")[row], told.part(T, *way)[row])
        ax.set(title=arm, ylim=(0, 1), xlabel="class" if way[0] == "image" else "")
    axes[0, 0].set_ylabel("mean mass")
    axes[1, 0].set_ylabel("its own mass")
    axes[0, 2].legend(loc="upper right")
    return fig


def gallery(told: Told, score: Tensor, words: tuple[str, str], count: int = 6) -> Figure:
    """Draw the labelled images of the lowest and of the highest `score` (N,), a row each."""
    order = score.argsort()
    fig, axes = figure(2, count, size=(9.6, 3.6))
    for line, rows, word in zip(axes, (order[:count], order.flip(0)[:count]), words, strict=True):
        for ax, row in zip(line, rows.tolist(), strict=True):
            picture(
                ax, told.x[row], f"{word} {score[row]:.2f}\nlabel {told.classes[int(told.y[row])]}"
            )
    return fig
