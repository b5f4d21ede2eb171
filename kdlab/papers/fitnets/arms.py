"""The arms of notebook 04: each takes a replicate, trains a student, returns what it measured.

Those of thin deep nets make half as many updates as the world's students, with Adam, which is close
to the paper's RMSProp. Where there are two stages, the first has a third of these updates: all arms
make equally many. `joint` trains the world's own student by the world's own recipe.
"""

from dataclasses import replace
from typing import Any

import torch
from torch import nn

from kdlab.measure import evaluate
from kdlab.models import build
from kdlab.papers.fitnets.method import Hints, Joint, Soft
from kdlab.papers.fitnets.nets import middle, thin, up_to
from kdlab.train.fit import fit, run
from kdlab.train.frozen import Frozen, images
from kdlab.train.method import CE
from kdlab.train.recipe import Recipe
from kdlab.train.worlds import Replicate

DEPTH, SHARE = 17, 1 / 3  # layers of the student; share of the updates that stage 1 gets
Row = dict[str, Any]


def recipe(r: Replicate, longer: float = 1) -> Recipe:
    """Return the recipe of thin deep nets, `longer` times their usual number of updates."""
    return replace(r.recipe(longer / 2), optimiser="adam", lr=0.003, weight_decay=0.0)


def student(r: Replicate, depth: int = DEPTH, kind: str = "plain") -> nn.Sequential:
    """Return a fresh thin student; equal arguments give equal weights in all arms."""
    return thin(depth, kind, n_classes=r.data.n_classes, in_shape=r.data.in_shape, seed=r.r)


def labels(r: Replicate) -> Row:
    """The thin student alone."""
    return run(CE(student(r)), r.data, recipe(r), r.r)


def kd(r: Replicate, depth: int = DEPTH, kind: str = "plain", longer: float = 1) -> Row:
    """Stage 2 alone, for all updates: labels and soft targets."""
    return run(Soft(student(r, depth, kind), r.teacher), r.data, recipe(r, longer), r.r)


def hints_first(
    r: Replicate,
    depth: int = DEPTH,
    kind: str = "plain",
    longer: float = 1,
    guided: str = "",
    hint: str = "",
    regressor: str = "conv",
) -> Row:
    """The paper's two stages; the guided layer is the middle one unless another is named."""
    net, guided, hint = student(r, depth, kind), guided or middle(depth), hint or hint_of(r)
    teacher = r.teacher_of(taps=hint)
    one = Hints(net, teacher, r.data, guided, hint, regressor=regressor, seed=r.r)
    return then_soft(one, net, r, longer)


def hint_of(r: Replicate) -> str:
    """Return the teacher's first block whose map fits into a thin net's: a quarter of the side."""
    return "block2" if r.world.teacher_net.startswith("cnn") else "block3"


def then_soft(one: nn.Module, net: nn.Module, r: Replicate, longer: float = 1) -> Row:
    """Train stage 1, then the whole of `net` by stage 2."""
    fit(one, r.data, recipe(r, longer * SHARE), r.r)
    return run(Soft(net, r.teacher), r.data, recipe(r, longer * (1 - SHARE)), r.r)


def label_hint(r: Replicate) -> Row:
    """A control of equal cost: in stage 1 the guided layer predicts the label, not the hint."""
    net = student(r)
    head = thin(3, n_classes=r.data.n_classes, in_shape=r.data.in_shape, seed=r.r)[-2:]
    return then_soft(CE(nn.Sequential(*up_to(net, middle(DEPTH)), *head)), net, r)


def untrained_hint(r: Replicate) -> Row:
    """The negative control: the hints of stage 1 come from a teacher that has learned nothing."""
    net, teacher = student(r), Frozen(untrained(r), r.data, taps=hint_of(r))
    one = Hints(net, teacher, r.data, middle(DEPTH), hint_of(r), seed=r.r)
    return then_soft(one, net, r)


@torch.no_grad()
def untrained(r: Replicate) -> nn.Module:
    """Return a teacher with its first weights; batch norm brings its maps to the usual scale."""
    net = build(r.world.teacher_net, r.data.n_classes, r.data.in_shape, seed=r.r)
    for part in images(r.data).split(100):
        net.train()(part)
    return net


def teacher(r: Replicate) -> Row:
    """The teacher itself."""
    return evaluate(r.teacher.net, r.data.test)


def joint(r: Replicate, beta: float = 10.0, alpha: float = 0.9) -> Row:
    """One stage, as benchmarks do: notebook 00's student and loss, and the hint beside it."""
    return r.train(Joint.of(r, beta=beta, alpha=alpha))
