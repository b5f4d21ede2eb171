"""How long a training takes: a few updates timed here, corrected by what runs have taken."""

import functools
import time

import pandas as pd
import torch

from kdlab.data import Batch
from kdlab.lab.rows import OWN_TEACHER, Row, Stock
from kdlab.models import build
from kdlab.train.fit import total
from kdlab.train.method import CE
from kdlab.train.recipe import Recipe

ONCE = 5.0  # seconds in which worker processes start
EACH = 1.0  # seconds in which a run reads its images and measures itself
LOOP = 1.3  # what else a training does between its updates, as measured


@functools.cache
def of_step(net: str, classes: int, shape: tuple[int, int, int]) -> float:
    """Return the seconds of one update on 50 images, on one thread of this machine."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        method, seconds = CE(build(net, classes, shape, seed=0)), []
        optimiser, y = Recipe().optimiser_of(method.parameters()), torch.zeros(50, dtype=torch.long)
        for _ in range(4):  # the first one warms up
            started = time.perf_counter()
            optimiser.zero_grad()
            total(method(Batch(torch.zeros(50, *shape), y, y))).backward()
            optimiser.step()
            seconds.append(time.perf_counter() - started)
        return LOOP * min(seconds)
    finally:
        torch.set_num_threads(threads)


def of_student(row: Row, stock: Stock) -> float:
    """Return the seconds that the updates of a row's student should take."""
    place = stock.places[row.world]
    return EACH + row.updates * of_step(row.student, place.classes, place.shape)


def of_teacher(row: Row, stock: Stock) -> float:
    """Return the seconds that its teacher should take."""
    if row.teacher in ("", OWN_TEACHER):
        return 0.0
    place = stock.places[row.world]
    updates = place.world.teacher_recipe.steps_per_epoch(row.labels) * row.epochs
    return EACH + updates * of_step(row.teacher, place.classes, place.shape)


def learned(runs: pd.DataFrame, method: str, last: int = 20) -> float:
    """Return how much longer runs of the lab book took than was expected of them; 1: unknown."""
    mine = runs[runs["method"] == method]
    shown = (mine if len(mine) else runs).head(last)
    ratio = (shown["seconds"] / shown["expected"]).median()
    return float(ratio) if ratio > 0 else 1.0


def in_words(seconds: float) -> str:
    """Say it so that nobody takes it for exact.

    >>> in_words(3), in_words(44), in_words(200), in_words(9000)
    ('a few seconds', 'about 45 s', 'about 3 minutes', 'about 2.5 hours')
    """
    if seconds < 5:
        return "a few seconds"
    if seconds < 100:
        return f"about {5 * round(seconds / 5)} s"
    if seconds < 5400:
        return f"about {seconds / 60:.0f} minutes"
    return f"about {seconds / 3600:.1f} hours"
