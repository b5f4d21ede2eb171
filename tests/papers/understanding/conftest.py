"""Evidence of notebook 03 from tiny nets and a few updates, made once for all tests."""

import itertools
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pandas as pd
import pytest

from kdlab.papers.understanding.experiment import COMPARISONS
from kdlab.runs.rows import read, write
from kdlab.train.recipe import Recipe
from kdlab.train.worlds import WORLDS, Replicate, replicate

NETS = {"teacher_net": "cnn4", "student_net": "cnn2", "small_net": "cnn2"}
RECIPES = {"recipe": Recipe(steps=10), "teacher_recipe": Recipe(steps=12, shift=2)}


def tiny(name: str, r: int) -> Replicate:
    """Return a replicate of a world with nets that train in a moment."""
    return replicate(replace(WORLDS[name], **NETS, **RECIPES), r)


@pytest.fixture(scope="package")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A cache that all tests of the package share."""
    place = tmp_path_factory.mktemp("understanding")
    with mock.patch.dict("os.environ", KDLAB_CACHE=str(place)):
        yield place


@pytest.fixture(scope="package")
def tables(folder: Path) -> dict[str, pd.DataFrame]:
    """Two replicates of every comparison, written and read as evidence is.

    Each arm runs once, on digits or turned digits; its second replicate is the first, a little
    worse, and clothes and photographs are digits under another name.
    """
    runs: dict[Any, dict[str, Any]] = {}
    for c in COMPARISONS:
        for function in c.arms.values():
            where = "rot40" if c.worlds == ("rot40",) else "mnist5k"
            key = where, repr(function)
            runs[key] = runs.get(key) or dict(function(tiny(where, 0)))
    made = {}
    for c in COMPARISONS:
        rows = []
        for name, (arm, function), r in itertools.product(c.worlds, c.arms.items(), (0, 1)):
            row = runs["rot40" if name == "rot40" else "mnist5k", repr(function)]
            numbers = {k: v - 0.1 * r for k, v in row.items() if isinstance(v, float)}
            rows.append({"world": name, "arm": arm, "seed": r} | row | numbers)
        frame = pd.DataFrame(rows).assign(seconds=1.0, stamp="x", torch="x", date="x")
        frame["rows"] = [np.arange(len(x), dtype=np.uint16) for x in frame["correct"]]
        frame.attrs["name"] = c.name
        write("03_understanding", frame, "made by a test", folder)
        made[c.name] = read("03_understanding", c.name, folder)
    return made
