"""Figures of notebook 05, Park, Kim, Lu, Cho 2019."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Circle
from torch import Tensor

from kdlab.papers.rkd.embedding import aligned, principal, recall_at
from kdlab.papers.rkd.labels import apart
from kdlab.papers.rkd.method import angles, distances, on_sphere, rkd_angle, rkd_distance
from kdlab.show.looks import LOOKS
from kdlab.show.plots import figure

Places = Sequence[tuple[float, float]]
TEACHER, STUDENT = LOOKS["teacher"][0], LOOKS["RKD"][0]
# RKD's two halves begin with its name: without an entry of their own they would look like it.
OWN = {"triplets": ("#2A87BE", "P"), "RKD-D": ("#009E73", "^"), "RKD-A": ("#8B6B3D", ">")}
PULLS = {"distance": OWN["RKD-D"][0], "angle": OWN["RKD-A"][0]}
NAMES = "ABC"
OFFSETS = {"A": (-17, -8), "B": (5, -13), "C": (-13, 7)}  # points: readable where they coincide
SIDES, CORNERS = ((0, 1), (0, 2), (1, 2)), ((0, 1, 2), (1, 0, 2), (2, 0, 1))
CYCLE = ("#0072B2", "#D55E00", "#009E73", "#BF5B96", "#B87900", "#2A87BE", "#9467B5", "#333333")
REACH = 2.4  # the plane of the triangles, from -REACH to REACH


def turned(p: Tensor) -> Tensor:
    """Return points (3, 2) turned by 60 degrees."""
    c, s = 0.5, 0.75**0.5
    return p @ torch.tensor([[c, s], [-s, c]], dtype=p.dtype)


CHANGES: dict[str, Callable[[Tensor], Tensor]] = {
    "none": lambda p: p,
    "turned by 60°": turned,
    "mirrored": lambda p: p * torch.tensor([-1.0, 1.0]).to(p),
    "half as large": lambda p: p / 2,
    "on the unit circle": on_sphere,
    "B on top of A": lambda p: p[[0, 0, 2]],
    "all in one point": lambda p: p.mean(dim=0).expand(3, 2),
}


class Pull(NamedTuple):
    """What one loss says of a triangle: its value, and the way (3, 2) on which it falls fastest."""

    value: float
    way: Tensor


def pulls(points: Tensor, teacher: Tensor, circle: bool = False) -> dict[str, Pull]:
    """Return value and negative gradient of L_D and L_A at the student's points (3, 2).

    With `circle` the points are put on the unit circle first, so the ways run along it.
    """
    found = {}
    for name, loss in (("distance", rkd_distance), ("angle", rkd_angle)):
        p = points.detach().clone().requires_grad_()
        value = loss(on_sphere(p) if circle else p, teacher)
        found[name] = Pull(value.item(), -torch.autograd.grad(value, p)[0])
    return found


def potentials(p: Tensor) -> tuple[list[float], list[float]]:
    """Return psi_D of the sides AB, AC, BC and psi_A, the cosines, at A, B, C."""
    psi_d, psi_a = distances(p), angles(p)
    return [psi_d[i, j].item() for i, j in SIDES], [psi_a[v, i, k].item() for v, i, k in CORNERS]


def triangles(teacher: Places, points: Places, change: str) -> Figure:
    """Draw teacher and student triangle, the pull of both losses, and all six potentials."""
    t = torch.tensor(teacher, dtype=torch.float64)
    s = CHANGES[change](torch.tensor(points, dtype=torch.float64))
    circle = change == "on the unit circle"
    found = pulls(s, t, circle)
    fig, axes = figure(1, 4, size=(10.4, 3.4), width_ratios=[1, 1.25, 0.9, 0.9])
    _triangle(axes[0], t, TEACHER, "Teacher")
    _triangle(axes[1], s, STUDENT, "Student")
    if circle:
        axes[1].add_patch(Circle((0, 0), 1, fill=False, ls=":", ec="#333333"))
    longest = max(pull.way.norm(dim=1).max().item() for pull in found.values())
    for name, pull in found.items():
        shown = pull.way * (0.9 / longest if longest > 1e-12 else 0.0)
        arrows = {"angles": "xy", "scale_units": "xy", "scale": 1, "width": 0.013, "zorder": 3}
        label = f"$L_{name[0].upper()}$ = {pull.value:.4f}"
        axes[1].quiver(*s.T, *shown.T, color=PULLS[name], label=label, **arrows)
    below: dict[str, Any] = {"loc": "upper center", "bbox_to_anchor": (0.5, -0.2), "ncols": 2}
    axes[1].legend(fontsize=10, handlelength=1.2, columnspacing=1, **below)  # no point lies there
    note = f"longest arrow: a gradient of {longest:.2g}" if longest > 1e-12 else "no gradient"
    axes[1].set_xlabel(note, fontsize=10)
    for ax, name, labels, one, two in zip(
        axes[2:],
        (r"Distances $\psi_D$", r"Cosines $\psi_A$"),
        (("AB", "AC", "BC"), tuple(NAMES)),
        potentials(t),
        potentials(s),
        strict=True,
    ):
        at = np.arange(3)
        ax.bar(at - 0.2, one, 0.4, color=TEACHER, label="teacher")
        ax.bar(at + 0.2, two, 0.4, color=STUDENT, label="student")
        ax.axhline(0, color="#333333", linewidth=0.8)
        ax.set_xticks(at, labels)
        ax.set_title(name)
        ax.grid(False, axis="x")
    axes[2].set_ylim(0, 2.1)
    axes[3].set_ylim(-1.1, 1.1)
    axes[2].legend(loc="upper right", fontsize=10)
    return fig


def _triangle(ax: Axes, p: Tensor, colour: str, title: str) -> None:
    ring = p[[0, 1, 2, 0]]
    ax.plot(*ring.T, "o-", color=colour, linewidth=1.5, alpha=0.8)
    for name, at in zip(NAMES, p.tolist(), strict=True):
        ax.annotate(name, at, OFFSETS[name], textcoords="offset points", weight="bold")
    ax.set(xlim=(-REACH, REACH), ylim=(-REACH, REACH), aspect="equal", title=title)


def coinciding(losses: Mapping[str, Callable[[Tensor], Tensor]], gaps: Sequence[float]) -> Figure:
    """Draw the largest gradient of losses of a gap between two points against the gap.

    Each loss takes student features (B, C) made by `near`.
    """
    fig, ax = figure(size=(6.4, 2.8))
    styles = (
        {"color": "#333333", "marker": "x", "linestyle": "--"},
        {"color": OWN["RKD-A"][0], "marker": ">"},
    )
    for (name, loss), style in zip(losses.items(), styles, strict=False):
        sizes = []
        for gap in gaps:
            f = near(gap).requires_grad_()
            sizes.append(torch.autograd.grad(loss(f), f)[0].abs().max().item())
        ax.plot(gaps, sizes, label=name, **style)
    ax.set(xscale="log", yscale="log", xlabel="distance of two student points")
    ax.set_ylabel("largest gradient")
    ax.legend()
    return fig


def near(gap: float) -> Tensor:
    """Return four points (4, 2), the last two of them `gap` apart."""
    return torch.tensor([[0.0, 0.0], [2.0, 0.5], [1.0, 2.0], [1.0 + gap, 2.0]], dtype=torch.float64)


def plane(ax: Axes, f: Tensor, y: Sequence[int], classes: Sequence[str], title: str) -> None:
    """Draw an embedding (N, 2): a colour a class, its name at its median, or beside it."""
    labels = np.asarray(y)
    names = np.unique(labels)
    medians = []
    for place, c in enumerate(names):
        rows = f[torch.from_numpy(labels == c)]
        ax.plot(*rows.T, ".", color=CYCLE[place % len(CYCLE)], markersize=3)
        medians.append(rows.median(dim=0).values.numpy())
    room = 0.09 * np.ptp(f.numpy(), axis=0).max()  # what a name takes
    for place, (c, spot) in enumerate(zip(names, apart(np.array(medians), room), strict=True)):
        colour = CYCLE[place % len(CYCLE)]
        box = {"boxstyle": "round,pad=0.15", "fc": "white", "ec": colour, "lw": 1.5}
        told: dict[str, Any] = {"ha": "center", "va": "center", "fontsize": 10, "bbox": box}
        lead = {"arrowstyle": "-", "color": colour, "lw": 1.5}
        ax.annotate(classes[c], tuple(medians[place]), tuple(spot), arrowprops=lead, **told)
    ax.set(title=title, xticks=[], yticks=[])
    ax.set_aspect("equal", adjustable="datalim")


def views(
    f_t: Tensor, students: Mapping[str, Tensor], y: Sequence[int], classes: Sequence[str]
) -> Figure:
    """Draw the teacher's first two principal components, and 2-d students turned to lie on them.

    Args:
        f_t: teacher's embedding (N, D).
        students: name -> embedding (N, 2) of the same images.
        y: classes (N,).
    """
    flat = principal(f_t, 2)
    fig, axes = figure(1, 1 + len(students), size=(3.2 * (1 + len(students)), 3.2))
    labels = np.asarray(y)
    plane(
        axes[0],
        flat,
        y,
        classes,
        f"teacher, 2 of {f_t.shape[1]} axes: {recall_at(flat, labels):.0f} %",
    )
    for ax, (name, f) in zip(axes[1:], students.items(), strict=True):
        plane(ax, aligned(f, flat), y, classes, f"{name}: {recall_at(f, labels):.0f} %")
    return fig
