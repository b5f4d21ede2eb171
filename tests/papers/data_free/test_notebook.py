"""Notebook 11: numbers typed in its prose, and arms in sight that are those of the evidence."""

from dataclasses import replace
from pathlib import Path

import pytest

from kdlab.budget import plan
from kdlab.papers.data_free import arms, dream, experiment, generator, sources
from kdlab.runs import evidence
from kdlab.tools import notebooks
from kdlab.tools.notebooks import code_cells
from kdlab.train.recipe import Recipe
from kdlab.train.worlds import replicate
from tests.papers.exercise_texts import namespace

PATH = Path(__file__).parents[3] / "notebooks" / "11_data_free.ipynb"
WORLD = plan("lesson").world("mnist5k")
TINY = replace(
    WORLD, teacher_net=sources.NET, recipe=Recipe(steps=24), teacher_recipe=Recipe(steps=8)
)


def cell(text: str) -> str:
    """Return the Markdown cell that holds this text."""
    cells = [c.source for c in notebooks.read(PATH).cells if c.cell_type == "markdown"]
    (found,) = [source for source in cells if text in source]
    return found


def test_the_numbers_in_its_prose():
    told = cell("### Departures")
    steps = replicate(WORLD, 0).recipe(arms.LONG).steps
    assert f"{arms.IMAGES} images, {steps} updates" in told
    assert f"makes {sources.PART} images at a time in {dream.STEPS} updates" in told
    assert f"at a rate of {dream.RATE}" in told and f"rate of {generator.RATE}" in told
    assert f"`{sources.NET}` to `{WORLD.student_net}`" in cell("## Paper facts")
    rival = experiment.SOURCES["ADI"].keywords["weights"].rival
    assert f"Its weight, {rival:g}, is not published" in told


def test_every_primary_claim_is_told():
    told = cell("## Claims")
    nothing = evidence.tables("11_data_free", experiment.COMPARISONS, folder=Path("none"))
    for claim in experiment.claims(nothing):
        assert f"**{claim.id}**" in told or not claim.primary, claim.id


def test_the_arms_in_sight_are_those_of_the_evidence():
    nb = notebooks.read(PATH)
    (text,) = [c.source for c in code_cells(nb) if "headline = {" in c.source]
    found = namespace(nb) | {"budget": "ci", "settings": plan("ci")}
    exec(text, found)
    r = replicate(TINY, 3)
    assert list(found["headline"]) == list(experiment.HEADLINE)
    for name, mine in found["headline"].items():
        quick = found["fewer"] if name in ("DAFL", "DeepInversion") else {}
        one, two = mine(r), experiment.HEADLINE[name](r, **quick)
        assert one["accuracy"] == pytest.approx(two["accuracy"], abs=0.2), name
        assert one["nll"] == pytest.approx(two["nll"], rel=1e-3), name
