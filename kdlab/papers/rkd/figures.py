"""Figures of notebook 05, Park, Kim, Lu, Cho 2019."""

from typing import Any

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from kdlab.papers.rkd.method import angles, distances, on_sphere, rkd_angle, rkd_distance
from kdlab.papers.rkd.toy import COLOURS, NAMES, REACH, Places
from kdlab.show.plots import figure

OFFSETS = {"A": (-17, -8), "B": (7, -13), "C": (-4, 9)}  # points: readable where they coincide
SIDES, CORNERS = ((0, 1), (0, 2), (1, 2)), ((0, 1, 2), (1, 0, 2), (2, 0, 1))


def pulls(
    student: Places, teacher: Places, circle: bool = False
) -> dict[str, tuple[float, Tensor]]:
    """Return value and negative gradient of L_D and L_A at the student's three points.

    With `circle` the points are put on the unit circle first, and the ways run along it.
    """
    p, t = (torch.tensor(points, dtype=torch.float64) for points in (student, teacher))
    p, found = on_sphere(p) if circle else p, {}
    for name, loss in (("distance", rkd_distance), ("angle", rkd_angle)):
        at = p.clone().requires_grad_()
        value = loss(on_sphere(at) if circle else at, t)
        found[name] = value.item(), -torch.autograd.grad(value, at)[0]
    return found


def potentials(points: Places) -> tuple[list[float], list[float]]:
    """Return psi_D of the sides AB, AC, BC and psi_A, the cosines, at A, B, C."""
    p = torch.tensor(points, dtype=torch.float64)
    psi_d, psi_a = distances(p), angles(p)
    return [psi_d[i, j].item() for i, j in SIDES], [psi_a[v, i, k].item() for v, i, k in CORNERS]


def triangles(teacher: Places, student: Places) -> Figure:
    """Draw teacher and student triangle, the pull of both losses, and all six potentials."""
    fig, axes = figure(1, 4, size=(10.4, 3.4), width_ratios=[1, 1.25, 0.9, 0.9])
    _triangle(axes[0], teacher, "teacher")
    _triangle(axes[1], student, "student")
    for name, (value, way) in pulls(student, teacher).items():
        arrows: dict[str, Any] = {"angles": "xy", "scale_units": "xy", "scale": 1, "zorder": 3}
        label = f"$L_{name[0].upper()}$ = {value:.4f}"
        ends = (
            2 * way / (way.norm(dim=1, keepdim=True) + 0.1)
        )  # short where little pulls, never out of the picture
        at = zip(*student, strict=True)
        axes[1].quiver(*at, *ends.T, color=COLOURS[name], label=label, **arrows)
    below: dict[str, Any] = {"loc": "upper center", "bbox_to_anchor": (0.5, -0.1), "ncols": 2}
    axes[1].legend(fontsize=10, handlelength=1.2, columnspacing=1, **below)  # no point lies there
    titles = ("Distances $\\psi_D$", "Cosines $\\psi_A$")
    labels, values = (("AB", "AC", "BC"), NAMES), (potentials(teacher), potentials(student))
    for place, ax in enumerate(axes[2:]):
        for net, side, found in zip(("teacher", "student"), (-0.2, 0.2), values, strict=True):
            ax.bar(np.arange(3) + side, found[place], 0.4, color=COLOURS[net], label=net)
        ax.axhline(0, color="#333333", linewidth=0.8)
        ax.set_xticks(range(3), labels[place])
        ax.set_title(titles[place])
        ax.grid(False, axis="x")
    axes[2].set_ylim(0, 2.1)
    axes[3].set_ylim(-1.1, 1.1)
    axes[2].legend(loc="upper right", fontsize=10)
    return fig


def _triangle(ax: Axes, points: Places, net: str) -> None:
    ring = [*points, points[0]]
    ax.plot(*zip(*ring, strict=True), "o-", color=COLOURS[net], linewidth=1.5, alpha=0.8)
    for name, (x, y) in zip(NAMES, points, strict=True):
        ax.annotate(name, (x, y), OFFSETS[name], textcoords="offset points", weight="bold")
    end = 1.1 * REACH
    ax.set(xlim=(-end, end), ylim=(-end, end), aspect="equal", title=net.capitalize())
