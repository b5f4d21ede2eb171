"""The terms of Lopes 2017, DAFL and DeepInversion, and the student that learns on made images."""

import doctest
import math
from functools import partial

import pytest
import torch
from torch import Tensor

from kdlab.data import Batch
from kdlab.models import build
from kdlab.papers.data_free import losses, method
from kdlab.papers.data_free.losses import (
    IE,
    activation_loss,
    balance_loss,
    bn_loss,
    competition_loss,
    dafl_terms,
    l2_loss,
    one_hot_loss,
    record_loss,
    tv_loss,
)
from kdlab.papers.data_free.method import DataFree
from kdlab.papers.data_free.sources import asked, made
from kdlab.papers.kd.method import KD, kd_loss
from kdlab.train.fit import fit
from kdlab.train.frozen import Frozen
from kdlab.train.recipe import Recipe
from tests.mutants import assert_caught
from tests.papers.cases import gradient, logits
from tests.papers.data_free import oracles

SHAPES = [(1, 1), (1, 3), (5, 10), (7, 2)]
MAPS = [(1, 1, 2, 2), (2, 3, 4, 5), (3, 2, 1, 1), (4, 3)]
OUT = -math.inf


def maps(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> Tensor:
    source = torch.Generator().manual_seed(sum(shape) + seed)
    return 2 * torch.randn(*shape, generator=source, dtype=torch.float64).to(dtype)


def statistics(c: int) -> tuple[Tensor, Tensor]:
    return maps(c, seed=3), maps(c, seed=4).square()


# --- against slow loops, and by hand --------------------------------------------------------------


@pytest.mark.parametrize("shape", SHAPES)
def test_terms_of_logits_equal_the_slow_oracles(shape: tuple[int, int]):
    z, other = logits(*shape)
    assert one_hot_loss(z).item() == pytest.approx(oracles.one_hot_loss(z), rel=1e-9, abs=1e-12)
    assert balance_loss(z).item() == pytest.approx(oracles.balance_loss(z), rel=1e-9, abs=1e-12)
    for T in (1.0, 3.0, 20.0):
        slow = oracles.competition_loss(z, other, T)
        assert competition_loss(z, other, T).item() == pytest.approx(slow, rel=1e-9)


@pytest.mark.parametrize("shape", MAPS)
def test_terms_of_maps_equal_the_slow_oracles(shape: tuple[int, ...]):
    f, (mean, var) = maps(*shape), statistics(shape[1])
    assert activation_loss(f).item() == pytest.approx(oracles.activation_loss(f), rel=1e-9)
    assert bn_loss(f, mean, var).item() == pytest.approx(oracles.bn_loss(f, mean, var), rel=1e-9)
    slow = oracles.record_loss(f, maps(*shape, seed=1))
    assert record_loss(f, maps(*shape, seed=1)).item() == pytest.approx(slow, rel=1e-9)
    if f.dim() == 4:
        assert tv_loss(f).item() == pytest.approx(oracles.tv_loss(f), rel=1e-9, abs=1e-12)
        assert l2_loss(f).item() == pytest.approx(oracles.l2_loss(f), rel=1e-9)


def test_values_worked_out_by_hand():
    """The examples in the docstrings."""
    parts = [record_loss, one_hot_loss, activation_loss, balance_loss, tv_loss, l2_loss, bn_loss]
    for part in (*parts, competition_loss):
        (example,) = doctest.DocTestFinder(recurse=False).find(part, globs=dict(vars(losses)))
        assert example.examples
        assert doctest.DocTestRunner(verbose=False).run(example).failed == 0


def test_balance_on_paper():
    """Uniform: -log C. A batch of one: minus its entropy. One class with huge logits: 0."""
    assert balance_loss(torch.zeros(4, 7)).item() == pytest.approx(-math.log(7), rel=1e-6)
    one = torch.tensor([[math.log(3), 0.0]], dtype=torch.float64)
    by_hand = 0.75 * math.log(0.75) + 0.25 * math.log(0.25)
    assert balance_loss(one).item() == pytest.approx(by_hand, rel=1e-9)
    collapsed = 1e4 * torch.eye(3)[torch.zeros(5, dtype=torch.long)]
    assert balance_loss(collapsed).item() == 0


def test_where_each_term_is_least():
    z, other = logits(6, 4)
    assert competition_loss(z, z).item() == pytest.approx(1, abs=1e-12)
    assert competition_loss(z, other) < 1
    apart = 1e3 * torch.eye(4)
    assert competition_loss(apart, apart.flip(0)).item() == pytest.approx(1 - math.log(2), rel=1e-6)
    f = maps(5, 3, 2, 2)
    var, mean = torch.var_mean(f, dim=(0, 2, 3), correction=0)
    assert bn_loss(f, mean, var).item() == pytest.approx(0, abs=1e-12)
    assert record_loss(f, f).item() == 0
    assert tv_loss(torch.ones(2, 1, 4, 4)).item() == 0
    assert one_hot_loss(1e3 * torch.eye(4)).item() == 0


# --- invariances ----------------------------------------------------------------------------------


def test_moved_means_cost_the_root_of_the_channels():
    f = maps(8, 9, 3, 3)
    var, mean = torch.var_mean(f, dim=(0, 2, 3), correction=0)
    assert bn_loss(f + 2, mean, var).item() == pytest.approx(2 * 3, rel=1e-9)


def test_activation_is_linear_and_tv_grows_with_the_root_of_copies():
    f, x = maps(4, 3), maps(2, 1, 5, 5)
    assert activation_loss(3 * f).item() == pytest.approx(3 * activation_loss(f).item())
    assert tv_loss(x.repeat(2, 1, 1, 1)).item() == pytest.approx(2**0.5 * tv_loss(x).item())
    assert tv_loss(x + 5).item() == pytest.approx(tv_loss(x).item())
    assert l2_loss(x.repeat(2, 1, 1, 1)).item() == pytest.approx(l2_loss(x).item())


def test_order_shift_and_swap_change_nothing():
    (z, other), rows = logits(6, 5), torch.tensor([3, 1, 0, 5, 4, 2])
    for term in (one_hot_loss, balance_loss):
        for same in (z[rows], z.flip(1), z + logits(6, 1)[0], z.repeat(3, 1)):
            torch.testing.assert_close(term(same), term(z))
    torch.testing.assert_close(competition_loss(other, z), competition_loss(z, other))
    torch.testing.assert_close(competition_loss(z[rows], other[rows]), competition_loss(z, other))
    f, (mean, var) = maps(6, 3, 2, 2), statistics(3)
    torch.testing.assert_close(bn_loss(f[rows], mean, var), bn_loss(f, mean, var))


def test_what_lies_below_zero_is_no_activation():
    a, target = maps(4, 6), maps(4, 6, seed=1)
    torch.testing.assert_close(record_loss(a.relu(), target), record_loss(a, target))
    torch.testing.assert_close(record_loss(a, target.relu()), record_loss(a, target))


# --- gradients ------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", SHAPES)
def test_gradcheck_of_terms_of_logits(shape: tuple[int, int]):
    z, other = (z.requires_grad_() for z in logits(*shape))
    for term in (one_hot_loss, balance_loss):
        assert torch.autograd.gradcheck(term, (z,))
    assert torch.autograd.gradcheck(competition_loss, (z, other))


def test_gradcheck_of_terms_of_maps():
    f, (mean, var) = maps(2, 3, 4, 3).requires_grad_(), statistics(3)
    for term in (activation_loss, tv_loss, l2_loss, partial(bn_loss, mean=mean, var=var)):
        assert torch.autograd.gradcheck(term, (f,))
    assert torch.autograd.gradcheck(partial(record_loss, target=maps(2, 3, 4, 3, seed=1)), (f,))


def test_records_and_statistics_get_no_gradient():
    f, target = maps(4, 3).requires_grad_(), maps(4, 3, seed=1).requires_grad_()
    mean, var = (part.requires_grad_() for part in statistics(3))
    for loss, told in ((record_loss(f, target), [target]), (bn_loss(f, mean, var), [mean, var])):
        found = torch.autograd.grad(loss, [f, *told], allow_unused=True)
        assert found[0].abs().max() > 0 and all(part is None for part in found[1:])


def test_norms_have_a_gradient_where_they_are_zero():
    x = torch.ones(2, 1, 4, 4, requires_grad=True)
    assert torch.equal(gradient(tv_loss(x), x), torch.zeros_like(x))
    same = torch.zeros(2, 3, requires_grad=True)
    slope = gradient(bn_loss(same, torch.zeros(3), torch.zeros(3)), same)
    assert slope.isfinite().all()


# --- extreme input --------------------------------------------------------------------------------


def test_huge_logits_and_classes_that_are_ruled_out():
    z = torch.tensor([[1e3, -1e3, OUT], [1e3, 0.0, OUT]], requires_grad=True)
    other = torch.tensor([[-1e3, 1e3, OUT], [0.0, 1e3, OUT]], requires_grad=True)
    terms = [one_hot_loss(z), balance_loss(z), competition_loss(z, other)]
    for term in terms:
        assert term.isfinite() and gradient(term, z).isfinite().all()
    torch.testing.assert_close(balance_loss(z), balance_loss(z[:, :2]))


def test_one_class_identical_rows_and_a_batch_of_one():
    one = torch.zeros(4, 1)
    assert one_hot_loss(one).item() == balance_loss(one).item() == 0
    row = logits(1, 5)[0]
    for term in (one_hot_loss, balance_loss):
        torch.testing.assert_close(term(row.expand(7, -1)), term(row))
    f = maps(1, 3)
    assert bn_loss(f, f[0], torch.zeros(3)).item() == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
def test_half_precision_is_computed_in_float32(dtype: torch.dtype):
    z, other = logits(5, 10, dtype=dtype)
    for found, slow in (
        (one_hot_loss(z), oracles.one_hot_loss(z.float())),
        (balance_loss(z), oracles.balance_loss(z.float())),
        (competition_loss(z, other), oracles.competition_loss(z.float(), other.float(), 3.0)),
    ):
        assert found.dtype == torch.float32 and found.item() == pytest.approx(slow, rel=1e-4)
    f, (mean, var) = maps(64, 3, 7, 7, dtype=dtype), (part.float() for part in statistics(3))
    slow = oracles.bn_loss(f.float(), mean, var)
    assert bn_loss(f, mean, var).item() == pytest.approx(slow, rel=1e-4)


@pytest.mark.parametrize(
    ("call", "word"),
    [
        (lambda: record_loss(torch.zeros(2, 3), torch.zeros(2, 4)), "equal"),
        (lambda: one_hot_loss(torch.zeros(3)), "logits"),
        (lambda: balance_loss(torch.zeros(0, 3)), "empty"),
        (lambda: activation_loss(torch.zeros(3)), "features"),
        (lambda: bn_loss(torch.zeros(2, 3), torch.zeros(2), torch.zeros(2)), "channel"),
        (lambda: competition_loss(torch.zeros(2, 3), torch.zeros(2, 2)), "logits"),
        (lambda: competition_loss(torch.zeros(2, 3), torch.zeros(2, 3), 0.0), "temperature"),
    ],
)
def test_bad_input_gets_a_sentence(call, word: str):
    with pytest.raises(ValueError, match=word):
        call()


def test_weights_stand_before_their_terms():
    z, f = logits(5, 4)[0], maps(5, 6)
    plain, other = dafl_terms(z, f), dafl_terms(z, f, 2.0, 0.5, 1.0)
    assert other["one-hot"].item() == pytest.approx(2 * plain["one-hot"].item())
    assert other["activation"].item() == pytest.approx(5 * plain["activation"].item())
    assert plain["balance"].item() == pytest.approx(5 * balance_loss(z).item() / math.log(10))
    assert pytest.approx(5 / math.log(10)) == IE


# --- mutants --------------------------------------------------------------------------------------


def of_logits():
    test_terms_of_logits_equal_the_slow_oracles((5, 10))


def of_maps():
    test_terms_of_maps_equal_the_slow_oracles((2, 3, 4, 5))


@pytest.mark.parametrize(
    ("target", "old", "new", "by"),
    [
        (record_loss, "in_float32(a).relu()", "in_float32(a)", of_maps),
        (record_loss, ".mean()", ".sum()", of_maps),
        (record_loss, "target.detach()", "target", test_records_and_statistics_get_no_gradient),
        (one_hot_loss, "argmax", "argmin", of_logits),
        (activation_loss, "-in_float32", "in_float32", of_maps),
        (activation_loss, ".abs()", "", of_maps),
        (balance_loss, "logsumexp(dim=0) - math.log(len(z))", "mean(dim=0)", of_logits),
        (balance_loss, " - math.log(len(z))", "", of_logits),
        (balance_loss, "(log_p.exp() * log_p)", "(-log_p.exp() * log_p)", of_logits),
        (balance_loss, ".clamp(min=LEAST)", "", test_huge_logits_and_classes_that_are_ruled_out),
        (tv_loss, "falling, rising", "falling, falling", of_maps),
        (tv_loss, "gap.norm()", "gap.square().sum()", of_maps),
        (l2_loss, ".mean()", ".sum()", of_maps),
        (bn_loss, "correction=0", "correction=1", of_maps),
        (bn_loss, "[0, *range(2, f.dim())]", "[0]", of_maps),
        (bn_loss, " + (var_f - var.detach()).norm()", "", of_maps),
        (competition_loss, ".mean() / 2", ".mean()", of_logits),
        (competition_loss, "- math.log(2)", "", of_logits),
        (competition_loss, "divergence(q, middle)", "divergence(p, middle)", of_logits),
        (competition_loss, "in_float32(z) / T", "in_float32(z)", of_logits),
    ],
)
def test_a_slip_turns_a_test_red(target, old: str, new: str, by):
    if new == "[0]":
        with pytest.raises(RuntimeError):  # then a map is no vector of channels
            assert_caught(target, old, new, by=[by])
            raise RuntimeError("caught")
        return
    assert_caught(target, old, new, by=[by])


# --- the method -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def images(data):
    return torch.randn(40, *data.in_shape, generator=torch.Generator().manual_seed(1))


def student():
    return build("cnn2", 10, seed=1)


def test_it_looks_at_made_images_alone(data, images):
    z = maps(40, 10, dtype=torch.float32)
    one = DataFree(student().eval(), images, z)
    index = torch.tensor([3, 43, 80, 0])
    terms = one(Batch(torch.full((4, 1, 28, 28), torch.nan), torch.arange(4), index))
    rows = torch.tensor([3, 3, 0, 0])
    torch.testing.assert_close(terms["soft"], kd_loss(one.student(images[rows]), z[rows], 4.0))


def test_it_equals_kd_on_the_made_data(data, images):
    own = made(data, images)
    teacher = asked(Frozen(build("cnn4", 10, seed=0)), own)
    batch = Batch(*(column[:8] for column in own.train))
    one = DataFree(student().eval(), images, teacher(Batch(*own.train)))(batch)
    two = KD(student().eval(), teacher, T=4.0, alpha=1.0)(batch)
    torch.testing.assert_close(one["soft"], two["soft"])
    assert two["hard"].item() == 0


def test_a_short_fit_lowers_the_loss_and_leaves_the_teacher_as_it_was(data, images):
    net, own = build("cnn4", 10, seed=0), made(data, images)
    before = {name: value.clone() for name, value in net.state_dict().items()}
    teacher = asked(Frozen(net), own)
    history = fit(KD(student(), teacher, alpha=1.0), own, Recipe(epochs=10, batch=20), device="cpu")
    assert history["soft"].iloc[-1] < 0.8 * history["soft"].iloc[0]
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())


def test_the_lab_can_make_and_train_it(data):
    z = maps(20, 10, dtype=torch.float32)
    one = DataFree(student(), torch.randn(20, 1, 28, 28), z)
    history = fit(one, data, Recipe(steps=4), device="cpu")
    assert history["soft"].notna().all()
    assert [knob.name for knob in DataFree.knobs] == ["source", "images", "T"]
    assert set(method.SOURCES) == set(DataFree.knobs[0].choices)


def test_bad_arguments_are_refused():
    x, z = torch.zeros(3, 1, 28, 28), torch.zeros(3, 10)
    for options, word in (
        ({"source": "dreams"}, "source"),
        ({"T": 0.0}, "T is"),
        ({"images": 0}, "images"),
    ):
        with pytest.raises(ValueError, match=word):
            DataFree(student(), x, z, **options)
    for rows in (0, 2):
        with pytest.raises(ValueError, match="one for each"):
            DataFree(student(), x[:rows], z)
