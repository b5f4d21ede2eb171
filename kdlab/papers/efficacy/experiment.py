"""What is measured for Cho, Hariharan 2019, and the rules by which it is judged.

`COMPARISONS` are run by ``make evidence``. `claims` judges them: what is subtracted from what, the
margin and the sign were fixed before the first run. A margin is a third of the paper's effect or
0.5 points, whichever is larger. Labels alone and KD were known from notebook 00 by then, so what
sets these two against each other is *also seen*.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

import pandas as pd

from kdlab.papers.efficacy.arms import stopped, taught, teacher_alone
from kdlab.papers.efficacy.told import TOLD
from kdlab.papers.kd.arms import kd, kd_permuted, labels
from kdlab.runs.claims import Claim
from kdlab.runs.differences import Difference, difference, joined, minus
from kdlab.runs.evidence import Comparison

MIDDLE, LARGE = "KD, middle teacher", "KD, large teacher"
EQUAL, LONG, SHORT = f"{LARGE}, equal entropy", f"{LARGE}, long", f"{LARGE}, short"
MIDDLE_LONG, SPREAD = f"{MIDDLE}, long", "KD, spread evenly"
STOPS = {f"kd_stop at {share:.0%}": share for share in (0.5, 0.75)}
SHORTER, LONGER = 0.25, 2.5  # ages of a teacher, in units of the world's: 5 and 50 epochs
STUDENTS: dict[str, dict[str, Any]] = {  # student, teacher: what `taught` is told
    "small, middle": {},
    "small, between": {"times": 4},
    "small, largest": {"times": None},
    "small, largest, equal entropy": {"times": None, "equal": True},
    "large, middle": {"wide": 2},
    "large, largest": {"wide": 2, "times": None},
    "large, largest, equal entropy": {"wide": 2, "times": None, "equal": True},
}
EARLY = 0.125  # of the world's updates: 250 of 2,000
THREE: dict[str, Callable[..., Any]] = {"labels": labels, MIDDLE: taught, LARGE: kd}
FIRST = {f"{name}, early": partial(arm, longer=EARLY) for name, arm in THREE.items()}
COMPARISONS = [
    Comparison(
        "sizes",
        THREE
        | {"KD, permuted": kd_permuted}
        | {f"label smoothing {s}": partial(labels, smoothing=s) for s in (0.1, 0.3)},
        ("mnist5k", "fashion5k"),
    ),
    Comparison("early", FIRST, ("mnist5k", "fashion5k")),
    Comparison("photographs", THREE | FIRST, ("natural",), replicates=6),
    Comparison(
        "remedies",
        {
            MIDDLE: taught,
            LARGE: kd,
            EQUAL: partial(taught, **STUDENTS["small, largest, equal entropy"]),
            LONG: partial(taught, times=None, age=LONGER),
            **{name: partial(stopped, stop=share) for name, share in STOPS.items()},
        },
    ),
    Comparison(
        "students",  # one that is also in another comparison is written alike, and trained once
        {n: partial(taught, **how) if how else taught for n, how in STUDENTS.items()},
        replicates=5,
    ),
    Comparison(
        "more",
        {
            MIDDLE_LONG: partial(taught, age=LONGER),
            LONG: partial(taught, times=None, age=LONGER),
            SHORT: partial(taught, times=None, age=SHORTER),
            next(iter(STOPS)): partial(stopped, stop=0.5),
            # the mean weights of kd_stop at 50 %: (0.1, 0.9), then (1, 0)
            SPREAD: partial(taught, times=None, alpha=0.45),
        },
        replicates=5,
    ),
    Comparison(
        "teachers",
        {"middle": teacher_alone, "largest": partial(teacher_alone, times=None)},
        ("mnist5k", "fashion5k", "natural"),
        replicates=5,
    ),
]
NATS = "nats of KL on training images"


def everywhere(runs: Mapping[str, pd.DataFrame], first: str, second: str) -> Difference:
    """Return `first` minus `second` on digits and clothes, and on photographs."""
    name = "early" if first.endswith("early") else "sizes"
    return joined(*(difference(runs[of], first, second) for of in (name, "photographs")))


def claims(runs: Mapping[str, pd.DataFrame]) -> list[Claim]:
    """Return the claims on the tables {comparison: rows}, the primary ones first."""
    remedies, students, more = (runs[name] for name in ("remedies", "students", "more"))

    def primary(name: str, x: Any, margin: float = 0.5, unit: str = "points") -> Claim:
        return Claim(name, *TOLD[name], x, margin=margin, unit=unit)

    def seen(name: str, x: Any, **options: Any) -> Claim:
        return replace(primary(name, x, **options), primary=False)

    def farther(pupil: str) -> Difference:
        return difference(students, f"{pupil}, largest", f"{pupil}, middle", "KL train")

    lead = everywhere(runs, f"{LARGE}, early", "labels, early")
    small, wide = farther("small"), farther("large")
    return [
        primary("bad-teacher", everywhere(runs, MIDDLE, LARGE)),
        primary("early-teacher", everywhere(runs, f"{LARGE}, early", f"{MIDDLE}, early"), 0.8),
        primary("too-complex", difference(remedies, MIDDLE, EQUAL)),
        primary("kd-stop", difference(remedies, tuple(STOPS), LARGE), 0.53),
        primary("es-teacher", difference(remedies, LARGE, LONG)),
        seen("below-scratch", everywhere(runs, "labels", LARGE)),
        seen("fading", minus(lead, everywhere(runs, LARGE, "labels"))),
        seen("confidence", difference(remedies, EQUAL, LARGE)),
        seen("timing", difference(more, next(iter(STOPS)), SPREAD)),
        seen("long-teachers", difference(more, MIDDLE_LONG, LONG)),
        seen("mimic", small, unit=NATS),
        seen("capacity", minus(small, wide), unit=NATS),
        seen("wide-student", difference(students, "large, middle", "large, largest")),
        Claim("chain", *TOLD["chain"], primary=False, why="an equality needs many runs of chains"),
        Claim("imagenet", *TOLD["imagenet"], primary=False, why="it needs ImageNet"),
    ]
