"""The method of Cho, Hariharan 2019: distillation that stops part-way."""

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
from kdlab.papers.efficacy.method import KDStop, loss_weights
from kdlab.papers.kd.method import KD
from kdlab.train.fit import fit
from kdlab.train.method import CE
from kdlab.train.recipe import Recipe
from kdlab.train.teachers import Frozen
from tests import oracles
from tests.mutants import assert_caught

SHAPES = [(1, 2), (2, 3), (5, 10), (3, 100)]
MOMENTS = [0.0, 0.25, 0.4999, 0.5, 0.75, 0.99]
SETTINGS = [(0.5, 0.9, 1.0), (0.25, 0.5, 0.1), (0.0, 0.9, 1.0), (1.0, 0.9, 1.0), (0.75, 0.0, 0.0)]


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


def test_values_of_the_docstring():
    """Checked here, too, so that a mutant meets it."""
    (example,) = doctest.DocTestFinder(recurse=False).find(loss_weights, globs=vars(efficacy))
    assert doctest.DocTestRunner(verbose=False).run(example).failed == 0


@pytest.mark.parametrize(("now", "weights"), [(9, (0.1, 0.9)), (10, (1.0, 0.0)), (11, (1.0, 0.0))])
def test_the_weights_change_at_the_stop_in_any_unit(now: int, weights: tuple[float, float]):
    assert loss_weights(now, 10, 0.9) == pytest.approx(weights)
    assert loss_weights(now / 20, 0.5, 0.9) == pytest.approx(weights)


def test_the_trap_keeps_the_weight_of_the_labels():
    assert loss_weights(0.6, 0.5, 0.9, after=0.1) == (0.1, 0.0)
    assert loss_weights(0.4, 0.5, 0.9, after=0.1) == pytest.approx((0.1, 0.9))


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


@pytest.mark.parametrize("now", [0.2, 0.8])
def test_gradcheck_and_no_gradient_to_the_teacher(now: float):
    z_s, z_t = logits(4, 5)
    z_s.requires_grad_(), z_t.requires_grad_()
    assert torch.autograd.gradcheck(lambda z: sum(terms_of(z, z_t, now).values()), (z_s,))
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


def test_order_of_rows_and_a_common_shift_do_not_matter():
    z_s, z_t = logits(6, 4)
    y, order = labels(6, 4), torch.tensor([3, 1, 5, 0, 2, 4])
    answers = {"given": z_t, "turned": z_t[order]}
    for now in (0.2, 0.8):
        one = KDStop(nn.Identity(), lambda batch: answers["given"])
        two = KDStop(nn.Identity(), lambda batch: answers["turned"])
        first = sum(one(Batch(z_s, y, y, progress=now)).values())
        second = sum(two(Batch(z_s[order] + 7, y[order], y, progress=now)).values())
        torch.testing.assert_close(first, second)


@pytest.mark.parametrize(("stop", "same"), [(1.0, KD), (0.0, CE)])
def test_the_ends_are_plain_distillation_and_plain_training(stop: float, same: type):
    z_s, z_t = logits(5, 10)
    y = labels(5, 10)
    plain = KD(nn.Identity(), lambda batch: z_t) if same is KD else CE(nn.Identity())
    for now in MOMENTS:
        batch = Batch(z_s, y, y, progress=now)
        expected = sum(plain(batch).values())
        torch.testing.assert_close(sum(terms_of(z_s, z_t, now, stop=stop).values()), expected)


@pytest.mark.parametrize("now", [0.0, 0.9])
def test_extreme_logits_stay_finite_and_right(now: float):
    z_s = torch.tensor([[1e3, -1e3, 0.0]], requires_grad=True)
    z_t = torch.tensor([[-1e3, 1e3, 0.0]])
    terms = terms_of(z_s, z_t, now)
    # p_T is the second class to 1e-20: KL is the gap of 2,000 over T, times T^2 and alpha.
    assert terms["soft"].item() == pytest.approx(0.9 * 4 * 2000 if now < 0.5 else 0, rel=1e-4)
    sum(terms.values()).backward()
    assert z_s.grad is not None and z_s.grad.isfinite().all()


# --- bad inputs ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"T": 0.0}, "T is 0.0; a temperature is"),
        ({"alpha": 1.2}, "alpha is 1.2; it is a share"),
        ({"stop": -0.1}, "stop is -0.1; it is a share, so give a number from 0 to 1"),
        ({"stop": 10}, "stop is 10; it is a share"),
        ({"stop": math.nan}, "stop is nan; it is a share"),
        ({"after": 2.0}, "after is 2.0; it is a share"),
    ],
)
def test_bad_input_is_refused_before_training(options: dict[str, float], told: str):
    with pytest.raises(ValueError) as error:
        KDStop(nn.Identity(), lambda batch: batch.x, **options)
    assert told in str(error.value)


def test_other_class_counts_are_refused():
    with pytest.raises(ValueError, match=r"both must be \(B, C\)"):
        terms_of(torch.zeros(2, 3), torch.zeros(2, 4), 0.1)


def test_the_defaults_are_the_ones_of_the_page():
    method = KDStop(nn.Identity(), lambda batch: batch.x)
    assert (method.T, method.alpha, method.stop, method.after) == (4.0, 0.9, 0.5, 1.0)


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

at_stop = partial(test_the_weights_change_at_the_stop_in_any_unit, now=10, weights=(1.0, 0.0))
before_stop = partial(test_the_weights_change_at_the_stop_in_any_unit, now=9, weights=(0.1, 0.9))
slow = partial(test_the_terms_equal_the_slow_oracle, shape=(5, 10), setting=(0.5, 0.9, 1.0))
trap = test_the_trap_keeps_the_weight_of_the_labels

MUTANTS = {
    "one late": (loss_weights, "now < stop", "now <= stop", [at_stop, slow]),
    "reversed": (loss_weights, "now < stop", "now >= stop", [at_stop, before_stop, slow]),
    "never stops": (loss_weights, "if now < stop", "if True", [at_stop, slow, trap]),
    "weights swapped": (
        loss_weights,
        "(1 - alpha, alpha)",
        "(alpha, 1 - alpha)",
        [before_stop, slow, test_values_of_the_docstring],
    ),
    "no labels before": (loss_weights, "(1 - alpha, alpha)", "(0.0, alpha)", [before_stop, slow]),
    "hidden drop": (loss_weights, "(after, 0.0)", "(1 - alpha, 0.0)", [at_stop, slow]),
    "after ignored": (loss_weights, "(after, 0.0)", "(1.0, 0.0)", [trap]),
    "method ignores the stop": (KDStop, "self.stop, self.alpha", "0.75, self.alpha", [slow]),
    "method ignores after": (
        KDStop,
        "self.alpha, self.after",
        "self.alpha",
        [partial(test_the_terms_equal_the_slow_oracle, shape=(2, 3), setting=(0.25, 0.5, 0.1))],
    ),
    "soft term without its weight": (KDStop, "w_soft * kd_loss", "kd_loss", [slow]),
    "hard term without its weight": (KDStop, "w_hard * hard_loss", "hard_loss", [slow]),
    "T ignored": (KDStop, "self.teacher(batch), self.T", "self.teacher(batch), 1.0", [slow]),
    "taught by itself": (KDStop, "self.teacher(batch)", "z_s", [slow]),
}


@pytest.mark.parametrize("name", MUTANTS)
def test_a_wrong_stop_is_caught(name: str):
    target, old, new, by = MUTANTS[name]
    assert_caught(target, old, new, by)
