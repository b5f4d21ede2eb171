"""One entrant as an arm of evidence, and what its training costs.

This file, with all that it imports, is part of the stamp of every run of the shoot-out.
"""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from kdlab.lab.methods import from_papers
from kdlab.lab.run import Run, Setting, drawn, measured
from kdlab.train.fit import epochs, total
from kdlab.train.method import CE
from kdlab.train.recipe import Recipe
from kdlab.train.worlds import Replicate, World

Row = dict[str, Any]


@dataclass(frozen=True)
class Entrant:
    """A method of the lab as an arm of `kdlab.runs.evidence`.

    Args:
        method: its name in the lab.
        knobs: (name, value) of those that are turned.
        longer: updates, in units of the world's.
        teacher: the teacher's network; "" for the world's.
        first: replicate r is replicate first + r of the world: tuning has replicates of its own.
    """

    method: str
    knobs: tuple[tuple[str, Any], ...] = ()
    longer: float = 1
    teacher: str = ""
    first: int = 0

    def __call__(self, r: Replicate) -> Row:
        """Make the run and return the numbers that the lab measures."""
        row = self.run(r.world)(self.first + r.r)
        return {k: v for k, v in row.items() if np.ndim(v) == 0 and k not in ("doubt", "seconds")}

    def run(self, world: World) -> Run:
        """Return the run of the lab, in any replicate of `world`."""
        choice, own = from_papers()[self.method], world.recipe
        if own.steps is None:
            raise ValueError(f"the recipe of {world.name!r} counts epochs; give it steps.")
        recipe = replace(own, steps=max(1, round(self.longer * own.steps)))
        world = replace(world, recipe=recipe, teacher_net=self.teacher or world.teacher_net)
        knobs = {knob.name: knob.default for knob in choice.knobs} | dict(self.knobs)
        return Run(Setting(world, 0), choice.kind, choice.source, choice.tap, knobs)

    def __kdlab_fingerprint__(self) -> Any:
        """Return what the result depends on, beside the world."""
        choice = from_papers()[self.method]
        way = choice.kind, choice.source, choice.tap, choice.taught, sorted(self.knobs)
        teacher = self.teacher if choice.taught else ""  # who asks none has the same run with any
        return way, self.longer, teacher, self.first, measured, costs


@dataclass(frozen=True)
class Cost:
    """What training an entrant costs, as an arm: counted, not timed, so it repeats anywhere."""

    entrant: Entrant

    def __call__(self, r: Replicate) -> Row:
        """Return what `costs` counts."""
        return costs(self.entrant, r)

    def __kdlab_fingerprint__(self) -> Any:
        """Return what the counts depend on, beside the world."""
        return "cost", self.entrant


def costs(entrant: Entrant, r: Replicate) -> Row:
    """Count what one training costs, without doing it.

    Returns:
        Operations of convolutions and matrix products, two for a multiply-add: "teacher", of its
        training, 0 where none is asked; "set-up", before the first update, such as the teacher's
        answers to all images; "update", of one. "updates": how many. "kept": bytes that the forward
        half of an update keeps for the backward half. "extra": weights that learn beside those of
        the student, and "deployed": weights of the student. "accuracy" is not measured.
    """
    run = entrant.run(r.world)
    setting = drawn(replace(run.setting, r=r.r))
    taught = from_papers()[entrant.method].taught
    row: Row = {"accuracy": np.nan, "teacher": teacher_cost(setting) if taught else 0}
    if taught:
        _ = setting.teacher  # trained here, so that it is not counted as set-up
    with FlopCounterMode(display=False) as counter:
        method = run.method(setting)
    row["set-up"] = counter.get_total_flops()
    row["update"], row["kept"] = one_update(method, setting, setting.recipe())
    row["updates"] = setting.recipe().total_steps(len(setting.data.train.y))
    own = sum(p.numel() for p in setting.student().parameters())
    learned = sum(p.numel() for p in method.parameters() if p.requires_grad)
    return row | {"extra": learned - own, "deployed": own}


def teacher_cost(r: Replicate) -> int:
    """Return the operations of training the teacher of `r`."""
    recipe, n = r.world.teacher_recipe, len(r.data.train.y)
    fresh = CE(r.student(r.world.teacher_net))
    return one_update(fresh, r, recipe)[0] * recipe.total_steps(n)


def one_update(method: nn.Module, r: Replicate, recipe: Recipe) -> tuple[int, int]:
    """Return the operations of one update, and the most bytes that one of its losses keeps."""
    batch = next(next(epochs(r.data.train, recipe, r.r))[1])
    updates = getattr(method, "updates", lambda batch: [method(batch)])
    held: dict[int, int] = {}
    most = 0

    def note(part: Tensor) -> Tensor:
        held[part.untyped_storage().data_ptr()] = part.untyped_storage().nbytes()
        return part

    method.train()
    keeping = torch.autograd.graph.saved_tensors_hooks(note, lambda part: part)
    with FlopCounterMode(display=False) as counter, keeping:
        for terms in updates(batch):
            most = max(most, sum(held.values()))
            held.clear()
            total(terms).backward()
            method.zero_grad(set_to_none=True)
    return counter.get_total_flops(), most
