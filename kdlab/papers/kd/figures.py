"""Figures of notebook 00, Hinton, Vinyals, Dean 2015."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor, nn

from kdlab.data import Data
from kdlab.measure import logits_of
from kdlab.papers.kd.method import KD
from kdlab.show.looks import LOOKS
from kdlab.show.plots import figure, picture, ticks
from kdlab.train.fit import fit
from kdlab.train.worlds import Replicate

TEACHER, STUDENT = LOOKS["teacher"][0], LOOKS["KD"][0]
SUM = "#BF5B96"  # neither network's colour


class Case(NamedTuple):
    """One image with all that the explorer needs: no network runs while a slider moves."""

    name: str
    image: Tensor  # (C, H, W) in [0, 1]
    label: int
    z_t: Tensor  # (C,) teacher logits
    z_s: dict[str, Tensor]  # stage of the student -> (C,) logits


def gradients(case: Case, stage: str, T: float, alpha: float) -> dict[str, Tensor]:
    """Return the gradient of each loss term at the student's logits, {"hard", "soft"}: (C,).

    Hinton et al. 2015, section 2.1, with the factor T^2: T (q_T - p_T), weighted by alpha.
    """
    z = case.z_s[stage]
    hard = F.softmax(z, 0) - F.one_hot(torch.tensor(case.label), len(z))
    soft = soft_gradient(z[None], case.z_t[None], T)[0]
    return {"hard": (1 - alpha) * hard, "soft": alpha * soft}


def towards_matching(z_s: Tensor, z_t: Tensor, T: float) -> Tensor:
    """Return the cosine (B,) between the soft gradient at T and its limit for T to infinity.

    Hinton et al. 2015, section 2.1: the limit is the difference of the centred logits (B, C).
    """
    gap = z_s - z_t
    return F.cosine_similarity(soft_gradient(z_s, z_t, T), gap - gap.mean(dim=1, keepdim=True))


def soft_gradient(z_s: Tensor, z_t: Tensor, T: float) -> Tensor:
    """Return the gradient (B, C) of each image's soft term T^2 KL at its student logits."""
    return T * (F.softmax(z_s / T, dim=1) - F.softmax(z_t / T, dim=1))


def explorer(
    cases: Sequence[Case], classes: Sequence[str], digit: int, stage: str, T: float, alpha: float
) -> Figure:
    """Draw one image, both distributions at T, and what each loss term asks of every logit."""
    case = cases[digit]
    fig, axes = figure(1, 3, size=(10.5, 3.9), width_ratios=[0.8, 2, 2])
    picture(axes[0], case.image, f"label {classes[case.label]}")
    p, q = F.softmax(case.z_t / T, 0), F.softmax(case.z_s[stage] / T, 0)
    _pairs(axes[1], classes, [("teacher $p_T$", p, TEACHER), ("student $q_T$", q, STUDENT)])
    axes[1].set(ylabel="probability", title=f"Distributions at T = {T:g}")
    axes[1].set(ylim=(0, 1.3), yticks=np.linspace(0, 1, 6))  # legend and note lie above all bars
    entropy = -(p * p.clamp(min=1e-30).log()).sum().item()
    note = f"teacher: entropy {entropy:.2f} nats, p(label) {p[case.label].item():.3f}"
    axes[1].annotate(note, (0.98, 0.79), xycoords="axes fraction", ha="right", fontsize=10)
    parts = gradients(case, stage, T, alpha)
    down = [("hard", -parts["hard"], "#333333"), ("soft", -parts["soft"], STUDENT)]
    _pairs(axes[2], classes, down)
    axes[2].axhline(0, color="#333333", linewidth=0.8)
    total = -(parts["hard"] + parts["soft"])
    axes[2].plot(range(len(classes)), total.numpy(), "D", color=SUM, label="sum", markersize=5)
    axes[2].set(ylabel="step on the logit", title=f"Pull of the loss, alpha = {alpha:g}")
    axes[2].set_ylim(*_limits(total, *(part for _, part, _ in down)))
    for ax in axes[1:]:
        ax.legend(loc="upper right", ncols=3, columnspacing=1, handlelength=1.2)
    cosine = towards_matching(case.z_s[stage][None], case.z_t[None], T).item()
    note = f"cosine to logit matching {cosine:.2f}"
    axes[2].annotate(note, (0.98, 0.02), xycoords="axes fraction", ha="right", fontsize=10)
    return fig


def _pairs(ax: Axes, classes: Sequence[str], parts: Sequence[tuple[str, Tensor, str]]) -> None:
    """Draw bars side by side for each class."""
    at = np.arange(len(classes))
    for side, (name, values, colour) in zip((-0.2, 0.2), parts, strict=True):
        ax.bar(at + side, values.numpy(), 0.4, color=colour, label=name)
    ticks(ax, classes)
    ax.set_xlabel("class")


def _limits(*parts: Tensor) -> tuple[float, float]:
    """Return axis limits that leave room for a legend above and a note below."""
    low = min(float(part.min()) for part in parts)
    high = max(float(part.max()) for part in parts)
    room = 0.22 * (high - low) + 1e-6
    return low - room, high + room


def twin(case: Case, classes: Sequence[str], temperatures: Sequence[float]) -> Figure:
    """Draw the teacher's distribution for one image at several temperatures side by side."""
    fig, axes = figure(1, len(temperatures) + 1, size=(10.5, 2.7))
    picture(axes[0], case.image, case.name)
    for ax, T in zip(axes[1:], temperatures, strict=True):
        p = F.softmax(case.z_t / T, 0)
        ax.bar(range(len(classes)), p.numpy(), color=TEACHER)
        ticks(ax, classes, most=5)
        ax.set(ylim=(0, 1.02), title=f"T = {T:g}", xlabel="class")
        ax.grid(False, axis="x")
    axes[1].set_ylabel("teacher $p_T$")
    return fig


def ambiguous(
    z: Tensor, y: Tensor, classes: Sequence[str], count: int = 6, second: float = 0.1
) -> dict[str, int]:
    """Return {"2, a little 3": row, ...}: right answers with a faint second class.

    Args:
        z: teacher logits (N, C).
        y: labels (N,).
        count: how many, each with another label.
        second: probability of the second class at T = 1, which the chosen ones come closest to.
    """
    best = F.softmax(z, dim=1).topk(2, dim=1)
    gap = (best.values[:, 1] - second).abs().masked_fill(best.indices[:, 0] != y, torch.inf)
    found: dict[str, int] = {}
    seen: set[int] = set()
    for row in gap.argsort().tolist():
        label, other = int(y[row]), int(best.indices[row, 1])
        if label in seen or len(found) == count or gap[row].isinf():
            continue
        seen.add(label)
        found[f"{classes[label]}, a little {classes[other]}"] = row
    return found


def cases(
    data: Data, chosen: Mapping[str, int], z_t: Tensor, z_s: Mapping[str, Tensor]
) -> list[Case]:
    """Return the explorer's cases for test rows `chosen`, from logits (N, C) of all test images."""
    return [
        Case(
            name,
            data.images(data.test.x[row]),
            int(data.test.y[row]),
            z_t[row],
            {stage: z[row] for stage, z in z_s.items()},
        )
        for name, row in chosen.items()
    ]


def gradient_check(z_s: Tensor, z_t: Tensor, temperatures: Sequence[float]) -> Figure:
    """Draw the norm of the soft gradient, with and without T^2, and its cosine to the limit.

    Means over the images of `z_s`, `z_t` (B, C).
    """
    fig, (left, right) = figure(1, 2, size=(9.6, 3.4))
    at = np.array(temperatures)
    norms = np.array([soft_gradient(z_s, z_t, T).norm(dim=1).mean().item() for T in temperatures])
    left.plot(at, norms, "s-", color=STUDENT, label="with $T^2$")
    left.plot(at, norms / at**2, "X--", color="#8C8C8C", label="without")
    left.set(xscale="log", yscale="log", xlabel="temperature T", ylabel="norm of the soft gradient")
    left.legend()
    cosines = [towards_matching(z_s, z_t, T).mean().item() for T in temperatures]
    right.plot(at, cosines, "o-", color="#009E73")
    right.set(
        xscale="log", xlabel="temperature T", ylabel="cosine to logit matching", ylim=(0, 1.03)
    )
    for ax in (left, right):
        ax.set_xticks(at, [f"{T:g}" for T in at])
        ax.minorticks_off()
    return fig


def cases_of(r: Replicate, longer: float = 0.125) -> list[Case]:
    """Return images that the teacher gets right with a slight doubt, and a student on its way.

    The student learns from the teacher for `longer` of its usual training, in about a second.
    """
    x = r.data.test.x
    z_t, method = logits_of(r.teacher.net, x), KD(r.student(), r.teacher)
    stages = {"untrained": logits_of(method, x)}

    def keep(epoch: int, now: nn.Module) -> None:
        if epoch == 1:
            stages["after one epoch"] = logits_of(now, x)

    fit(method, r.data, r.recipe(longer), r.r, on_epoch=[keep])
    stages["trained"] = logits_of(method, x)
    return cases(r.data, ambiguous(z_t, r.data.test.y, r.data.classes), z_t, stages)


def fresh_logits(r: Replicate, images: int = 200) -> tuple[Tensor, Tensor]:
    """Return the logits (B, C) of an untrained student and of the teacher for test images."""
    x = r.data.test.x[:images]
    return logits_of(r.student(), x), logits_of(r.teacher.net, x)
