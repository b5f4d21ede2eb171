"""One word says how much a notebook may spend."""

from dataclasses import replace

import pytest

from kdlab.budget import BUDGETS, plan
from kdlab.models import build, size
from kdlab.runs.claims import FEWEST


@pytest.mark.parametrize("name", BUDGETS)
def test_every_budget_can_be_planned_and_builds_its_nets(name):
    budget = plan(name)
    assert budget.name == name
    shape = (3, 32, 32) if name == "full" else (1, 28, 28)
    for net in (budget.teacher_net, budget.student_net, budget.small_net, budget.large_net):
        build(net, 10, shape, seed=0)
    weights = [size(build(net, 10, shape, seed=0), shape).params for net in budget.ladder]
    assert len(weights) >= 3 and weights == sorted(set(weights)), "a ladder goes up"


def test_an_unknown_budget_is_refused():
    with pytest.raises(ValueError, match="is 'lessons'; choose one of ci, lesson, long, full"):
        plan("lessons")


def test_verdicts_come_from_all_but_ci():
    assert plan("ci").seeds < FEWEST
    assert min(plan(name).seeds for name in ("lesson", "long", "full")) >= FEWEST
    assert plan("lesson").sweep >= FEWEST


def test_ci_is_short():
    assert plan("ci").recipe.total_steps(500) == 10
    assert plan("ci").teacher_recipe.total_steps(500) <= 40


def test_long_is_lesson_with_longer_training():
    assert plan("long") == replace(plan("lesson"), name="long", steps=8 * plan("lesson").steps)


def test_full_is_the_recipe_of_the_benchmark():
    full = plan("full")
    recipe = full.recipe
    assert full.dataset == "cifar100"
    assert (full.teacher_net, full.student_net) == ("wrn_40_2", "wrn_16_2")
    assert (recipe.epochs, recipe.steps, recipe.batch, recipe.lr) == (240, None, 64, 0.05)
    assert [round(240 * share) for share in recipe.drops] == [150, 180, 210]
    assert (recipe.gamma, recipe.weight_decay, recipe.momentum) == (0.1, 5e-4, 0.9)
    assert (recipe.shift, recipe.flip) == (4, True)


def test_load_takes_the_budgets_own_data_or_another():
    assert plan("ci").load().name == "mnist5k"
    assert plan("ci").load("digits").name == "digits"
    assert len(plan("ci").load(n_labelled=100).train.y) == 100
