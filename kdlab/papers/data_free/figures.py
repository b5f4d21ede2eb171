"""Figures of notebook 11, and the numbers behind its explorers."""

import re
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from IPython.display import display
from matplotlib.figure import Figure
from torch import Tensor

from kdlab.measure import features_of
from kdlab.models import tap
from kdlab.papers.data_free import sources
from kdlab.papers.data_free.dream import PUBLISHED, deep_inversion, inversion
from kdlab.papers.data_free.losses import dafl_terms
from kdlab.papers.data_free.privacy import exposure, told_apart
from kdlab.papers.data_free.records import last_tap
from kdlab.seeds import generator
from kdlab.show.plots import bundle, figure, picture
from kdlab.train.worlds import Replicate

ROWS = {"in the record": ("#D55E00", "o"), "left out": ("#0072B2", "s")}
Terms = dict[str, dict[str, float]]


def gallery(images: Mapping[str, Tensor], across: int = 5) -> Figure:
    """Draw a row of images (C, H, W) in [0, 1] for each name."""
    size = (1.8 + 0.5 * across, 0.5 * len(images) + 0.15)  # small: noise is dear to store
    fig, axes = figure(len(images), across, size=size, squeeze=False)
    for row, (name, x) in zip(axes, images.items(), strict=True):
        for ax in row:
            ax.set_axis_off()
        for ax, image in zip(row, x, strict=False):
            picture(ax, image)
        row[0].text(-0.2, 0.5, name, transform=row[0].transAxes, ha="right", va="center")
    return fig


def batches(r: Replicate, n: int = 50, steps: int = 60) -> dict[str, Tensor]:
    """Return batches (n, C, H, W) of four kinds; synthesis is short, a second or two each."""
    found = {"real": sources.real(r, n), "noise": sources.gaussian(r, n)}
    found["DAFL"] = sources.generated(r, n, steps=2 * steps)
    found["DeepInversion"] = sources.inverted(r, n, steps=steps)
    return {name: x for name, (x, _) in found.items()}


@torch.no_grad()
def terms_of(r: Replicate, made: Mapping[str, Tensor]) -> Terms:
    """Return {batch: {term: its value at weight 1}} of DAFL and of DeepInversion."""
    net, found = sources.teacher(r).net, {}
    for name, x in made.items():
        z, features = tap(net, x, last_tap(net))
        terms = dafl_terms(z, features[last_tap(net)], 1.0, 1.0, 1.0)
        with inversion(net, z.argmax(dim=1), PUBLISHED._replace(tv=1.0, bn=1.0)) as told:
            terms |= {key: told(x)[key] for key in ("smooth", "batch norm")}
        found[name] = {re.sub("[- ]", "_", key): term.item() for key, term in terms.items()}
    return found


def weighed(terms: Terms, **weights: float) -> Terms:
    """Return {batch: {term: weight times value}} of the terms that have a weight."""
    return {name: {k: w * t[k] for k, w in weights.items()} for name, t in terms.items()}


def bars(terms: Terms, **weights: float) -> Figure:
    """Draw for each batch its weighted terms and their sum, with numbers: a bar may be flat."""
    (fig, ax), drawn = figure(size=(10, 3.6)), weighed(terms, **weights)
    at, wide = np.arange(len(drawn)), 0.8 / (len(weights) + 1)
    for place, name in enumerate([*weights, "sum"]):
        heights = [sum(t.values()) if name == "sum" else t[name] for t in drawn.values()]
        style = {"color": "#333333"} if name == "sum" else {}
        bar = ax.bar(at + place * wide - 0.4, heights, wide, label=name.replace("_", " "), **style)
        ax.bar_label(bar, [f"{height:.1f}" for height in heights], padding=2, fontsize=9)
    ax.axhline(0, color="#333333", linewidth=0.8)
    ax.set_xticks(at, list(drawn))
    ax.set_ylabel("weighted term")
    ax.margins(y=0.1)
    fig.legend(*ax.get_legend_handles_labels(), loc="outside upper center", ncols=5)
    return fig


def members(r: Replicate) -> dict[int, Tensor]:
    """Return the teacher's last features {class: (N, U)} of images that it learned from."""
    net, train = sources.teacher(r).net, r.data.train
    f = features_of(net, train.x, last_tap(net)).flatten(1)
    return {c: f[train.y == c] for c in range(r.data.n_classes)}


def exposed(features: Mapping[int, Tensor], digit: int, n: int) -> Figure:
    """Draw how far the images of a class are from the record of its first `n`: in it, left out."""
    (fig, ax), f = figure(size=(10, 2.6)), features[digit]
    for place, (x, (colour, marker)) in enumerate(zip(exposure(f, n), ROWS.values(), strict=True)):
        ax.plot(x.numpy(), np.full(len(x), place), marker, color=colour, alpha=0.5)
    ax.set_yticks([0, 1], list(ROWS))
    ax.set(ylim=(1.6, -0.6), xlim=(-0.02, None), xlabel="distance to the published mean")
    ax.set_title(f"told apart: {told_apart(f, n):.0f} % (50 % is a coin)")
    return fig


def dream_a_digit(
    r: Replicate, digit: int, steps: int = 200, every: int = 20, **weights: float
) -> Tensor:
    """Invert one class before the reader's eyes; the stop button keeps the best image so far."""
    y, source = torch.full((8,), digit), generator(r.r, "dream", digit)
    handle: Any = display({"text/plain": "starting"}, raw=True, display_id=True)

    def look(step: int | str, x: Any) -> None:
        if handle is not None and (step == "best" or int(step) % every == 0):
            fig, told = gallery({f"{step}": r.data.images(x)}, len(y)), f"Dreamt: class {digit}, "
            handle.update(bundle(fig, f"{told}eight images, update {step}."), raw=True)

    options: dict[str, Any] = {"steps": steps, "title": "dream", "on_step": look}
    at, net = PUBLISHED._replace(**weights), sources.teacher(r).net
    x = deep_inversion(net, r.data, y, source, at, **options)
    look("best", x)
    return x
