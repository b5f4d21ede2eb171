"""The arms of notebook 01: teachers of several sizes and ages, and a student that leaves its own.

Each takes a replicate, trains a student, returns what it measured. Students without a teacher, and
those of the world's own, the largest teacher, are arms of notebook 00.
"""

import re
from dataclasses import replace
from typing import Any

from kdlab.data import Batch
from kdlab.measure import evaluate, fidelity, logits_of, softness
from kdlab.papers.efficacy.method import KDStop, equal_entropy
from kdlab.papers.kd.method import KD
from kdlab.train.frozen import Frozen
from kdlab.train.worlds import Replicate

MIDDLE = 2  # the middle teacher is so many times as wide as the student
T = 4.0
SEEN = 500  # test images on which student and teacher are compared: the first, a balanced sample

Row = dict[str, Any]


def widened(net: str, times: int) -> str:
    """Return the name of a net `times` as wide: cnn4 -> cnn8; other families stay as they are."""
    found = re.fullmatch(r"cnn(\d+)", net)
    return f"cnn{times * int(found[1])}" if found else net


def school(r: Replicate, times: int | None = MIDDLE, age: float = 1.0) -> Frozen:
    """Return a teacher of the replicate.

    Args:
        times: how many times as wide as the student; None: the world's own net, the largest.
        age: length of its training, in units of the world's. Each has the whole rise and fall of
            the learning rate: an early-stopped teacher of the paper's kind, not a snapshot.
    """
    net = r.world.teacher_net if times is None else widened(r.world.student_net, times)
    recipe = r.world.teacher_recipe
    if recipe.steps is None:
        return r.teacher_of(net, replace(recipe, epochs=max(1, round(age * recipe.epochs))))
    return r.teacher_of(net, replace(recipe, steps=max(1, round(age * recipe.steps))))


def taught(
    r: Replicate,
    times: int | None = MIDDLE,
    age: float = 1.0,
    wide: int = 1,
    equal: bool = False,
    alpha: float = 0.9,
    longer: float = 1,
) -> Row:
    """KD from a teacher of some size and age.

    Args:
        times, age: of the teacher, see `school`.
        wide: how many times as wide the student is as the world's.
        equal: the teacher's logits are multiplied by one number, so that its answers are as
            uncertain as those of the middle teacher of age 1.
        alpha: weight of the soft term.
        longer: length of the student's training, in units of the world's.

    Returns:
        Beside what the student scores: "KL train" and "KL test" in nats, from the answers that it
        was shown; "agreement" in %, on test images; "teacher accuracy" in %, on the same; "teacher
        entropy" in nats, of the answers at T = 4 on the images that it learned from.
    """
    teacher = school(r, times, age)
    shown, factor = teacher, 1.0
    if equal:
        factor = equal_entropy(answers(r, teacher), answers(r, school(r)), T)
        shown = teacher.mapped(lambda z, _: factor * z)
    method = KD(r.student(widened(r.world.student_net, wide)), shown, T, alpha)
    row = r.train(method, longer=longer)
    x, y = r.data.test.x[:SEEN], r.data.test.y[:SEEN]
    z_s, z_t = logits_of(method, x), factor * logits_of(teacher.net, x)
    on_test = fidelity(z_s, z_t)
    on_train = fidelity(logits_of(method, r.data.train.x), answers(r, shown))
    right = (z_t.argmax(dim=1) == y).double().mean().item()
    row |= {"KL train": on_train.kl, "KL test": on_test.kl, "agreement": on_test.agreement}
    entropy = softness(answers(r, shown), T)
    return row | {"teacher accuracy": 100 * right, "teacher entropy": entropy}


def answers(r: Replicate, teacher: Frozen) -> Any:
    """Return a teacher's logits (N, C) for the images that the student learns from."""
    return teacher(Batch(*r.data.train))


def stopped(r: Replicate, stop: float = 0.5) -> Row:
    """The paper's kd_stop: the largest teacher, left after this share of the training."""
    return r.train(KDStop(r.student(), r.teacher, T, stop=stop))


def teacher_alone(r: Replicate, times: int | None = MIDDLE) -> Row:
    """What a teacher scores on all test images, and the entropy of its answers at T = 4."""
    teacher = school(r, times)
    entropy = softness(answers(r, teacher), T)
    return evaluate(teacher.net, r.data.test) | {"target entropy": entropy}
