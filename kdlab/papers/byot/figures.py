"""Figures of notebook 07, Zhang et al. 2019: who leaves where, and at what price."""

from collections.abc import Sequence
from typing import NamedTuple

import torch.nn.functional as F
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from kdlab.papers.byot.adaptive import Left, adaptive, sweep
from kdlab.papers.byot.arms import logits, relative
from kdlab.papers.byot.method import BYOT
from kdlab.show.plots import figure, picture
from kdlab.train.fit import fit
from kdlab.train.worlds import Replicate

REST = ("all exits together", "the deepest exit")  # who answers where no exit is sure enough
COLOURS = ("#0072B2", "#B87900", "#009E73", "#BF5B96", "#8B6B3D")  # exits in turn, then together
SHOWN = 5  # images a row


class Case(NamedTuple):
    """A trained network's answers: no network runs while a slider moves."""

    z: Tensor  # (K, N, C) logits of the exits
    y: Tensor  # (N,)
    images: Tensor  # (N, C, H, W) in [0, 1]
    classes: tuple[str, ...]
    costs: list[float]  # K + 1 shares of the plain net's, see `kdlab.papers.byot.adaptive`
    line: list[Left]  # of one threshold for all exits, from 0 to 1


def case_of(r: Replicate, longer: float = 0.125) -> Case:
    """Train a student with exits for `longer` of its usual training, and ask it the test images."""
    method, (x, y, _) = BYOT.of(r), r.data.test
    fit(method, r.data, r.recipe(longer), r.r)
    z, paid = logits(method.exits, x), relative(method.exits, r)
    return Case(z, y, r.data.images(x), r.data.classes, paid, sweep(z, y, paid))


def leave(case: Case, first: float, second: float, rest: str) -> Left:
    """Return what comes of two thresholds, the numbers behind `explorer`."""
    others = [1.0 if rest == REST[0] else -1.0] * (len(case.z) - 2)
    return adaptive(case.z, case.y, [first, second, *others], case.costs)


def early_and_late(case: Case, left: Left) -> tuple[list[int], list[int]]:
    """Return SHOWN images each: the surest that leave at exit 1, the least sure that go farthest.

    How sure exit 1 is of them decides.
    """
    top = F.softmax(case.z[0].double(), dim=1).amax(dim=1)
    early = top.masked_fill(left.at > 0, -1).argsort(descending=True)[: int((left.at == 0).sum())]
    late = top.masked_fill(left.at < left.at.max(), 2).argsort()[: int((left.at > 0).sum())]
    return early[:SHOWN].tolist(), late[:SHOWN].tolist()


def explorer(case: Case, first: float, second: float, rest: str) -> Figure:
    """Draw price and accuracy, the share that leaves at each exit, and images of both kinds."""
    left = leave(case, first, second, rest)
    fig, axes = figure(2, 2 + SHOWN, size=(11, 4), width_ratios=[4.2, 3.2, *[1] * SHOWN])
    grid = axes[0, 0].get_gridspec()
    for ax in axes[:, :2].flat:
        ax.remove()
    price, shares = fig.add_subplot(grid[:, 0]), fig.add_subplot(grid[:, 1])
    price.plot([s.cost for s in case.line], [s.accuracy for s in case.line], color="#8C8C8C")
    price.plot(left.cost, left.accuracy, "*", color="#D55E00", markersize=15)
    price.set(xlabel="cost of an image, plain net = 1", ylabel="test accuracy in % (axis cut)")
    price.set_title(f"{left.accuracy:.1f} % for {left.cost:.2f}; grey: one threshold")
    bars(shares, case, left)
    for ax in axes[:, 2:].flat:
        ax.set_axis_off()
    rows = dict(zip(("early", "late"), early_and_late(case, left), strict=True))
    for row, (words, places) in enumerate(rows.items()):
        for ax, i in zip(axes[row, 2:], places, strict=False):
            said = "right" if left.guess[i] == case.y[i] else f"“{case.classes[left.guess[i]]}”"
            picture(ax, case.images[i], f"{words}\n{said}")
    return fig


def bars(ax: Axes, case: Case, left: Left) -> None:
    """Draw how many images leave at each exit, and how many of these are right."""
    names = [*(f"exit {k + 1}" for k in range(len(case.z))), "together"]
    for place in range(len(names)):
        here = left.at == place
        share, right = here.double().mean().item(), left.guess[here] == case.y[here]
        told = f", {100 * right.double().mean():.0f} % right" if share else ""
        ax.barh(place, share, color=COLOURS[place])
        ax.text(share + 0.04, place, f"{100 * share:.0f} %{told}", va="center")
    ax.set_yticks(range(len(names)), names)
    ax.set(xlim=(0, 2.1), ylim=(len(names) - 0.4, -0.6), xlabel="share of the images")
    ax.set_xticks([0, 0.5, 1])


def twin(case: Case, thresholds: Sequence[float]) -> Figure:
    """Draw the share that leaves at each exit for several thresholds side by side."""
    fig, axes = figure(1, len(thresholds), size=(11, 2.6))
    for ax, t in zip(axes, thresholds, strict=True):
        left = adaptive(case.z, case.y, [t] * len(case.z), case.costs)
        bars(ax, case, left)
        ax.set_title(f"threshold {t:g}\n{left.accuracy:.1f} % for {left.cost:.2f}")
        if ax is not axes[0]:
            ax.set_yticklabels([])
    return fig
