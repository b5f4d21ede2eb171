"""What a step of each paper's method costs beside a step of the student alone.

A step is one pass of `kdlab.train.fit.fit` over one batch. Every method trains the same student at
the same batch, and asks the same frozen teacher, which has stored its answers: its logits, and the
features of `TAP`. Each stands at the defaults of its constructor.
"""

from collections.abc import Callable
from dataclasses import replace

import pandas as pd
from torch import nn

from bench.setting import Setting
from bench.timing import threads
from kdlab.papers.dml.method import DML, DMLInTurn
from kdlab.papers.efficacy.method import KDStop
from kdlab.papers.kd.method import KD
from kdlab.papers.rkd.method import RKD
from kdlab.train.fit import fit
from kdlab.train.frozen import Frozen
from kdlab.train.method import CE, Teacher

TAP = "pool"  # of the teacher and of the student, for methods that compare features
REPEATS, STEPS = 9, 100

# From a new student of a given seed, and the teacher, to the method.
Build = Callable[[Callable[[int], nn.Module], Teacher], nn.Module]
METHODS: dict[type[nn.Module], Build] = {
    CE: lambda student, teacher: CE(student(0)),
    KD: lambda student, teacher: KD(student(0), teacher),
    KDStop: lambda student, teacher: KDStop(student(0), teacher),
    RKD: lambda student, teacher: RKD(student(0), teacher, TAP),
    DML: lambda student, teacher: DML([student(0), student(1)]),
    DMLInTurn: lambda student, teacher: DMLInTurn([student(0), student(1)]),
}


def step_times(s: Setting, repeats: int = REPEATS, steps: int = STEPS) -> pd.DataFrame:
    """Train each method for `steps` steps, `repeats` times, in turn and on one thread.

    Each repeat starts with another method. So a machine that slows down in between slows all.

    Returns:
        A row a repeat, a column a method: the mean milliseconds of a step.
    """
    teacher, names = Frozen(s.teacher.net, s.data, TAP), list(METHODS)

    def time(method: type[nn.Module], steps: int) -> float:
        net, recipe = METHODS[method](s.new_student, teacher), replace(s.recipe, steps=steps)
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
