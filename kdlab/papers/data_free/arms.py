"""The arms of notebook 11: each takes a replicate, makes images, distils a student on them.

All students make equally many updates, on equally many images, with the loss of notebook 00 and no
label. What a row says of real images is measured after everything is done.
"""

import time
from collections.abc import Callable
from typing import Any

import torch
from scipy.stats import mannwhitneyu
from torch import Tensor, nn

from kdlab.data import Split
from kdlab.measure import entropies, evaluate, features_of, fidelity, logits_of
from kdlab.papers.data_free.records import last_tap
from kdlab.papers.data_free.sources import NET, Made, asked, made, real, teacher
from kdlab.papers.kd.method import KD
from kdlab.train.fit import run
from kdlab.train.frozen import Frozen
from kdlab.train.worlds import Replicate

IMAGES, LONG = 500, 0.375  # images a student learns from; share of the world's updates
T, PAIRS = 4.0, 300  # temperature of all students; images between which distances are measured
Row = dict[str, Any]


def student(r: Replicate, source: Callable[..., Made], n: int = IMAGES, **options: Any) -> Row:
    """Make `n` images by `source` with its `options`, and distil a fresh student on them."""
    told, started = teacher(r, options.get("net", NET)), time.perf_counter()
    x, size = source(r, n, **options)
    making = time.perf_counter() - started
    return distilled(r, told, x) | {"bytes": size, "making": making}


def distilled(r: Replicate, told: Frozen, x: Tensor) -> Row:
    """Distil a fresh student on the images `x` and measure it, and them."""
    data = made(r.data, x)
    method = KD(r.student(), asked(told, data), T, alpha=1.0)
    row = run(method, data, r.recipe(LONG), r.r)
    z_s, z_t = (logits_of(net, r.data.test.x) for net in (method, told.net))
    row["agreement"] = fidelity(z_s, z_t).agreement
    return row | looks(told.net, x, real(r, PAIRS)[0]) | {"auc": membership(method, r)}


def alone(r: Replicate) -> Row:
    """The teacher itself."""
    net = teacher(r).net
    return evaluate(net, r.data.test) | {"auc": membership(net, r)}


def looks(net: nn.Module, x: Tensor, like: Tensor) -> Row:
    """Return what the teacher sees in images `x`.

    Returns:
        diversity: mean distance of two images in the teacher's last features, in % of that of the
        real images `like`. classes: how many it names, exp of the entropy of its mean answer.
        confidence: mean probability of its best class, in %.
    """
    q = logits_of(net, x).softmax(dim=1)
    apart, normal = (
        spread(net, part[torch.arange(0, len(part), max(1, len(part) // PAIRS))])
        for part in (x, like)
    )
    return {
        "diversity": 100 * apart / normal,
        "classes": entropies(q.mean(dim=0, keepdim=True).log()).exp().item(),
        "confidence": 100 * q.amax(dim=1).mean().item(),
    }


def spread(net: nn.Module, x: Tensor) -> float:
    """Return the mean distance of two of the images `x` in the last features of `net`."""
    return torch.pdist(features_of(net, x, last_tap(net)).flatten(1)).mean().item()


def membership(method: nn.Module, r: Replicate) -> float:
    """Return how well the loss tells images the teacher learned from from test images: AUC in %.

    50: not at all. 100: every member has a lower loss than every other image.
    """
    inside, outside = (losses(method, part) for part in (r.data.train, r.data.test))
    wins = mannwhitneyu(outside.numpy(), inside.numpy()).statistic
    return 100 * float(wins) / (len(inside) * len(outside))


def losses(method: nn.Module, part: Split) -> Tensor:
    """Return the cross-entropy of each labelled image of `part` with its label."""
    known = part.y >= 0
    z = logits_of(method, part.x[known])
    return nn.functional.cross_entropy(z, part.y[known], reduction="none")
