"""Notebook 04: numbers typed in its prose, arms in sight, widgets that move to their ends."""

from dataclasses import replace
from pathlib import Path

import pytest

from kdlab.budget import plan
from kdlab.models import build, size
from kdlab.papers.fitnets import arms, experiment, figures
from kdlab.papers.fitnets.nets import KINDS, WIDTH, middle, thin
from kdlab.runs import evidence
from kdlab.show.explorers.panels import choice, drive, panel, slider
from kdlab.tools import notebooks
from kdlab.tools.notebooks import code_cells
from kdlab.train.recipe import Recipe
from kdlab.train.worlds import replicate
from tests.papers.exercise_texts import namespace

PATH = Path(__file__).parents[3] / "notebooks" / "04_fitnets.ipynb"
WORLD = plan("lesson").world("mnist5k")
TINY = replace(
    WORLD,
    n_labelled=100,
    teacher_net="cnn4",
    recipe=Recipe(steps=24),
    teacher_recipe=Recipe(steps=8),
)


def cell(text: str) -> str:
    """Return the Markdown cell that holds this text."""
    cells = [c.source for c in notebooks.read(PATH).cells if c.cell_type == "markdown"]
    (found,) = [source for source in cells if text in source]
    return found


def test_the_sizes_of_the_nets():
    facts = cell("## Paper facts")
    teacher = size(build(WORLD.teacher_net, 10, seed=0)).params
    student = size(thin(arms.DEPTH, n_classes=10, in_shape=(1, 28, 28), seed=0)).params
    assert f"`{WORLD.teacher_net}`, 3 layers, {teacher:,} weights" in facts
    assert f"{arms.DEPTH} layers of {WIDTH} channels with ReLU, {student:,} weights" in facts
    guided = middle(arms.DEPTH).removeprefix("layer")
    assert f"block 2 of 3, layer {guided} of {arms.DEPTH}" in facts


def test_the_images_and_the_updates():
    r = replicate(WORLD, 0)
    data, steps = r.data, arms.recipe(r).total_steps(len(r.data.train.y))
    sizes = f"{data.pool_size:,} + {len(data.val.y):,} + {len(data.test.y):,} MNIST images"
    assert f"{sizes}; {len(data.train.y)} carry a label" in cell("## Paper facts")
    assert f"make {steps:,} updates" in cell("## Predict")
    assert f"learning rate {arms.recipe(r).lr}, {steps:,} updates" in cell("### Departures")
    few = arms.recipe(r, 0.15).total_steps(len(data.train.y))
    assert f"trains for {few} updates" in cell("What does a hint look like?")


def test_the_factor_of_the_reductions():
    assert f"which is {64 * 7 * 7 // 2:,} for block 2" in cell("How much depends on")


def test_every_primary_claim_is_told():
    told = cell("## Claims")
    nothing = evidence.tables("04_fitnets", experiment.COMPARISONS, folder=Path("no such folder"))
    for claim in experiment.claims(nothing):
        assert f"**{claim.id}**" in told or not claim.primary, claim.id


def test_the_arms_in_sight_are_those_of_the_evidence():
    nb = notebooks.read(PATH)
    (text,) = [c.source for c in code_cells(nb) if "headline = {" in c.source]
    found = namespace(nb)
    exec(text[: text.index("first = ")], found)
    r = replicate(TINY, 3)
    assert list(found["headline"]) == list(experiment.BOTH)
    for name, mine in found["headline"].items():
        one, two = mine(r), experiment.BOTH[name](r)
        assert one["accuracy"] == pytest.approx(two["accuracy"], abs=0.2), name
        assert one["nll"] == pytest.approx(two["nll"], rel=1e-3), name


def test_the_explorers_move_to_all_their_ends():
    r = replicate(TINY, 0)
    layers, blocks = ("layer3", "layer15"), ("block2", "block3")
    pairs = figures.peeks(r, layers, blocks)
    images = r.data.images(r.data.test.x[:6])
    box = panel(
        lambda **at: figures.explorer(pairs, images, **at),
        alt="Guided {guided}, hint {hint}: the hint and its prediction before and after stage 1.",
        guided=choice("student's layer", layers, "layer3"),
        hint=choice("teacher's layer", blocks, "block2"),
        image=slider("image", range(6), 0),
        channel=slider("channel of the hint", range(figures.CHANNELS), 0),
    )
    assert drive(box) == 8
    fading = panel(
        lambda depth, chosen: figures.signals(r.data, depth, chosen),
        alt="What four kinds of net of {depth} layers pass on; bars: {chosen}.",
        depth=slider("layers", [5, 9], 5),
        chosen=choice("kind of net", KINDS, "plain"),
    )
    assert drive(fading) == 4
