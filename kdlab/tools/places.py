"""Worlds of full size for ``python -m kdlab full``: which images and nets, which recipe.

The rows of two precisions, recipes, pairs of nets or data sets are never taken for each other: each
setting has a folder of its own, and all of it is in the stamp of a row.
"""

import contextlib
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from kdlab.budget import BUDGETS
from kdlab.data import load
from kdlab.data.sources import NAMES
from kdlab.measure import pick_device
from kdlab.models import build, size
from kdlab.runs import evidence
from kdlab.runs.evidence import Arm, Comparison
from kdlab.tools.mixed import mixed
from kdlab.train.worlds import Replicate, World

FACTS: dict[str, Any] = tomllib.loads(Path(__file__).with_name("full.toml").read_text("utf-8"))
PACE = 5e9  # multiply-adds a second of one CPU core: a guess, good enough to speak of days


@dataclass(frozen=True)
class Precise:
    """An arm in a precision. The rows of two precisions carry different stamps."""

    arm: Arm
    precision: str
    key: str  # of the images, which a path does not tell

    def __call__(self, r: Replicate) -> Mapping[str, Any]:
        """Make the run."""
        within = (
            mixed(pick_device().type) if self.precision == "mixed" else contextlib.nullcontext()
        )
        with within:
            return self.arm(r)

    def __kdlab_fingerprint__(self) -> Any:
        how = mixed if self.precision == "mixed" else None
        return evidence.plainly(self.arm), self.precision, how, self.key


@dataclass(frozen=True)
class Place:
    """A world of full size.

    Args:
        world: data, nets and recipe.
        key: names the content of the images, as replicate 0 splits them.
        facts: how many classes, the shape (C, H, W) of an image, how many images train.
        recipe: whose it is, "benchmark" or "paper".
    """

    world: World
    key: str
    facts: tuple[int, tuple[int, int, int], int]
    recipe: str = "benchmark"

    def label(self, precision: str) -> str:
        """Return the name under which its rows are kept."""
        w = self.world
        return f"{w.words}-{w.teacher_net}-{w.student_net}-{self.recipe}-{precision}"

    def runs(self, comparison: Comparison, precision: str, folder: Path) -> dict[str, Any]:
        """Return the arguments of `kdlab.runs.evidence.measure`."""
        name = self.label(precision)
        arms = {n: Precise(arm, precision, self.key) for n, arm in comparison.arms.items()}
        changed = replace(comparison, arms=arms, worlds=(name,))
        worlds, home = {name: self.world}, folder / name
        return {"comparison": changed, "name": name, "worlds": worlds, "folder": home}


def place(data: str = "", nets: str = "", paper: str = "") -> Place:
    """Return a world of full size.

    Args:
        data: a name or a path; empty: CIFAR-100, or what the paper has.
        nets: TEACHER:STUDENT, names of `kdlab.models.build`; empty: those of budget ``full``, or
            those of the paper that kdlab has.
        paper: stem of the notebook whose paper gives the recipe; empty: that of budget ``full``.

    Raises:
        ValueError: no such data or nets, or a download that fails.
    """
    own = FACTS["recipe"].get(paper, {})
    data, nets = data or own.get("data", BUDGETS["full"].dataset), nets or own.get("nets", "")
    path = Path(data).expanduser()
    own_images = data not in NAMES and path.exists()
    try:
        world = BUDGETS["full"].world(str(path.resolve()) if own_images else data)
        images = load(world.name, n_labelled=world.n_labelled)
    except OSError as error:  # a missing file, or no network: one sentence, as from a wrong name
        raise ValueError(str(error)) from error
    first, colon, second = (nets or f"{world.teacher_net}:{world.student_net}").partition(":")
    if not (first and colon and second):
        raise ValueError(f"nets is {nets!r}; give TEACHER:STUDENT, such as resnet56:resnet20.")
    for net in (first, second):
        build(net, images.n_classes, images.in_shape, seed=0)
    told: dict[str, Any] = dict(own.get("recipe", {}))
    if "drops" in told:
        told["drops"] = tuple(told["drops"])
    recipes = replace(world.recipe, **told), replace(world.teacher_recipe, **told)
    world = replace(world, recipe=recipes[0], teacher_recipe=recipes[1])
    world = replace(world, teacher_net=first, student_net=second, words=Path(world.name).stem)
    facts = images.n_classes, images.in_shape, len(images.train.y)
    return Place(world, images.key, facts, "paper" if told else "benchmark")


def warning(place: Place, runs: int) -> str:
    """Say how long it takes without a GPU: a teacher a replicate, and `runs` of students."""
    w, (classes, shape, rows) = place.world, place.facts
    nets = (build(net, classes, shape, seed=0) for net in (w.teacher_net, w.student_net))
    first, second = (size(net, shape).macs for net in nets)
    seen = w.recipe.batch * w.recipe.total_steps(rows)
    days = [seen * work / PACE / 86400 for work in (3 * first, 3 * second + first)]
    told = f"about {days[0]:.1f} days of one core for a teacher and {days[1]:.1f} for a student"
    return f"There is no GPU here: {told} with its answers, {runs} runs. It goes on all the same."
