"""The arms of notebook 02: each takes a replicate, trains a student, returns what it measured."""

from dataclasses import replace
from typing import Any

import numpy as np
from torch import Tensor, nn

from kdlab.measure import logits_of
from kdlab.papers.lsr.method import Distil, Share, TfReg
from kdlab.papers.lsr.override import pressure, resistance
from kdlab.train.frozen import Frozen
from kdlab.train.method import CE
from kdlab.train.teachers import teacher
from kdlab.train.worlds import Replicate

T, ALPHA, RELEASED = 20.0, 0.16, 0.95  # 0.95 in the code leaves 0.16 to the teacher, on 100 classes
BINS = np.linspace(-10, 30, 81)  # of logit gaps

Row = dict[str, Any]


def hardly_trained(r: Replicate, epochs: int = 1) -> Frozen:
    """A teacher of full size that saw every labelled image `epochs` times, and no more."""
    return r.teacher_of(recipe=replace(r.world.teacher_recipe, epochs=epochs, steps=None))


def de_kd(r: Replicate, epochs: int = 1, longer: float = 1, **weights: Any) -> Row:
    """De-KD: the teacher was hardly trained."""
    return taught(r, hardly_trained(r, epochs), longer, **weights)


def re_kd(r: Replicate) -> Row:
    """Re-KD: a net smaller than the student, trained as long as it is, teaches it."""
    return taught(r, r.teacher_of(net=r.world.small_net, recipe=r.recipe()))


def self_kd(r: Replicate) -> Row:
    """Tf-KD_self: a copy of the student, of other first weights and another order, teaches it."""
    return taught(r, teacher(r.data, r.world.student_net, r.recipe(), r.r + 1_000_003))


def taught(
    r: Replicate,
    by: Frozen,
    longer: float = 1,
    alpha: float = ALPHA,
    reduction: str = "batchmean",
) -> Row:
    """Train a student by a teacher; add what the teacher knows, and where it overrules labels."""
    row = r.train(Distil(r.student(), by, T, alpha, reduction=reduction), longer=longer)
    train, test = r.data.train, r.data.test
    z = logits_of(by.net, train.x)
    wins = pressure(z, train.y, T) > resistance(alpha, z.shape[1], reduction)
    row |= {"teacher on test": share_right(logits_of(by.net, test.x), test.y)}
    return row | {
        "teacher on train": share_right(z, train.y),
        "overruled": 100 * wins.double().mean().item(),
    }


def share_right(z: Tensor, y: Tensor) -> float:
    """Return how many of the images are right, in %."""
    return 100 * (z.argmax(dim=1) == y).double().mean().item()


def reg(r: Replicate, alpha: float = ALPHA, form: str = "squared") -> Row:
    """Tf-KD_reg: the teacher is written down."""
    return gapped(r, TfReg(r.student(), T, alpha, form))


def share(r: Replicate, alpha: float = RELEASED) -> Row:
    """The control: the labels with the weight that they have beside a teacher, and no teacher."""
    return r.train(Share(r.student(), alpha))


def alone(r: Replicate, smoothing: float = 0.0) -> Row:
    """The student alone, with its gaps."""
    return gapped(r, CE(r.student(), smoothing))


def gapped(r: Replicate, method: nn.Module) -> Row:
    """Train `method`; add how far the label's logit lies above the others, on test images."""
    row = r.train(method)
    found = gaps(logits_of(method, r.data.test.x), r.data.test.y)
    counts, _ = np.histogram(found.clip(BINS[0], BINS[-1]), BINS)
    return row | {"gap": float(found.mean()), "gaps": counts.astype(np.int16)}


def gaps(z: Tensor, y: Tensor) -> np.ndarray:
    """Return the label's logit minus the mean of the others (N,), from logits (N, C)."""
    own = z.double().gather(1, y[:, None])[:, 0]
    others = (z.double().sum(dim=1) - own) / (z.shape[1] - 1)
    return (own - others).numpy()
