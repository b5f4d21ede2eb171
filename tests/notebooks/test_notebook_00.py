"""Notebook 00: numbers typed in prose, arms that are those of the evidence, widgets that move."""

import re
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from nbclient import NotebookClient

from kdlab.budget import plan
from kdlab.models import build, size
from kdlab.papers.kd import arms, experiment
from kdlab.tools import notebooks
from kdlab.tools.notebooks import code_cells
from kdlab.train.recipe import Recipe
from kdlab.train.worlds import WORLDS, replicate
from tests.faults import fault
from tests.papers.exercise_texts import namespace

STARTS = ("tables =", "from kdlab.papers.kd import explorers")
PATH = Path(__file__).parents[2] / "notebooks" / "00_kd.ipynb"
WORLD = plan("lesson").world("mnist5k")
TINY = replace(WORLD, teacher_net="cnn4", recipe=Recipe(steps=8), teacher_recipe=Recipe(steps=8))


def cell(heading: str) -> str:
    """Return the Markdown cell that holds this heading."""
    (found,) = [c.source for c in notebooks.read(PATH).cells if heading in c.source]
    return found


def weights(net: str) -> str:
    data = replicate(WORLD, 0).data
    return f"{size(build(net, data.n_classes, data.in_shape, seed=0), data.in_shape).params:,}"


@pytest.mark.parametrize("role", ["teacher", "student", "small"])
def test_the_weights_of_the_nets(role):
    net = getattr(WORLD, f"{role}_net")
    assert f"`{net}`, {weights(net)}" in cell("## Paper facts")


def test_the_images():
    data = replicate(WORLD, 0).data
    sizes = f"{data.pool_size:,} + {len(data.val.y):,} + {len(data.test.y):,} MNIST images"
    assert f"{sizes}; {len(data.train.y)} carry a label" in cell("## Paper facts")
    few = f"{len(data.train.y)} labelled images and {weights(WORLD.student_net)} weights"
    assert few in cell("### Departures")


def test_the_arms_in_sight_are_those_of_the_evidence(tmp_path, monkeypatch):
    monkeypatch.setenv("KDLAB_CACHE", str(tmp_path))
    nb = notebooks.read(PATH)
    (text,) = [c.source for c in code_cells(nb) if "headline = {" in c.source]
    found = namespace(nb)
    exec(text[: text.index("first = ")], found)
    theirs = experiment.COMPARISONS[0].arms
    r = replicate(TINY, 3)
    for name, mine in found["headline"].items():
        one, two = mine(r), theirs[name](r)
        assert one["accuracy"] == pytest.approx(two["accuracy"], abs=0.2), name
        assert one["nll"] == pytest.approx(two["nll"], rel=1e-3), name


def test_the_control_differs_from_the_teacher_in_the_ranking_alone(tmp_path, monkeypatch):
    monkeypatch.setenv("KDLAB_CACHE", str(tmp_path))
    r = replicate(TINY, 0)
    true, control = r.teacher.stored(), arms.without_ranking(r).stored()
    assert torch.equal(true.argmax(dim=1), control.argmax(dim=1))
    assert torch.equal(true.sort(dim=1).values, control.sort(dim=1).values)
    assert not torch.equal(true, control)


def test_the_claims_cover_the_worlds_that_the_comparisons_name():
    names = {name for c in experiment.COMPARISONS for name in c.worlds}
    assert names <= set(WORLDS)
    primary = [c for c in experiment.claims(tables_of()) if c.primary]
    assert 3 <= len(primary) <= 6 and all(c.margin >= 0.5 for c in primary)


def tables_of():
    from kdlab.runs import evidence

    return evidence.tables("00_kd", experiment.COMPARISONS)


@fault(
    "Cells of a notebook are run out of order",
    "The missing name is told; after the cells before it, the same cell goes on, from store.",
)
def test_cells_out_of_order() -> None:
    nb = notebooks.read(PATH)
    cells, by_start = code_cells(nb), {}
    for place, cell in enumerate(nb.cells):
        by_start |= {start: place for start in STARTS if cell.source.startswith(start)}
    cells[0].source = cells[0].source.replace('"lesson"', '"ci"')
    client = NotebookClient(nb, resources={"metadata": {"path": str(PATH.parent)}})
    client.allow_errors = True

    def run(place: int) -> tuple[str, str]:
        """Return the name of the error, if there is one, and all that the cell says."""
        outputs = client.execute_cell(nb.cells[place], place).outputs
        said = [str(o.get("text", o.get("data", {}).get("text/plain", ""))) for o in outputs]
        failed = [f"{o.ename}: {o.evalue}" for o in outputs if o.output_type == "error"]
        return "".join(failed), "".join(said)

    train = by_start["tables ="]
    with client.setup_kernel():
        assert run(by_start["from kdlab.papers.kd import explorers"])[0] == ""
        assert run(train)[0] == "NameError: name 'evidence' is not defined"
        for place in range(train):
            if nb.cells[place].cell_type == "code":
                assert run(place)[0] == ""
        assert run(train)[0] == ""
        failed, said = run(train)
        assert not failed and re.search(r"students: (\d+) of \1 done, \1 of them from store", said)
