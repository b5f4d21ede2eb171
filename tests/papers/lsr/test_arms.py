"""The arms of notebook 02, its arms in sight, and the facts that it prints."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from kdlab.budget import plan
from kdlab.measure import logits_of
from kdlab.models import build, size
from kdlab.papers.kd import arms as baseline
from kdlab.papers.lsr import arms, experiment
from kdlab.papers.lsr.override import pressure, resistance
from kdlab.tools import notebooks
from kdlab.tools.notebooks import code_cells
from kdlab.train.recipe import Recipe
from kdlab.train.worlds import WORLDS, Replicate, replicate
from tests.notebooks.rules import core
from tests.papers.exercise_texts import namespace

PATH = Path(__file__).parents[3] / "notebooks" / "02_kd_as_lsr.ipynb"
WORLD = plan("lesson").world("mnist5k")
SHORT = replace(WORLD.teacher_recipe, steps=20)
TINY = replace(WORLD, teacher_net="cnn4", recipe=Recipe(steps=8), teacher_recipe=SHORT)


@pytest.fixture(scope="module")
def r() -> Replicate:
    return replicate(TINY, 3)


def test_a_hardly_trained_teacher_sees_every_image_once(r: Replicate, monkeypatch):
    asked = []
    monkeypatch.setattr(Replicate, "teacher_of", lambda self, **options: asked.append(options))
    arms.hardly_trained(r)
    (recipe,) = [options["recipe"] for options in asked]
    assert recipe.total_steps(len(r.data.train.y)) == len(r.data.train.y) // recipe.batch
    assert recipe.shift == r.world.teacher_recipe.shift


def test_a_row_says_what_the_teacher_knows(r: Replicate):
    teacher = arms.hardly_trained(r)
    row = arms.de_kd(r, alpha=0.99)
    train, test = r.data.train, r.data.test
    right = logits_of(teacher.net, test.x).argmax(dim=1) == test.y
    assert row["teacher on test"] == pytest.approx(100 * right.double().mean().item())
    z = logits_of(teacher.net, train.x)
    wins = pressure(z, train.y, arms.T) > resistance(0.99, 10)
    assert row["overruled"] == pytest.approx(100 * wins.double().mean().item()) and wins.any()
    assert row["teacher on train"] == pytest.approx(arms.share_right(z, train.y))


def test_the_copy_is_another_net_and_the_smaller_one_is_smaller(r: Replicate, monkeypatch):
    met = []
    monkeypatch.setattr(arms, "taught", lambda r, by: met.append(by.net))
    arms.re_kd(r)
    arms.self_kd(r)
    sizes = [sum(p.numel() for p in net.parameters()) for net in (*met, r.student())]
    assert sizes[0] < sizes[1] == sizes[2]
    alone = r.teacher_of(net=r.world.student_net, recipe=r.recipe()).net
    pairs = zip(met[1].parameters(), alone.parameters(), strict=True)
    assert not all(torch.equal(one, two) for one, two in pairs)


def test_gaps_are_label_minus_mean_of_the_others():
    z, y = torch.tensor([[1.0, 2.0, 6.0], [0.0, -3.0, 1.0]]), torch.tensor([2, 1])
    assert arms.gaps(z, y).tolist() == [4.5, -3.5]


def test_counts_hold_every_test_image(r: Replicate):
    row = arms.reg(r, alpha=0.5, form="literal")
    assert row["gaps"].sum() == len(r.data.test.y) and row["gaps"].dtype == np.int16
    assert len(row["gaps"]) == len(arms.BINS) - 1
    assert arms.alone(r)["accuracy"] == baseline.labels(r)["accuracy"]


def test_the_control_has_five_percent_of_the_labels(r: Replicate):
    assert arms.share(r)["accuracy"] != baseline.labels(r)["accuracy"]
    whole = arms.share(r, alpha=0.0)
    assert whole["nll"] == pytest.approx(baseline.labels(r)["nll"], rel=1e-5)


def test_the_standing_arms_are_those_of_notebook_00():
    first = experiment.COMPARISONS[0].arms
    assert first["labels"] is baseline.labels and first["KD"] is baseline.kd
    for name in experiment.SMOOTHED:
        assert first[name].func is baseline.labels
    assert {name for c in experiment.COMPARISONS for name in c.worlds} <= set(WORLDS)


# --- the notebook ---------------------------------------------------------------------------------


def cell(heading: str) -> str:
    """Return the Markdown cell that holds this heading."""
    (found,) = [c.source for c in notebooks.read(PATH).cells if heading in c.source]
    return found


def test_the_facts_of_the_notebook(r: Replicate):
    facts, data = cell("## Paper facts"), replicate(WORLD, 0).data
    for net in (WORLD.teacher_net, WORLD.student_net, WORLD.small_net):
        params = size(build(net, data.n_classes, data.in_shape, seed=0), data.in_shape).params
        assert f"`{net}`, {params:,} weights" in facts
    sizes = f"{data.pool_size:,} + {len(data.val.y):,} + {len(data.test.y):,} MNIST images"
    assert f"{sizes}; {len(data.train.y)} carry a label" in facts
    texts = [c.source for c in core(notebooks.read(PATH)) if c.cell_type == "markdown"]
    heads = [line for text in texts for line in text.splitlines() if "· importance" in line]
    minutes = sum(int(line.split("·")[-1].split()[0]) for line in heads)
    assert len(heads) == 2 and f"the exercises here {minutes}" in facts


def test_the_arms_in_sight_are_those_of_the_evidence(r: Replicate):
    nb = notebooks.read(PATH)
    (text,) = [c.source for c in code_cells(nb) if "headline = {" in c.source]
    found = namespace(nb)
    exec(text[: text.index("first = ")], found)
    for name, mine in found["headline"].items():
        one, two = mine(r), experiment.OTHERS[name](r)
        assert one["accuracy"] == pytest.approx(two["accuracy"], abs=0.2), name
        assert one["nll"] == pytest.approx(two["nll"], rel=1e-3), name
