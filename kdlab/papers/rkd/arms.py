"""The arms of notebook 05: each takes a replicate, trains a student, returns what it measured.

There are two tasks. Classifiers learn as in notebook 00. Embedding nets see the first 60 % of the
classes, with all their images, and are asked for images of the others; what they measure as
"accuracy" is recall@1, how often the nearest other image has the same class.
"""

from dataclasses import replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kdlab import models
from kdlab.data import Batch, Data, load
from kdlab.measure import features_of, logits_of
from kdlab.papers.rkd.embedding import angle_gap, distance_correlation, recall_at
from kdlab.papers.rkd.method import RKD, on_sphere
from kdlab.seeds import generator
from kdlab.train.fit import fit
from kdlab.train.frozen import Frozen
from kdlab.train.method import hard_loss
from kdlab.train.worlds import Replicate

PROBES = 100  # test images on which relations are measured
KNOWN, SIZE, EPOCHS = 0.6, 8, 8  # classes seen, numbers of an embedding, epochs of its teacher
Row = dict[str, Any]


def rkd(r: Replicate, soft: float = 0.0, dealt: bool = False, **weights: Any) -> Row:
    """Labels and relations, both without or with soft targets.

    Args:
        soft: share of the soft targets, the labels get the rest; notebook 00's KD has 0.9.
        dealt: the control, whose teacher answers for one image with what belongs to another.
        weights: beta_d and beta_a, if not the paper's 25 and 50.
    """
    teacher = r.teacher_of(taps="pool")
    teacher = teacher.shuffled(generator(r.r, "dealt")) if dealt else teacher
    method = RKD(r.student(), teacher, hard=1 - soft, soft=soft, **weights)
    return r.train(method) | relations(method.student, r)


def relations(net: nn.Module, r: Replicate) -> Row:
    """Measure how far the relations of test images are the teacher's, whatever `net` learned.

    Returns "correlation", of all distances, in %: 100 where they agree; and "degrees", the mean
    difference of all angles.
    """
    x = r.data.test.x[:PROBES]
    pair = [on_sphere(features_of(one, x, "pool")) for one in (net, r.teacher.net)]
    return {"correlation": 100 * distance_correlation(*pair), "degrees": angle_gap(*pair)}


class Hint(nn.Module):
    """First order: match the teacher's own coordinates, through a matrix, both of length 1."""

    def __init__(self, student: nn.Module, r: Replicate, beta: float) -> None:
        super().__init__()
        self.student, self.teacher, self.beta = student, r.teacher_of(taps="pool"), beta
        nets = (self.teacher.net, student)
        size = [features_of(net, r.data.test.x[:1], "pool").shape[1] for net in nets]
        start = torch.randn(size, generator=generator(r.r, "regressor")) / size[1] ** 0.5
        self.regressor = nn.Parameter(start)

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        """Return the cross-entropy, and the mean squared distance of the features."""
        z, found = models.tap(self.student, batch.x, "pool")
        f_t = on_sphere(self.teacher.features(batch, "pool"))
        gap = on_sphere(F.linear(found["pool"], self.regressor)) - f_t
        far = self.beta * gap.square().sum(dim=1).mean()
        return {"hard": hard_loss(z, batch.y), "hint": far}

    def predict(self, x: Tensor) -> Tensor:
        """Return the student's logits."""
        return models.logits_in(self.student(x))


def hint(r: Replicate, beta: float) -> Row:
    """Labels and the teacher's features themselves."""
    method = Hint(r.student(), r, beta)
    return r.train(method) | relations(method.student, r)


# --- classes never seen ---------------------------------------------------------------------------


def known(r: Replicate) -> tuple[Data, int]:
    """Return all images of the first classes, with their labels, and how many classes these are."""
    boundary = round(KNOWN * r.data.n_classes)
    whole = load(r.world.name, n_labelled=r.data.pool_size, seed=r.r)
    return whole.only_classes(*range(boundary)), boundary


def expert(r: Replicate, data: Data) -> Frozen:
    """Return a classifier of the known classes; its pooled features are an embedding."""
    recipe = replace(r.world.teacher_recipe, epochs=EPOCHS)
    return r.teacher_of(recipe=recipe, data=data, taps="pool")


class Triplet(nn.Module):
    """An embedding net that learns from labels: the other class lies farther, by a margin.

    Schroff, Kalenichenko, Philbin 2015, arXiv:1503.03832, with plain distances on the unit sphere.
    All triples of the batch that violate the margin count alike.
    """

    n_classes = 0  # its answers name no classes

    def __init__(self, student: nn.Module, margin: float = 0.2) -> None:
        super().__init__()
        self.student, self.margin = student, margin

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        """Return the mean of what is missing to the margin."""
        f, y = on_sphere(self.student(batch.x)), batch.y
        d = torch.cdist(f, f)
        same = (y[:, None] == y) & ~torch.eye(len(y), dtype=torch.bool, device=y.device)
        valid = same[:, :, None] & (y[:, None] != y)[:, None]  # anchor, positive, negative
        late = (d[:, :, None] - d[:, None] + self.margin)[valid].clamp(min=0)
        return {"triplet": late.sum() / (late > 0).sum().clamp(min=1)}

    def predict(self, x: Tensor) -> Tensor:
        """Return the embedding, of length 1."""
        return on_sphere(self.student(x))


def triplets(r: Replicate) -> Row:
    """An embedding learned from the labels of the known classes."""
    return found(r, Triplet(embedder(r)))


def unlabelled(r: Replicate, unit: str = "teacher") -> Row:
    """An embedding learned from the teacher's relations alone; the paper's weights are 1 and 2."""
    weights: Row = {"beta_d": 1.0, "beta_a": 2.0, "hard": 0.0, "unit": unit}
    teacher = expert(r, known(r)[0])
    return found(r, RKD(embedder(r), teacher, "linear", teacher_tap="pool", **weights))


def embedder(r: Replicate) -> nn.Module:
    """Return a fresh student that ends in SIZE numbers; all arms begin with equal weights."""
    return models.build(r.world.student_net, SIZE, r.data.in_shape, seed=r.r)


def found(r: Replicate, method: nn.Module) -> Row:
    """Train an embedding net on the known classes and measure it on the others."""
    fit(method, known(r)[0], r.recipe(), r.r)

    def embed(x: Tensor) -> Tensor:
        f = logits_of(method, x)
        return on_sphere(f) if getattr(method, "unit", "") == "both" else f

    return recalls(r, embed)


def mark(r: Replicate, pixels: bool = False) -> Row:
    """What no student was trained for: the teacher's features, or the pixels themselves."""
    net = expert(r, known(r)[0]).net
    if pixels:
        return recalls(r, lambda x: x.flatten(1))
    return recalls(r, lambda x: on_sphere(features_of(net, x, "pool")))


def recalls(r: Replicate, embed: Any) -> Row:
    """Return recall in % on images of unseen classes: @1 as "accuracy", "recall@4", "inverted".

    Inverted: recall@1 of the same images with black and white exchanged, which nobody has seen.
    """
    (x, y, _), boundary = r.data.test, known(r)[1]
    x, y = x[y >= boundary], y[y >= boundary]
    mean, std = (torch.tensor(part)[:, None, None] for part in (r.data.mean, r.data.std))
    f, other = embed(x), embed((1 - r.data.images(x) - mean) / std)
    row = {"accuracy": recall_at(f, y), "recall@4": recall_at(f, y, 4)}
    return row | {"inverted": recall_at(other, y)}
