"""Recipes: their schedules, their optimisers, and the shifts and mirrors of images."""

import itertools
import math
import subprocess
import sys
import warnings
from functools import partial

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from kdlab.data import shifted
from kdlab.train.recipe import Recipe
from tests.mutants import assert_caught


def rates(recipe: Recipe, steps: int) -> list[float]:
    """Return the learning rate of each of `steps` updates, without a warning."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return recipe.rates(steps)


def by_hand(recipe: Recipe, steps: int) -> list[float]:
    """Return the same, read from an optimiser of which the schedule is moved in training."""
    weight = nn.Parameter(torch.zeros(()))
    optimiser = recipe.optimiser_of([weight])
    schedule = recipe.schedule_of(optimiser, steps)
    seen = []
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # torch warns where a schedule is moved out of turn
        for _ in range(steps):
            seen.append(optimiser.param_groups[0]["lr"])
            weight.grad = torch.zeros(())
            optimiser.step()
            schedule.step()
    return seen


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


# --- schedules ----------------------------------------------------------------------------------


@pytest.mark.parametrize("schedule", ["one-cycle", "steps", "constant"])
@pytest.mark.parametrize("steps", [1, 2, 50])
def test_the_rates_are_those_of_pytorch_s_schedule(schedule: str, steps: int):
    recipe = Recipe(schedule=schedule)
    assert rates(recipe, steps) == by_hand(recipe, steps)


@pytest.mark.parametrize("optimiser", ["sgd", "adam"])
@pytest.mark.parametrize("steps", [10, 200, 1001])
def test_one_cycle_goes_up_for_a_third_and_then_down_to_nothing(steps: int, optimiser: str):
    seen = rates(Recipe(lr=0.2, optimiser=optimiser), steps)
    top = int(np.argmax(seen))
    assert top == pytest.approx(0.3 * steps, abs=1)
    assert seen[top] == pytest.approx(0.2, rel=0.05)
    assert max(seen) <= 0.2
    assert seen[0] == pytest.approx(0.2 / 25)
    assert all(a < b for a, b in itertools.pairwise(seen[: top + 1]))
    assert all(a > b for a, b in itertools.pairwise(seen[top:]))
    assert 0 < seen[-1] < 0.2 * (2 / steps) ** 0.5


def test_one_cycle_is_a_cosine_on_both_sides():
    """Worked out with 29 updates: the top is at update 8, the end at update 29."""
    seen = rates(Recipe(lr=1.0), 29)
    for step, rate in enumerate(seen):
        low, done = (1 / 25, 1 - step / 8) if step <= 8 else (1 / 25e4, (step - 8) / 21)
        assert rate == pytest.approx(low + (1 - low) * (1 + math.cos(math.pi * done)) / 2)


@pytest.mark.parametrize("schedule", ["one-cycle", "steps", "constant"])
@pytest.mark.parametrize("steps", [1, 2, 3, 4, 5, 6, 7])
def test_the_shortest_trainings_have_a_learning_rate(schedule: str, steps: int):
    seen = rates(Recipe(lr=0.1, schedule=schedule), steps)
    assert len(seen) == steps
    assert all(0 < rate <= 0.1 for rate in seen)
    assert seen[0] > 0.003


def test_steps_drops_at_its_shares_of_the_training():
    seen = rates(Recipe(lr=1.0, schedule="steps", drops=(0.5, 0.75), gamma=0.1), 200)
    assert seen == pytest.approx([1.0] * 100 + [0.1] * 50 + [0.01] * 50)


def test_the_default_drops_are_those_of_the_benchmark():
    """240 epochs, divided by 10 after 150, 180 and 210: RepDistiller's README."""
    seen = rates(Recipe(lr=0.05, schedule="steps"), 240)
    assert seen == pytest.approx([0.05] * 150 + [0.005] * 30 + [5e-4] * 30 + [5e-5] * 30)


def test_constant_is_constant():
    assert rates(Recipe(lr=0.3, schedule="constant"), 50) == pytest.approx([0.3] * 50)


# --- optimisers ---------------------------------------------------------------------------------


def two_steps(recipe: Recipe) -> float:
    """Return where 1.0 is after two updates with the gradient 1."""
    weight = nn.Parameter(torch.ones((), dtype=torch.float64))
    optimiser = recipe.optimiser_of([weight])
    for _ in range(2):
        weight.grad = torch.ones_like(weight)
        optimiser.step()
    return weight.item()


@pytest.mark.parametrize(("momentum", "decay"), [(0.9, 0.0), (0.9, 0.01), (0.0, 0.01), (0.0, 0.0)])
def test_sgd_is_nesterov_with_weight_decay(momentum: float, decay: float):
    w, v = 1.0, 0.0
    for _ in range(2):
        g = 1 + decay * w
        v = momentum * v + g
        w -= 0.1 * (g + momentum * v)
    assert two_steps(Recipe(momentum=momentum, weight_decay=decay)) == pytest.approx(w, rel=1e-12)


def test_adam_moves_by_its_learning_rate():
    found = two_steps(Recipe(optimiser="adam", lr=1e-3, weight_decay=0.0))
    assert found == pytest.approx(1 - 2e-3, abs=1e-8)


# --- counting -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("recipe", "n", "per_epoch", "steps", "total_epochs"),
    [
        (Recipe(), 500, 10, 200, 20),
        (Recipe(), 549, 10, 200, 20),
        (Recipe(), 49, 1, 20, 20),
        (Recipe(steps=25), 500, 10, 25, 3),
        (Recipe(steps=20), 500, 10, 20, 2),
        (Recipe(steps=1), 500, 10, 1, 1),
        (Recipe(epochs=3, batch=1), 7, 7, 21, 3),
    ],
    ids=str,
)
def test_steps_and_epochs(recipe: Recipe, n: int, per_epoch: int, steps: int, total_epochs: int):
    assert recipe.steps_per_epoch(n) == per_epoch
    assert recipe.total_steps(n) == steps
    assert recipe.total_epochs(n) == total_epochs


# --- bad values ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({"epochs": 0}, "epochs is 0; give a whole number, 1 or more."),
        ({"epochs": 2.5}, "epochs is 2.5; give a whole number, 1 or more."),
        ({"steps": 0}, "steps is 0; give a whole number, 1 or more."),
        ({"steps": -1}, "steps is -1; give a whole number, 1 or more."),
        ({"batch": 0}, "batch is 0; give a whole number, 1 or more."),
        ({"batch": "50"}, "batch is 50; give a whole number, 1 or more."),
        ({"shift": -1}, "shift is -1; give a whole number, 0 or more."),
        ({"shift": 1.5}, "shift is 1.5; give a whole number, 0 or more."),
        ({"lr": 0.0}, "lr is 0.0; give a finite number above 0."),
        ({"lr": math.nan}, "lr is nan; give a finite number above 0."),
        ({"lr": math.inf}, "lr is inf; give a finite number above 0."),
        ({"momentum": 1.5}, "momentum is 1.5; give 0 or more, momentum < 1."),
        ({"epochs": None}, "epochs is None; give a whole number, 1 or more."),
        ({"momentum": -0.1}, "momentum is -0.1; give 0 or more, momentum < 1."),
        ({"weight_decay": math.nan}, "weight_decay is nan; give 0 or more, momentum < 1."),
        ({"schedule": "cosine"}, "schedule is 'cosine'; choose one of one-cycle, steps, constant."),
        ({"optimiser": "lion"}, "optimiser is 'lion'; choose sgd or adam."),
    ],
    ids=str,
)
def test_a_bad_value_is_refused_in_a_sentence(values: dict[str, object], told: str):
    with pytest.raises(ValueError) as error:
        Recipe(**values)
    assert str(error.value) == told


def test_whole_numbers_of_numpy_are_whole_numbers():
    assert Recipe(epochs=np.int64(3), batch=np.int32(5)).total_steps(10) == 6


# --- augmentation -------------------------------------------------------------------------------


def pictures(b: int = 4, c: int = 2, h: int = 5, w: int = 7) -> Tensor:
    """Return images (b, c, h, w) in which every pixel differs from every other."""
    return torch.arange(b * c * h * w, dtype=torch.float32).reshape(b, c, h, w)


def moved(image: np.ndarray, down: int, right: int) -> np.ndarray:
    """Slow oracle: pixel (i, j) shows what lay at (i + down, j + right), or -1 outside."""
    c, h, w = image.shape
    out = np.empty_like(image)
    for k in range(c):
        for i in range(h):
            for j in range(w):
                y, x = i + down, j + right
                out[k, i, j] = image[k, y, x] if 0 <= y < h and 0 <= x < w else -1
    return out


def offsets(before: Tensor, after: Tensor, most: int) -> list[tuple[int, int]]:
    """Return for each image the one shift (down, right) that makes `after` of `before`."""
    found = []
    span = range(-most, most + 1)
    for old, new in zip(before.numpy(), after.numpy(), strict=True):
        fits = [(d, r) for d in span for r in span if np.array_equal(moved(old, d, r), new)]
        assert len(fits) == 1, f"{len(fits)} shifts explain this image"
        found += fits
    return found


@pytest.mark.parametrize("most", [1, 2, 3])
@pytest.mark.parametrize("shape", [(40, 1, 9, 9), (40, 3, 8, 10), (1, 2, 9, 8)], ids=str)
def test_each_image_is_moved_as_the_slow_loop_does(shape: tuple[int, ...], most: int):
    x = pictures(*shape)
    before = x.clone()
    found = offsets(x, shifted(x, most, generator(), -1.0), most)
    assert torch.equal(x, before)
    if shape[0] > 1:
        assert len(set(found)) > most  # each its own shift
        assert {d for d, _ in found} == {r for _, r in found} == set(range(-most, most + 1))


def test_all_shifts_are_equally_likely():
    x = pictures(1, 1, 6, 6).expand(4500, -1, -1, -1)
    found = shifted(x, 1, generator(), -1.0)[:, 0, 2, 2]
    counts = torch.unique(found, return_counts=True)[1]
    assert len(counts) == 9
    assert (counts - 500).abs().max() < 5 * (500 * 8 / 9) ** 0.5


def test_no_shift_is_the_image_itself():
    assert torch.equal(shifted(pictures(), 0, generator(), -1.0), pictures())


def test_each_channel_is_filled_with_its_own_black():
    x, fill = pictures(30, 2, 3, 3), torch.tensor([-1.0, -2.0]).view(2, 1, 1)
    after = shifted(x, 2, generator(), fill)
    assert (after[:, 0].min(), after[:, 1].min()) == (-1, -2)


def test_augment_is_off_by_default():
    x = pictures()
    assert not Recipe().augments
    assert Recipe().augment(x, generator()) is x


def test_flip_mirrors_about_half_of_the_images_left_to_right():
    recipe, x = Recipe(flip=True), pictures(1000)
    assert recipe.augments
    after = recipe.augment(x, generator())
    kept, mirrored = ((after == y).flatten(1).all(dim=1) for y in (x, x.flip(3)))
    assert (kept ^ mirrored).all()
    assert mirrored.sum().item() == pytest.approx(500, abs=5 * 250**0.5)


def test_the_generator_decides():
    x, recipe = pictures(20), Recipe(shift=2, flip=True)
    assert recipe.augments
    a, b, c = (recipe.augment(x, generator(seed)) for seed in (0, 0, 1))
    assert torch.equal(a, b)
    assert not torch.equal(a, c)


def test_the_same_on_every_device(device: str):
    x, recipe = pictures(20), Recipe(shift=2, flip=True)
    after = recipe.augment(x.to(device), generator())
    assert after.device.type == device
    assert torch.equal(after.cpu(), recipe.augment(x, generator()))


# --- mutants ------------------------------------------------------------------------------------

slow_loop = partial(test_each_image_is_moved_as_the_slow_loop_does, shape=(40, 3, 8, 10), most=2)
cycle = test_one_cycle_is_a_cosine_on_both_sides
MUTANTS = {
    "one update too few": (Recipe, "total_steps=steps + 1", "total_steps=steps", cycle),
    "cycle too long": (Recipe, "total_steps=steps + 1", "total_steps=steps + 5", cycle),
    "drops counted from the end": (
        Recipe,
        "round(share * steps)",
        "round((1 - share) * steps)",
        test_the_default_drops_are_those_of_the_benchmark,
    ),
    "no Nesterov": (
        Recipe,
        "nesterov=self.momentum > 0",
        "nesterov=False",
        partial(test_sgd_is_nesterov_with_weight_decay, 0.9, 0.01),
    ),
    "no weight decay": (
        Recipe,
        "weight_decay=self.weight_decay,\n            nesterov",
        "weight_decay=0,\n            nesterov",
        partial(test_sgd_is_nesterov_with_weight_decay, 0.9, 0.01),
    ),
    "one shift for all": (shifted, "(2, n)", "(2, 1)", slow_loop),
    "never to the far side": (shifted, "2 * shift + 1", "2 * shift", slow_loop),
    "down and right alike": (
        shifted,
        "down, right]",
        "down, down]",
        test_all_shifts_are_equally_likely,
    ),
    "grey border": (shifted, "x - fill", "x", slow_loop),
    "upside down": (
        Recipe,
        "x.flip(3)",
        "x.flip(2)",
        test_flip_mirrors_about_half_of_the_images_left_to_right,
    ),
    "never mirrored": (
        Recipe,
        "< 0.5",
        "< 0.0",
        test_flip_mirrors_about_half_of_the_images_left_to_right,
    ),
}


@pytest.mark.parametrize("name", MUTANTS)
def test_a_wrong_recipe_is_caught(name: str):
    target, old, new, check = MUTANTS[name]
    assert_caught(target, old, new, by=[check])


@pytest.mark.parametrize("optimiser", ["sgd", "adam"])
def test_an_optimiser_makes_the_steps_of_pytorch_s_own(optimiser):
    torch_s = {"sgd": torch.optim.SGD, "adam": torch.optim.Adam}[optimiser]
    options = {"lr": 0.1, "weight_decay": 5e-4}
    options |= {"momentum": 0.9, "nesterov": True} if optimiser == "sgd" else {}
    ends = []
    for make in (Recipe(optimiser=optimiser).optimiser_of, lambda w: torch_s(w, **options)):
        weight = torch.tensor([1.0, -2.0, 3.0], requires_grad=True)
        steps = make([weight])
        for _ in range(5):
            steps.zero_grad()
            weight.pow(4).sum().backward()
            steps.step()
        ends.append(weight.detach())
    assert torch.equal(*ends) and not torch.equal(ends[0], torch.tensor([1.0, -2.0, 3.0]))


@pytest.mark.parametrize("optimiser", ["sgd", "adam"])
def test_a_step_does_not_import_the_compiler(optimiser):
    code = (
        "import sys, torch; from kdlab.train.recipe import Recipe;"
        "w = torch.ones(2, requires_grad=True);"
        f"steps = Recipe(optimiser={optimiser!r}).optimiser_of([w]); w.sum().backward();"
        "plan = Recipe().schedule_of(steps, 3); steps.step(); plan.step(); steps.zero_grad();"
        "sys.exit('torch._dynamo' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
