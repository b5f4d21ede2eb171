"""Numbers that notebook 00 types in its prose are those of the data and the nets."""

from pathlib import Path

import pytest

from kdlab.budget import plan
from kdlab.models import build, size
from kdlab.tools import notebooks

PATH = Path(__file__).parents[2] / "notebooks" / "00_kd.ipynb"
LESSON = plan("lesson")


def cell(heading: str) -> str:
    """Return the Markdown cell that begins with this heading."""
    (found,) = [c.source for c in notebooks.read(PATH).cells if c.source.startswith(heading)]
    return found


def weights(net: str) -> str:
    data = LESSON.load()
    return f"{size(build(net, data.n_classes, data.in_shape, seed=0), data.in_shape).params:,}"


@pytest.mark.parametrize("role", ["teacher", "student", "small", "large"])
def test_the_weights_of_the_nets(role):
    net = getattr(LESSON, f"{role}_net")
    assert f"`{net}`, {weights(net)}" in cell("## Paper facts")


def test_the_images():
    data = LESSON.load()
    sizes = f"{data.pool_size:,} + {len(data.val.y):,} + {len(data.test.y):,} MNIST images"
    assert f"{sizes}; {len(data.train.y)} carry a label" in cell("## Paper facts")
    few = f"{len(data.train.y)} labelled images and {weights(LESSON.student_net)} weights"
    assert few in cell("## Departures")


def test_the_minutes_of_the_exercises_add_up():
    text = "\n".join(c.source for c in notebooks.read(PATH).cells if c.cell_type == "markdown")
    heads = [line for line in text.splitlines() if line.startswith("### ") and "minutes" in line]
    total = sum(int(line.split("·")[-1].split()[0]) for line in heads)
    assert len(heads) == 4 and f"{total} minutes for the exercises" in cell("## You will")
