"""One word switches every notebook: how many runs, on which data, with which networks."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from kdlab.train.recipe import Recipe
from kdlab.train.teachers import TEACHER
from kdlab.train.worlds import World, world

BENCHMARK = Recipe(  # CIFAR-100, as the public benchmark of Tian, Krishnan, Isola 2020 trains
    epochs=240, batch=64, lr=0.05, schedule="steps", drops=(0.625, 0.75, 0.875), shift=4, flip=True
)


@dataclass(frozen=True)
class Budget:
    """What a notebook may spend.

    Args:
        live: new replicates of the comparison that a notebook trains before the reader's eyes.
        spot: runs of the evidence that are trained again.
        dataset: for ``dataset = "auto"``.
        changes: fields of `kdlab.World` in which a world of this budget differs from its own.
    """

    name: str
    live: int = 3
    spot: int = 2
    dataset: str = "mnist5k"
    changes: Mapping[str, Any] = field(default_factory=dict)

    def world(self, dataset: str = "auto") -> World:
        """Return the world `dataset`, or the budget's own for "auto", with its changes."""
        return world(self.dataset if dataset == "auto" else dataset, **self.changes)


SHORT = {"recipe": Recipe(steps=10), "teacher_recipe": replace(TEACHER, steps=40)}
SMALL = {"teacher_net": "cnn8", "student_net": "cnn4", "small_net": "cnn2"}
LARGE = {"teacher_net": "wrn_40_2", "student_net": "wrn_16_2", "small_net": "resnet8"}
LARGE_RECIPES = {"recipe": BENCHMARK, "teacher_recipe": BENCHMARK}
BUDGETS = {
    "ci": Budget("ci", live=1, spot=0, changes=SMALL | SHORT),
    "lesson": Budget("lesson"),
    "long": Budget("long", live=10, spot=10),
    "full": Budget("full", dataset="cifar100", changes=LARGE | LARGE_RECIPES),
}


def plan(budget: str) -> Budget:
    """Return the budget of that name: "ci", "lesson", "long" or "full".

    Raises:
        ValueError: there is no such budget.
    """
    if budget not in BUDGETS:
        raise ValueError(f"budget is {budget!r}; choose one of {', '.join(BUDGETS)}.")
    return BUDGETS[budget]
