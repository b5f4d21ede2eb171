"""One word says how much a notebook may spend."""

import pytest

from kdlab.budget import BUDGETS, plan
from kdlab.models import build
from kdlab.train.worlds import WORLDS


@pytest.mark.parametrize("name", BUDGETS)
def test_every_budget_can_be_planned_and_builds_its_nets(name):
    budget = plan(name)
    assert budget.name == name
    if name != "full":  # whose images are not here
        world = budget.world()
        assert world.name == "mnist5k"
    shape = (3, 32, 32) if name == "full" else (1, 28, 28)
    nets = [net for key, net in budget.changes.items() if key.endswith("_net")]
    assert len(nets) == (3 if name in ("ci", "full") else 0)
    for net in nets:
        build(net, 10, shape, seed=0)


def test_an_unknown_budget_is_refused():
    with pytest.raises(ValueError, match="is 'lessons'; choose one of ci, lesson, long, full"):
        plan("lessons")


def test_ci_is_short():
    world = plan("ci").world()
    assert world.recipe.total_steps(500) == 10 and world.teacher_recipe.total_steps(500) <= 40
    assert plan("ci").live == 1 and plan("ci").spot == 0


@pytest.mark.parametrize("name", WORLDS)
def test_long_is_lesson_with_more_replicates_of_ones_own(name):
    assert plan("long").world(name) == plan("lesson").world(name) == WORLDS[name]
    assert plan("long").live > plan("lesson").live and plan("long").spot > plan("lesson").spot


def test_full_is_the_recipe_of_the_benchmark():
    full = plan("full")
    recipe = full.changes["recipe"]
    assert full.dataset == "cifar100" and recipe == full.changes["teacher_recipe"]
    assert (full.changes["teacher_net"], full.changes["student_net"]) == ("wrn_40_2", "wrn_16_2")
    assert (recipe.epochs, recipe.steps, recipe.batch, recipe.lr) == (240, None, 64, 0.05)
    assert [round(240 * share) for share in recipe.drops] == [150, 180, 210]
    assert (recipe.gamma, recipe.weight_decay, recipe.momentum) == (0.1, 5e-4, 0.9)
    assert (recipe.shift, recipe.flip) == (4, True)
