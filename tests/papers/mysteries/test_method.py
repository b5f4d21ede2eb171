"""The activation, the loss and the method of Allen-Zhu, Li 2020, against slow loops."""

import itertools
import math
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from kdlab.data import Batch, Data
from kdlab.models import build
from kdlab.papers.kd.method import kd_loss
from kdlab.papers.mysteries import method
from kdlab.papers.mysteries.method import FORMS, ViewKD, pull_up, slope, smoothed_relu
from kdlab.train.fit import fit
from kdlab.train.frozen import Frozen
from kdlab.train.recipe import Recipe
from tests import oracles
from tests.mutants import assert_caught

SHAPES = [(1, 1), (1, 2), (2, 3), (5, 10), (3, 40)]
SETTINGS = list(itertools.product((0.7, 2.0, 4.0), (True, False), (True, False)))


def logits(b: int, c: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    gen = torch.Generator().manual_seed(100 * b + c + seed)
    z_s, z_t = 3 * torch.randn(2, b, c, generator=gen, dtype=torch.float64)
    return z_s, z_t


def gradient(loss: Tensor, at: Tensor) -> Tensor:
    return torch.autograd.grad(loss, at)[0]


# --- oracles, one loop for each sum ---------------------------------------------------------------


def slow_relu(z: float, power: float, threshold: float) -> float:
    if z <= 0:
        return 0.0
    if z <= threshold:
        return z**power / (power * threshold ** (power - 1))
    return z - (1 - 1 / power) * threshold


def slow_pull(z_s: Any, z_t: Any, T: float, cap: bool, one_sided: bool) -> tuple[float, list]:
    """Return the loss and its gradient at the student's logits."""
    top, total, slopes = T * T if cap else math.inf, 0.0, []
    students, teachers = oracles.rows(z_s), oracles.rows(z_t)
    for s, t in zip(students, teachers, strict=True):
        q, p = (oracles.softmax([min(z, top) for z in row], T) for row in (s, t))
        gaps = [a - b if a < b or not one_sided else 0.0 for a, b in zip(q, p, strict=True)]
        total += 0.5 * math.fsum(gap**2 for gap in gaps)
        mean = math.fsum(a * gap for a, gap in zip(q, gaps, strict=True))
        slopes.append(
            [
                a * (gap - mean) / T / len(students) if z < top else 0.0
                for a, gap, z in zip(q, gaps, s, strict=True)
            ]
        )
    return total / len(students), slopes


# --- the activation -------------------------------------------------------------------------------


@pytest.mark.parametrize("power", [1.0, 1.5, 2.0, 3.0, 4.0])
@pytest.mark.parametrize("threshold", [0.2, 1.0, 3.0])
def test_activation_and_slope_equal_the_slow_oracle(power: float, threshold: float):
    z = torch.linspace(-2, 5, 57, dtype=torch.float64).requires_grad_()
    found = smoothed_relu(z, power, threshold)
    expected = [slow_relu(value, power, threshold) for value in z.tolist()]
    assert found.tolist() == pytest.approx(expected, abs=1e-12)
    steps = [
        (slow_relu(x + 1e-6, power, threshold) - slow_relu(x - 1e-6, power, threshold)) / 2e-6
        for x in z.tolist()
    ]
    smooth = [i for i, x in enumerate(z.tolist()) if abs(x) > 1e-3]  # power 1 has a kink at 0
    steep = gradient(found.sum(), z)
    assert steep[smooth].tolist() == pytest.approx([steps[i] for i in smooth], abs=1e-5)
    torch.testing.assert_close(steep, slope(z.detach(), power, threshold))


def test_activation_by_hand():
    z = torch.tensor([-1.0, 0.0, 0.5, 1.0, 2.0])
    assert smoothed_relu(z).tolist() == pytest.approx([0, 0, 1 / 24, 1 / 3, 4 / 3])


def test_powers_agree_beyond_the_threshold_up_to_a_constant():
    z = torch.linspace(1, 6, 11, dtype=torch.float64)
    base = smoothed_relu(z, 2.0)
    for power in (3.0, 4.0):
        apart = smoothed_relu(z, power) - base
        torch.testing.assert_close(apart, torch.full_like(z, 1 / power - 1 / 2))


@pytest.mark.parametrize("threshold", [0.5, 1.0])
def test_slope_is_1_at_the_threshold_and_0_at_0(threshold: float):
    at = torch.tensor([0.0, threshold, 2 * threshold])
    assert slope(at, 3.0, threshold).tolist() == pytest.approx([0, 1, 1])


def test_activation_gradcheck():
    z = (torch.arange(-3, 12, dtype=torch.float64) / 4 + 0.1).requires_grad_()
    for power in (1.0, 2.0, 3.0):
        assert torch.autograd.gradcheck(lambda x, p=power: smoothed_relu(x, p, 1.0), (z,))


def test_activation_of_extreme_input():
    z = torch.tensor([-1e30, -1e3, 1e3], requires_grad=True)
    found = smoothed_relu(z)
    assert found.tolist() == pytest.approx([0, 0, 1e3 - 2 / 3])
    assert gradient(found.sum(), z).tolist() == [0, 0, 1]
    half = smoothed_relu(torch.tensor([0.5, 2.0], dtype=torch.bfloat16))
    assert half.tolist() == pytest.approx([1 / 24, 4 / 3], rel=1e-2)


@pytest.mark.parametrize(("power", "threshold"), [(0.5, 1.0), (math.nan, 1.0), (3.0, 0.0)])
def test_an_activation_that_cannot_be_is_refused(power: float, threshold: float):
    with pytest.raises(ValueError, match="power"):
        smoothed_relu(torch.zeros(2), power, threshold)


# --- the loss -------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(("T", "cap", "one_sided"), SETTINGS)
def test_loss_and_gradient_equal_the_slow_oracle(shape, T, cap, one_sided):
    for seed in range(2):
        z_s, z_t = logits(*shape, seed)
        z_s.requires_grad_()
        loss = pull_up(z_s, z_t, T, cap, one_sided)
        value, slopes = slow_pull(z_s.detach(), z_t, T, cap, one_sided)
        assert loss.item() == pytest.approx(value, rel=1e-9, abs=1e-12)
        steep = gradient(loss, z_s)
        torch.testing.assert_close(steep, torch.tensor(slopes, dtype=torch.float64))


def test_loss_by_hand():
    """T = 2: q = softmax(0.5, 1, 0), p = softmax(2, 0, 1), for the 9 is capped at 4."""
    z_s = torch.tensor([[1.0, 2.0, 0.0]])
    z_t = torch.tensor([[9.0, 0.0, 2.0]])
    total_s, total_t = math.exp(0.5) + math.e + 1, math.exp(2) + 1 + math.e
    first = math.exp(0.5) / total_s - math.exp(2) / total_t
    third = 1 / total_s - math.e / total_t
    assert pull_up(z_s, z_t, T=2.0).item() == pytest.approx((first**2 + third**2) / 2, rel=1e-5)


@pytest.mark.parametrize(("T", "cap", "one_sided"), SETTINGS)
def test_zero_and_flat_where_student_equals_teacher(T, cap, one_sided):
    z, other = logits(5, 10)
    z.requires_grad_()
    loss = pull_up(z, z.detach(), T, cap, one_sided)
    assert loss.item() == 0
    assert gradient(loss, z).abs().max() == 0
    assert pull_up(other, z.detach(), T, cap, one_sided) > 1e-5


def test_what_lies_above_the_cap_does_not_count():
    z_s, z_t = (z.abs() for z in logits(5, 10))
    z_s[:, 0], z_t[:, 1] = 5.0, 6.0
    far_s, far_t = z_s.clone(), z_t.clone()
    far_s[:, 0], far_t[:, 1] = 50.0, 500.0
    torch.testing.assert_close(pull_up(far_s, far_t, 2.0), pull_up(z_s, z_t, 2.0))
    assert abs(pull_up(far_s, far_t, 2.0, cap=False) - pull_up(z_s, z_t, 2.0, cap=False)) > 1e-3


def test_a_constant_added_to_a_row_matters_to_the_cap_alone():
    z_s, z_t = logits(5, 10)
    moved = pull_up(z_s + 3, z_t - 2, 2.0, cap=False)
    torch.testing.assert_close(moved, pull_up(z_s, z_t, 2.0, cap=False))
    assert abs(pull_up(z_s + 3, z_t - 2, 2.0) - pull_up(z_s, z_t, 2.0)) > 1e-4


def test_one_sided_is_blind_to_what_the_student_says_too_much():
    z_t = torch.zeros(1, 4, dtype=torch.float64)
    z_s = torch.tensor([[3.0, 0.0, 0.0, 0.0]], dtype=torch.float64)
    q = z_s.div(2).softmax(dim=1)[0]
    low = 0.5 * 3 * (q[1] - 0.25) ** 2
    assert pull_up(z_s, z_t, 2.0).item() == pytest.approx(low.item())
    whole = pull_up(z_s, z_t, 2.0, one_sided=False).item()
    assert whole == pytest.approx((low + 0.5 * (q[0] - 0.25) ** 2).item())


@pytest.mark.parametrize("shape", SHAPES)
def test_order_and_repetition_do_not_matter(shape):
    (b, c), (z_s, z_t) = shape, logits(*shape)
    gen = torch.Generator().manual_seed(1)
    rows, classes = torch.randperm(b, generator=gen), torch.randperm(c, generator=gen)
    whole = pull_up(z_s, z_t, 2.0)
    torch.testing.assert_close(pull_up(z_s[rows], z_t[rows], 2.0), whole)
    torch.testing.assert_close(pull_up(z_s[:, classes], z_t[:, classes], 2.0), whole)
    torch.testing.assert_close(pull_up(z_s.repeat(3, 1), z_t.repeat(3, 1), 2.0), whole)


@pytest.mark.parametrize(("T", "cap", "one_sided"), SETTINGS)
def test_gradcheck(T, cap, one_sided):
    z_s, z_t = logits(4, 6)
    assert torch.autograd.gradcheck(
        lambda z: pull_up(z, z_t, T, cap, one_sided), (z_s.requires_grad_(),)
    )


def test_no_gradient_reaches_the_teacher():
    z_s, z_t = (z.requires_grad_() for z in logits(5, 10))
    of_student, of_teacher = torch.autograd.grad(
        pull_up(z_s, z_t, 4.0), (z_s, z_t), allow_unused=True
    )
    assert of_teacher is None and of_student.abs().max() > 0


@pytest.mark.parametrize("cap", [True, False])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_logits_of_a_thousand(dtype, cap):
    z_s = torch.tensor([[1e3, -1e3, 0.0], [-1e3, 1e3, 5.0]], dtype=dtype, requires_grad=True)
    z_t = torch.tensor([[-1e3, 1e3, 0.0], [1e3, 0.0, -1e3]], dtype=dtype)
    loss = pull_up(z_s, z_t, 2.0, cap)
    assert loss.item() == pytest.approx(slow_pull(z_s.detach(), z_t, 2.0, cap, True)[0], rel=1e-5)
    assert gradient(loss, z_s).isfinite().all()


@pytest.mark.parametrize("cap", [True, False])
def test_a_class_that_is_ruled_out(cap):
    z_s, z_t = logits(4, 5)
    only_teacher = z_t.index_fill(1, torch.tensor([2]), -math.inf)
    z_s.requires_grad_()
    loss = pull_up(z_s, only_teacher, 2.0, cap)
    assert loss.isfinite() and gradient(loss, z_s).isfinite().all()
    both = z_s.detach().index_fill(1, torch.tensor([2]), -math.inf).requires_grad_()
    keep = [0, 1, 3, 4]
    loss = pull_up(both, only_teacher, 2.0, cap)
    torch.testing.assert_close(loss, pull_up(both[:, keep], z_t[:, keep], 2.0, cap))
    assert gradient(loss, both).isfinite().all()
    missing = pull_up(both, z_t, 2.0, cap)  # the student rules out what the teacher names
    assert missing.isfinite() and missing > 0


def test_one_class_teaches_nothing():
    z_s, z_t = logits(4, 1)
    loss = pull_up(z_s.requires_grad_(), z_t, 2.0)
    assert loss.item() == 0 and gradient(loss, z_s).abs().max() == 0


def test_identical_rows_count_as_one():
    z_s, z_t = logits(1, 10)
    rows = pull_up(z_s.expand(6, -1), z_t.expand(6, -1), 2.0)
    torch.testing.assert_close(rows, pull_up(z_s, z_t, 2.0))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
def test_half_precision_is_computed_in_float32(dtype):
    z_s, z_t = (z.to(dtype) for z in logits(5, 10))
    loss = pull_up(z_s, z_t, 2.0)
    assert loss.dtype == torch.float32
    exact = slow_pull(z_s.float(), z_t.float(), 2.0, True, True)[0]
    assert loss.item() == pytest.approx(exact, rel=1e-4)


@pytest.mark.parametrize("shapes", [((2, 3), (2, 4)), ((3,), (3,)), ((0, 3), (0, 3))])
def test_logits_of_wrong_shape_are_refused(shapes):
    with pytest.raises(ValueError, match="logits"):
        pull_up(torch.zeros(shapes[0]), torch.zeros(shapes[1]), 2.0)


@pytest.mark.parametrize("T", [0.0, -1.0, math.nan, math.inf])
def test_a_temperature_out_of_range_is_refused(T):
    with pytest.raises(ValueError, match="temperature"):
        pull_up(torch.zeros(2, 3), torch.zeros(2, 3), T)


# --- the method -----------------------------------------------------------------------------------


def linear(seed: int, c: int = 10) -> nn.Module:
    net = nn.Sequential(nn.Flatten(), nn.Linear(16, c)).double()
    gen = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for weight in net.parameters():
            weight.copy_(torch.randn(weight.shape, generator=gen, dtype=torch.float64))
    return net


def asked(net: nn.Module) -> Any:
    """Return a teacher that is a plain network: its gradients are there to be seen."""
    return lambda batch: net(batch.x)


def make_batch(b: int = 6) -> Batch:
    gen = torch.Generator().manual_seed(b)
    x = torch.randn(b, 1, 4, 4, generator=gen, dtype=torch.float64)
    return Batch(x, torch.arange(b), torch.arange(b))


@pytest.mark.parametrize("form", [*FORMS, "KL"])
def test_terms_are_named_and_weighted(form: str):
    student, net, batch = linear(1), linear(2), make_batch()
    terms = ViewKD(student, asked(net), T=3.0, lam=7.0, form=form)(batch)
    z_s, z_t = student(batch.x), net(batch.x)
    soft = kd_loss(z_s, z_t, 3.0) if form == "KL" else pull_up(z_s, z_t, 3.0, *FORMS[form])
    assert list(terms) == ["hard", "soft"]
    expected = oracles.hard_loss(z_s.detach(), batch.y.tolist())
    assert terms["hard"].item() == pytest.approx(expected)
    assert terms["soft"].item() == pytest.approx(7 * soft.item())


def test_the_forms_are_what_they_are_called():
    assert FORMS == {"theorem": (True, True), "no cap": (False, True), "two-sided": (True, False)}


@pytest.mark.parametrize("form", [*FORMS, "KL"])
def test_every_own_parameter_learns_and_the_teacher_does_not(form: str):
    student, net = linear(1), linear(2)
    sum(ViewKD(student, asked(net), form=form)(make_batch()).values()).backward()
    assert all(p.grad is not None and p.grad.abs().max() > 0 for p in student.parameters())
    assert all(p.grad is None for p in net.parameters())


def test_predict_is_the_student():
    student, x = linear(1), make_batch().x
    assert torch.equal(ViewKD(student, asked(linear(2))).predict(x), student(x))


@pytest.mark.parametrize(
    ("knobs", "told"), [({"T": 0.0}, "T"), ({"lam": -1.0}, "lam"), ({"form": "no such"}, "form")]
)
def test_a_knob_out_of_its_range_is_refused(knobs, told):
    with pytest.raises(ValueError, match=told):
        ViewKD(linear(1), asked(linear(2)), **knobs)


def test_a_teacher_that_is_a_module_or_of_other_classes_is_refused():
    with pytest.raises(ValueError, match="Frozen"):
        ViewKD(linear(1), linear(2))
    seven = Frozen(linear(2, c=7))
    with pytest.raises(ValueError, match="classes"):
        ViewKD(linear(1), seven)


@pytest.mark.parametrize("form", ["theorem", "KL"])
def test_a_short_fit_lowers_the_loss_and_leaves_the_teacher(data: Data, form: str):
    net = build("cnn2", 10, seed=0)
    before = [p.clone() for p in net.parameters()]
    method = ViewKD(
        build("cnn2", 10, seed=1), Frozen(net, data), lam=1.0 if form == "KL" else 32.0, form=form
    )
    history = fit(method, data, Recipe(epochs=10, lr=0.05), device="cpu")
    total = history["hard"] + history["soft"]
    assert total.iloc[-1] < 0.9 * total.iloc[0]
    assert all(torch.equal(a, b) for a, b in zip(before, net.parameters(), strict=True))


# --- mutants --------------------------------------------------------------------------------------

relu = partial(test_activation_and_slope_equal_the_slow_oracle, power=3.0, threshold=3.0)
oracle = partial(test_loss_and_gradient_equal_the_slow_oracle, (5, 10), 2.0, True, True)
uncapped = partial(test_loss_and_gradient_equal_the_slow_oracle, (5, 10), 2.0, False, True)
both_sides = partial(test_loss_and_gradient_equal_the_slow_oracle, (5, 10), 2.0, True, False)
terms = partial(test_terms_are_named_and_weighted, form="theorem")
learns = partial(test_every_own_parameter_learns_and_the_teacher_does_not, form="theorem")
by_hand, detached = test_loss_by_hand, test_no_gradient_reaches_the_teacher

MUTANTS = {
    "power instead of power - 1": (slope, "(power - 1)", "power", [relu]),
    "slope below 0": (slope, " * (z > 0)", "", [partial(relu, power=1.0)]),
    "not divided by the power": (smoothed_relu, " / power + ", " + ", [relu]),
    "no line": (smoothed_relu, " + (z - low).clamp(min=0)", "", [relu]),
    "no slope": (smoothed_relu, "z - z.detach()", "0 * z", [relu]),
    "T, not T^2": (pull_up, "T**2 if cap", "T if cap", [oracle, by_hand]),
    "always a cap": (pull_up, "T**2 if cap else torch.inf", "T**2", [uncapped]),
    "one cap for the teacher alone": (pull_up, "in_float32(z_s).clamp(max=top)", "z_s", [oracle]),
    "no temperature": (pull_up, " / T, dim=1", ", dim=1", [oracle, by_hand]),
    "the other side": (pull_up, "clamp(max=0)", "clamp(min=0)", [oracle, by_hand]),
    "always one-sided": (pull_up, " if one_sided else q - p", "", [both_sides]),
    "no half": (pull_up, "0.5 * ", "", [oracle, by_hand]),
    "sum over the batch": (pull_up, ".mean()", ".sum()", [oracle]),
    "mean over classes": (pull_up, ".sum(dim=1)", ".mean(dim=1)", [oracle, by_hand]),
    "teacher not detached": (pull_up, "z_t.detach()", "z_t", [detached, learns]),
    "lambda on the wrong term": (ViewKD, "self.lam * soft", "soft", [terms]),
    "always the theorem": (ViewKD, "*form)", "True, True)", [partial(terms, form="no cap")]),
}  # fmt: skip


@pytest.mark.parametrize("slip", MUTANTS)
def test_a_slip_turns_a_test_red(slip: str):
    target, old, new, checks = MUTANTS[slip]
    assert_caught(target, old, new, by=checks)


def test_the_module_says_what_departs():
    assert "Departures" in (method.__doc__ or "") and "2012.09816" in (method.__doc__ or "")
