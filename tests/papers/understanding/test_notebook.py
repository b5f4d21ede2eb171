"""Notebook 03: numbers typed in prose, arms that are those of the evidence."""

from pathlib import Path

import pytest

from kdlab.budget import plan
from kdlab.models import build, size
from kdlab.papers.understanding import experiment
from kdlab.tools import notebooks
from kdlab.tools.notebooks import code_cells
from kdlab.train.worlds import replicate
from tests.papers.exercise_texts import namespace
from tests.papers.understanding.conftest import tiny

PATH = Path(__file__).parents[3] / "notebooks" / "03_understanding.ipynb"
WORLD = plan("lesson").world("mnist5k")


def cell(heading: str) -> str:
    """Return the Markdown cell that holds this heading."""
    (found,) = [c.source for c in notebooks.read(PATH).cells if heading in c.source]
    return found


@pytest.mark.parametrize("role", ["teacher", "student"])
def test_the_weights_of_the_nets(role):
    net, data = getattr(WORLD, f"{role}_net"), replicate(WORLD, 0).data
    weights = size(build(net, data.n_classes, data.in_shape, seed=0), data.in_shape).params
    assert f"`{net}`, {weights:,}" in cell("## Paper facts")
    assert f"*{role}* of {weights:,} weights" in cell("## Paper facts")


def test_the_images():
    data = replicate(WORLD, 0).data
    sizes = f"{data.pool_size:,} + {len(data.val.y):,} + {len(data.test.y):,} MNIST images"
    assert f"{sizes}; {len(data.train.y)} carry a label" in cell("## Paper facts")


def test_every_arm_of_the_table_and_every_primary_claim_is_explained():
    assert all(f"*{arm}*" in cell("## The loss") for arm in experiment.CELLS.values())
    for name in ("relations", "confidence", "smoothing", "order", "geometry", "flipped"):
        assert f"**{name}**" in cell("## Claims")


def test_the_arms_in_sight_are_those_of_the_evidence(folder):
    (text,) = [c.source for c in code_cells(notebooks.read(PATH)) if "headline = {" in c.source]
    found = namespace(notebooks.read(PATH))
    exec(text[text.index("def labels") : text.index("for role")], found)
    r = tiny("mnist5k", 3)
    for name, mine in found["headline"].items():
        one, two = mine(r), experiment.ARMS[name](r)
        assert one["nll"] == pytest.approx(two["nll"], rel=1e-3), name
