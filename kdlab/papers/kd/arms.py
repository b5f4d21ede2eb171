"""The arms of notebook 00: each takes a replicate, trains a student, returns what it measured."""

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from kdlab.measure import logits_of
from kdlab.papers.kd.method import KD
from kdlab.seeds import generator
from kdlab.train.fit import fit
from kdlab.train.frozen import Frozen, permuted, without_class
from kdlab.train.method import CE
from kdlab.train.worlds import Replicate

BIASES = np.linspace(0, 10, 101)  # tried on validation images for the class never shown

Row = dict[str, Any]


def labels(r: Replicate, smoothing: float = 0.0, longer: float = 1) -> Row:
    """The student alone, with labels 0 or 1, or smoothed ones."""
    return r.train(CE(r.student(), smoothing), longer=longer)


def kd(r: Replicate, T: float = 4.0, small: bool = False, longer: float = 1) -> Row:
    """The student with its teacher, on the same images and in the same order."""
    net = r.world.small_net if small else None
    return r.train(KD(r.student(net), r.teacher, T, alpha=0.9), longer=longer)


def kd_permuted(r: Replicate) -> Row:
    """The control: soft targets without the ranking of the wrong classes."""
    return r.train(KD(r.student(), without_ranking(r), T=4.0, alpha=0.9))


def without_ranking(r: Replicate) -> Frozen:
    """The teacher: each image keeps its top class and its softness, not which other is close."""
    source = generator(r.r, "permuted")
    return r.teacher.mapped(lambda z, _: permuted(z, source))


def unseen(r: Replicate, column: bool = True) -> Row:
    """No image of class r mod C is shown. Soft targets alone at the paper's T = 20.

    The whole pool, without labels, is the transfer set. The bias of the class is raised by what is
    best on validation images. `column` False is the control: the answers lack the class, too.
    """
    c = r.r % r.data.n_classes
    data = r.data.with_unlabelled().without_classes(c)
    teacher = r.teacher if column else r.teacher.mapped(lambda z, _: without_class(z, c))
    method = KD(r.student(), teacher, T=20.0, alpha=1.0)
    fit(method, data, r.recipe(), r.r)
    best = int(raised(method, r.data.val.x, r.data.val.y, c)[1].argmax())
    recall, accuracy = raised(method, r.data.test.x, r.data.test.y, c)
    row = {"before": recall[0], "bias": BIASES[best], "recall": recall[best]}
    return row | {"accuracy": accuracy[best], "curve": recall.astype(np.float32)}


def raised(method: nn.Module, x: Tensor, y: Tensor, c: int) -> tuple[np.ndarray, np.ndarray]:
    """Return recall of class `c` and accuracy, both in %, at each of BIASES added to its logit."""
    z = logits_of(method, x)
    extra = torch.zeros(z.shape[1])
    extra[c] = 1.0
    right = np.stack([((z + b * extra).argmax(dim=1) == y).numpy() for b in BIASES])
    return 100 * right[:, y.numpy() == c].mean(axis=1), 100 * right.mean(axis=1)
