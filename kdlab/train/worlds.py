"""Worlds and replicates: on which images a claim is asked, and everything random drawn anew.

A *world* is a data set with its nets. *Replicate* r of a world draws all that is random from r: the
split, the images that carry labels, the teacher, the first weights, the order. The arms of one
replicate share all of it. So an interval over replicates speaks of another teacher and of other
images, too.
"""

import functools
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any

from torch import nn

from kdlab.data import Data, load
from kdlab.models import build
from kdlab.train.fit import run
from kdlab.train.frozen import Frozen
from kdlab.train.recipe import Recipe
from kdlab.train.teachers import TEACHER, teacher

STUDENT = Recipe(steps=2000)


@dataclass(frozen=True)
class World:
    """A data set with its nets and the regime in which students are compared.

    Args:
        name: what `kdlab.data.load` knows, or a path.
        words: what its images show, in one plain word.
        n_labelled: how many images of the pool carry a label; None: the data set's default.
        recipe: of a student; after so many updates longer training changes no claim, as measured
            in ``data/README.md``.
        least: replicates to begin with, and the numbers to which they grow.
    """

    name: str
    words: str = field(repr=False)
    n_labelled: int | None
    teacher_net: str = "cnn32"
    student_net: str = "cnn4"
    small_net: str = "cnn2"
    recipe: Recipe = STUDENT
    teacher_recipe: Recipe = TEACHER
    least: tuple[int, ...] = field(default=(10, 20, 40), repr=False)


WORLDS = {
    world.name: world
    for world in (
        World("mnist5k", "digits", 500),
        World("fashion5k", "clothes", 500),
        World("rot40", "turned digits", 2000, student_net="cnn8", small_net="cnn4"),
        World(
            "natural",
            "photographs",
            2000,
            "cnn32",
            "cnn8",
            "cnn4",
            least=(6, 12, 20),
        ),
    )
}


@dataclass(frozen=True)
class Replicate:
    """Replicate `r` of `world`; see `replicate`."""

    world: World
    r: int

    @functools.cached_property
    def data(self) -> Data:
        """The images, split and labelled by r."""
        return load(self.world.name, n_labelled=self.world.n_labelled, seed=self.r)

    @functools.cached_property
    def teacher(self) -> Frozen:
        """A teacher of these images, trained by r, or found where it was trained before."""
        return self.teacher_of()

    def teacher_of(
        self,
        net: str | None = None,
        recipe: Recipe | None = None,
        data: Data | None = None,
        taps: str | Iterable[str] = (),
    ) -> Frozen:
        """Return another teacher: another net, recipe or data, or one that answers with `taps`."""
        w = self.world
        net, recipe = net or w.teacher_net, recipe or w.teacher_recipe
        return teacher(data or self.data, net, recipe, self.r, taps=taps)

    def student(self, net: str | None = None, peer: int = 0) -> nn.Module:
        """Return a fresh student; equal `net` and `peer` give equal weights in all arms."""
        net, seed = net or self.world.student_net, self.r + 1_000_003 * peer
        return build(net, self.data.n_classes, self.data.in_shape, seed=seed)

    def recipe(self, longer: float = 1) -> Recipe:
        """Return the students' recipe, `longer` times as many updates as the world's."""
        own = self.world.recipe
        if own.steps is None:
            return replace(own, epochs=max(1, round(longer * own.epochs)))
        return replace(own, steps=max(1, round(longer * own.steps)))

    def train(
        self, method: nn.Module, data: Data | None = None, longer: float = 1, watch: bool = False
    ) -> dict[str, Any]:
        """Train `method` and return what `kdlab.train.fit.run` measures on test images."""
        return run(method, data or self.data, self.recipe(longer), self.r, watch=watch)


def world(name: str, **changes: Any) -> World:
    """Return the world `name`, with `changes` of its fields; a path of own images becomes one.

    Raises:
        ValueError: no such world, and no such path either (said by `kdlab.data.load`).
        TypeError: a change of a field that a world does not have.
    """
    known = WORLDS.get(name)
    if known is None:
        load(name)  # says what is wrong with it
        known = World(name, "your images", None)
    return replace(known, **changes)


def replicate(name: str | World, r: int) -> Replicate:
    """Return replicate `r` of a world: data, teacher and fresh students, all drawn from r."""
    return Replicate(world(name) if isinstance(name, str) else name, r)
