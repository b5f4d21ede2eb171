"""The training loop: it learns, it can be repeated, and it leaves everything else alone."""

import functools
import itertools
import random
from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from kdlab.data import Batch, Data, Split, load
from kdlab.measure import evaluate
from kdlab.models import build
from kdlab.papers.dml.method import DML
from kdlab.papers.kd.method import KD
from kdlab.train.fit import check_finite, epochs, fit, run
from kdlab.train.method import CE
from kdlab.train.recipe import Recipe
from kdlab.train.teachers import Frozen
from tests.mutants import assert_caught

SHORT = Recipe(epochs=3, batch=30)  # 100 rows: 3 batches, 10 rows left over


def student(seed: int = 0, net: str = "cnn4") -> nn.Module:
    return build(net, 10, seed=seed)


@functools.lru_cache
def untrained(data: Data, seed: int = 7) -> Frozen:
    """Return a teacher with its first weights: what it says does not matter here."""
    return Frozen(build("cnn8", 10, seed=seed), data)


def pair_with(net: nn.Module) -> DML:
    return DML([net, build("cnn2", 7, seed=2)])


def weights(method: nn.Module) -> dict[str, Tensor]:
    return {name: value.detach().cpu().clone() for name, value in method.state_dict().items()}


def equal(a: dict[str, Tensor], b: dict[str, Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


class Recorder(nn.Module):
    """Passes everything on to a method, and keeps the batches it met in training."""

    def __init__(self, method: nn.Module) -> None:
        super().__init__()
        self.method, self.met = method, []

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        assert self.training, "a training step in eval mode"
        self.met.append(Batch(*(p.cpu() if isinstance(p, Tensor) else p for p in batch)))
        return self.method(batch)

    def predict(self, x: Tensor) -> Tensor:
        return self.method.predict(x)

    def order(self) -> list[list[int]]:
        return [batch.index.tolist() for batch in self.met]


def recorded(
    data: Data, recipe: Recipe = SHORT, seed: int = 0, method: nn.Module | None = None
) -> Recorder:
    """Return a recorder after its training on the CPU."""
    recorder = Recorder(method or CE(student()))
    fit(recorder, data, recipe, seed, device="cpu")
    return recorder


# --- it learns ----------------------------------------------------------------------------------


def test_the_loss_falls_within_two_epochs(device: str):
    """On 500 real images. The teacher learned for two epochs, too, and stays bit for bit."""
    data, recipe = load("mnist5k"), Recipe(epochs=2)
    teacher = CE(student(1, "cnn8"))
    history = fit(teacher, data, recipe, device=device)
    assert history["hard"].iloc[1] < 0.9 * history["hard"].iloc[0]
    assert evaluate(teacher, data.val, device)["accuracy"] > 20  # 10 is guessing
    frozen = Frozen(teacher.student, data)
    before = weights(frozen.net)
    history = fit(KD(student(), frozen), data, recipe, device=device)
    for term in ("hard", "soft"):
        assert history[term].iloc[1] < 0.97 * history[term].iloc[0]
    assert equal(weights(frozen.net), before)


def test_a_teacher_that_is_a_live_network_stays_as_it_is(device: str, data: Data):
    """Augmented images are answered by a forward pass: batch norm must not move, either."""
    frozen = untrained(data)
    before = weights(frozen.net)
    fit(KD(student(), frozen), data, replace(SHORT, shift=2), device=device)
    assert equal(weights(frozen.net), before)


def test_the_teachers_answers_matter(data: Data):
    trained = []
    for seed in (7, 8):
        method = KD(student(), untrained(data, seed))
        fit(method, data, SHORT, device="cpu")
        trained.append(weights(method.student))
    assert not equal(*trained)


def test_what_does_not_require_a_gradient_stays(data: Data, device: str):
    method = CE(student())
    first, *others = method.student.parameters()
    first.requires_grad_(False)
    before, rest = first.detach().cpu().clone(), [p.detach().cpu().clone() for p in others]
    fit(method, data, SHORT, device=device)
    assert torch.equal(first.cpu(), before)
    assert not any(torch.equal(p.cpu(), q) for p, q in zip(others, rest, strict=True))


# --- it can be repeated -------------------------------------------------------------------------


@pytest.mark.parametrize("recipe", [SHORT, replace(SHORT, shift=2, flip=True)], ids=str)
def test_the_same_seed_gives_the_same_weights_bit_for_bit(data: Data, recipe: Recipe):
    results = []
    for seed, noise in ((0, 1), (0, 2), (1, 1)):
        torch.manual_seed(noise)  # the global generator is none of its business
        method = KD(student(), untrained(data))
        history = fit(method, data, recipe, seed, device="cpu").drop(columns="seconds")
        results.append((weights(method), history))
    assert equal(results[0][0], results[1][0])
    assert results[0][1].equals(results[1][1])
    assert not equal(results[0][0], results[2][0])


def test_a_teacher_does_not_reshuffle_the_data(data: Data):
    for recipe in (SHORT, replace(SHORT, shift=2)):
        alone = recorded(data, recipe)
        for seed in (7, 8):
            taught = recorded(data, recipe, method=KD(student(), untrained(data, seed)))
            assert taught.order() == alone.order()
            for a, b in zip(taught.met, alone.met, strict=True):
                assert torch.equal(a.x, b.x)


def test_augmentation_does_not_reshuffle_the_data(data: Data):
    assert recorded(data, replace(SHORT, shift=2)).order() == recorded(data).order()


def test_the_order_differs_by_epoch_and_by_seed(data: Data):
    orders = [recorded(data, seed=seed).order() for seed in (0, 1)]
    by_epoch = [str(order[k : k + 3]) for order in orders for k in (0, 3, 6)]
    assert len(set(by_epoch)) == 6


def test_every_image_is_moved_anew_in_every_epoch(data: Data):
    met = recorded(data, Recipe(epochs=2, batch=100, shift=2)).met
    first, second = (batch.x[batch.index.argsort()] for batch in met)
    moved = (first != second).flatten(1).any(dim=1)
    assert moved.float().mean() > 0.8  # 1 in 25 repeats by chance
    assert [batch.stored for batch in met] == [False, False]
    assert all(batch.stored for batch in recorded(data).met)


def test_the_shifts_of_an_epoch_are_its_own(data: Data):
    """With one image the order cannot hide repeated shifts."""
    met = recorded(data.take(1), Recipe(epochs=10, batch=1, shift=2)).met
    assert len({tuple(batch.x.flatten().tolist()) for batch in met}) > 4


def test_the_global_generators_stay_untouched(data: Data, device: str):
    states = []
    method = KD(student(), untrained(data))
    for _ in range(2):
        states.append((torch.get_rng_state().tolist(), random.getstate(), np.random.get_state()))
        if not states[1:]:
            fit(method, data, replace(SHORT, shift=1, flip=True), device=device)
    assert str(states[0]) == str(states[1])


# --- steps, epochs, batches ---------------------------------------------------------------------


def test_an_epoch_meets_full_batches_of_different_rows(data: Data):
    recorder = recorded(data)
    assert [len(index) for index in recorder.order()] == [30] * 9  # 3 x 3; 10 rows are skipped
    for k in (0, 3, 6):
        rows = list(itertools.chain(*recorder.order()[k : k + 3]))
        assert len(set(rows)) == 90
        assert set(rows) <= set(data.train.index.tolist())


def test_every_row_is_met_where_the_batch_divides_them(data: Data):
    order = recorded(data, Recipe(epochs=1, batch=25)).order()
    assert sorted(itertools.chain(*order)) == sorted(data.train.index.tolist())


def test_image_label_and_index_belong_together(data: Data):
    place = {int(index): row for row, index in enumerate(data.train.index)}
    for batch in recorded(data).met:
        rows = [place[int(index)] for index in batch.index]
        assert torch.equal(batch.x, data.train.x[rows])
        assert torch.equal(batch.y, data.train.y[rows])


@pytest.mark.parametrize(
    ("recipe", "updates", "rows"),
    [
        (Recipe(epochs=2, batch=30), 6, 30),
        (Recipe(epochs=2, batch=100), 2, 100),
        (Recipe(epochs=3, batch=400), 3, 100),  # larger than the data: all rows at once
        (Recipe(steps=7, batch=30), 7, 30),  # two epochs and a third
        (Recipe(steps=6, batch=30), 6, 30),
        (Recipe(steps=1, batch=30), 1, 30),
        (Recipe(epochs=50, steps=2, batch=30), 2, 30),  # steps win
        (Recipe(epochs=1, batch=1), 100, 1),
    ],
    ids=str,
)
def test_the_number_of_updates(data: Data, recipe: Recipe, updates: int, rows: int):
    batches = [list(part) for _, part in epochs(data.train, recipe, 0)]
    assert [len(batch.y) for part in batches for batch in part] == [rows] * updates
    assert len(batches) == recipe.total_epochs(100)
    assert recipe.total_steps(100) == updates
    progress = [batch.progress for part in batches for batch in part]
    assert progress == pytest.approx([step / updates for step in range(updates)])
    assert progress[0] == 0
    assert progress[-1] < 1
    assert progress == sorted(set(progress))


def test_epochs_are_numbered_from_one_and_steps_cut_the_last_short(data: Data):
    parts = [
        (epoch, len(list(part))) for epoch, part in epochs(data.train, Recipe(steps=7, batch=30), 0)
    ]
    assert parts == [(1, 3), (2, 3), (3, 1)]


def test_steps_give_arms_with_different_data_equal_updates(data: Data):
    few, many = recorded(data.take(50), Recipe(steps=10)), recorded(data, Recipe(steps=10))
    assert len(few.met) == len(many.met) == 10


# --- labels -------------------------------------------------------------------------------------


def test_rows_without_a_label_train_the_soft_term_only(data: Data, device: str):
    """With no label at all, plain training has nothing to learn from and KD has the teacher."""
    hidden = replace(data, train=data.train._replace(y=torch.full_like(data.train.y, -1)))
    recipe = replace(SHORT, weight_decay=0.0)
    alone, taught = CE(student()), KD(student(), untrained(data), alpha=0.5)
    before = [p.detach().clone() for p in alone.parameters()]
    assert (fit(alone, hidden, recipe, device=device)["hard"] == 0).all()
    assert all(torch.equal(p.cpu(), q) for p, q in zip(alone.parameters(), before, strict=True))
    history = fit(taught, hidden, recipe, device=device)
    assert (history["hard"] == 0).all()
    assert (history["soft"] > 0).all()
    assert not any(
        torch.equal(p.cpu(), q) for p, q in zip(taught.parameters(), before, strict=True)
    )


def test_a_transfer_set_without_labels_is_used(data: Data, device: str):
    pool = data.with_unlabelled()
    history = fit(KD(student(), untrained(data)), pool, Recipe(epochs=1), device=device)
    assert history[["hard", "soft"]].notna().all(axis=None)


# --- callbacks ----------------------------------------------------------------------------------


def test_callbacks_meet_every_epoch_and_the_method(data: Data, device: str):
    method, told = CE(student()), []
    first = lambda epoch, whom: told.append(("first", epoch, whom, whom.training))  # noqa: E731
    fit(method, data, SHORT, on_epoch=[first, lambda *_: told.append("second")], device=device)
    expected = [[("first", epoch, method, False), "second"] for epoch in (1, 2, 3)]
    assert told == list(itertools.chain(*expected))


@pytest.mark.parametrize("measured_on", ["cpu", "auto"])
def test_a_callback_may_measure_without_a_trace(data: Data, device: str, measured_on: str):
    def measure(epoch: int, method: nn.Module) -> None:
        curve.append(evaluate(method, data.val, measured_on)["nll"])
        method.train()  # nor does it matter which mode it leaves behind

    results, curve = [], []
    for calls in ([], [measure]):
        method = KD(student(), untrained(data))
        history = fit(method, data, SHORT, on_epoch=calls, device=device)
        assert not method.training
        results.append((weights(method), history.drop(columns="seconds")))
    assert len(set(curve)) == 3
    if device == "cpu":
        assert equal(results[0][0], results[1][0])
        assert results[0][1].equals(results[1][1])
    else:  # CUDA adds in any order, so a repeated run differs in the last digits
        for name, value in results[0][0].items():
            torch.testing.assert_close(value, results[1][0][name], rtol=0.01, atol=0.01)


def test_an_error_in_a_callback_is_not_swallowed(data: Data):
    def stop(epoch: int, method: nn.Module) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fit(CE(student()), data, SHORT, on_epoch=[stop])


# --- what it returns ----------------------------------------------------------------------------


def test_the_history_has_a_row_an_epoch(data: Data, device: str):
    method = KD(student(), untrained(data))
    history = fit(method, data, SHORT, device=device)
    assert list(history.columns) == ["epoch", "lr", "hard", "soft", "seconds"]
    assert history["epoch"].tolist() == [1, 2, 3]
    assert history["seconds"].is_monotonic_increasing
    assert history["seconds"].iloc[0] > 0
    assert history["lr"].iloc[-1] < 0.01 < history["lr"].iloc[0]
    assert history["lr"].tolist() == SHORT.rates(9)[2::3]
    assert next(method.parameters()).device.type == device


class Told(nn.Module):
    """Has one weight, and loss terms that the test chooses by the number of the step."""

    def __init__(self, **terms: Callable[[int], float]) -> None:
        super().__init__()
        self.weight, self.terms, self.step = nn.Parameter(torch.ones(())), terms, 0

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        self.step += 1
        return {name: self.weight * 0 + term(self.step) for name, term in self.terms.items()}


def test_the_history_holds_the_mean_of_each_term(data: Data):
    method = Told(up=lambda step: step, square=lambda step: step**2)
    history = fit(method, data, Recipe(epochs=2, batch=30, weight_decay=0.0), device="cpu")
    assert history["up"].tolist() == pytest.approx([(1 + 2 + 3) / 3, (4 + 5 + 6) / 3])
    assert history["square"].tolist() == pytest.approx([(1 + 4 + 9) / 3, (16 + 25 + 36) / 3])


class Pull(nn.Module):
    """One weight w and two terms whose sum has the gradient 3."""

    def __init__(self) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.zeros((), dtype=torch.float64))

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        return {"one": 1 * self.w, "two": 2 * self.w}


def test_the_sum_of_the_terms_is_minimised_one_step_at_a_time(data: Data):
    """Plain gradient descent by hand: w = -lr x 3 x updates."""
    method = Pull()
    plain = Recipe(epochs=2, batch=30, lr=0.1, schedule="constant", momentum=0.0, weight_decay=0.0)
    fit(method, data, plain, device="cpu")
    assert method.w.item() == pytest.approx(-0.1 * 3 * 6)


def test_the_learning_rate_moves_after_every_update(data: Data):
    """w is the sum of the learning rates of the six updates."""
    method = Pull()
    recipe = Recipe(
        epochs=2, batch=30, lr=1.0, schedule="steps", drops=(0.5,), momentum=0.0, weight_decay=0.0
    )
    history = fit(method, data, recipe, device="cpu")
    assert method.w.item() == pytest.approx(-3 * (3 * 1.0 + 3 * 0.1))
    assert history["lr"].tolist() == pytest.approx([1.0, 0.1])


class Turns(nn.Module):
    """Two weights that move in turn; the second is drawn to where the first has just gone."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = (nn.Parameter(torch.zeros((), dtype=torch.float64)) for _ in "ab")

    def updates(self, batch: Batch) -> Iterator[dict[str, Tensor]]:
        yield {"first": 3 * self.a}
        yield {"second": (self.b - self.a.detach()) ** 2 / 2}


TURNS = Recipe(epochs=2, batch=30, lr=0.5, schedule="constant", momentum=0.0, weight_decay=0.0)


def test_a_method_may_take_several_updates_a_batch(data: Data):
    """By hand: a falls by 1.5 a batch; b goes half the way to the new a."""
    method, a, b = Turns(), 0.0, 0.0
    history = fit(method, data, TURNS, device="cpu")
    gaps = []
    for _ in range(6):
        a -= 0.5 * 3
        gaps.append((b - a) ** 2 / 2)
        b -= 0.5 * (b - a)
    assert (method.a.item(), method.b.item()) == pytest.approx((a, b))
    assert list(history.columns) == ["epoch", "lr", "first", "second", "seconds"]
    assert history["second"].tolist() == pytest.approx([np.mean(gaps[:3]), np.mean(gaps[3:])])


def test_an_update_leaves_alone_what_it_does_not_reach(data: Data):
    """Neither momentum nor weight decay moves a weight in the other's updates."""
    method, met = Turns(), []

    def first_batch_moves_both(batch: Batch) -> Iterator[dict[str, Tensor]]:
        if batch.progress == 0:
            yield {"second": method.b}
        met.append(method.b.item())
        yield {"first": 3 * method.a}

    method.updates = first_batch_moves_both
    fit(method, data, replace(TURNS, momentum=0.9, weight_decay=0.1), device="cpu")
    assert met == [met[0]] * 6
    assert method.b.item() == met[0] < 0
    assert method.a.item() < 0


def test_the_learning_rate_moves_once_a_batch_whatever_the_updates(data: Data):
    method = Turns()
    recipe = replace(TURNS, schedule="steps", drops=(0.5,))
    history = fit(method, data, recipe, device="cpu")
    assert history["lr"].tolist() == pytest.approx([0.5, 0.05])
    assert method.a.item() == pytest.approx(-3 * (3 * 0.5 + 3 * 0.05))


class InOneUpdate(nn.Module):
    """Offers the terms of a method as `updates`, one item a batch."""

    def __init__(self, method: nn.Module) -> None:
        super().__init__()
        self.method = method

    def updates(self, batch: Batch) -> Iterator[dict[str, Tensor]]:
        yield self.method(batch)


def test_one_update_a_batch_is_the_plain_loop_bit_for_bit(data: Data):
    plain, offered = CE(student()), CE(student())
    histories = [
        fit(method, data, SHORT, device="cpu").drop(columns="seconds")
        for method in (plain, InOneUpdate(offered))
    ]
    assert equal(weights(plain), weights(offered))
    assert histories[0].equals(histories[1])


def test_run_measures_after_the_last_epoch(data: Data, device: str):
    method = CE(student())
    result = run(method, data, SHORT, seed=0, device=device)
    test, val = (evaluate(method, part, device) for part in (data.test, data.val))
    assert set(result) == {"accuracy", "nll", "ece", "entropy", "correct", "val_accuracy"}
    assert result["accuracy"] == test["accuracy"] != val["accuracy"] == result["val_accuracy"]
    assert result["correct"].tolist() == test["correct"].tolist()
    again = CE(student())
    fit(again, data, SHORT, seed=0, device=device)
    if device == "cpu":
        assert equal(weights(method), weights(again))


def test_run_can_watch_every_epoch_and_changes_nothing_by_it(data: Data):
    watched, method = run(CE(student()), data, SHORT, seed=0, watch=True), CE(student())
    plain = run(method, data, SHORT, seed=0)
    assert set(watched) - set(plain) == {"val accuracies", "val nlls"}
    assert watched["accuracy"] == plain["accuracy"]
    last, seen = evaluate(method, data.val), []
    fit(CE(again := student()), data, SHORT, on_epoch=[lambda *_: seen.append(again)])
    assert len(watched["val accuracies"]) == len(watched["val nlls"]) == len(seen) > 1
    assert watched["val accuracies"][-1] == last["accuracy"] == plain["val_accuracy"]
    assert watched["val nlls"][-1] == pytest.approx(last["nll"])
    assert watched["val accuracies"][0] != watched["val accuracies"][-1]


# --- what it refuses ----------------------------------------------------------------------------


def test_nothing_to_train_is_refused(data: Data):
    frozen = CE(student().requires_grad_(False))
    with pytest.raises(ValueError, match="no weights to train; give it a net that is not froz"):
        fit(frozen, data, SHORT)


@pytest.mark.parametrize("make", [CE, lambda net: KD(net, lambda batch: batch.x), pair_with])
def test_labels_beyond_the_classes_are_refused_before_training(data: Data, make):
    method = make(build("cnn2", 7, seed=1))
    before = weights(method)
    with pytest.raises(ValueError, match="labels go up to 9, but the student knows 7 classes"):
        fit(method, data, SHORT)
    assert equal(before, weights(method))


def test_labels_within_the_classes_are_taken(data: Data):
    few = data.only_classes(*range(7)).with_unlabelled()
    fit(CE(build("cnn2", 7, seed=1)), few, Recipe(steps=1), device="cpu")
    fit(CE(nn.Sequential(build("cnn2", 10, seed=1), nn.Identity())), data, Recipe(steps=1))


def test_an_empty_training_set_is_refused(data: Data):
    empty = replace(data, train=Split(*(part[:0] for part in data.train)))
    with pytest.raises(ValueError, match="the training set is empty; give at least one"):
        fit(CE(student()), empty, SHORT)


class Answers(CE):
    """A method whose answer the test makes from the loss of the labels."""

    def __init__(self, answer: Callable[[Tensor], object]) -> None:
        super().__init__(student())
        self.answer = answer

    def forward(self, batch: Batch):
        return self.answer(super().forward(batch)["hard"])


@pytest.mark.parametrize(
    ("answer", "error", "sentence"),
    [
        (lambda loss: loss, TypeError, "returned Tensor; return its loss terms by name, such as"),
        (lambda loss: [loss], TypeError, "returned list; return its loss terms by name"),
        (lambda loss: None, TypeError, "returned NoneType; return"),
        (lambda loss: {}, TypeError, "returned no terms; return"),
        (
            lambda loss: {"a": loss, "b": 0.0},
            TypeError,
            "the loss term 'b' is float; return a",
        ),
        (
            lambda loss: {"a": loss[None]},
            TypeError,
            r"term 'a' is of shape \(1,\); return",
        ),
        (
            lambda loss: {"a": loss.detach()},
            ValueError,
            r"no loss term of \['a'\] depends",
        ),
    ],
)
def test_what_is_no_dict_of_losses_is_refused_before_the_first_update(
    data: Data, answer, error, sentence: str
):
    method = Answers(answer)
    before = [p.clone() for p in method.parameters()]
    with pytest.raises(error, match=sentence) as caught:
        fit(method, data, SHORT, device="cpu")
    assert all(map(torch.equal, before, method.parameters())) and "\n" not in str(caught.value)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_a_term_that_is_no_number_is_named(data: Data, value: float):
    method = Told(fine=lambda step: 1.0, broken=lambda step: value if step == 5 else 1.0)
    with pytest.raises(FloatingPointError, match=f"term 'broken' became {value} in epoch 2; lower"):
        fit(method, data, SHORT, device="cpu")


def test_the_term_that_broke_first_is_named_not_its_victim():
    nan = float("nan")
    curves = {"victim": torch.tensor([1.0, 1.0, nan]), "culprit": torch.tensor([1.0, nan, nan])}
    with pytest.raises(FloatingPointError, match="term 'culprit'"):
        check_finite(1, curves)
    check_finite(1, {"fine": torch.tensor([1e30, -1e30])})


def test_training_that_diverges_is_stopped(data: Data, device: str):
    with pytest.raises(FloatingPointError, match="the loss term 'hard' became nan in epoch"):
        fit(CE(student()), data, replace(SHORT, epochs=20, lr=1e30), device=device)


# --- mutants ------------------------------------------------------------------------------------

descent = test_the_sum_of_the_terms_is_minimised_one_step_at_a_time
in_turn = test_a_method_may_take_several_updates_a_batch
MUTANTS = {
    "gradients pile up": (fit, "optimiser.zero_grad(set_to_none=True)", "pass", descent),
    "gradients of 0 for what is not reached": (
        fit,
        "zero_grad(set_to_none=True)",
        "zero_grad(set_to_none=False)",
        test_an_update_leaves_alone_what_it_does_not_reach,
    ),
    "all updates are asked for at once": (
        fit,
        "in updates(batch)",
        "in [*updates(batch)]",
        in_turn,
    ),
    "schedule moves by update": (
        fit,
        "= next(rates)\n                for terms in updates(batch):\n",
        "= recipe.lr\n                for terms in updates(batch):\n"
        "                    optimiser.param_groups[0]['lr'] = next(rates, 0.0)\n",
        test_the_learning_rate_moves_once_a_batch_whatever_the_updates,
    ),
    "schedule moves by epoch": (
        fit,
        "            optimiser.param_groups[0][",
        "            if not logs: optimiser.param_groups[0][",
        test_the_learning_rate_moves_after_every_update,
    ),
    "schedule never moves": (
        fit,
        "= next(rates)",
        "= recipe.lr",
        test_the_learning_rate_moves_after_every_update,
    ),
    "eval mode in training": (fit, "method.train()", "method.eval()", recorded),
    "one order for all epochs": (
        epochs,
        '"order", epoch)',
        '"order")',
        test_the_order_differs_by_epoch_and_by_seed,
    ),
    "order without the seed": (
        epochs,
        'generator(seed, "order"',
        'generator(0, "order"',
        test_the_order_differs_by_epoch_and_by_seed,
    ),
    "the same shifts in every epoch": (
        epochs,
        '"augment", epoch)',
        '"augment")',
        test_the_shifts_of_an_epoch_are_its_own,
    ),
    "augmentation changes the order": (
        epochs,
        "        y, index = train.y[order]",
        "        order = order.roll(recipe.shift)\n        y, index = train.y[order]",
        test_augmentation_does_not_reshuffle_the_data,
    ),
    "augmented images pass as stored": (
        epochs,
        "not recipe.augments, (done",
        "True, (done",
        test_every_image_is_moved_anew_in_every_epoch,
    ),
    "labels of other rows": (
        epochs,
        "y[part]",
        "y[part].roll(1)",
        test_image_label_and_index_belong_together,
    ),
    "index of other rows": (
        epochs,
        "train.index[order]",
        "train.index",
        test_image_label_and_index_belong_together,
    ),
    "the first batch again and again": (
        epochs,
        "slice(step * size, (step + 1) * size)",
        "slice(size)",
        test_an_epoch_meets_full_batches_of_different_rows,
    ),
    "progress by epoch": (
        epochs,
        "(done + step) / total",
        "done / total",
        functools.partial(
            test_the_number_of_updates, recipe=Recipe(epochs=2, batch=30), updates=6, rows=30
        ),
    ),
    "the last epoch is not cut": (
        epochs,
        "min(per_epoch, total - done)",
        "per_epoch",
        test_epochs_are_numbered_from_one_and_steps_cut_the_last_short,
    ),
}


@pytest.mark.parametrize("name", MUTANTS)
def test_a_wrong_loop_is_caught(name: str, data: Data):
    target, old, new, check = MUTANTS[name]
    assert_caught(target, old, new, by=[functools.partial(check, data)])
