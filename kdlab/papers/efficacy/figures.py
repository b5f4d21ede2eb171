"""Figures of notebook 01, Cho, Hariharan 2019: two teachers, one temperature, and their answers."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch.nn.functional as F
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from kdlab.measure import fidelity, logits_of, softness, temperature_for
from kdlab.papers.efficacy.arms import answers, school
from kdlab.papers.kd.figures import ambiguous
from kdlab.show.plots import figure, picture, ticks
from kdlab.train.worlds import Replicate

TEACHERS: dict[str, dict[str, Any]] = {
    "middle": {"color": "#2A87BE", "hatch": "//", "edgecolor": "#1F4E79"},
    "largest": {"color": "#D55E00"},
}
CURVE = np.geomspace(0.5, 32, 25)  # temperatures of the entropy curves


class Desk(NamedTuple):
    """All that the explorer draws from: no network runs while a control moves."""

    classes: Sequence[str]
    names: Sequence[str]  # of the images
    images: Sequence[Tensor]  # each (C, H, W) in [0, 1]
    z: Mapping[str, Tensor]  # teacher -> (images, C) its logits for them
    z_train: Mapping[str, Tensor]  # teacher -> (N, C) its logits for the students' images


def desk_of(r: Replicate) -> Desk:
    """Return the desk of a replicate: its middle and its largest teacher, and test images."""
    x, nets = r.data.test.x, {"middle": school(r), "largest": school(r, None)}
    chosen = ambiguous(logits_of(nets["largest"].net, x), r.data.test.y, r.data.classes)
    rows = list(chosen.values())
    return Desk(
        r.data.classes,
        list(chosen),
        [r.data.images(x[row]) for row in rows],
        {name: logits_of(teacher.net, x[rows]) for name, teacher in nets.items()},
        {name: answers(r, teacher) for name, teacher in nets.items()},
    )


def numbers(desk: Desk, image: int, T: float, match: bool) -> dict[str, Any]:
    """Return what the explorer shows, from the values of its controls.

    Args:
        image: place in ``desk.images``.
        T: temperature of the middle teacher, and of the largest one unless `match`.
        match: the largest teacher gets the temperature at which its answers for the students'
            images are, on average, as uncertain as those of the middle one at T.

    Returns:
        {"T", "p", "entropy"}, each {teacher: its temperature, its answer (C,) for the image, the
        mean entropy of its answers in nats}; and "gap", the mean KL in nats from the middle to the
        largest teacher, both at their temperatures.
    """
    at = dict.fromkeys(TEACHERS, T)
    if match:
        at["largest"] = temperature_for(
            desk.z_train["largest"], softness(desk.z_train["middle"], T)
        )
    gap = fidelity(*(desk.z_train[name] / at[name] for name in ("largest", "middle"))).kl
    return {
        "T": at,
        "p": {name: F.softmax(desk.z[name][image] / at[name], dim=0) for name in TEACHERS},
        "entropy": {name: softness(desk.z_train[name], at[name]) for name in TEACHERS},
        "gap": gap,
    }


def bars(ax: Axes, classes: Sequence[str], p: Mapping[str, Tensor]) -> None:
    """Draw the answers (C,) of both teachers side by side."""
    at = np.arange(len(classes))
    for side, (name, style) in zip((-0.2, 0.2), TEACHERS.items(), strict=True):
        ax.bar(at + side, p[name].numpy(), 0.4, label=f"{name} teacher", **style)
    ticks(ax, classes)
    ax.set_ylim(0, 1.02)


def explorer(desk: Desk, image: int, T: float, match: bool) -> Figure:
    """Draw one image, both teachers' answers, and their mean entropy at every temperature."""
    shown = numbers(desk, image, T, match)
    fig, axes = figure(1, 3, size=(10.5, 3.9), width_ratios=[0.7, 2, 2])
    picture(axes[0], desk.images[image], desk.names[image].replace(", ", ",\n"))
    bars(axes[1], desk.classes, shown["p"])
    axes[1].set(title="Their answers for this image", ylabel="probability", ylim=(0, 1.25))
    axes[1].legend(loc="upper right", ncols=2)
    for name, style in TEACHERS.items():
        curve = [softness(desk.z_train[name], float(t)) for t in CURVE]
        colour, dash = style["color"], "--" if name == "middle" else "-"
        axes[2].plot(CURVE, curve, dash, color=colour, label=f"{name} teacher")
        t, entropy = shown["T"][name], shown["entropy"][name]
        told = f"{name}: T = {t:.3g}, {entropy:.2f} nats"
        axes[2].plot(t, entropy, "o", color=colour, markersize=10, label=told)
    axes[2].set(xscale="log", xlabel="temperature T", ylabel="mean entropy, nats")
    axes[2].set_title(f"All training images: {shown['gap']:.3f} nats apart")
    axes[2].set_ylim(0, 1.7 * np.log(len(desk.classes)))
    axes[2].set_xticks([0.5, 1, 2, 4, 8, 16, 32], ["0.5", "1", "2", "4", "8", "16", "32"])
    axes[2].minorticks_off()
    axes[2].legend(loc="upper left")
    return fig


def twin(desk: Desk, settings: Sequence[tuple[float, bool]], image: int = 0) -> Figure:
    """Draw both answers for one image at several settings (T, match) side by side."""
    fig, axes = figure(1, len(settings) + 1, size=(10.5, 3.2))
    picture(axes[0], desk.images[image], desk.names[image].replace(", ", ",\n"))
    for ax, (T, match) in zip(axes[1:], settings, strict=True):
        shown = numbers(desk, image, T, match)
        bars(ax, desk.classes, shown["p"])
        ax.set_title(f"T = {T:g} and {shown['T']['largest']:.3g}" if match else f"T = {T:g}")
        ax.set_xlabel("equal entropy" if match else "equal temperature")
    axes[1].set_ylabel("probability")
    axes[-1].legend()
    return fig
