"""Figures of notebook 06, Xu et al. 2020, and the numbers that they draw."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from matplotlib.figure import Figure
from torch import Tensor, nn

from kdlab.data import Batch
from kdlab.papers.sskd.method import keep_rows, rank_of
from kdlab.papers.sskd.pretext import own_rows, similarity, stage_one
from kdlab.papers.sskd.views import VIEWS, Views
from kdlab.show.looks import LOOKS
from kdlab.show.plots import figure, picture
from kdlab.train.worlds import Replicate

CLASSES, EACH = 5, 2  # of a scene: how many classes, the last ones, and images of each
COLOURS = {"image": LOOKS["teacher"][0], "view": LOOKS["RKD"][0]}


class Scene(NamedTuple):
    """A few test images, class by class, with their views and the teacher's answers to them."""

    images: Tensor  # (B, 1 + VIEWS, C, H, W) in [0, 1], first the image as it is
    z: Tensor  # (B, 1 + VIEWS, K) logits
    a: Tensor  # (B VIEWS, B) cosines of each view with each original
    own: Tensor  # (B VIEWS,) each view's original


class Chosen(NamedTuple):
    """What a scene says at one setting: numbers alone."""

    p: Tensor  # (2, K) class probabilities of an image, and of its view
    q: Tensor  # (B VIEWS, B) similarities softmax(a / tau)
    rank: Tensor  # (B VIEWS,) originals that are nearer than the own one
    keep: Tensor  # (B VIEWS,) rows that are kept
    row: int  # of the chosen view


def scene_of(r: Replicate, pool: str = "rotations", head: nn.Module | None = None) -> Scene:
    """Return the scene of a replicate; `head` is the teacher's, None trains one."""
    views, (x, y, _) = Views(r.teacher, r.data, pool, r.r), r.data.test
    head = stage_one(r, views) if head is None else head
    last = range(max(0, r.data.n_classes - CLASSES), r.data.n_classes)
    at = torch.cat([(y == c).nonzero().flatten()[:EACH] for c in last])
    batch = Batch(x[at], y[at], torch.arange(len(at)), stored=False)
    with torch.no_grad():
        seen = views(batch)
        u, v = head(seen.f[:, 0]), head(seen.f[:, 1:].flatten(0, 1))
        z = torch.cat([views.teacher.net(batch.x)[:, None], seen.z], dim=1)
    images = r.data.images(torch.cat([batch.x[:, None], seen.x], dim=1))
    return Scene(images, z, similarity(v, u), own_rows(seen))


def chosen(scene: Scene, image: int, view: int, tau: float, ratio: float) -> Chosen:
    """Return the numbers of a setting: `image` from 0, `view` from 1."""
    rank = rank_of(scene.a, scene.own)
    p = F.softmax(scene.z[image, [0, view]], dim=1)
    q = F.softmax(scene.a / tau, dim=1)
    return Chosen(p, q, rank, keep_rows(rank, ratio), image * VIEWS + view - 1)


def explorer(
    scene: Scene, classes: Sequence[str], image: int, view: int, tau: float, ratio: float
) -> Figure:
    """Draw an image, its view, both answers, and the similarities; rows that are dropped fade."""
    now = chosen(scene, image, view, tau, ratio)
    fig, axes = figure(1, 4, size=(11, 4.6), width_ratios=[0.8, 0.8, 1.7, 1.5])
    picture(axes[0], scene.images[image, 0], "image")
    picture(axes[1], scene.images[image, view], f"view {view}: rank {now.rank[now.row]}")
    at, step = np.arange(len(classes)), max(1, len(classes) // 10)
    for side, p, name in zip((-0.2, 0.2), now.p, COLOURS, strict=True):
        axes[2].barh(at + side, p.numpy(), 0.4, color=COLOURS[name], label=name)
    axes[2].set_yticks(at[::step], list(classes)[::step])
    axes[2].set(xlim=(0, 1.02), title="Teacher: which class?")
    axes[2].invert_yaxis()
    fig.legend(*axes[2].get_legend_handles_labels(), loc="outside lower center", ncols=2)
    q, shade = now.q.numpy(), (0.2 + 0.8 * now.keep[:, None].expand_as(now.q)).numpy()
    fig.colorbar(axes[3].imshow(q, aspect="auto", vmin=0, vmax=1, alpha=shade), ax=axes[3])
    axes[3].axhspan(now.row - 0.5, now.row + 0.5, fill=False, ec=COLOURS["view"], lw=2)
    axes[3].set(xlabel="original", ylabel="view, image by image", title="Teacher: who is alike?")
    axes[3].set(yticks=range(0, len(now.q), VIEWS), xticks=range(0, now.q.shape[1], 2))
    axes[3].grid(False)
    wrong = now.rank > 0
    told = f"right: {int((~wrong).sum())} rows, all kept; wrong: {int(wrong.sum())}, kept "
    fig.suptitle(told + f"{int((wrong & now.keep).sum())} (the others are pale)", fontsize=11)
    return fig


def answers(scenes: Mapping[str, Scene], classes: Sequence[str], image: int) -> Figure:
    """Draw an image and its views, a row a pool, each with the class that the teacher sees."""
    fig, axes = figure(len(scenes), 1 + VIEWS, size=(8.6, 2.5 * len(scenes)), squeeze=False)
    for row, (pool, scene) in zip(axes, scenes.items(), strict=True):
        best = F.softmax(scene.z[image], dim=1).max(dim=1)
        for view, ax in enumerate(row):
            told = f"{classes[int(best.indices[view])]}: {100 * best.values[view]:.0f} %"
            picture(ax, scene.images[image, view], f"{told}\n{pool if view else 'as it is'}")
    return fig
