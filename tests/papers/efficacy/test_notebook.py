"""Notebook 01: numbers typed in its prose, and arms in sight that are those of the evidence."""

from pathlib import Path

import pytest
import torch

from kdlab.budget import plan
from kdlab.models import build, size
from kdlab.papers.efficacy import arms, experiment
from kdlab.papers.kd.method import kd_loss
from kdlab.tools import notebooks
from kdlab.tools.notebooks import code_cells
from kdlab.train.method import hard_loss
from kdlab.train.worlds import WORLDS, replicate
from tests.papers.cases import tiny
from tests.papers.exercise_texts import namespace

PATH = Path(__file__).parents[3] / "notebooks" / "01_efficacy.ipynb"
WORLD = plan("lesson").world("mnist5k")
TINY = tiny(teacher_net="cnn6")


def cell(text: str) -> str:
    """Return the Markdown cell that holds this text."""
    cells = [c.source for c in notebooks.read(PATH).cells if c.cell_type == "markdown"]
    (found,) = [source for source in cells if text in source]
    return found


def weights(net: str) -> int:
    data = replicate(WORLD, 0).data
    return size(build(net, data.n_classes, data.in_shape, seed=0), data.in_shape).params


@pytest.mark.parametrize("net", ["cnn4", "cnn8", "cnn16", "cnn32"])
def test_the_weights_of_the_nets(net: str):
    assert f"`{net}`, {weights(net):,} weights" in cell("## Paper facts")


def test_which_net_has_which_part():
    facts, times = cell("## Paper facts"), weights("cnn32") / weights("cnn4")
    middle = arms.widened(WORLD.student_net, arms.MIDDLE)
    assert f"One student of {weights(WORLD.student_net):,} weights" in facts
    assert f"*middle* teacher of {weights(middle):,} weights" in facts
    assert f"*large* one of {weights(WORLD.teacher_net):,}" in facts
    assert f"has {times:.0f} times the weights of its student" in cell("### Limits")


def test_the_widths():
    words = {2: "twice", 4: "four times", 8: "eight times"}
    told = cell("## Predict")
    assert f"{words[arms.MIDDLE]} as wide as itself" in told
    for world, start in (("mnist5k", "one that is {} as wide"), ("natural", "on photographs: {}")):
        w = WORLDS[world]
        times = int(w.teacher_net[3:]) // int(w.student_net[3:])
        assert start.format(words[times]) in told


def test_the_images():
    data = replicate(WORLD, 0).data
    sizes = f"{data.pool_size:,} + {len(data.val.y):,} + {len(data.test.y):,} MNIST images"
    assert f"{sizes}; {len(data.train.y)} carry a label" in cell("## Paper facts")


def test_the_lengths_of_trainings():
    assert f"the same {WORLD.recipe.steps:,} updates" in cell("## Predict")
    early = (WORLD.recipe.steps or 0) * experiment.EARLY
    assert f"after {early:.0f} updates" in cell("## Claims")
    epochs = WORLD.teacher_recipe.epochs
    ages = f"makes {epochs} epochs, the long one {experiment.LONGER * epochs:.0f}"
    assert f"{ages}: {100 / experiment.LONGER:.0f} %" in cell("### Departures")


def test_the_replicates():
    counts = {c.name: c.replicates for c in experiment.COMPARISONS}
    words = {5: "five", 6: "six", 10: "Ten"}
    told = f"{words[counts['sizes']]} replicates on digits and clothes"
    assert f"{told}, {words[counts['photographs']]} on photographs" in cell("### Limits")
    assert {counts["students"], counts["more"]} == {5}


def test_the_values_of_the_toy_case():
    z, v, y = torch.tensor([[1.0, 2, 0]]), torch.tensor([[2.0, 0, 1]]), torch.tensor([0])
    hard, soft = hard_loss(z, y).item(), kd_loss(z, v, 2.0).item()
    assert f"the hard term was {hard:.5f} and the soft one {soft:.5f}" in cell("Three checks.")


def test_the_number_of_claims_and_their_names():
    primary = [c for c in experiment.claims(tables_of()) if c.primary]
    words = {3: "Three", 4: "Four", 5: "Five", 6: "Six"}
    told = cell("## Claims")
    assert f"{words[len(primary)]} primary claims." in told
    assert all(f"**{claim.id}**" in told for claim in primary)


def test_the_arms_in_sight_are_those_of_the_evidence(tmp_path, monkeypatch):
    monkeypatch.setenv("KDLAB_CACHE", str(tmp_path))
    nb = notebooks.read(PATH)
    (text,) = [c.source for c in code_cells(nb) if "headline = {" in c.source]
    found = namespace(nb)
    exec(text[: text.index("first = ")], found)
    theirs = {c.name: c for c in experiment.COMPARISONS}["sizes"].arms
    r = replicate(TINY, 3)
    for name, mine in found["headline"].items():
        one, two = mine(r), theirs[name](r)
        assert one["accuracy"] == pytest.approx(two["accuracy"], abs=0.2), name
        assert one["nll"] == pytest.approx(two["nll"], rel=1e-3), name


def tables_of():
    from kdlab.runs import evidence

    return evidence.tables("01_efficacy", experiment.COMPARISONS)
