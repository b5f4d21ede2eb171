"""What a worker process makes of a row and a replicate's number.

This file, with all that it imports, is part of the fingerprint of every run: whatever only shows
results stands elsewhere.
"""

import functools
import time
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch.nn.functional as F
from torch import Tensor, nn

from kdlab.data import Batch, Data, load
from kdlab.measure import evaluate, logits_of, scores
from kdlab.train.fit import fit
from kdlab.train.frozen import Frozen
from kdlab.train.gate import Suspicion, look_at_teacher
from kdlab.train.method import Teacher, n_classes_of
from kdlab.train.worlds import Replicate

POINTS = 20  # of a learning curve


@dataclass(frozen=True)
class Setting(Replicate):
    """A replicate, perhaps with wrong labels, with images or a teacher of the reader's own.

    Args:
        noise: share of the labels that are wrong, for teacher and student alike.
        own: images that are not drawn anew: only the teacher, the first weights and the order are.
        net: a trained network that is the teacher in every replicate.
    """

    noise: float = 0.0
    own: Data | None = None
    net: nn.Module | None = None

    @functools.cached_property
    def data(self) -> Data:
        """The images, split and labelled by r, or the reader's own."""
        n = self.world.n_labelled
        if self.own is None:
            data = load(self.world.name, n_labelled=n, seed=self.r)
        else:
            data = self.own.take(n) if n else self.own
        return data.with_label_noise(self.noise, self.r) if self.noise else data

    def teacher_of(self, *args: Any, **options: Any) -> Frozen:
        """Return the reader's own teacher, where there is one; else see `Replicate`."""
        if self.net is None:
            return super().teacher_of(*args, **options)
        return Frozen(self.net, self.data, options.get("taps", ()))


@functools.lru_cache(maxsize=2)
def drawn(setting: Setting) -> Setting:
    """Return one setting for all that equal it: the rows of a replicate share data and teacher."""
    return setting


class OwnLoss(nn.Module):
    """A student that minimises ``loss(z_s, z_t, y, **knobs)``, a function of the reader."""

    def __init__(
        self, student: nn.Module, teacher: Teacher, loss: Callable[..., Tensor], **knobs: Any
    ) -> None:
        super().__init__()
        self.student, self.teacher, self.loss, self.values = student, teacher, loss, knobs
        self.n_classes = n_classes_of(student)

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        """Return the loss of the logits of student and teacher."""
        z_s, z_t = self.student(batch.x), self.teacher(batch)
        return {"loss": self.loss(z_s, z_t, batch.y, **self.values)}

    def predict(self, x: Tensor) -> Tensor:
        """Return the student's logits (B, C)."""
        return self.student(x)


@dataclass(frozen=True)
class Run:
    """One row of the lab, or its teacher, as an arm of `kdlab.runs.compare.compare`.

    Args:
        setting: with any r.
        kind: how the method is made, see `kdlab.lab.methods.Choice`; "teacher" trains only that.
        source, tap, knobs: of the method.
        content: names the reader's own images.
    """

    setting: Setting
    kind: str = "teacher"
    source: Any = None
    tap: str = ""
    knobs: Mapping[str, Any] | None = None
    content: str = ""

    def __call__(self, r: int) -> dict[str, Any]:
        """Make the run and return its row, with the seconds it took."""
        started, setting = time.perf_counter(), drawn(replace(self.setting, r=r))
        with warnings.catch_warnings(record=True) as seen:
            if self.kind == "teacher":
                row: dict[str, Any] = {"classes": setting.teacher.stored().shape[1]}
            else:
                if setting.net is not None:  # `drawn` asks it once, and each row shall tell
                    rows = setting.data.train
                    look_at_teacher(setting.teacher(Batch(*rows)), rows, setting.data.classes)
                row = measured(self.method(setting), setting)
        doubts = {str(w.message) for w in seen if issubclass(w.category, Suspicion)}
        row["doubt"] = "; ".join(sorted(doubts))
        return row | {"seconds": time.perf_counter() - started}

    def method(self, r: Replicate) -> nn.Module:
        """Return the method, untrained, in replicate r."""
        knobs = self.knobs or {}
        if self.kind == "of":
            return self.source.of(r, **knobs)
        if self.kind == "alone":
            return self.source(r.student(), **knobs)
        teacher = r.teacher_of(taps=self.tap) if self.tap else r.teacher
        if self.kind == "loss":
            return OwnLoss(r.student(), teacher, self.source, **knobs)
        return self.source(r.student(), teacher, **knobs)

    def __kdlab_fingerprint__(self) -> Any:
        """Return what the result depends on: the method, the setting without r, and this file."""
        s, knobs = self.setting, sorted((self.knobs or {}).items())
        method = self.kind, self.source, self.tap, knobs
        return method, repr(s.world), s.noise, s.net, self.content, measured


def measured(method: nn.Module, r: Replicate) -> dict[str, Any]:
    """Train `method` as `Replicate.train` does; return what it measures, and more.

    Returns:
        What `kdlab.measure.evaluate` says of the test images; ``val_accuracy`` (%); a learning
        curve, ``updates`` and ``curve`` (% of validation images), of at most POINTS points; and of
        each test image what was answered, ``says``, and how surely, ``sure``.
    """
    data, recipe, seen = r.data, r.recipe(), list[tuple[int, float]]()
    n, last = len(data.train.y), recipe.total_epochs(len(data.train.y))
    marks = {-(-last * k // POINTS) for k in range(1, POINTS + 1)}

    def note(epoch: int, now: nn.Module) -> None:
        if epoch in marks:
            updates = min(epoch * recipe.steps_per_epoch(n), recipe.total_steps(n))
            seen.append((updates, evaluate(now, data.val)["accuracy"]))

    fit(method, data, recipe, r.r, on_epoch=[note])
    z = logits_of(method, data.test.x)
    updates, curve = zip(*seen, strict=True)
    row = scores(z, data.test.y) | {"val_accuracy": curve[-1]}
    row |= {"updates": np.array(updates), "curve": np.array(curve)}
    sure = F.softmax(z.double(), dim=1).amax(dim=1).numpy().astype(np.float32)
    return row | {"says": z.argmax(dim=1).numpy().astype(np.int16), "sure": sure}
