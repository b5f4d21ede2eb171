"""Figures of notebook 04, Romero et al. 2015, and the numbers that they draw."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import torch.nn.functional as F
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from torch import Tensor, nn

from kdlab.data import Data
from kdlab.measure import features_of, logits_of
from kdlab.models import tap
from kdlab.papers.fitnets.arms import recipe, student
from kdlab.papers.fitnets.method import REDUCTIONS, Hints, hint_loss
from kdlab.papers.fitnets.nets import KINDS, thin
from kdlab.show.looks import look
from kdlab.show.plots import figure, picture
from kdlab.train.fit import fit
from kdlab.train.frozen import Frozen
from kdlab.train.worlds import Replicate

LEAST, CHANNELS = 1e-12, 4  # shown for 0 on a log axis; how many channels of a hint are kept


def signal(depth: int, kind: str, data: Data, images: int = 50) -> dict[str, Tensor]:
    """Return what an untrained net passes on, from one pass forward and one back.

    Returns:
        Per layer (depth,): ``spread``, the standard deviation of a unit over images, mean over
        units; ``gradient``, the norm of the gradient of the cross-entropy at its weights.
    """
    net = thin(depth, kind, n_classes=data.n_classes, in_shape=data.in_shape, seed=0)
    z, maps = tap(net, data.train.x[:images], [f"layer{i}" for i in range(1, depth + 1)])
    F.cross_entropy(z, data.train.y[:images]).backward()
    slopes = [p.grad for name, p in net.named_parameters() if name.endswith("conv.weight")]
    spread = Tensor([f.detach().std(dim=0).mean() for f in maps.values()])
    return {"spread": spread, "gradient": Tensor([g.norm() for g in slopes if g is not None])}


def signals(data: Data, depth: int, chosen: str = "") -> Figure:
    """Draw `signal` of all kinds at one depth as lines, that of `chosen` as bars, too."""
    fig, axes = figure(1, 2, size=(10.5, 3.6))
    at = np.arange(1, depth + 1)
    for place, kind in enumerate(KINDS):
        found, style = signal(depth, kind, data), look(kind, place)
        for ax, values in zip(axes, found.values(), strict=True):
            y = values.clamp(min=LEAST).numpy()
            ax.plot(at, y, label=kind, markersize=4, **style)
            if kind == chosen:
                ax.bar(at, y, color=style["color"], alpha=0.4)
    titles = {"How much images differ": "standard deviation", "Gradient at the weights": "its norm"}
    for ax, (title, unit) in zip(axes, titles.items(), strict=True):
        ax.set(yscale="log", xlabel="layer, from image to logits", ylabel=unit, ylim=(1e-9, 30))
        ax.set_title(title)
        ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes[0].legend(ncols=2)
    return fig


class Peek(NamedTuple):
    """A pair of layers before and after stage 1, on test images."""

    kernel: int
    weights: dict[str, int]  # of a regressor, "conv" and "dense", without biases
    f_s: Tensor  # (n, H, W) guided map afterwards, mean over its channels
    maps: dict[str, Tensor]  # "teacher", "before", "after": (n, CHANNELS, H, W)
    errors: dict[str, tuple[float, float]]  # reduction -> loss before and after, all n images


Pairs = Mapping[tuple[str, str], Peek | str]  # (guided, hint) -> Peek, or why it is refused


def peeks(
    r: Replicate, guided: Sequence[str], hints: Sequence[str], longer: float = 0.15
) -> dict[tuple[str, str], Peek | str]:
    """Return `peek` for every pair of a guided layer and a hint, after a short stage 1 for each."""
    teacher = r.teacher_of(taps=hints)
    return {(g, h): peek(r, teacher, g, h, longer) for g in guided for h in hints}


def peek(
    r: Replicate, teacher: Frozen, guided: str, hint: str, longer: float, images: int = 60
) -> Peek | str:
    """Train stage 1 for a share `longer` of the usual updates; say so where a pair is refused."""
    x = r.data.test.x[:images]
    try:
        method = Hints(student(r), teacher, r.data, guided, hint, seed=r.r)
    except ValueError as refused:
        return str(refused)
    f_t, whole = features_of(teacher.net, x, hint), nn.Sequential(method.part, method.r)
    lively = f_t.std(dim=(0, 2, 3)).topk(min(CHANNELS, f_t.shape[1])).indices
    before = logits_of(whole, x)
    fit(method, r.data, recipe(r, longer), r.r)
    after, f_s = logits_of(whole, x), logits_of(method.part, x)
    seen = after[:, lively].std(dim=(0, 2, 3)).argsort(descending=True, stable=True)
    lively = lively[seen]  # a channel whose ReLU never opened comes last
    errors = {
        n: (hint_loss(before, f_t, n).item(), hint_loss(after, f_t, n).item()) for n in REDUCTIONS
    }
    maps = {"teacher": f_t[:, lively], "before": before[:, lively], "after": after[:, lively]}
    side, pairs = f_s.shape[-1] - f_t.shape[-1] + 1, f_s.shape[1] * f_t.shape[1]
    weights = {"conv": side**2 * pairs, "dense": f_s[0].numel() * f_t[0].numel()}
    return Peek(side, weights, f_s.mean(dim=1), maps, errors)


def explorer(
    pairs: Pairs, images: Tensor, guided: str, hint: str, image: int, channel: int
) -> Figure:
    """Draw an image, the student's map, and one channel of the hint beside its predictions.

    What it draws is `pairs` at (guided, hint): numbers alone, no network runs.
    """
    found = pairs[guided, hint]
    fig, axes = figure(1, 5, size=(10.5, 3.2))
    picture(axes[0], images[image], "image")
    for ax in axes[1:]:
        ax.set_axis_off()
    if isinstance(found, str):
        fig.suptitle(f"Refused: {found}", wrap=True, fontsize=11)
        return fig
    axes[1].imshow(found.f_s[image].numpy())
    axes[1].set_title(f"student, {guided}")
    top = float(found.maps["teacher"][image, channel].max().clamp(min=1e-6))
    titles = f"teacher, {hint}", "regressor, before", "and after"
    for ax, maps, title in zip(axes[2:], found.maps.values(), titles, strict=True):
        ax.imshow(maps[image, channel].numpy(), vmin=0, vmax=top)
        ax.set_title(title)
    errors = ";  ".join(f"{n}: {b:.3g} to {a:.3g}" for n, (b, a) in found.errors.items())
    size = f"kernel {found.kernel} x {found.kernel}, {found.weights['conv']:,} weights"
    told = f"{size} (dense: {found.weights['dense']:,})\nerror before and after, {errors}"
    fig.suptitle(told, fontsize=11)
    return fig
