"""The losses of Hinton et al. 2015 and the methods CE and KD."""

import doctest
import inspect
import itertools
import math
from functools import partial

import pytest
import torch
from torch import Tensor, nn

from kdlab.data import Batch, Data
from kdlab.measure import divergence, logits_of
from kdlab.models import build
from kdlab.papers.efficacy.method import KDStop
from kdlab.papers.kd import method as kd
from kdlab.papers.kd.method import KD, kd_loss
from kdlab.train.fit import fit
from kdlab.train.frozen import Frozen
from kdlab.train.method import CE, hard_loss
from kdlab.train.recipe import Recipe
from tests import oracles
from tests.mutants import assert_caught, mutated
from tests.papers.cases import gradient, labels, logits

SHAPES = [(1, 1), (1, 2), (2, 3), (5, 10), (7, 4), (3, 100)]
TEMPERATURES = [0.5, 1.0, 4.0, 20.0]


# --- the soft term ------------------------------------------------------------------------------


@pytest.mark.parametrize("T", TEMPERATURES)
def test_zero_and_flat_where_student_equals_teacher(T: float):
    z, other = logits(5, 10)
    z.requires_grad_()
    loss = kd_loss(z, z.detach(), T)
    assert abs(loss.item()) < 1e-12
    assert gradient(loss, z).abs().max() < 1e-12
    assert kd_loss(other, z, T) > 1e-3


def test_values_worked_out_by_hand():
    """The examples in the docstrings."""
    found = [
        example
        for part in (kd_loss, hard_loss, CE, KD)
        for example in doctest.DocTestFinder(recurse=False).find(part, globs=dict(vars(kd)))
        if example.examples
    ]
    assert found
    for example in found:
        assert doctest.DocTestRunner(verbose=False).run(example).failed == 0


def test_values_worked_out_on_paper():
    """Two classes, T = 2: p = (3/4, 1/4) and q = (1/2, 1/2), so 4 (3/4 log 3/2 + 1/4 log 1/2)."""
    z_s = torch.zeros(1, 2, dtype=torch.float64)
    z_t = torch.tensor([[2 * math.log(3), 0.0]], dtype=torch.float64)
    by_hand = 4 * (0.75 * math.log(1.5) + 0.25 * math.log(0.5))
    assert kd_loss(z_s, z_t, T=2.0).item() == pytest.approx(by_hand, rel=1e-12)
    assert hard_loss(z_t, torch.tensor([1])).item() == pytest.approx(math.log(10), rel=1e-12)


@pytest.mark.parametrize(("shape", "T"), list(itertools.product(SHAPES, TEMPERATURES)))
def test_soft_term_equals_the_slow_oracle(shape: tuple[int, int], T: float):
    for seed in range(3):
        z_s, z_t = logits(*shape, seed)
        expected = oracles.soft_loss(z_s, z_t, T)
        assert kd_loss(z_s, z_t, T).item() == pytest.approx(expected, rel=1e-9, abs=1e-12)


@pytest.mark.parametrize(("shape", "T"), list(itertools.product(SHAPES, TEMPERATURES)))
def test_gradient_is_the_gap_times_the_temperature(shape: tuple[int, int], T: float):
    z_s, z_t = logits(*shape)
    z_s.requires_grad_()
    expected = torch.tensor(oracles.soft_gradient(z_s.detach(), z_t, T), dtype=torch.float64)
    torch.testing.assert_close(gradient(kd_loss(z_s, z_t, T), z_s), expected, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("shape", SHAPES)
def test_high_temperature_is_logit_matching(shape: tuple[int, int]):
    """Section 2.1: with the factor T^2 the gradient tends to (centred z - centred v) / (C B)."""
    (b, c), (z_s, z_t) = shape, (z / 100 for z in logits(*shape))  # small beside the hottest T
    z_s.requires_grad_()
    centred = [z - z.mean(dim=1, keepdim=True) for z in (z_s.detach(), z_t)]
    limit = (centred[0] - centred[1]) / (c * b)
    torch.testing.assert_close(
        gradient(kd_loss(z_s, z_t, T=1e3), z_s), limit, rtol=1e-3, atol=1e-6 / (c * b)
    )


@pytest.mark.parametrize("shape", SHAPES)
def test_a_constant_added_to_a_row_changes_nothing(shape: tuple[int, int]):
    z_s, z_t = logits(*shape)
    move_s, move_t = logits(shape[0], 1, seed=5)
    torch.testing.assert_close(kd_loss(z_s + move_s, z_t + move_t, 4.0), kd_loss(z_s, z_t, 4.0))
    y = labels(*shape)
    torch.testing.assert_close(hard_loss(z_s + move_s, y), hard_loss(z_s, y))


@pytest.mark.parametrize("shape", SHAPES)
def test_the_order_of_rows_and_classes_does_not_matter(shape: tuple[int, int]):
    (b, c), (z_s, z_t), y = shape, logits(*shape), labels(*shape, hidden=True)
    gen = torch.Generator().manual_seed(1)
    rows, classes = torch.randperm(b, generator=gen), torch.randperm(c, generator=gen)
    torch.testing.assert_close(kd_loss(z_s[rows], z_t[rows], 4.0), kd_loss(z_s, z_t, 4.0))
    torch.testing.assert_close(
        kd_loss(z_s[:, classes], z_t[:, classes], 4.0), kd_loss(z_s, z_t, 4.0)
    )
    renamed = torch.where(y < 0, y, classes.argsort()[y])
    torch.testing.assert_close(hard_loss(z_s[rows], y[rows]), hard_loss(z_s, y))
    torch.testing.assert_close(hard_loss(z_s[:, classes], renamed), hard_loss(z_s, y))


def test_repeating_the_batch_does_not_change_the_mean():
    (z_s, z_t), y = logits(5, 10), labels(5, 10, hidden=True)
    assert kd_loss(z_s.repeat(3, 1), z_t.repeat(3, 1), 4.0) == pytest.approx(
        kd_loss(z_s, z_t, 4.0).item(), rel=1e-12
    )
    assert hard_loss(z_s.repeat(3, 1), y.repeat(3)) == pytest.approx(
        hard_loss(z_s, y).item(), rel=1e-12
    )


def test_scaling_logits_and_temperature_together_scales_the_loss():
    z_s, z_t = logits(5, 10)
    torch.testing.assert_close(kd_loss(3 * z_s, 3 * z_t, 12.0), 9 * kd_loss(z_s, z_t, 4.0))


def test_it_is_forward_kl():
    """A teacher that is sure of a class the student gives nothing costs more than the reverse."""
    sure, unsure = torch.tensor([[9.0, 0.0, 0.0]]), torch.zeros(1, 3)
    assert kd_loss(unsure, sure, 1.0) < math.log(3) < kd_loss(sure, unsure, 1.0)


@pytest.mark.parametrize("shape", SHAPES)
def test_gradcheck(shape: tuple[int, int]):
    z_s, z_t = logits(*shape)
    z_s.requires_grad_()
    assert torch.autograd.gradcheck(lambda z: kd_loss(z, z_t, 2.0), (z_s,))
    for hidden, smoothing in itertools.product((False, True), (0.0, 0.1)):
        y = labels(*shape, hidden=hidden)
        assert torch.autograd.gradcheck(lambda z, y=y, s=smoothing: hard_loss(z, y, s), (z_s,))


def test_no_gradient_reaches_the_teacher():
    z_s, z_t = logits(5, 10)
    z_s.requires_grad_()
    z_t.requires_grad_()
    of_student, of_teacher = torch.autograd.grad(
        kd_loss(z_s, z_t, 4.0), (z_s, z_t), allow_unused=True
    )
    assert of_teacher is None
    assert of_student.abs().min() > 0


# --- the hard term ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("shape", "hidden", "smoothing"),
    list(itertools.product(SHAPES, (False, True), (0.0, 0.1, 0.9))),
)
def test_hard_term_equals_the_slow_oracle(shape: tuple[int, int], hidden: bool, smoothing: float):
    (z, _), y = logits(*shape), labels(*shape, hidden=hidden)
    expected = oracles.hard_loss(z, y.tolist(), smoothing)
    assert hard_loss(z, y, smoothing).item() == pytest.approx(expected, rel=1e-9, abs=1e-12)


def test_rows_without_a_label_do_not_count():
    (z, _), y = logits(6, 10), labels(6, 10)
    half = torch.where(torch.arange(6) < 3, y, -1)
    torch.testing.assert_close(hard_loss(z, half), hard_loss(z[:3], y[:3]))
    torch.testing.assert_close(hard_loss(z, half, 0.2), hard_loss(z[:3], y[:3], 0.2))


def test_no_label_at_all_gives_zero_and_a_zero_gradient():
    z = logits(4, 10)[0].requires_grad_()
    loss = hard_loss(z, torch.full((4,), -1))
    assert loss.item() == 0
    assert torch.equal(gradient(loss, z), torch.zeros_like(z))


def test_hard_term_is_zero_for_a_sure_and_right_student():
    y = torch.tensor([2, 0])
    z = 1e3 * nn.functional.one_hot(y, 3).double().requires_grad_()
    assert hard_loss(z, y).item() == 0


# --- extreme inputs -----------------------------------------------------------------------------


@pytest.mark.parametrize("T", [0.5, 1.0, 4.0, 20.0])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_logits_of_a_thousand_stay_finite_and_right(dtype: torch.dtype, T: float):
    z_s = torch.tensor([[1e3, -1e3, 0.0], [-1e3, 1e3, 5.0]], dtype=dtype, requires_grad=True)
    z_t = torch.tensor([[-1e3, 1e3, 0.0], [1e3, 0.0, -1e3]], dtype=dtype)
    soft = kd_loss(z_s, z_t, T)
    assert torch.isfinite(soft)
    # p_T is one class to 1e-20 here: KL is that class's gap in logits over T, worked out by hand.
    assert soft.item() == pytest.approx(T * (2000 + 2000) / 2, rel=1e-4)
    assert torch.isfinite(gradient(soft, z_s)).all()
    hard = hard_loss(z_s, torch.tensor([1, 1]))
    assert hard.item() == pytest.approx(1000, rel=1e-6)
    assert torch.isfinite(gradient(hard, z_s)).all()


def test_identical_rows_count_as_one():
    z_s, z_t = logits(1, 10)
    torch.testing.assert_close(
        kd_loss(z_s.expand(8, -1), z_t.expand(8, -1), 4.0), kd_loss(z_s, z_t, 4.0)
    )


def test_one_class_teaches_nothing():
    z_s, z_t = logits(4, 1)
    z_s.requires_grad_()
    for loss in (kd_loss(z_s, z_t, 4.0), hard_loss(z_s, torch.zeros(4, dtype=torch.long))):
        assert loss.item() == 0
        assert torch.equal(gradient(loss, z_s), torch.zeros_like(z_s))


@pytest.mark.parametrize(
    ("dtype", "returned"),
    [
        (torch.float16, torch.float32),
        (torch.bfloat16, torch.float32),
        (torch.float32, torch.float32),
        (torch.float64, torch.float64),
    ],
    ids=str,
)
def test_half_precision_is_computed_and_returned_in_float32(
    dtype: torch.dtype, returned: torch.dtype
):
    """In half precision itself the KL of close answers is off by half at T = 20."""
    z_t = logits(5, 10, dtype=dtype)[1]
    z_s = (z_t + 0.5 * logits(5, 10, seed=1)[0]).to(dtype).requires_grad_()
    rounded, y = z_s.detach().to(returned).requires_grad_(), labels(5, 10)
    for T in TEMPERATURES:
        soft = kd_loss(z_s, z_t, T)
        assert soft.dtype == returned and soft.shape == ()
        same = kd_loss(rounded, z_t.to(returned), T)
        assert soft.item() == pytest.approx(same.item(), rel=1e-6)
        exact = oracles.soft_loss(rounded.detach(), z_t.to(returned), T)
        assert soft.item() == pytest.approx(exact, rel=1e-3)
        torch.testing.assert_close(gradient(soft, z_s), gradient(same, rounded).to(dtype))
    hard = hard_loss(z_s, y)
    assert hard.dtype == returned and hard.shape == ()
    assert hard.item() == pytest.approx(oracles.hard_loss(rounded.detach(), y.tolist()), rel=1e-5)


def test_the_same_on_every_device(device: str):
    z_s, z_t = (z.float().to(device) for z in logits(5, 10))
    y = labels(5, 10, hidden=True)
    soft, hard = kd_loss(z_s, z_t, 4.0), hard_loss(z_s, y.to(device), 0.1)
    assert soft.device.type == hard.device.type == device
    assert soft.item() == pytest.approx(oracles.soft_loss(z_s.cpu(), z_t.cpu(), 4.0), rel=1e-5)
    assert hard.item() == pytest.approx(oracles.hard_loss(z_s.cpu(), y.tolist(), 0.1), rel=1e-5)


# --- classes that are ruled out -------------------------------------------------------------------

OUT = -math.inf
MASKED = [(shape, T) for shape in [(1, 2), (2, 3), (5, 10)] for T in TEMPERATURES]


def ruled_out(b: int, c: int) -> Tensor:
    """Return a mask (b, c) that leaves the first class of each row and hides others."""
    mask = torch.rand(b, c, generator=torch.Generator().manual_seed(b + c)) < 0.4
    return mask.index_fill(1, torch.tensor([0]), False).index_fill(1, torch.tensor([c - 1]), True)


def test_a_class_that_the_teacher_rules_out_by_hand():
    """T = 2, p = (e, 1, 0) / (e + 1): 4 (p_1 log p_1 / q_1 + p_2 log p_2 / q_2), 0 log 0 = 0."""
    z_s, z_t = torch.tensor([[1.0, 2.0, 0.0]]), torch.tensor([[2.0, 0.0, OUT]])
    assert kd_loss(z_s, z_t, T=2.0).item() == pytest.approx(1.854384, abs=1e-6)


@pytest.mark.parametrize(("shape", "T"), MASKED)
def test_a_class_that_the_teacher_rules_out_is_learned(shape: tuple[int, int], T: float):
    (z_s, z_t), mask = logits(*shape), ruled_out(*shape)
    z_s, z_t = z_s.requires_grad_(), z_t.masked_fill(mask, OUT)
    loss, told = kd_loss(z_s, z_t, T), z_s.detach()
    assert loss.item() == pytest.approx(oracles.soft_loss(told, z_t, T), rel=1e-9)
    slope = torch.tensor(oracles.soft_gradient(told, z_t, T), dtype=torch.float64)
    torch.testing.assert_close(gradient(loss, z_s), slope, rtol=1e-9, atol=1e-12)
    assert (slope[mask] > 0).all()  # downhill, its logit falls
    assert torch.autograd.gradcheck(lambda z: kd_loss(z, z_t, T), (z_s,))


@pytest.mark.parametrize(("shape", "T"), MASKED)
def test_a_class_that_both_rule_out_does_not_count(shape: tuple[int, int], T: float):
    last = torch.tensor([shape[1] - 1])
    z_s, z_t = (z.index_fill(1, last, OUT) for z in logits(*shape))
    z_s.requires_grad_()
    loss, without = kd_loss(z_s, z_t, T), kd_loss(z_s[:, :-1], z_t[:, :-1], T)
    torch.testing.assert_close(loss, without)
    slope = gradient(loss, z_s)
    torch.testing.assert_close(slope, gradient(without, z_s))
    assert slope.isfinite().all() and (slope[:, -1] == 0).all()


def test_a_student_that_rules_out_what_the_teacher_teaches_is_infinitely_far():
    z_s, z_t = logits(4, 5)
    z_s = z_s.index_fill(1, torch.tensor([2]), OUT).requires_grad_()
    loss = kd_loss(z_s, z_t, 4.0)
    assert loss.item() == math.inf and gradient(loss, z_s).isfinite().all()


def test_the_labels_alone_do_not_miss_a_class_that_is_ruled_out():
    (z, _), y = logits(6, 5), torch.tensor([0, 1, 3, -1, 0, 1])
    masked = z.index_fill(1, torch.tensor([4]), OUT).requires_grad_()
    loss = hard_loss(masked, y)
    torch.testing.assert_close(loss, hard_loss(z[:, :4], y))
    assert gradient(loss, masked).isfinite().all()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32], ids=str)
def test_a_class_is_ruled_out_in_every_precision(dtype: torch.dtype):
    z_s, z_t = (z.to(dtype).index_fill(1, torch.tensor([3]), OUT) for z in logits(5, 10))
    z_s.requires_grad_()
    loss = kd_loss(z_s, z_t, 4.0)
    keep = [0, 1, 2, *range(4, 10)]
    assert loss.item() == pytest.approx(kd_loss(z_s[:, keep], z_t[:, keep], 4.0).item(), rel=1e-5)
    assert gradient(loss, z_s).isfinite().all()


def test_a_student_learns_from_a_teacher_that_rules_out_a_class(data: Data):
    def hide(z: Tensor, _: Tensor) -> Tensor:
        return z.index_fill(1, torch.tensor([3]), OUT)

    teacher = Frozen(build("cnn2", 10, seed=0), data).mapped(hide)
    method = KD(build("cnn2", 10, seed=1), teacher, T=1.0, alpha=1.0)
    history = fit(method, data, Recipe(epochs=8), device="cpu")
    assert history.soft.iloc[-1] < 0.8 * history.soft.iloc[0]
    assert all(p.isfinite().all() for p in method.parameters())
    assert logits_of(method, data.val.x).softmax(dim=1)[:, 3].mean() < 0.05  # it began at 0.1


# --- bad inputs ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("shapes", "told"),
    [
        (((2, 3), (2, 4)), "student logits have shape (2, 3) and teacher logits (2, 4)"),
        (((2, 3), (1, 3)), "(2, 3) and teacher logits (1, 3)"),
        (((3,), (3,)), "shape (3,)"),
        (((0, 3), (0, 3)), "both must be (B, C), equal and not empty"),
        (((2, 3, 4), (2, 3, 4)), "(2, 3, 4)"),
        (((2, 0), (2, 0)), "both must be (B, C)"),
    ],
)
def test_logits_of_wrong_shape_are_refused(shapes: tuple[tuple[int, ...], ...], told: str):
    with pytest.raises(ValueError) as error:
        kd_loss(torch.zeros(shapes[0]), torch.zeros(shapes[1]), 4.0)
    assert told in str(error.value)


@pytest.mark.parametrize("T", [0.0, -1.0, math.nan, math.inf, 1001.0, 1e20, 1e155])
def test_a_temperature_out_of_range_is_refused_in_one_sentence(T: float):
    z = torch.zeros(2, 3)
    for ask in (lambda: kd_loss(z, z, T), lambda: KD(nn.Identity(), lambda batch: z, T=T)):
        with pytest.raises(ValueError, match="temperature") as error:
            ask()
        assert str(T) in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_the_hottest_temperature_gives_a_number(dtype: torch.dtype):
    z_s, z_t = logits(5, 10, dtype=dtype)
    z_s.requires_grad_()
    loss = kd_loss(z_s, z_t, 1000.0)
    assert loss.item() == pytest.approx(oracles.soft_loss(z_s.detach(), z_t, 1000.0), rel=0.1)
    assert gradient(loss, z_s).isfinite().all()


@pytest.mark.parametrize("alpha", [-0.1, 1.1, math.nan])
def test_a_weight_outside_0_to_1_is_refused(alpha: float):
    with pytest.raises(ValueError, match=rf"alpha is {alpha}; .* from 0 to 1"):
        KD(nn.Identity(), lambda batch: batch.x, alpha=alpha)


@pytest.mark.parametrize("smoothing", [-0.1, 1.0, math.nan])
def test_a_smoothing_outside_0_to_1_is_refused(smoothing: float):
    with pytest.raises(ValueError, match=rf"smoothing is {smoothing}; give a share"):
        CE(nn.Identity(), smoothing=smoothing)


# --- the methods --------------------------------------------------------------------------------


def linear(seed: int, c: int = 10) -> nn.Module:
    """Return a small student with weights of its own stream, for images (B, 1, 4, 4)."""
    gen = torch.Generator().manual_seed(seed)
    net = nn.Sequential(nn.Flatten(), nn.Linear(16, c)).double()
    with torch.no_grad():
        for weight in net.parameters():
            weight.copy_(torch.randn(weight.shape, generator=gen, dtype=torch.float64))
    return net


class Net:
    """A teacher that is a plain network: not frozen, and its gradients are there to be seen."""

    def __init__(self, net: nn.Module) -> None:
        self.net = net

    def __call__(self, batch: Batch) -> Tensor:
        return self.net(batch.x)


def make_batch(b: int = 6, hidden: bool = True) -> Batch:
    x = torch.randn(b, 1, 4, 4, generator=torch.Generator().manual_seed(b), dtype=torch.float64)
    return Batch(x, labels(b, 10, hidden), torch.arange(b))


@pytest.mark.parametrize(("T", "alpha"), [(4.0, 0.9), (1.0, 0.5), (20.0, 0.0), (2.0, 1.0)])
def test_kd_terms_are_named_and_weighted(T: float, alpha: float):
    student, net, batch = linear(1), linear(2), make_batch()
    terms = KD(student, Net(net), T=T, alpha=alpha)(batch)
    z_s, z_t, y = student(batch.x).detach(), net(batch.x).detach(), batch.y.tolist()
    assert list(terms) == ["hard", "soft"]
    assert terms["hard"].item() == pytest.approx((1 - alpha) * oracles.hard_loss(z_s, y))
    assert terms["soft"].item() == pytest.approx(alpha * oracles.soft_loss(z_s, z_t, T))
    total = oracles.hinton_loss(z_s, z_t, y, T, alpha)
    assert sum(terms.values()).item() == pytest.approx(total, rel=1e-9)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_ce_is_the_hard_term_alone(smoothing: float):
    student, batch = linear(1), make_batch()
    terms = CE(student, smoothing)(batch)
    assert list(terms) == ["hard"]
    expected = oracles.hard_loss(student(batch.x).detach(), batch.y.tolist(), smoothing)
    assert terms["hard"].item() == pytest.approx(expected, rel=1e-9)


def test_the_defaults_are_the_ones_of_the_page():
    method = KD(nn.Identity(), lambda batch: batch.x)
    assert (method.T, method.alpha) == (4.0, 0.9)
    assert CE(nn.Identity()).smoothing == 0


def test_every_own_parameter_learns_and_the_teacher_does_not():
    for alpha in (0.0, 0.5, 1.0):
        student, net = linear(1), linear(2)
        sum(KD(student, Net(net), alpha=alpha)(make_batch()).values()).backward()
        assert all(p.grad is not None and p.grad.abs().max() > 0 for p in student.parameters())
        assert all(p.grad is None for p in net.parameters())
    student = linear(1)
    sum(CE(student)(make_batch()).values()).backward()
    assert all(p.grad is not None and p.grad.abs().max() > 0 for p in student.parameters())


def test_the_teacher_is_asked_once_with_the_whole_batch():
    asked, batch = [], make_batch()

    def teacher(question: Batch) -> Tensor:
        asked.append(question)
        return torch.zeros(len(question.x), 10, dtype=torch.float64)

    KD(linear(1), teacher)(batch)
    assert len(asked) == 1
    assert asked[0] is batch


class Table:
    """A teacher that holds answers for `c` classes, and a network of another number, if any."""

    net = None

    def __init__(self, c: int) -> None:
        self.stored_classes = lambda: c


TEACHERS = [Net(linear(2, c=7)), Table(7)]  # others are refused by `fit`, when they have answered


@pytest.mark.parametrize("teacher", TEACHERS)
@pytest.mark.parametrize("method", [KD, KDStop])
def test_a_teacher_of_other_classes_is_refused_at_construction(method, teacher):
    with pytest.raises(ValueError, match="the student knows 10 classes and the teacher 7; give"):
        method(linear(1), teacher)
    assert method(linear(1, c=7), teacher).n_classes == 7


@pytest.mark.parametrize("student", [nn.Identity(), nn.Sequential(linear(1), nn.Softmax(dim=1))])
def test_what_does_not_tell_its_classes_is_not_refused(student: nn.Module):
    assert KD(student, Table(7)).n_classes is None
    assert KD(linear(1), lambda batch: batch.x).n_classes == 10


def test_predict_is_the_student():
    student, x = linear(1), make_batch().x
    for method in (CE(student), KD(student, Net(linear(2)))):
        assert torch.equal(method.predict(x), student(x))


# --- mutants ------------------------------------------------------------------------------------

by_hand = test_values_worked_out_by_hand
on_paper = test_values_worked_out_on_paper
agree = partial(test_zero_and_flat_where_student_equals_teacher, T=4.0)
soft_oracle = partial(test_soft_term_equals_the_slow_oracle, shape=(5, 10), T=4.0)
slope = partial(test_gradient_is_the_gap_times_the_temperature, shape=(5, 10), T=4.0)
limit = partial(test_high_temperature_is_logit_matching, shape=(5, 10))
hard_oracle = partial(
    test_hard_term_equals_the_slow_oracle, shape=(5, 10), hidden=True, smoothing=0.1
)
no_label = test_no_label_at_all_gives_zero_and_a_zero_gradient
unlabelled = test_rows_without_a_label_do_not_count
terms = partial(test_kd_terms_are_named_and_weighted, T=4.0, alpha=0.9)
ce = partial(test_ce_is_the_hard_term_alone, smoothing=0.1)
masked = partial(test_a_class_that_the_teacher_rules_out_is_learned, shape=(5, 10), T=4.0)
both_masked = partial(test_a_class_that_both_rule_out_does_not_count, shape=(5, 10), T=4.0)
half = partial(
    test_half_precision_is_computed_and_returned_in_float32, torch.bfloat16, torch.float32
)
learns = test_every_own_parameter_learns_and_the_teacher_does_not

MUTANTS = {
    "drop T^2": (kd_loss, "T**2 * ", "", [by_hand, on_paper, soft_oracle, slope, limit]),
    "T instead of T^2": (kd_loss, "T**2", "T", [by_hand, on_paper, soft_oracle, slope, limit]),
    "swap the sides of KL": (
        kd_loss,
        "divergence(log_p, log_q)",
        "divergence(log_q, log_p)",
        [by_hand, on_paper, soft_oracle, slope, masked, test_it_is_forward_kl],
    ),
    "mean over classes, too": (
        kd_loss,
        ".mean()",
        ".mean() / z_s.shape[1]",
        [by_hand, on_paper, soft_oracle, slope, limit],
    ),
    "sum over the batch": (
        kd_loss,
        ".mean()",
        ".sum()",
        [soft_oracle, slope, limit, test_repeating_the_batch_does_not_change_the_mean],
    ),
    "teacher not detached": (
        kd_loss,
        "z_t.detach()",
        "z_t",
        [test_no_gradient_reaches_the_teacher, learns],
    ),
    "student detached": (kd_loss, "in_float32(z_s)", "in_float32(z_s.detach())", [slope, learns]),
    "teacher fed twice to the loss": (
        kd_loss,
        "in_float32(z_s)",
        "in_float32(z_t)",
        [by_hand, soft_oracle, slope],
    ),
    "T on the teacher only": (
        kd_loss,
        "in_float32(z_s) / T",
        "in_float32(z_s)",
        [by_hand, soft_oracle, slope, limit],
    ),
    "T on the student only": (
        kd_loss,
        "in_float32(z_t.detach()) / T",
        "in_float32(z_t.detach())",
        [by_hand, soft_oracle, slope, limit],
    ),
    "softmax over the batch": (kd_loss, "dim=1", "dim=0", [by_hand, on_paper, soft_oracle]),
    "cross-entropy instead of KL": (
        kd_loss,
        "divergence(log_p, log_q).mean()",
        "-(log_p.exp() * log_q).sum(dim=1).mean()",
        [by_hand, soft_oracle, agree],
    ),
    "0 log 0 is no number": (
        divergence,
        "torch.where(p > 0, log_p - log_q, 0)",
        "log_p - log_q",
        [test_a_class_that_the_teacher_rules_out_by_hand, masked, both_masked],
    ),
    "student in half precision": (kd_loss, "in_float32(z_s)", "z_s", [half]),
    "teacher in half precision": (kd_loss, "in_float32(z_t.detach())", "z_t.detach()", [half]),
    "labels in half precision": (hard_loss, "in_float32(z)", "z", [half]),
    "hard term over all rows": (
        hard_loss,
        "(y >= 0).sum().clamp(min=1)",
        "len(y)",
        [hard_oracle, unlabelled, terms],
    ),
    "hard term summed": (hard_loss, " / (y >= 0).sum().clamp(min=1)", "", [hard_oracle, terms]),
    "0 / 0 without labels": (hard_loss, ".clamp(min=1)", "", [no_label]),
    "no label means class 0": (
        hard_loss,
        "z, y, ignore_index=-1",
        "z, y.clamp(min=0)",
        [hard_oracle, no_label, unlabelled],
    ),
    "smoothing forgotten": (
        hard_loss,
        "label_smoothing=smoothing",
        "label_smoothing=0.0",
        [hard_oracle, ce],
    ),
    "alpha on the wrong terms": (
        KD,
        '"hard": (1 - self.alpha) * hard_loss(z_s, batch.y),\n'
        '            "soft": self.alpha * kd_loss',
        '"hard": self.alpha * hard_loss(z_s, batch.y),\n'
        '            "soft": (1 - self.alpha) * kd_loss',
        [terms],
    ),
    "hard term without its weight": (KD, "(1 - self.alpha) * hard_loss", "hard_loss", [terms]),
    "soft term without its weight": (KD, "self.alpha * kd_loss", "kd_loss", [terms]),
    "method ignores T": (KD, "kd_loss(z_s, z_t, self.T)", "kd_loss(z_s, z_t, 1.0)", [terms]),
    "teacher fed twice by the method": (
        KD,
        "logits_in(self.student(batch.x)), self.teacher(batch)",
        "self.teacher(batch), self.teacher(batch)",
        [terms, learns, test_the_teacher_is_asked_once_with_the_whole_batch],
    ),
    "student taught by itself": (
        KD,
        "logits_in(self.student(batch.x)), self.teacher(batch)",
        "self.student(batch.x), self.student(batch.x)",
        [terms],
    ),
    "hard term on the teacher": (KD, "hard_loss(z_s, batch.y)", "hard_loss(z_t, batch.y)", [terms]),
    "hard term at temperature T": (KD, "hard_loss(z_s,", "hard_loss(z_s / self.T,", [terms]),
    "CE ignores smoothing": (CE, ", self.smoothing)", ")", [ce]),
    "the teacher predicts": (
        KD,
        "return logits_in(self.student(x))",
        "return self.teacher(Batch(x, x, x))",
        [test_predict_is_the_student],
    ),
}


@pytest.mark.parametrize("name", MUTANTS)
def test_a_wrong_loss_is_caught(name: str):
    target, old, new, by = MUTANTS[name]
    assert_caught(target, old, new, by)


def test_a_mutant_is_gone_afterwards():
    before = kd_loss.__code__
    with mutated(kd_loss, "T**2", "T"):
        assert kd_loss.__code__ is not before
    assert kd_loss.__code__ is before


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [("no such text", "", "does not occur"), ("# log q_T", "# other", "changes no code")],
)
def test_a_mutant_that_is_none_is_refused(old: str, new: str, told: str):
    assert "# log q_T" in inspect.getsource(kd_loss)
    with pytest.raises(AssertionError, match=told), mutated(kd_loss, old, new):
        pass


def test_a_mutant_nobody_notices_is_reported():
    with pytest.raises(AssertionError, match="was not noticed by test_predict_is_the_student"):
        assert_caught(kd_loss, "T**2", "T", [test_predict_is_the_student])
