"""The losses of Yuan et al. 2020: any teacher, the virtual teacher, and what equals what."""

import doctest
import itertools
import math
from functools import partial

import pytest
import torch
from torch import Tensor, nn

from kdlab.data import Batch, Data
from kdlab.models import build
from kdlab.papers.kd.method import kd_loss
from kdlab.papers.lsr import method as lsr
from kdlab.papers.lsr.method import (
    FORMS,
    REDUCTIONS,
    Distil,
    Share,
    TfReg,
    lsr_equivalent,
    reg_term,
    soft_term,
    virtual_teacher,
)
from kdlab.train.fit import fit
from kdlab.train.frozen import Frozen
from kdlab.train.method import hard_loss
from kdlab.train.recipe import Recipe
from tests import oracles
from tests.mutants import assert_caught
from tests.papers.cases import gradient, labels, logits

SHAPES = [(1, 1), (1, 2), (2, 3), (5, 10), (3, 100)]
TEMPERATURES = [0.5, 1.0, 4.0, 20.0]
SWITCHES = list(itertools.product(FORMS, REDUCTIONS))
OUT = -math.inf


def logs(row: list[float], T: float) -> list[float]:
    """log q_i = z_i / T - log sum_j exp(z_j / T); -inf for a class that is ruled out."""
    top = max(row) / T
    total = top + math.log(math.fsum(math.exp(value / T - top) for value in row))
    return [value / T - total for value in row]


def slow_soft(z_s: Tensor, z_t: Tensor, T: float, form: str, reduction: str) -> float:
    """The equation, one loop for each sum."""
    total, (b, c) = 0.0, z_s.shape
    for student, teacher in zip(oracles.rows(z_s), oracles.rows(z_t), strict=True):
        p, log_q = oracles.softmax(teacher, T), logs(student, 1.0 if form == "untempered" else T)
        total += math.fsum(a * (math.log(a) - b) for a, b in zip(p, log_q, strict=True) if a > 0)
    total *= T * T if form == "squared" else 1.0
    return total / (b * c if reduction == "mean" else b)


def slow_reg(z: Tensor, y: list[int], T: float, a_c: float, form: str, reduction: str) -> float:
    """Equations 8 and 9: the teacher is written down, label by label."""
    c, kept = z.shape[1], [i for i, label in enumerate(y) if label >= 0]
    if not kept:
        return 0.0
    p_d = [[a_c if k == y[i] else (1 - a_c) / (c - 1) for k in range(c)] for i in kept]
    table = torch.tensor(p_d, dtype=torch.float64)
    return slow_soft(z[kept], table, T, form, reduction)


# --- the soft term ------------------------------------------------------------------------------


def test_values_worked_out_by_hand():
    """The examples in the docstrings."""
    parts = (soft_term, virtual_teacher, reg_term, lsr_equivalent)
    for part in parts:
        (example,) = doctest.DocTestFinder(recurse=False).find(part, globs=dict(vars(lsr)))
        assert example.examples
        assert doctest.DocTestRunner(verbose=False).run(example).failed == 0


def test_values_worked_out_on_paper():
    """Two classes, T = 2: p = (3/4, 1/4); the student is even at every temperature."""
    z_s = torch.zeros(1, 2, dtype=torch.float64)
    z_t = torch.tensor([[2 * math.log(3), 0.0]], dtype=torch.float64)
    by_hand = 0.75 * math.log(1.5) + 0.25 * math.log(0.5)
    for form, factor in (("squared", 4), ("literal", 1), ("untempered", 1)):
        assert soft_term(z_s, z_t, 2.0, form).item() == pytest.approx(factor * by_hand, rel=1e-12)
        halved = soft_term(z_s, z_t, 2.0, form, "mean").item()
        assert halved == pytest.approx(factor * by_hand / 2, rel=1e-12)


@pytest.mark.parametrize(("form", "reduction"), SWITCHES)
@pytest.mark.parametrize("shape", SHAPES)
def test_soft_term_equals_the_slow_oracle(shape: tuple[int, int], form: str, reduction: str):
    z_s, z_t = logits(*shape)
    for T in TEMPERATURES:
        expected = slow_soft(z_s, z_t, T, form, reduction)
        got = soft_term(z_s, z_t, T, form, reduction).item()
        assert got == pytest.approx(expected, rel=1e-9, abs=1e-12)


@pytest.mark.parametrize("T", TEMPERATURES)
def test_squared_with_batchmean_is_the_loss_of_notebook_00(T: float):
    z_s, z_t = logits(5, 10)
    torch.testing.assert_close(soft_term(z_s, z_t, T), kd_loss(z_s, z_t, T))


@pytest.mark.parametrize("form", FORMS)
def test_zero_and_flat_where_the_student_says_what_is_asked(form: str):
    z_t, T = logits(5, 10)[1], 4.0
    z_s = (z_t / T if form == "untempered" else z_t.clone()).requires_grad_()
    loss = soft_term(z_s, z_t, T, form)
    assert abs(loss.item()) < 1e-12 and gradient(loss, z_s).abs().max() < 1e-12
    assert soft_term(z_s + torch.eye(5, 10), z_t, T, form) > 1e-3


@pytest.mark.parametrize("form", FORMS)
def test_a_constant_added_to_a_row_changes_nothing(form: str):
    (z_s, z_t), move = logits(5, 10), torch.linspace(-9, 9, 5, dtype=torch.float64)[:, None]
    expected = soft_term(z_s, z_t, 4.0, form)
    torch.testing.assert_close(soft_term(z_s + move, z_t - move, 4.0, form), expected)
    y = labels(5, 10)
    torch.testing.assert_close(reg_term(z_s + move, y, 4.0), reg_term(z_s, y, 4.0))


@pytest.mark.parametrize("form", FORMS)
def test_the_order_of_rows_and_classes_does_not_matter(form: str):
    (z_s, z_t), y = logits(5, 10), labels(5, 10, hidden=True)
    gen = torch.Generator().manual_seed(1)
    rows, classes = torch.randperm(5, generator=gen), torch.randperm(10, generator=gen)
    expected = soft_term(z_s, z_t, 4.0, form)
    torch.testing.assert_close(soft_term(z_s[rows], z_t[rows], 4.0, form), expected)
    torch.testing.assert_close(soft_term(z_s[:, classes], z_t[:, classes], 4.0, form), expected)
    renamed = torch.where(y < 0, y, classes.argsort()[y])
    expected = reg_term(z_s, y, 4.0, form=form)
    torch.testing.assert_close(reg_term(z_s[:, classes], renamed, 4.0, form=form), expected)


def test_mean_divides_by_the_number_of_classes():
    for shape in SHAPES:
        (z_s, z_t), y = logits(*shape), labels(*shape)
        for form in FORMS:
            whole = soft_term(z_s, z_t, 4.0, form)
            torch.testing.assert_close(soft_term(z_s, z_t, 4.0, form, "mean"), whole / shape[1])
        torch.testing.assert_close(
            reg_term(z_s, y, 4.0, reduction="mean"), reg_term(z_s, y, 4.0) / shape[1]
        )


@pytest.mark.parametrize(("form", "reduction"), SWITCHES)
def test_gradcheck(form: str, reduction: str):
    for shape in [(1, 2), (5, 10)]:
        (z_s, z_t), y = logits(*shape), labels(*shape, hidden=True)
        z_s.requires_grad_()
        assert torch.autograd.gradcheck(lambda z: soft_term(z, z_t, 2.0, form, reduction), (z_s,))  # noqa: B023
        assert torch.autograd.gradcheck(
            lambda z: reg_term(z, y, 2.0, 0.9, form, reduction),  # noqa: B023
            (z_s,),
        )


def test_no_gradient_reaches_the_teacher():
    z_s, z_t = (z.requires_grad_() for z in logits(5, 10))
    for form in FORMS:
        loss = soft_term(z_s, z_t, 4.0, form)
        of_student, of_teacher = torch.autograd.grad(loss, (z_s, z_t), allow_unused=True)
        assert of_teacher is None and of_student.abs().min() > 0


# --- the virtual teacher ------------------------------------------------------------------------


@pytest.mark.parametrize("a_c", [0.1, 0.9, 0.99, 1.0])
@pytest.mark.parametrize("shape", SHAPES)
def test_the_virtual_teacher_is_a_distribution_that_follows_the_label(shape, a_c: float):
    y = labels(*shape)
    p_d = virtual_teacher(y, shape[1], a_c, torch.float64)
    assert p_d.shape == shape and (p_d >= 0).all()
    torch.testing.assert_close(p_d.sum(dim=1), torch.ones(shape[0], dtype=torch.float64))
    own = p_d.gather(1, y[:, None])
    assert own.min().item() == pytest.approx(a_c if shape[1] > 1 else 1.0, abs=1e-12)
    if shape[1] > 2:
        others = p_d.scatter(1, y[:, None], p_d.amin(dim=1, keepdim=True).clone())
        rest = others.masked_fill(
            nn.functional.one_hot(y, shape[1]).bool(), (1 - a_c) / (shape[1] - 1)
        )
        torch.testing.assert_close(rest, torch.full_like(rest, (1 - a_c) / (shape[1] - 1)))


@pytest.mark.parametrize(("form", "reduction"), SWITCHES)
@pytest.mark.parametrize("hidden", [False, True])
def test_reg_term_equals_the_slow_oracle(form: str, reduction: str, hidden: bool):
    for shape in SHAPES[1:]:
        z, y = logits(*shape)[0], labels(*shape, hidden=hidden)
        for T, a_c in ((1.0, 0.9), (20.0, 0.99)):
            expected = slow_reg(z, y.tolist(), T, a_c, form, reduction)
            got = reg_term(z, y, T, a_c, form, reduction).item()
            assert got == pytest.approx(expected, rel=1e-9, abs=1e-12)


def test_no_label_at_all_gives_zero_and_a_zero_gradient():
    z = logits(4, 10)[0].requires_grad_()
    loss = reg_term(z, torch.full((4,), -1), 20.0)
    assert loss.item() == 0
    assert torch.equal(gradient(loss, z), torch.zeros_like(z))


def test_p_d_is_softened_as_probabilities_and_not_as_their_logarithms():
    """C = 10, T = 20, a_c = 0.99: 0.105 on the label, and 0.135 if log p_d were softened."""
    p_d = virtual_teacher(torch.tensor([0]), 10, 0.99, torch.float64)
    assert torch.softmax(p_d / 20, 1)[0, 0].item() == pytest.approx(0.105, abs=1e-3)
    assert torch.softmax(p_d.log() / 20, 1)[0, 0].item() == pytest.approx(0.135, abs=1e-3)
    z = (p_d / 20).requires_grad_()
    assert reg_term(z, torch.tensor([0]), 20.0, 0.99, "untempered").abs() < 1e-12


# --- what equals what ---------------------------------------------------------------------------


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("shape", SHAPES[1:])
def test_the_untempered_form_is_label_smoothing(shape: tuple[int, int], reduction: str):
    c, z, y = shape[1], logits(*shape)[0].requires_grad_(), labels(*shape)
    for alpha, T, a_c in ((0.3, 5.0, 0.9), (0.95, 20.0, 0.99), (0.5, 1.0, 1.0)):
        epsilon, weight = lsr_equivalent(alpha, T, a_c, c, reduction)
        mine = (1 - alpha) * hard_loss(z, y)
        mine = mine + alpha * reg_term(z, y, T, a_c, "untempered", reduction)
        smooth = weight * hard_loss(z, y, epsilon)
        torch.testing.assert_close(gradient(mine, z), gradient(smooth, z), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("form", ["squared", "literal"])
def test_a_tempered_student_is_not(form: str):
    z, y = logits(5, 10)[0].requires_grad_(), labels(5, 10)
    epsilon, _ = lsr_equivalent(0.5, 20.0, 0.99, 10)
    mine = 0.5 * hard_loss(z, y) + 0.5 * reg_term(z, y, 20.0, 0.99, form)
    assert (gradient(mine, z) - gradient(hard_loss(z, y, epsilon), z)).abs().max() > 1e-3


def test_the_checked_numbers_of_the_equivalent():
    assert lsr_equivalent(0.3, 5.0, 0.9, 10)[0] == pytest.approx(0.294275, abs=1e-6)
    delta = 1 - lsr_equivalent(1.0, 10.0, 0.99, 10)[0]
    assert delta == pytest.approx(0.010, abs=1e-3)
    for alpha, C, share in (
        (0.95, 100, 0.16),
        (0.6, 100, 0.015),
        (0.95, 10, 0.66),
        (0.6, 10, 0.13),
    ):
        epsilon, weight = lsr_equivalent(alpha, 1000.0, 0.99, C, "mean")
        assert epsilon == pytest.approx(share, abs=0.005)
        assert weight == pytest.approx(1 - alpha + alpha / C)


@pytest.mark.parametrize("T", [1.0, 4.0, 20.0])
def test_kd_is_a_cross_entropy_with_a_mixture_at_temperature_one_only(T: float):
    """Equations 4 to 6: L_KD + alpha H(p_T) = H((1 - alpha) y + alpha p_T, q_1) at T = 1."""
    (z_s, z_t), y, alpha = logits(5, 10), labels(5, 10), 0.3
    z_s.requires_grad_()
    kd = (1 - alpha) * hard_loss(z_s, y) + alpha * soft_term(z_s, z_t, T, "literal")
    p = torch.softmax(z_t / T, dim=1)
    target = (1 - alpha) * nn.functional.one_hot(y, 10).double() + alpha * p
    mixed = -(target * z_s.log_softmax(dim=1)).sum(dim=1).mean()
    entropy = torch.special.entr(p).sum(dim=1).mean()
    assert torch.isclose(kd + alpha * entropy, mixed, rtol=1e-9) == (T == 1)
    same = torch.allclose(gradient(kd, z_s), gradient(mixed, z_s), atol=1e-9)
    assert same == (T == 1)


@pytest.mark.parametrize(
    "case", [(-0.1, 4, 0.9, 10), (0.5, 0.0, 0.9, 10), (0.5, 4, 1.1, 10), (0.5, 4, 0.9, 1)]
)
def test_an_equivalent_out_of_range_is_refused(case):
    with pytest.raises(ValueError, match="give|is"):
        lsr_equivalent(*case)
    with pytest.raises(ValueError, match="reduction"):
        lsr_equivalent(0.5, 4.0, 0.9, 10, "sum")


# --- extreme and bad inputs ---------------------------------------------------------------------


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_logits_of_a_thousand_stay_finite_and_right(dtype: torch.dtype, form: str):
    z_s = torch.tensor([[1e3, -1e3, 0.0], [-1e3, 1e3, 5.0]], dtype=dtype, requires_grad=True)
    z_t = torch.tensor([[-1e3, 1e3, 0.0], [1e3, 0.0, -1e3]], dtype=dtype)
    y = torch.tensor([1, 0])
    for T in TEMPERATURES:
        soft, virtual = soft_term(z_s, z_t, T, form), reg_term(z_s, y, T, 0.99, form)
        expected = slow_soft(z_s.detach(), z_t, T, form, "batchmean")
        assert soft.item() == pytest.approx(expected, rel=1e-4)
        expected = slow_reg(z_s.detach(), y.tolist(), T, 0.99, form, "batchmean")
        assert virtual.item() == pytest.approx(expected, rel=1e-4)
        assert gradient(soft + virtual, z_s).isfinite().all()


@pytest.mark.parametrize("form", FORMS)
def test_identical_rows_count_as_one_and_one_class_teaches_nothing(form: str):
    (z_s, z_t), y = logits(1, 10), labels(1, 10)
    torch.testing.assert_close(
        soft_term(z_s.expand(8, -1), z_t.expand(8, -1), 4.0, form), soft_term(z_s, z_t, 4.0, form)
    )
    torch.testing.assert_close(
        reg_term(z_s.expand(8, -1), y.expand(8), 4.0, form=form), reg_term(z_s, y, 4.0, form=form)
    )
    z_s, z_t = logits(4, 1)
    z_s.requires_grad_()
    for loss in (soft_term(z_s, z_t, 4.0, form), reg_term(z_s, labels(4, 1), 4.0, form=form)):
        assert loss.item() == 0
        assert torch.equal(gradient(loss, z_s), torch.zeros_like(z_s))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
def test_half_precision_is_computed_and_returned_in_float32(dtype: torch.dtype):
    z_s, z_t = logits(5, 10, dtype=dtype)
    y = labels(5, 10)
    z_s.requires_grad_()
    for form in FORMS:
        soft, virtual = soft_term(z_s, z_t, 20.0, form), reg_term(z_s, y, 20.0, form=form)
        assert soft.dtype == virtual.dtype == torch.float32
        expected = slow_soft(z_s.detach().double(), z_t.double(), 20.0, form, "batchmean")
        assert soft.item() == pytest.approx(expected, rel=1e-3)
        assert gradient(soft + virtual, z_s).dtype == dtype


@pytest.mark.parametrize("form", FORMS)
def test_a_class_that_the_teacher_rules_out_is_learned(form: str):
    z_s, z_t = logits(5, 10)
    z_t, last = z_t.index_fill(1, torch.tensor([3]), OUT), torch.tensor([3])
    z_s.requires_grad_()
    loss = soft_term(z_s, z_t, 4.0, form)
    assert loss.item() == pytest.approx(slow_soft(z_s.detach(), z_t, 4.0, form, "batchmean"))
    assert (gradient(loss, z_s)[:, 3] > 0).all()  # downhill, its logit falls
    both = z_s.detach().index_fill(1, last, OUT).requires_grad_()
    without = [k for k in range(10) if k != 3]
    same = soft_term(both[:, without], z_t[:, without], 4.0, form)
    torch.testing.assert_close(soft_term(both, z_t, 4.0, form), same)
    assert gradient(soft_term(both, z_t, 4.0, form), both).isfinite().all()
    hidden = z_s.detach().index_fill(1, last, OUT).requires_grad_()
    loss = soft_term(hidden, logits(5, 10)[1], 4.0, form)
    assert loss.item() == math.inf and gradient(loss, hidden).isfinite().all()


@pytest.mark.parametrize(
    ("ask", "told"),
    [
        (lambda z: soft_term(z, z[:, :2], 4.0), "logits"),
        (lambda z: soft_term(z, z, 0.0), "temperature"),
        (lambda z: soft_term(z, z, 4.0, "cubed"), "form"),
        (lambda z: soft_term(z, z, 4.0, "literal", "sum"), "reduction"),
        (lambda z: reg_term(z, torch.tensor([0, 3]), 4.0), "labels"),
        (lambda z: reg_term(z, torch.tensor([0, 1]), 4.0, 1.5), "a_c"),
        (lambda z: reg_term(z, torch.tensor([0, 1]), math.nan), "temperature"),
        (lambda z: virtual_teacher(torch.tensor([-1]), 3), "label"),
        (lambda z: Distil(nn.Identity(), lambda batch: z, form="cubed"), "form"),
        (lambda z: Distil(nn.Identity(), lambda batch: z, alpha=2.0), "alpha"),
        (lambda z: Distil(nn.Identity(), nn.Identity()), "Frozen"),
        (lambda z: TfReg(nn.Identity(), reduction="sum"), "reduction"),
        (lambda z: TfReg(nn.Identity(), T=0.0), "temperature"),
        (lambda z: TfReg(nn.Identity(), a_c=-0.1), "a_c"),
        (lambda z: Share(nn.Identity(), alpha=1.1), "alpha"),
        (lambda z: Share(nn.Identity(), smoothing=1.0), "smoothing"),
    ],
)
def test_bad_input_is_refused_in_one_sentence(ask, told: str):
    with pytest.raises(ValueError, match=told) as error:
        ask(torch.zeros(2, 3))
    assert "\n" not in str(error.value)


# --- the methods --------------------------------------------------------------------------------


def linear(seed: int, c: int = 10) -> nn.Module:
    """Return a small student with weights of its own stream, for images (B, 1, 4, 4)."""
    gen = torch.Generator().manual_seed(seed)
    net = nn.Sequential(nn.Flatten(), nn.Linear(16, c)).double()
    with torch.no_grad():
        for weight in net.parameters():
            weight.copy_(torch.randn(weight.shape, generator=gen, dtype=torch.float64))
    return net


def make_batch(b: int = 6) -> Batch:
    x = torch.randn(b, 1, 4, 4, generator=torch.Generator().manual_seed(b), dtype=torch.float64)
    return Batch(x, labels(b, 10, hidden=True), torch.arange(b))


@pytest.mark.parametrize(("form", "reduction"), SWITCHES)
def test_the_terms_are_named_and_weighted(form: str, reduction: str):
    student, net, batch, alpha = linear(1), linear(2), make_batch(), 0.3
    z_s, y = student(batch.x).detach(), batch.y.tolist()
    z_t = net(batch.x).detach()
    hard = (1 - alpha) * oracles.hard_loss(z_s, y)
    teacher = lambda batch: net(batch.x)  # noqa: E731
    for method, soft in (
        (
            Distil(student, teacher, 4.0, alpha, form, reduction),
            slow_soft(z_s, z_t, 4.0, form, reduction),
        ),
        (
            TfReg(student, 4.0, alpha, form, reduction, 0.9),
            slow_reg(z_s, y, 4.0, 0.9, form, reduction),
        ),
    ):
        terms = method(batch)
        assert list(terms) == ["hard", "soft"] and method.n_classes == 10
        assert terms["hard"].item() == pytest.approx(hard, rel=1e-9)
        assert terms["soft"].item() == pytest.approx(alpha * soft, rel=1e-9)


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_the_control_is_the_label_term_alone(smoothing: float):
    student, batch = linear(1), make_batch()
    z, y = student(batch.x).detach(), batch.y.tolist()
    terms = Share(student, 0.95, smoothing)(batch)
    assert list(terms) == ["hard"]
    assert terms["hard"].item() == pytest.approx(0.05 * oracles.hard_loss(z, y, smoothing))
    beside = TfReg(student, alpha=0.95)(batch)["hard"].item()
    assert Share(student)(batch)["hard"].item() == pytest.approx(beside)


def test_the_defaults_are_those_of_the_page():
    method = TfReg(nn.Identity())
    assert (method.T, method.alpha, method.form) == (20.0, 0.16, "squared")
    assert (method.reduction, method.a_c) == ("batchmean", 0.99)
    assert Share(nn.Identity()).alpha == 0.95


def test_every_own_parameter_learns_and_the_teacher_does_not():
    student, net = linear(1), linear(2)
    for method in (Distil(student, lambda batch: net(batch.x)), TfReg(student), Share(student)):
        student.zero_grad()
        sum(method(make_batch()).values()).backward()
        assert all(p.grad is not None and p.grad.abs().max() > 0 for p in student.parameters())
        assert all(p.grad is None for p in net.parameters())
        x = make_batch().x
        assert torch.equal(method.predict(x), student(x))


def test_a_short_fit_lowers_the_loss_and_leaves_the_teacher(data: Data):
    teacher = Frozen(build("cnn2", 10, seed=0), data)
    before = [p.clone() for p in teacher.net.parameters()]
    student = lambda: build("cnn2", 10, seed=1)  # noqa: E731
    for method in (
        Distil(student(), teacher, alpha=0.5),
        TfReg(student(), form="untempered"),
        TfReg(student(), reduction="mean"),
        Share(student(), alpha=0.5),
    ):
        history = fit(method, data, Recipe(epochs=25), device="cpu")
        losses = history[[name for name in ("hard", "soft") if name in history]].sum(axis=1)
        assert losses.iloc[-1] < 0.9 * losses.iloc[0]
        assert all(p.isfinite().all() for p in method.parameters())
    assert all(torch.equal(*pair) for pair in zip(before, teacher.net.parameters(), strict=True))


# --- mutants ------------------------------------------------------------------------------------

by_hand, on_paper = test_values_worked_out_by_hand, test_values_worked_out_on_paper
squared = partial(test_soft_term_equals_the_slow_oracle, (5, 10), "squared", "batchmean")
literal = partial(test_soft_term_equals_the_slow_oracle, (5, 10), "literal", "batchmean")
untempered = partial(test_soft_term_equals_the_slow_oracle, (5, 10), "untempered", "batchmean")
averaged = partial(test_soft_term_equals_the_slow_oracle, (5, 10), "squared", "mean")
reg = partial(test_reg_term_equals_the_slow_oracle, "squared", "batchmean", False)
unlabelled = partial(test_reg_term_equals_the_slow_oracle, "squared", "batchmean", True)
smooth = partial(test_the_untempered_form_is_label_smoothing, (5, 10), "batchmean")
smooth_mean = partial(test_the_untempered_form_is_label_smoothing, (5, 10), "mean")
numbers = test_the_checked_numbers_of_the_equivalent
spread = partial(test_the_virtual_teacher_is_a_distribution_that_follows_the_label, (5, 10), 0.9)
terms = partial(test_the_terms_are_named_and_weighted, "literal", "mean")
learns = test_every_own_parameter_learns_and_the_teacher_does_not
half = partial(test_half_precision_is_computed_and_returned_in_float32, torch.bfloat16)
control = partial(test_the_control_is_the_label_term_alone, 0.2)

MUTANTS = {
    "no T^2": (soft_term, "T**2 if", "1 if", [by_hand, on_paper, squared]),
    "T for T^2": (soft_term, "T**2", "T", [by_hand, on_paper, squared]),
    "T^2 in the equation as printed": (
        soft_term,
        'if form == "squared"',
        'if form != "untempered"',
        [by_hand, on_paper, literal],
    ),
    "T^2 for the untempered student": (
        soft_term,
        'if form == "squared"',
        'if form != "literal"',
        [by_hand, untempered, smooth],
    ),
    "the untempered student is tempered": (
        soft_term,
        '(1 if form == "untempered" else T)',
        "T",
        [by_hand, untempered, smooth],
    ),
    "no student is tempered": (
        soft_term,
        '(1 if form == "untempered" else T)',
        "1",
        [by_hand, squared, literal],
    ),
    "the teacher is not softened": (
        soft_term,
        "in_float32(z_t.detach()) / T",
        "in_float32(z_t.detach())",
        [by_hand, squared, untempered],
    ),
    "the sides of KL swapped": (
        soft_term,
        "divergence(log_p, log_q)",
        "divergence(log_q, log_p)",
        [by_hand, on_paper, squared, smooth],
    ),
    "mean over classes always": (
        soft_term,
        'if reduction == "mean" else kl',
        "if reduction else kl",
        [by_hand, squared, test_mean_divides_by_the_number_of_classes],
    ),
    "mean forgotten": (
        soft_term,
        "kl / z_s.shape[1]",
        "kl",
        [averaged, on_paper, smooth_mean, test_mean_divides_by_the_number_of_classes],
    ),
    "divided by the batch once more": (soft_term, "z_s.shape[1]", "len(z_s)", [averaged]),
    "softmax over the batch": (soft_term, "dim=1", "dim=0", [by_hand, squared]),
    "teacher not detached": (
        soft_term,
        "z_t.detach()",
        "z_t",
        [test_no_gradient_reaches_the_teacher, learns],
    ),
    "student in half precision": (soft_term, "in_float32(z_s)", "z_s", [half]),
    "the rest over C classes": (
        virtual_teacher,
        "/ (C - 1)) if",
        "/ C) if",
        [by_hand, spread, reg],
    ),
    "the label gets the rest": (
        virtual_teacher,
        "(a_c, (1 - a_c) / (C - 1))",
        "((1 - a_c) / (C - 1), a_c)",
        [by_hand, spread, reg],
    ),
    "a_c on class 0": (
        virtual_teacher,
        "y[:, None], top",
        "0 * y[:, None], top",
        [by_hand, spread, reg],
    ),
    "one class keeps a_c": (
        virtual_teacher,
        "else (1.0, 0.0)",
        "else (a_c, 0.0)",
        [partial(test_the_virtual_teacher_is_a_distribution_that_follows_the_label, (1, 1), 0.9)],
    ),
    "p_d follows the prediction": (
        reg_term,
        "virtual_teacher(y,",
        "virtual_teacher(z.argmax(dim=1),",
        [by_hand, reg, smooth],
    ),
    "p_d in single precision": (reg_term, ", z.dtype)", ").to(z)", [smooth]),
    "a_c forgotten": (reg_term, "z.shape[1], a_c,", "z.shape[1], 0.99,", [reg, smooth]),
    "rows without a label count": (
        reg_term,
        "in_float32(z_s)[y >= 0], y[y >= 0]",
        "in_float32(z_s), y.clamp(min=0)",
        [unlabelled, test_no_label_at_all_gives_zero_and_a_zero_gradient],
    ),
    "epsilon is alpha": (lsr_equivalent, "soft * (1 - delta)", "soft", [by_hand, smooth, numbers]),
    "epsilon by p_c": (lsr_equivalent, "soft * (1 - delta)", "soft * (1 - p_c)", [by_hand, smooth]),
    "delta of the hard p_d": (lsr_equivalent, "-gap / T", "-gap", [by_hand, smooth, numbers]),
    "p_c over C": (lsr_equivalent, "(C - 1) * math", "C * math", [by_hand, smooth]),
    "weight forgotten": (lsr_equivalent, "/ weight, weight", ", 1.0", [smooth_mean, numbers]),
    "share of mean forgotten": (
        lsr_equivalent,
        'C if reduction == "mean" else 1',
        "1",
        [smooth_mean, numbers],
    ),
    "hard term without its weight": (Distil, "(1 - self.alpha) * hard", "hard", [terms]),
    "soft term without its weight": (Distil, "self.alpha * soft", "soft", [terms]),
    "the method ignores its form": (
        Distil,
        "self.form, self.reduction)\n\n    def f",
        "'squared', self.reduction)\n\n    def f",
        [terms],
    ),
    "the method ignores its reduction": (
        TfReg,
        "self.form, self.reduction)",
        "self.form)",
        [terms],
    ),
    "the method ignores a_c": (TfReg, "self.a_c, self.form", "0.5, self.form", [terms]),
    "the control keeps its whole weight": (Share, "(1 - self.alpha) * ", "", [control]),
    "the control has the other share": (Share, "(1 - self.alpha)", "self.alpha", [control]),
    "the control ignores smoothing": (Share, "(student, smoothing)", "(student)", [control]),
}


@pytest.mark.parametrize("name", MUTANTS)
def test_a_wrong_loss_is_caught(name: str):
    assert_caught(*MUTANTS[name])
