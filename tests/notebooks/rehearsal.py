"""A rehearsal of budget `full`: all its kinds of things, none of its size.

What only `full` has is kept: its recipe with moved and mirrored images, steps that follow from
epochs, residual nets, colour, a test set of its own and a label on every image of the pool.
"""

import inspect
from pathlib import Path
from typing import Any

import numpy as np
from nbformat.v4 import new_code_cell

from kdlab.tools import notebooks

CLASSES, TRAIN, TEST = 10, 400, 200
SIDE = 8  # pixels; with 16 a step takes three times as long


def shrink(path: str) -> Any:
    """Replace `full` in this process by a small one on the data at `path`, and return it."""
    from dataclasses import replace

    from kdlab.budget import BUDGETS

    full = BUDGETS["full"]
    small = {"teacher_net": "wrn_10_2", "student_net": "wrn_10_1", "small_net": "resnet8"}
    recipe = full.changes["recipe"]
    small |= {"teacher_recipe": replace(recipe, epochs=5), "recipe": replace(recipe, epochs=2)}
    # no spot check: two runs of the evidence would take longer than all the rest
    BUDGETS["full"] = replace(full, live=2, spot=0, dataset=path, changes=small)
    return BUDGETS["full"]


def write_data(path: Path) -> Path:
    """Write small colour images, a noisy pattern for each class, and return `path`."""
    source = np.random.default_rng(0)
    patterns = source.integers(40, 216, (CLASSES, SIDE, SIDE, 3))
    arrays = {}
    for part, n in [("train", TRAIN), ("test", TEST)]:
        y = np.arange(n) % CLASSES
        noise = source.integers(-40, 40, (n, SIDE, SIDE, 3))
        arrays |= {f"{part}_x": (patterns[y] + noise).astype(np.uint8), f"{part}_y": y}
    np.savez(path, **arrays)
    return path


def rehearse(copy: Path, data: Path) -> None:
    """Put into the prepared notebook `copy`, below its parameters, a cell that shrinks `full`."""
    nb = notebooks.read(copy)
    tagged = [i for i, cell in enumerate(nb.cells) if "injected-parameters" in notebooks.tags(cell)]
    source = inspect.getsource(shrink).replace(" -> Any", "")
    nb.cells.insert(tagged[0] + 1, new_code_cell(f"{source}\n\nshrink({str(data)!r})"))
    copy.write_text(notebooks.text(nb), encoding="utf-8")
