"""The method of Cho, Hariharan 2019: distillation that stops part-way; and equal entropy."""

import doctest
import itertools
import math
from functools import partial

import pytest
import torch
from torch import Tensor, nn

from kdlab.data import Batch, Data
from kdlab.models import build
from kdlab.papers.efficacy import method as efficacy
from kdlab.papers.efficacy.method import (
    KDStop,
    equal_entropy,
    loss_weights,
    stop_loss,
    stop_terms,
)
from kdlab.papers.kd.method import KD
from kdlab.train.fit import fit
from kdlab.train.frozen import Frozen
from kdlab.train.method import CE
from kdlab.train.recipe import Recipe
from tests import oracles
from tests.mutants import assert_caught

SHAPES = [(1, 1), (1, 2), (2, 3), (5, 10), (3, 100)]
MOMENTS = [0.0, 0.25, 0.4999, 0.5, 0.75, 0.99]
SETTINGS = [(0.5, 0.9, 1.0), (0.25, 0.5, 0.1), (0.0, 0.9, 1.0), (1.0, 0.9, 1.0), (0.75, 0.0, 0.0)]
BEFORE, AFTER = (0.1, 0.9), (1.0, 0.0)
OUT = -math.inf


def logits(b: int, c: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Return student and teacher logits (b, c) in double precision."""
    gen = torch.Generator().manual_seed(1000 * b + 10 * c + seed)
    z_s, z_t = 3 * torch.randn(2, b, c, generator=gen, dtype=torch.float64)
    return z_s, z_t


def labels(b: int, c: int) -> Tensor:
    return torch.arange(b) % c


def terms_of(
    z_s: Tensor, z_t: Tensor, now: float, T: float = 4.0, **options: float
) -> dict[str, Tensor]:
    """Return the terms of a method whose student answers `z_s` and whose teacher answers `z_t`."""
    method = KDStop(nn.Identity(), lambda batch: z_t, T=T, **options)
    b = len(z_s)
    return method(Batch(z_s, labels(*z_s.shape), torch.arange(b), progress=now))


def oracle(
    z_s: Tensor, z_t: Tensor, now: float, T: float, alpha: float, stop: float, after: float
) -> tuple[float, float]:
    """The equation, word by word: two weights, one moment at which they change."""
    y = labels(*z_s.shape).tolist()
    if now >= stop:
        return after * oracles.hard_loss(z_s, y), 0.0
    return (1 - alpha) * oracles.hard_loss(z_s, y), alpha * oracles.soft_loss(z_s, z_t, T)


# --- weights ------------------------------------------------------------------------------------


def test_values_of_the_docstrings():
    """Checked here, too, so that a mutant meets them."""
    for function in (loss_weights, stop_loss, equal_entropy):
        (example,) = doctest.DocTestFinder(recurse=False).find(function, globs=vars(efficacy))
        assert doctest.DocTestRunner(verbose=False).run(example).failed == 0


@pytest.mark.parametrize(("now", "weights"), [(9, BEFORE), (10, AFTER), (11, AFTER)])
def test_the_weights_change_at_the_stop_in_any_unit(now: int, weights: tuple[float, float]):
    assert loss_weights(now, 10, 0.9) == pytest.approx(weights)
    assert loss_weights(now / 20, 0.5, 0.9) == pytest.approx(weights)


def test_the_trap_keeps_the_weight_of_the_labels():
    assert loss_weights(0.6, 0.5, 0.9, after=0.1) == (0.1, 0.0)
    assert loss_weights(0.4, 0.5, 0.9, after=0.1) == pytest.approx(BEFORE)


# --- the loss -----------------------------------------------------------------------------------


@pytest.mark.parametrize("setting", SETTINGS)
@pytest.mark.parametrize("shape", SHAPES)
def test_the_terms_equal_the_slow_oracle(
    shape: tuple[int, int], setting: tuple[float, float, float]
):
    stop, alpha, after = setting
    for now, T in itertools.product(MOMENTS, (1.0, 4.0)):
        z_s, z_t = logits(*shape)
        terms = terms_of(z_s, z_t, now, T, alpha=alpha, stop=stop, after=after)
        hard, soft = oracle(z_s, z_t, now, T, alpha, stop, after)
        assert list(terms) == ["hard", "soft"]
        assert terms["hard"].item() == pytest.approx(hard, rel=1e-9, abs=1e-12)
        assert terms["soft"].item() == pytest.approx(soft, rel=1e-9, abs=1e-12)
        loss = stop_loss(z_s, z_t, labels(*shape), T, loss_weights(now, stop, alpha, after))
        assert loss.item() == pytest.approx(hard + soft, rel=1e-9, abs=1e-12)


def test_a_value_worked_out_on_paper():
    """Two classes, T = 2: p = (3/4, 1/4), q_T = q_1 = (1/2, 1/2): KL = log 2 - H(p)."""
    z_s, z_t = torch.zeros(1, 2), torch.tensor([[2 * math.log(3), 0.0]])
    kl = 0.75 * math.log(1.5) + 0.25 * math.log(0.5)
    loss = stop_loss(z_s, z_t, torch.tensor([1]), 2.0, (0.3, 0.7))
    assert loss.item() == pytest.approx(0.3 * math.log(2) + 0.7 * 4 * kl, rel=1e-5)


@pytest.mark.parametrize("now", [0.2, 0.8])
def test_gradcheck_and_no_gradient_to_the_teacher(now: float):
    z_s, z_t = logits(4, 5)
    z_s.requires_grad_(), z_t.requires_grad_()
    w = loss_weights(now, 0.5)
    assert torch.autograd.gradcheck(lambda z: stop_loss(z, z_t, labels(4, 5), 4.0, w), (z_s,))
    loss = sum(terms_of(z_s, z_t, now).values())
    of_student, of_teacher = torch.autograd.grad(loss, (z_s, z_t), allow_unused=True)
    assert of_student.abs().max() > 0
    assert of_teacher is None


def test_zero_soft_term_where_student_equals_teacher():
    z, _ = logits(5, 10)
    for now in MOMENTS:
        assert abs(terms_of(z, z, now)["soft"].item()) < 1e-12


def test_after_the_stop_the_teacher_is_not_asked():
    def silent(batch: Batch) -> Tensor:
        raise AssertionError("the teacher was asked")

    z_s, _ = logits(5, 10)
    method = KDStop(nn.Identity(), silent, stop=0.5)
    batch = Batch(z_s, labels(5, 10), torch.arange(5))
    method(batch._replace(progress=0.5))
    with pytest.raises(AssertionError, match="was asked"):
        method(batch._replace(progress=0.49))


def test_after_the_stop_the_teacher_is_not_looked_at():
    z_s, _ = logits(5, 10)
    nowhere = torch.full((2, 3), math.nan)
    found = stop_loss(z_s, nowhere, labels(5, 10), 4.0, AFTER)
    assert found.item() == pytest.approx(oracles.hard_loss(z_s, labels(5, 10).tolist()), rel=1e-9)


def test_order_of_rows_and_a_common_shift_do_not_matter():
    z_s, z_t = logits(6, 4)
    y, order = labels(6, 4), torch.tensor([3, 1, 5, 0, 2, 4])
    for w in (BEFORE, AFTER):
        one = stop_loss(z_s, z_t, y, 4.0, w)
        torch.testing.assert_close(one, stop_loss(z_s[order] + 7, z_t[order] - 3, y[order], 4.0, w))
        torch.testing.assert_close(
            one, stop_loss(z_s.repeat(3, 1), z_t.repeat(3, 1), y.repeat(3), 4.0, w)
        )


@pytest.mark.parametrize(("stop", "same"), [(1.0, KD), (0.0, CE)])
def test_the_ends_are_plain_distillation_and_plain_training(stop: float, same: type):
    z_s, z_t = logits(5, 10)
    y = labels(5, 10)
    plain = KD(nn.Identity(), lambda batch: z_t) if same is KD else CE(nn.Identity())
    for now in MOMENTS:
        batch = Batch(z_s, y, y, progress=now)
        expected = sum(plain(batch).values())
        torch.testing.assert_close(sum(terms_of(z_s, z_t, now, stop=stop).values()), expected)


def test_its_weights_are_on_average_those_of_the_control():
    """Half of the training each: (0.1, 0.9) and (1, 0) are on average (0.55, 0.45)."""
    moments = [step / 100 for step in range(100)]
    hard, soft = zip(*(loss_weights(now, 0.5, 0.9) for now in moments), strict=True)
    assert sum(hard) / 100 == pytest.approx(1 - 0.45) and sum(soft) / 100 == pytest.approx(0.45)


# --- extreme inputs -----------------------------------------------------------------------------


@pytest.mark.parametrize("now", [0.0, 0.9])
def test_extreme_logits_stay_finite_and_right(now: float):
    z_s = torch.tensor([[1e3, -1e3, 0.0]], requires_grad=True)
    z_t = torch.tensor([[-1e3, 1e3, 0.0]])
    terms = terms_of(z_s, z_t, now)
    # p_T is the second class to 1e-20: KL is the gap of 2,000 over T, times T^2 and alpha.
    assert terms["soft"].item() == pytest.approx(0.9 * 4 * 2000 if now < 0.5 else 0, rel=1e-4)
    sum(terms.values()).backward()
    assert z_s.grad is not None and z_s.grad.isfinite().all()


@pytest.mark.parametrize("w", [BEFORE, AFTER])
def test_a_class_that_is_ruled_out(w: tuple[float, float]):
    z_s, z_t = (z.index_fill(1, torch.tensor([9]), OUT) for z in logits(5, 10))
    z_s.requires_grad_()
    loss, y = stop_loss(z_s, z_t, labels(5, 9), 4.0, w), labels(5, 9)
    torch.testing.assert_close(loss, stop_loss(z_s[:, :9], z_t[:, :9], y, 4.0, w))
    (slope,) = torch.autograd.grad(loss, z_s)
    assert slope.isfinite().all() and (slope[:, 9] == 0).all()
    taught = stop_loss(logits(5, 10)[0], z_t, y, 4.0, w)  # by the teacher alone
    hard, soft = oracles.hard_loss(logits(5, 10)[0], y.tolist()), 0.0
    if w[1]:
        soft = oracles.soft_loss(logits(5, 10)[0], z_t, 4.0)
    assert taught.item() == pytest.approx(w[0] * hard + w[1] * soft, rel=1e-9)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
@pytest.mark.parametrize("w", [BEFORE, AFTER])
def test_half_precision_is_computed_in_float32(dtype: torch.dtype, w: tuple[float, float]):
    z_s, z_t = (z.to(dtype).requires_grad_() for z in logits(5, 10))
    loss = stop_loss(z_s, z_t, labels(5, 10), 20.0, w)
    same = stop_loss(z_s.detach().float(), z_t.detach().float(), labels(5, 10), 20.0, w)
    assert loss.dtype == torch.float32 and loss.item() == pytest.approx(same.item(), rel=1e-6)
    (slope,) = torch.autograd.grad(loss, z_s)
    assert slope.dtype == dtype and slope.isfinite().all()


def test_identical_rows_count_as_one_and_one_class_teaches_nothing():
    z_s, z_t = logits(1, 10)
    for w in (BEFORE, AFTER):
        one = stop_loss(z_s, z_t, torch.tensor([3]), 4.0, w)
        rows = z_s.expand(8, -1), z_t.expand(8, -1), torch.full((8,), 3)
        torch.testing.assert_close(stop_loss(*rows, 4.0, w), one)
        assert stop_loss(z_s[:, :1], z_t[:, :1], torch.tensor([0]), 4.0, w).item() == 0


def test_rows_without_a_label_are_still_taught():
    z_s, z_t = logits(4, 5)
    none = torch.full((4,), -1)
    terms = stop_terms(z_s, z_t, none, 4.0, BEFORE)
    assert terms["hard"].item() == 0
    assert terms["soft"].item() == pytest.approx(0.9 * oracles.soft_loss(z_s, z_t, 4.0), rel=1e-9)


# --- bad inputs ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"T": 0.0}, "T is 0.0"),
        ({"alpha": 1.2}, "alpha is 1.2"),
        ({"stop": -0.1}, "stop is -0.1"),
        ({"stop": 10}, "stop is 10"),
        ({"stop": math.nan}, "stop is nan"),
        ({"after": 2.0}, "after is 2.0"),
    ],
)
def test_bad_input_is_refused_before_training(options: dict[str, float], told: str):
    with pytest.raises(ValueError, match=told):
        KDStop(nn.Identity(), lambda batch: batch.x, **options)


def test_other_class_counts_are_refused():
    with pytest.raises(ValueError, match="shape"):
        terms_of(torch.zeros(2, 3), torch.zeros(2, 4), 0.1)


def test_the_defaults_are_the_ones_of_the_page():
    method = KDStop(nn.Identity(), lambda batch: batch.x)
    assert (method.T, method.alpha, method.stop, method.after) == (4.0, 0.9, 0.5, 1.0)


# --- equal entropy ------------------------------------------------------------------------------


def mean_entropy(z: Tensor, T: float) -> float:
    """The mean over images of H(softmax(z / T)), with loops."""
    return math.fsum(oracles.entropy(oracles.softmax(row, T)) for row in oracles.rows(z)) / len(z)


@pytest.mark.parametrize("T", [1.0, 4.0, 20.0])
@pytest.mark.parametrize("shape", [(1, 2), (2, 3), (30, 10)])
def test_the_mean_entropies_are_equal(shape: tuple[int, int], T: float):
    z, reference = logits(*shape)
    k = equal_entropy(z, reference, T)
    assert k > 0
    assert mean_entropy(k * z, T) == pytest.approx(mean_entropy(reference, T), rel=1e-7)


def test_it_undoes_a_factor_whatever_the_temperature():
    z, reference = logits(30, 10)
    assert equal_entropy(3 * z, z, 4.0) == pytest.approx(1 / 3, rel=1e-6)
    assert equal_entropy(z, z, 20.0) == pytest.approx(1, rel=1e-6)
    assert equal_entropy(2 * z, reference, 4.0) == pytest.approx(
        equal_entropy(z, reference, 4.0) / 2, rel=1e-6
    )


def test_shifts_and_orders_do_not_matter_nor_does_the_number_of_images():
    z, reference = logits(30, 10)
    k = equal_entropy(z, reference, 4.0)
    rows, classes = torch.arange(29, -1, -1), torch.arange(9, -1, -1)
    for other in (z + 7, z[rows], z[:, classes], z.repeat(2, 1)):
        assert equal_entropy(other, reference, 4.0) == pytest.approx(k, rel=1e-9)
    assert equal_entropy(z, reference.repeat(2, 1) - 5, 4.0) == pytest.approx(k, rel=1e-9)


def test_logits_of_a_thousand_and_classes_ruled_out():
    z, reference = logits(30, 10)
    assert equal_entropy(1e3 * z, z, 4.0) == pytest.approx(1e-3, rel=1e-6)
    out = torch.tensor([9])
    masked = equal_entropy(z.index_fill(1, out, OUT), reference[:, :9], 4.0)
    assert masked == pytest.approx(equal_entropy(z[:, :9], reference[:, :9], 4.0), rel=1e-9)


@pytest.mark.parametrize("z", [torch.zeros(3, 4), torch.zeros(3, 1)])
def test_logits_that_are_all_alike_are_refused(z: Tensor):
    with pytest.raises(ValueError, match="entropy"):
        equal_entropy(z, logits(3, 4)[1], 4.0)


@pytest.mark.parametrize("T", [0.0, -1.0, math.nan, math.inf])
def test_a_temperature_that_is_none_is_refused(T: float):
    with pytest.raises(ValueError, match="temperature"):
        equal_entropy(*logits(3, 4), T)


# --- training -----------------------------------------------------------------------------------


def test_a_short_fit_learns_and_leaves_the_teacher_alone(data: Data):
    net = build("cnn4", 10, seed=1)
    teacher = Frozen(net, data)
    before = {name: weight.clone() for name, weight in net.state_dict().items()}
    method = KDStop(build("cnn2", 10, seed=0), teacher, stop=0.5)
    log = fit(method, data, Recipe(steps=12, batch=25), device="cpu")
    assert (log.loc[:1, "soft"] > 0).all(), "the teacher was not followed"
    assert log.loc[2, "soft"] == 0, "12 updates are 3 epochs of 4; the stop lies in the second"
    assert all(torch.equal(before[name], weight) for name, weight in net.state_dict().items())
    alone = fit(KDStop(build("cnn2", 10, seed=0), teacher, stop=0.0), data, Recipe(steps=40))
    assert alone["hard"].iloc[-1] < alone["hard"].iloc[0]
    followed = fit(KDStop(build("cnn2", 10, seed=0), teacher, stop=1.0), data, Recipe(steps=40))
    assert followed["soft"].iloc[-1] < followed["soft"].iloc[0]


def test_predict_is_the_student():
    x = torch.randn(2, 1, 28, 28)
    net = build("cnn2", 10, seed=0).eval()
    assert torch.equal(KDStop(net, lambda batch: batch.x).predict(x), net(x))


# --- mutants ------------------------------------------------------------------------------------

at_stop = partial(test_the_weights_change_at_the_stop_in_any_unit, now=10, weights=AFTER)
before_stop = partial(test_the_weights_change_at_the_stop_in_any_unit, now=9, weights=BEFORE)
slow = partial(test_the_terms_equal_the_slow_oracle, shape=(5, 10), setting=(0.5, 0.9, 1.0))
trap = test_the_trap_keeps_the_weight_of_the_labels
told, on_paper = test_values_of_the_docstrings, test_a_value_worked_out_on_paper
matched = partial(test_the_mean_entropies_are_equal, shape=(30, 10), T=4.0)
undone = test_it_undoes_a_factor_whatever_the_temperature

MUTANTS = {
    "one late": (loss_weights, "now < stop", "now <= stop", [at_stop, slow]),
    "reversed": (loss_weights, "now < stop", "now >= stop", [at_stop, before_stop, slow]),
    "never stops": (loss_weights, "if now < stop", "if True", [at_stop, slow, trap]),
    "weights swapped": (
        loss_weights,
        "(1 - alpha, alpha)",
        "(alpha, 1 - alpha)",
        [before_stop, slow, told],
    ),
    "no labels before": (loss_weights, "(1 - alpha, alpha)", "(0.0, alpha)", [before_stop, slow]),
    "hidden drop": (loss_weights, "(after, 0.0)", "(1 - alpha, 0.0)", [at_stop, slow]),
    "after ignored": (loss_weights, "(after, 0.0)", "(1.0, 0.0)", [trap]),
    "soft term without its weight": (
        stop_terms,
        "w[1] * kd_loss",
        "kd_loss",
        [slow, told, on_paper],
    ),
    "hard term without its weight": (
        stop_terms,
        "w[0] * hard_loss",
        "hard_loss",
        [slow, told, on_paper],
    ),
    "weights of the terms swapped": (
        stop_terms,
        'w[0] * hard_loss(z_s, y), "soft": soft',
        'w[1] * hard_loss(z_s, y), "soft": soft',
        [slow, told, on_paper],
    ),
    "T ignored by the terms": (stop_terms, "z_t, T)", "z_t, 1.0)", [slow, told, on_paper]),
    "teacher fed twice": (stop_terms, "kd_loss(z_s, z_t", "kd_loss(z_t, z_t", [slow, told]),
    "sides swapped": (stop_terms, "kd_loss(z_s, z_t", "kd_loss(z_t, z_s", [slow, on_paper]),
    "labels for the teacher": (stop_terms, "hard_loss(z_s", "hard_loss(z_t", [slow, on_paper]),
    "teacher looked at when it has no say": (
        stop_terms,
        "if w[1] else z_s.new_zeros(())",
        "",
        [test_after_the_stop_the_teacher_is_not_looked_at],
    ),
    "soft term lost": (
        stop_loss,
        "sum(stop_terms(z_s, z_t, y, T, w).values(), z_s.new_zeros(()))",
        'stop_terms(z_s, z_t, y, T, w)["hard"]',
        [slow, told, on_paper],
    ),
    "method ignores the stop": (KDStop, "self.stop, self.alpha", "0.75, self.alpha", [slow]),
    "method ignores after": (
        KDStop,
        "self.alpha, self.after",
        "self.alpha",
        [partial(test_the_terms_equal_the_slow_oracle, shape=(2, 3), setting=(0.25, 0.5, 0.1))],
    ),
    "method ignores T": (KDStop, "batch.y, self.T, w", "batch.y, 1.0, w", [slow]),
    "taught by itself": (KDStop, "self.teacher(batch) if w[1] else z_s", "z_s", [slow]),
    "teacher asked after the stop": (
        KDStop,
        "self.teacher(batch) if w[1] else z_s",
        "self.teacher(batch)",
        [test_after_the_stop_the_teacher_is_not_asked],
    ),
    "inverse factor": (
        equal_entropy,
        "T / temperature_for(z, softness(reference, T))",
        "temperature_for(z, softness(reference, T)) / T",
        [matched, undone, told],
    ),
    "T forgotten": (equal_entropy, "T / temperature_for", "1 / temperature_for", [matched, undone]),
    "entropy of the reference at T = 1": (
        equal_entropy,
        "softness(reference, T)",
        "softness(reference)",
        [matched, undone],
    ),
    "matched to itself": (equal_entropy, "softness(reference, T)", "softness(z, T)", [matched]),
}


@pytest.mark.parametrize("name", MUTANTS)
def test_a_wrong_stop_is_caught(name: str):
    target, old, new, by = MUTANTS[name]
    assert_caught(target, old, new, by)
