"""Figures of notebook 08, Zhang, Xiang, Hospedales, Lu 2018: what peers say and ask of each other.

`asked` turns logits into the numbers of the explorer; `explorer` only draws them.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor, nn

from kdlab.measure import divergence, logits_of
from kdlab.papers.dml.method import Cohort, mimicry_loss
from kdlab.show.looks import LOOKS
from kdlab.show.plots import figure, picture, ticks
from kdlab.train.fit import fit
from kdlab.train.method import hard_loss
from kdlab.train.worlds import Replicate

PEERS = ("#0072B2", "#D55E00", "#009E73")
LOOK = {"label": LOOKS["labels"][0], "peers": LOOKS["DML"][0]}
SHARES = (0.0, 0.1, 0.3, 0.6, 1.0)  # of the training that is done
NAMES = {"each": "each peer", "sum": "sum", "mean": "DML_e", "logits": "mean of logits"}
IMAGES = 200  # validation images that are asked


class Story(NamedTuple):
    """One training of three peers; no network runs while a slider moves."""

    shares: list[float]  # of the training, one a moment
    z: Tensor  # (M, K, N, C) logits at M moments
    y: Tensor  # (N,)
    images: Tensor  # (N, C, H, W) in [0, 1]
    classes: tuple[str, ...]
    rows: list[int]  # of the images on which peers 1 and 2 differ most, each with another label


def story_of(r: Replicate, longer: float = 0.125, count: int = 6) -> Story:
    """Train three peers for `longer` of the usual training; keep what they say on the way."""
    method, (x, y, _) = Cohort.of(r), (column[:IMAGES] for column in r.data.val)
    recipe = r.recipe(longer)
    epochs = recipe.total_epochs(len(r.data.train.y))
    wanted = sorted({round(share * epochs) for share in SHARES})
    found: list[Tensor] = []

    def keep(epoch: int, now: nn.Module) -> None:
        if epoch in wanted:
            found.append(torch.stack([logits_of(peer, x) for peer in now.peers]))  # type: ignore[union-attr]

    keep(0, method)
    fit(method, r.data, recipe, r.r, on_epoch=[keep])
    z, images = torch.stack(found), r.data.images(x)
    shares = [epoch / epochs for epoch in wanted]
    return Story(shares, z, y, images, r.data.classes, disputed(z, y, count))


def disputed(z: Tensor, y: Tensor, count: int) -> list[int]:
    """Return up to `count` rows on which peers 1 and 2 differ most over all moments, one a label.

    `z` (M, K, N, C), `y` (N,). They differ by KL both ways, in nats.
    """
    one, two = (F.log_softmax(z[:, k].flatten(0, 1), dim=1) for k in (0, 1))
    gap = (divergence(one, two) + divergence(two, one)).reshape(len(z), -1).mean(dim=0)
    found: dict[int, int] = {}
    for row in gap.argsort(descending=True).tolist():
        found.setdefault(int(y[row]), row)
    return list(found.values())[:count]


def asked(z: Tensor, k: int, y: int, target: str) -> dict[str, tuple[float, Tensor]]:
    """Return each term of peer `k`, "label" and "peers": its value, and the step that it asks for.

    `z` (K, C): logits of the peers for one image of label `y`. A value is in nats, a step (C,) is
    minus the gradient at the logits of peer `k`.
    """
    z_k, others = z[k : k + 1].clone().requires_grad_(), [*z[:k, None], *z[k + 1 :, None]]
    terms = {"label": hard_loss(z_k, torch.tensor([y])), "peers": mimicry_loss(z_k, others, target)}
    return {name: (v.item(), -torch.autograd.grad(v, z_k)[0][0]) for name, v in terms.items()}


def explorer(story: Story, image: int, moment: int, peer: int, target: str) -> Figure:
    """Draw an image, what three peers say of it, and what both terms ask of one of them."""
    row = story.rows[image]
    z, label = story.z[moment, :, row], int(story.y[row])
    fig, axes = figure(1, 3, size=(11, 3.9), width_ratios=[0.8, 2, 2])
    picture(axes[0], story.images[row], f"label {story.classes[label]}")
    answers(axes[1], z, story.classes)
    axes[1].set(title=f"{story.shares[moment]:.0%} of the training", ylabel="probability, one run")
    found = asked(z, peer, label, target)
    for side, (name, (_, step)) in zip((-0.2, 0.2), found.items(), strict=True):
        at = np.arange(len(step)) + side
        axes[2].bar(at, step.numpy(), 0.4, color=LOOK[name], label=name)
    axes[2].axhline(0, color="#333333", linewidth=0.8)
    named(axes[2], story.classes)
    most = max(1.0, *(float(step.abs().max()) for _, step in found.values()))
    axes[2].set(ylim=(-1.25 * most, 1.25 * most), ylabel="step on the logit")
    axes[2].set_title(f"Asked of peer {peer + 1}")
    axes[2].legend(loc="upper right", ncols=2)
    note = f"mutual term, {NAMES[target]}: {found['peers'][0]:.3f} nats"
    axes[2].annotate(note, (0.98, 0.03), xycoords="axes fraction", ha="right", fontsize=10)
    return fig


def answers(ax: Axes, z: Tensor, classes: Sequence[str]) -> None:
    """Draw the posteriors of peers with logits `z` (K, C) side by side for each class."""
    q, wide = F.softmax(z, dim=1).numpy(), 0.8 / len(z)
    for k, colour in zip(range(len(q)), PEERS, strict=False):
        at = np.arange(len(classes)) + (k - (len(q) - 1) / 2) * wide
        ax.bar(at, q[k], wide, color=colour, label=f"$q_{k + 1}$")
    named(ax, classes)
    ax.set(ylim=(0, 1.22), yticks=np.linspace(0, 1, 6))  # the legend lies above all bars
    ax.legend(loc="upper right", ncols=len(q), columnspacing=1, handlelength=1)


def named(ax: Axes, classes: Sequence[str]) -> None:
    """Name the classes below the axis."""
    ticks(ax, classes)
    ax.set_xlabel("class")
    ax.grid(visible=False, axis="x")
