"""Figures of notebook 10, Allen-Zhu, Li 2020."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from matplotlib.figure import Figure

from kdlab.measure import logits_of
from kdlab.papers.mysteries.arms import STEPS, fresh, team
from kdlab.papers.mysteries.halves import one_half, pairs
from kdlab.papers.mysteries.made import CLASSES, DONE, Made, descend, made
from kdlab.papers.mysteries.race import duel, race, vote
from kdlab.show.plots import figure, picture
from kdlab.train.method import CE
from kdlab.train.teachers import Ensemble
from kdlab.train.worlds import Replicate

FIRST, SECOND, GREY = "#0072B2", "#D55E00", "#8C8C8C"  # the two views; what is neither


def _maps(grids: Mapping[str, Any], top: float = 1.0, key: str = "") -> Figure:
    """Draw grids (classes, 2) side by side, dark for 0 and light for `top`; `key` names a scale."""
    fig, axes = figure(1, len(grids), size=(10.5, 3.8), sharey=True)
    style: dict[str, Any] = {"vmin": 0, "vmax": top, "edgecolors": "white", "linewidth": 1}
    for ax, (name, grid) in zip(axes, grids.items(), strict=True):
        drawn = ax.pcolormesh(np.asarray(grid, float), **style)
        ax.set(title=name, xlabel="view", ylim=(CLASSES, 0))
        ax.set_xticks([0.5, 1.5], ["1", "2"])
        ax.set_yticks(np.arange(CLASSES) + 0.5, range(CLASSES))
    axes[0].set_ylabel("class")
    if key:
        fig.colorbar(drawn, ax=axes, label=key)
    return fig


def _legend(fig: Figure) -> Figure:
    """Put the legend of the first panel above all of them."""
    fig.legend(*fig.axes[0].get_legend_handles_labels(), loc="outside upper center", ncols=4)
    return fig


def samples(data: Made) -> Figure:
    """Draw how strongly samples show each view: three for training, one that hides a view."""
    x = torch.cat([data.train.x[:3], data.single.x[:1]])
    seen = torch.einsum("npd,kvd->nkvp", x, data.views).amax(dim=3)
    names = [f"training,\nlabel {y}" for y in range(3)] + ["test,\nlabel 0"]
    return _maps(dict(zip(names, seen, strict=True)), 1.5, "strength of a view")


def coverage(runs: pd.DataFrame) -> Figure:
    """Draw which views are known in one replicate, light: five nets, all five, and other arms.

    `runs` holds its rows, with the columns arm and known (nets, k, 2); one arm is "ensemble of 5".
    """
    by_arm = dict(zip(runs["arm"], runs["known"], strict=True))
    grids = {f"net {n}": grid for n, grid in enumerate(by_arm.pop("ensemble of 5"), 1)}
    grids["all five"] = np.max(list(grids.values()), axis=0)
    grids |= {arm: known.max(axis=0) for arm, known in by_arm.items() if arm != "labels"}
    return _maps({f"{name}\n{100 * grid.mean():.0f} %": grid for name, grid in grids.items()})


def growth(r: int, classes: Sequence[int] = (0, 1, 2, 3)) -> Figure:
    """Draw the best detector of each view while one net trains, and the race of plain numbers."""
    data, net = made(r), fresh(r, 0)
    start = torch.einsum("kmd,kvd->kvm", net.w.detach(), data.views)
    path = [net.strengths(data.views)]
    while descend(CE(net), data.train, steps=1, stop=DONE):
        path.append(net.strengths(data.views))
    drawn = torch.stack(path), race(start, steps=len(path) - 1).amax(dim=-1)
    fig, axes = figure(1, len(classes), size=(10.5, 3.4), sharey=True)
    for ax, c in zip(axes, classes, strict=True):
        for grown, dash, name in zip(drawn, "-:", ("net", "numbers"), strict=True):
            for view, colour in enumerate((FIRST, SECOND)):
                ax.plot(grown[:, c, view], dash, color=colour, label=f"view {view + 1}, {name}")
        ax.axhline(
            1, color="#333333", linestyle="--", linewidth=1, zorder=0
        )  # the threshold: a view above it is known
        ax.set(title=f"class {c}", xlabel="update")
    axes[0].set_ylabel("best detector")
    return _legend(fig)


def duels(*settings: Mapping[str, float]) -> Figure:
    """Draw one race for each of `settings`, the arguments of `race.duel`."""
    fig, axes = figure(1, len(settings), size=(10.5, 3.4), squeeze=False)
    for ax, at in zip(axes[0], settings, strict=True):
        path, first = duel(**at)
        ax.plot(path[:, 0], "-", color=FIRST, label=f"ahead by {at['head']:g} : 1")
        ax.plot(path[:, 1], "--", color=SECOND, label="behind")
        ax.axhline(at["threshold"], color=GREY, linestyle=":", label="threshold")
        ax.set(title=f"power {at['power']:g}: share {100 * first:.0f} %", xlabel="update")
    axes[0, 0].set_ylabel("detector")
    return _legend(fig)


def votes(*settings: tuple[Sequence[str], str]) -> Figure:
    """Draw what nets say of an image, one panel for each of `settings`, the arguments of `vote`."""
    fig, axes = figure(1, len(settings), size=(10.5, 3.4), squeeze=False)
    for ax, (nets, image) in zip(axes[0], settings, strict=True):
        (z, told), at = (x.numpy() for x in vote(nets, image)), np.arange(len(nets) + 1)
        ax.barh(at - 0.2, z[:, 0], 0.38, color=FIRST, label="score of car")
        ax.barh(at + 0.2, z[:, 1], 0.38, color=SECOND, label="score of cat")
        for place, p in enumerate(told):
            ax.text(15.6, place, f"car {p:.2f}", va="center", ha="right", backgroundcolor="white")
        ax.set_yticks(at, [*nets, "mean"])
        ax.set(title=image, xlabel="score", xlim=(0, 16), ylim=(len(nets) + 0.6, -0.6))
    return _legend(fig)


def whisper(r: int, steps: int = STEPS) -> Figure:
    """Draw what one net and five say of the sample on which five name another class loudest."""
    data, nets = made(r), team(r, steps=steps)
    z = [logits_of(Ensemble(team), data.train.x).clamp(max=4) / 2 for team in (nets[:1], nets)]
    one, five = (F.softmax(scores, dim=1).scatter(1, data.train.y[:, None], 0) for scores in z)
    row = int((five - one).amax(dim=1).argmax())
    fig, axes = figure(1, 2, size=(9.6, 2.8), sharey=True)
    for ax, name, p in zip(axes, ("one net", "five nets"), z, strict=True):
        ax.bar(range(CLASSES), F.softmax(p[row], dim=0).numpy(), color=FIRST)
        ax.set(title=f"{name}, on a sample of class {data.train.y[row]}", xlabel="class")
        ax.set_xticks(range(CLASSES))
    axes[0].set_ylabel("probability told")
    return fig


def halves(r: Replicate) -> Figure:
    """Draw a pair that trains a net, and a test image at either side."""
    data = pairs(r)
    shown = [data.train.x[0], *(side[0] for side in one_half(r.data.test.x[:1]))]
    fig, axes = figure(1, 3, size=(9.6, 2.2))
    for ax, image, name in zip(axes, shown, ("training", "test", "test"), strict=True):
        picture(ax, data.images(image), name)
    return fig
