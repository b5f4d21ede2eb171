"""Two views made of real images: the left and the right half are different images of one class.

Neither half is easier than the other, and a fully connected net has no reason to prefer a side.
The test blanks one half.
"""

import functools
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from kdlab.data import Data, Split
from kdlab.measure import evaluate, logits_of, scores
from kdlab.models import build
from kdlab.papers.kd.method import KD
from kdlab.papers.mysteries.made import within
from kdlab.seeds import generator
from kdlab.store import digest
from kdlab.train.fit import fit
from kdlab.train.frozen import Frozen
from kdlab.train.method import CE
from kdlab.train.teachers import Ensemble
from kdlab.train.worlds import Replicate

NET, NETS, PAIRS = "mlp30", 5, 2000  # PAIRS for training, unless there are more images
Row = dict[str, Any]


def paired(rows: Split, source: torch.Generator, times: int = 1) -> Split:
    """Return each image of `rows` beside another one of its class, `times` over."""
    others = (rows.x[within(rows.y, source)] for _ in range(times))
    x = torch.cat([torch.cat([rows.x, other], dim=3) for other in others])
    return Split(x, rows.y.repeat(times), torch.arange(len(x)))


@functools.lru_cache(maxsize=1)
def pairs(r: Replicate) -> Data:
    """Return the labelled images of a replicate in pairs, and its test images in pairs."""
    data, source = r.data, generator(r.r, "pairs")
    train = paired(data.train, source, max(1, PAIRS // len(data.train.y)))
    val, test = (paired(part, source) for part in (data.val, data.test))
    none, key = Split(*(column[:0] for column in train)), digest(data.key, "pairs", r.r)
    return replace(data, train=train, unlabelled=none, val=val, test=test, truth=train.y, key=key)


def fresh(r: Replicate, peer: int) -> nn.Module:
    """Return a fully connected net for pairs; equal `peer`, equal weights."""
    data = pairs(r)
    return build(NET, data.n_classes, data.in_shape, seed=r.r + 1_000_003 * peer)


def taught(r: Replicate, method: nn.Module, nets: int = 1) -> Any:
    """Train `method` on the pairs of r and return it: half the updates of the world.

    The rate suits a net without batch norm; each of `nets` with one mean moves as fast as alone.
    """
    fit(method, pairs(r), replace(r.recipe(0.5), lr=0.03 * nets), r.r)
    return method


@functools.lru_cache(maxsize=1)
def trained(r: Replicate) -> Sequence[nn.Module]:
    """Return nets that differ in their first weights alone."""
    return [taught(r, CE(fresh(r, n))).student for n in range(NETS)]


def one_half(x: Tensor) -> tuple[Tensor, Tensor]:
    """Return images (N, C, H, W) with a blank one, the mean grey, at their right or left side."""
    return torch.cat([x, 0 * x], dim=3), torch.cat([0 * x, x], dim=3)


def measured(net: nn.Module, r: Replicate) -> Row:
    """Measure `net` on the test images of r, one half blank: each image once, sides in turn.

    Returns:
        What `kdlab.measure.scores` says of that, ``whole``: accuracy with both halves, and
        ``lopsided``: by how many points recall differs between the sides, mean over classes.
    """
    (x, y, _), classes = r.data.test, r.data.n_classes
    left, right = (logits_of(net, side) for side in one_half(x))
    gaps = (left.argmax(dim=1) == y).double() - (right.argmax(dim=1) == y).double()
    recalls = torch.stack([100 * gaps[y == c].mean() for c in range(classes)])
    turn = (torch.arange(len(y)) // classes % 2 == 0)[:, None]
    row = scores(torch.where(turn, left, right), y) | {"lopsided": recalls.abs().mean().item()}
    return row | {"whole": evaluate(net, pairs(r).test)["accuracy"]}


def ensemble(r: Replicate, count: int = NETS) -> Row:
    """The first `count` of five nets, each trained alone; their scores are averaged."""
    return measured(Ensemble(trained(r)[:count]), r)


def joint(r: Replicate) -> Row:
    """The same five nets, trained as one: the loss sees their mean alone."""
    nets = Ensemble(fresh(r, n) for n in range(NETS))
    return measured(taught(r, CE(nets), NETS), r)


def labels(r: Replicate, smoothing: float = 0.0) -> Row:
    """The student alone."""
    return measured(taught(r, CE(fresh(r, NETS), smoothing)), r)


def distilled(r: Replicate, teachers: int = NETS) -> Row:
    """The student of the first `teachers` nets; with one of them it is self-distillation."""
    teacher = Frozen(Ensemble(trained(r)[:teachers]), pairs(r))
    return measured(taught(r, KD(fresh(r, NETS), teacher, T=4.0, alpha=0.9)), r)
