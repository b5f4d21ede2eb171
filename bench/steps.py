"""What a step of each paper's method costs beside a step of the student alone.

A step is one pass of `kdlab.train.fit.fit` over one batch. Every method trains the same student at
the same batch, and asks the same frozen teacher, which has stored its answers: its logits, and the
features of `TAPS`. Each stands at the defaults of its constructor.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pandas as pd
from torch import nn

from bench.setting import Setting
from bench.timing import threads
from kdlab.data import Data
from kdlab.measure import logits_of
from kdlab.papers.byot.method import BYOT
from kdlab.papers.data_free.method import DataFree
from kdlab.papers.dml.method import DML, Cohort, DMLInTurn
from kdlab.papers.efficacy.method import KDStop
from kdlab.papers.fitnets.method import Hints, Joint, Soft
from kdlab.papers.kd.method import KD
from kdlab.papers.lsr.method import Distil, Share, TfReg
from kdlab.papers.mysteries.method import ViewKD
from kdlab.papers.okddip.method import ONE, OKDDip
from kdlab.papers.okddip.nets import SIZE
from kdlab.papers.rkd.method import RKD
from kdlab.papers.sskd.method import SSKD, SameRows, SSKDMoves
from kdlab.papers.sskd.pretext import Pretext
from kdlab.papers.sskd.views import Views
from kdlab.papers.understanding.method import PartialKD, Reweighted
from kdlab.train.fit import fit
from kdlab.train.frozen import Frozen
from kdlab.train.method import CE, Teacher

TAPS = ("pool", "block2")  # of the teacher, for methods that compare features
REPEATS, STEPS = 9, 100

# From a new student of a given seed, the teacher and the data, to the method.
Build = Callable[[Callable[[int], nn.Module], Teacher, Data], nn.Module]


def alone(method: Any) -> Build:
    """Build a method of one student."""
    return lambda student, teacher, data: method(student(0))


def taught(method: Any) -> Build:
    """Build a method of a student and its teacher."""
    return lambda student, teacher, data: method(student(0), teacher)


def shown(method: Any) -> Build:
    """Build a method that also asks for the data, to see the shapes of maps."""
    return lambda student, teacher, data: method(student(0), teacher, data)


def grouped(method: Any, size: int) -> Build:
    """Build a method of `size` students."""
    return lambda student, teacher, data: method([student(k) for k in range(size)])


def turned(method: Any) -> Build:
    """Build a method on views of the images; its head of the teacher is as it begins."""

    def build(student: Any, teacher: Any, data: Data) -> nn.Module:
        views = Views(teacher, data, getattr(method, "pool", "rotations"))
        parts = [] if method is SameRows else [Pretext(views).head]
        return method(student(0), views, *parts)

    return build


def made(student: Any, teacher: Any, data: Data) -> nn.Module:
    """Build the method that looks at made images; here the data's own stand for these."""
    x = data.train.x
    return DataFree(student(0), x, logits_of(teacher.net, x))


METHODS: dict[type[nn.Module], Build] = {
    **{method: alone(method) for method in (CE, Share, TfReg, BYOT)},
    **{method: taught(method) for method in (KD, KDStop, RKD, Distil, PartialKD, Reweighted)},
    **{method: taught(method) for method in (Soft, ViewKD)},
    **{method: shown(method) for method in (Hints, Joint)},
    **{method: grouped(method, 2) for method in (DML, DMLInTurn)},
    Cohort: grouped(Cohort, 3),
    **{method: grouped(method, SIZE) for method in (OKDDip, ONE)},
    **{method: turned(method) for method in (SSKD, SSKDMoves, SameRows)},
    DataFree: made,
}


def step_times(s: Setting, repeats: int = REPEATS, steps: int = STEPS) -> pd.DataFrame:
    """Train each method for `steps` steps, `repeats` times, in turn and on one thread.

    Each repeat starts with another method. So a machine that slows down in between slows all.

    Returns:
        A row a repeat, a column a method: the mean milliseconds of a step.
    """
    teacher, names = Frozen(s.teacher.net, s.data, TAPS), list(METHODS)

    def time(method: type[nn.Module], steps: int) -> float:
        net = METHODS[method](s.new_student, teacher, s.data)
        recipe = replace(s.recipe, steps=steps)
        return 1000 * fit(net, s.data, recipe, device="cpu").seconds.iloc[-1] / steps

    with threads(1):
        for method in names:  # the first step of all is slow
            time(method, 2)
        rows = []
        for repeat in range(repeats):
            first = repeat % len(names)
            rows.append({m.__name__: time(m, steps) for m in names[first:] + names[:first]})
            told = ", ".join(f"{name} {ms:.2f}" for name, ms in rows[-1].items())
            print(f"steps {repeat + 1}/{repeats}  ms: {told}", flush=True)
    return pd.DataFrame(rows, columns=[method.__name__ for method in names])


def over_ce(times: pd.DataFrame) -> pd.DataFrame:
    """Return by method: milliseconds (median), and the ratio of this to that of CE."""
    medians = times.median()
    return pd.DataFrame({"milliseconds": medians, "ratio": medians / medians[CE.__name__]})


def markdown(table: pd.DataFrame, caption: str) -> str:
    """Return the README's table of `over_ce` with `caption` below it."""
    lines = ["| method | a step | over CE's |", "|---|--:|--:|"]
    lines += [
        f"| {m} | {row.milliseconds:.2f} ms | {row.ratio:.2f}× |" for m, row in table.iterrows()
    ]
    return "\n".join([*lines, "", caption])


def caption(s: Setting, repeats: int = REPEATS, steps: int = STEPS) -> str:
    """Return what the table of `markdown` shows."""
    return (
        f"A step of every paper's method over one of CE, the student alone, at the same batch of "
        f"{s.recipe.batch}: medians of {repeats} interleaved repeats of {steps} steps, on one "
        f"thread. The student is {s.student}; the frozen teacher has stored its answers. DML and "
        "DMLInTurn train two students, and their step counts both. KDStop asks its teacher in the "
        "first half of the steps only."
    )
