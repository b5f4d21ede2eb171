"""The losses of Zhang et al. 2019 and the method BYOT."""

import doctest
import itertools
import math
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from kdlab.data import Batch, Data
from kdlab.measure import divergence, logits_of
from kdlab.models import build
from kdlab.papers.byot import method as byot
from kdlab.papers.byot.method import BYOT, byot_terms, hint_loss, soft_loss
from kdlab.train.fit import fit
from kdlab.train.recipe import Recipe
from kdlab.train.worlds import replicate
from tests import oracles
from tests.mutants import assert_caught

K, B, C, D = 3, 5, 4, 6
SHAPES = [(1, 1), (1, 2), (5, 10), (3, 100)]
TEMPERATURES = [0.5, 1.0, 3.0, 20.0]
TEACHERS = ["deepest", "next", "ensemble"]
DOUBLE = torch.float64


def normal(*shape: int, seed: int = 0, dtype: torch.dtype = DOUBLE) -> Tensor:
    gen = torch.Generator().manual_seed(sum(shape) + 100 * seed)
    return (2 * torch.randn(*shape, generator=gen, dtype=DOUBLE)).to(dtype)


def exits(b: int = B, k: int = K, c: int = C) -> tuple[list[Tensor], list[Tensor], Tensor]:
    """Return logits and features of k exits, with gradients, and labels; one row has none."""
    z = [part.requires_grad_() for part in normal(k, b, c)]
    f = [part.requires_grad_() for part in normal(k, b, D, seed=1)]
    y = torch.arange(b) % c
    y[1:2] = -1
    return z, f, y


def oracle(
    z: Any,
    f: Any,
    y: Tensor,
    T: float,
    alpha: float,
    beta: float,
    teacher: str = "deepest",
    squared: bool = False,
) -> dict[str, float]:
    """The equation on the page of the method, one loop for each sum."""
    z, f = ([oracles.rows(part.detach()) for part in whole] for whole in (z, f))
    last, b = len(z) - 1, len(y)
    mean = [[math.fsum(q[i][c] for q in z) / len(z) for c in range(len(z[0][0]))] for i in range(b)]
    found = {"hard": 0.0, "soft": 0.0, "hint": 0.0}
    for k in range(len(z)):
        target = {"deepest": z[last], "next": z[min(k + 1, last)], "ensemble": mean}[teacher]
        taught = k < last or teacher == "ensemble"
        found["hard"] += (1 - alpha if taught else 1.0) * oracles.hard_loss(z[k], y.tolist())
        for i in range(b):
            p, q = oracles.softmax(target[i], T), oracles.softmax(z[k][i], T)
            found["soft"] += taught * alpha * (T**2 if squared else 1) * oracles.kl(p, q) / b
            for j in range(len(f[k][i])):
                found["hint"] += beta * (f[k][i][j] - f[last][i][j]) ** 2 / b
    return found


def gradients(terms: dict[str, Tensor] | Tensor, *at: Tensor) -> list[Tensor | None]:
    loss = sum(terms.values()) if isinstance(terms, dict) else terms
    return list(torch.autograd.grad(loss, at, allow_unused=True, retain_graph=True))


# --- the soft term ------------------------------------------------------------------------------


@pytest.mark.parametrize("T", TEMPERATURES)
def test_zero_and_flat_where_both_exits_agree(T: float):
    z = normal(5, 10).requires_grad_()
    loss = soft_loss(z, z.detach(), T)
    assert abs(loss.item()) < 1e-12
    assert gradients(loss, z)[0].abs().max() < 1e-12
    assert soft_loss(normal(5, 10, seed=3), z, T) > 1e-4


def test_values_worked_out_by_hand():
    """The examples in the docstrings."""
    found = [
        example
        for part in (soft_loss, hint_loss)
        for example in doctest.DocTestFinder(recurse=False).find(part, globs=dict(vars(byot)))
    ]
    assert [len(example.examples) for example in found] == [2, 1]
    for example in found:
        assert doctest.DocTestRunner(verbose=False).run(example).failed == 0


def test_values_worked_out_on_paper():
    """Two classes, T = 2: p = (3/4, 1/4), q = (1/2, 1/2), so 3/4 log 3/2 + 1/4 log 1/2."""
    z_k, z_t = torch.zeros(1, 2, dtype=DOUBLE), torch.tensor([[2 * math.log(3), 0]], dtype=DOUBLE)
    by_hand = 0.75 * math.log(1.5) + 0.25 * math.log(0.5)
    assert soft_loss(z_k, z_t, 2.0).item() == pytest.approx(by_hand, rel=1e-12)
    assert soft_loss(z_k, z_t, 2.0, squared=True).item() == pytest.approx(4 * by_hand, rel=1e-12)


@pytest.mark.parametrize(("shape", "T"), list(itertools.product(SHAPES, TEMPERATURES)))
def test_soft_term_equals_the_slow_oracle(shape: tuple[int, int], T: float):
    z_k, z_t = normal(*shape), normal(*shape, seed=1)
    expected = oracles.soft_loss(z_k, z_t, T)  # with the factor T^2
    assert soft_loss(z_k, z_t, T).item() == pytest.approx(expected / T**2, rel=1e-9, abs=1e-12)
    assert soft_loss(z_k, z_t, T, True).item() == pytest.approx(expected, rel=1e-9, abs=1e-12)


@pytest.mark.parametrize("T", TEMPERATURES)
def test_gradient_is_the_gap_over_the_temperature(T: float):
    z_k, z_t = normal(5, 10).requires_grad_(), normal(5, 10, seed=1)
    expected = torch.tensor(oracles.soft_gradient(z_k.detach(), z_t, T), dtype=DOUBLE) / T**2
    found = gradients(soft_loss(z_k, z_t, T), z_k)[0]
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-12)


def test_a_constant_added_to_a_row_and_the_order_of_rows_change_nothing():
    z_k, z_t, move = normal(5, 10), normal(5, 10, seed=1), normal(5, 1, seed=2)
    order = torch.tensor([3, 1, 4, 0, 2])
    loss = soft_loss(z_k, z_t, 3.0)
    torch.testing.assert_close(soft_loss(z_k + move, z_t - move, 3.0), loss)
    torch.testing.assert_close(soft_loss(z_k[order], z_t[order], 3.0), loss)
    torch.testing.assert_close(soft_loss(z_k.repeat(3, 1), z_t.repeat(3, 1), 3.0), loss)


def test_it_is_forward_kl():
    """A teaching exit that is sure of what the other gives nothing costs more than the reverse."""
    sure, unsure = torch.tensor([[9.0, 0.0, 0.0]]), torch.zeros(1, 3)
    assert soft_loss(unsure, sure, 1.0) < math.log(3) < soft_loss(sure, unsure, 1.0)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("detach", [True, False])
def test_gradcheck(shape: tuple[int, int], detach: bool):
    one, other = normal(*shape).requires_grad_(), normal(*shape, seed=1)
    other.requires_grad_(not detach)
    for loss in (
        lambda a, b: soft_loss(a, b, 2.0, detach=detach),
        partial(hint_loss, detach=detach),
    ):
        assert torch.autograd.gradcheck(loss, (one, other))


def test_no_gradient_reaches_the_teaching_exit():
    one, other = normal(5, 10).requires_grad_(), normal(5, 10, seed=1).requires_grad_()
    for loss in (soft_loss(one, other, 3.0), hint_loss(one, other)):
        mine, theirs = gradients(loss, one, other)
        assert theirs is None
        assert mine.abs().min() > 0
    for loss in (soft_loss(one, other, 3.0, detach=False), hint_loss(one, other, detach=False)):
        assert gradients(loss, other)[0].abs().max() > 0


# --- extreme inputs -----------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_logits_of_a_thousand_stay_finite_and_right(dtype: torch.dtype):
    z_k = torch.tensor([[1e3, -1e3, 0.0], [-1e3, 1e3, 5.0]], dtype=dtype, requires_grad=True)
    z_t = torch.tensor([[-1e3, 1e3, 0.0], [1e3, 0.0, -1e3]], dtype=dtype)
    loss = soft_loss(z_k, z_t, 3.0)
    assert loss.item() == pytest.approx((2000 + 2000) / 2 / 3, rel=1e-4)  # the gap over T
    assert gradients(loss, z_k)[0].isfinite().all()
    far = hint_loss(z_k, z_t)
    assert far.item() == pytest.approx((8e6 + 4e6 + 1e6 + 1005**2) / 2, rel=1e-5)


@pytest.mark.parametrize("detach", [True, False])
def test_a_class_that_the_teaching_exit_rules_out_is_learned(detach: bool):
    """T = 2, p = (e, 1, 0) / (e + 1) against q of logits 1, 2, 0, with 0 log 0 = 0."""
    z_k = torch.tensor([[1.0, 2.0, 0.0]], requires_grad=True)
    z_t = torch.tensor([[2.0, 0.0, -math.inf]], requires_grad=True)
    loss = soft_loss(z_k, z_t, 2.0, detach=detach)
    assert loss.item() == pytest.approx(1.854384 / 4, abs=1e-6)
    mine, theirs = gradients(loss, z_k, z_t)
    assert mine.isfinite().all() and (theirs is None if detach else theirs.isfinite().all())
    swapped = soft_loss(z_t, z_k, 2.0)  # who learns rules out what is taught
    assert swapped.item() == math.inf and gradients(swapped, z_t)[0].isfinite().all()


def test_identical_rows_count_as_one_and_one_class_teaches_nothing():
    one, other = normal(1, 10), normal(1, 10, seed=1)
    for loss in (lambda a, b: soft_loss(a, b, 3.0), hint_loss):
        torch.testing.assert_close(loss(one.expand(8, -1), other.expand(8, -1)), loss(one, other))
    assert soft_loss(normal(4, 1), normal(4, 1, seed=1), 3.0).item() == 0


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
def test_half_precision_is_computed_and_returned_in_float32(dtype: torch.dtype):
    other = normal(5, 10, dtype=dtype)
    one = (other + 0.5 * normal(5, 10, seed=1)).to(dtype).requires_grad_()
    for loss in (lambda a, b: soft_loss(a, b, 20.0), hint_loss):
        found, exact = loss(one, other), loss(one.detach().double(), other.double())
        assert found.dtype == torch.float32 and found.shape == ()
        assert found.item() == pytest.approx(exact.item(), rel=2e-3)
        assert gradients(found, one)[0].dtype == dtype


# --- the feature term ---------------------------------------------------------------------------


@pytest.mark.parametrize("shape", SHAPES)
def test_feature_term_equals_the_slow_oracle(shape: tuple[int, int]):
    one, other = normal(*shape), normal(*shape, seed=1)
    pairs = zip(oracles.rows(one), oracles.rows(other), strict=True)
    gaps = [(a - b) ** 2 for p, q in pairs for a, b in zip(p, q, strict=True)]
    assert hint_loss(one, other).item() == pytest.approx(math.fsum(gaps) / shape[0], rel=1e-9)
    assert hint_loss(one, one).item() == 0


def test_feature_term_moves_and_turns_with_both_exits():
    one, other, move = normal(5, 6), normal(5, 6, seed=1), normal(1, 6, seed=2)
    turn = torch.linalg.qr(normal(6, 6, seed=3)).Q
    torch.testing.assert_close(hint_loss(one + move, other + move), hint_loss(one, other))
    torch.testing.assert_close(hint_loss(one @ turn, other @ turn), hint_loss(one, other))
    torch.testing.assert_close(hint_loss(3 * one, 3 * other), 9 * hint_loss(one, other))


# --- all terms together -------------------------------------------------------------------------


@pytest.mark.parametrize("teacher", TEACHERS)
@pytest.mark.parametrize(
    ("T", "alpha", "beta"), [(3.0, 0.3, 0.03), (1.0, 1.0, 1.0), (4.0, 0.6, 0.5)]
)
@pytest.mark.parametrize("squared", [False, True])
def test_terms_equal_the_slow_oracle(
    teacher: str, T: float, alpha: float, beta: float, squared: bool
):
    z, f, y = exits()
    terms = byot_terms(z, f, y, T, alpha, beta, teacher=teacher, squared=squared)
    expected = oracle(z, f, y, T, alpha, beta, teacher, squared)
    assert {name: term.item() for name, term in terms.items()} == pytest.approx(expected, rel=1e-9)


def test_deep_supervision_is_what_is_left_without_teaching():
    z, f, y = exits(k=4)
    terms = byot_terms(z, f, y, 3.0, 0.0, 0.0)
    assert list(terms) == ["hard"]
    expected = sum(oracles.hard_loss(part.detach(), y.tolist()) for part in z)
    assert terms["hard"].item() == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("teacher", TEACHERS)
def test_the_deepest_exit_hears_the_labels_alone(teacher: str):
    z, f, y = exits()
    terms = byot_terms(z, f, y, 3.0, 0.3, 0.03, teacher=teacher)
    at_z, at_f = gradients(terms["soft"] + terms["hint"], z[-1], f[-1])
    assert at_f is None and (at_z is None) == (teacher != "ensemble")
    alone = byot_terms(z, f, y, 3.0, 0.0, 0.0)["hard"]
    if teacher != "ensemble":
        same = gradients(terms, z[-1])[0], gradients(alone, z[-1])[0]
        torch.testing.assert_close(*same)
    for k in range(K - 1):
        assert gradients(terms, z[k])[0].abs().max() > 0
        assert gradients(terms, f[k])[0].abs().max() > 0


def test_without_the_detach_the_deepest_exit_bends():
    z, f, y = exits()
    terms = byot_terms(z, f, y, detach=False)
    bent = gradients(terms["soft"] + terms["hint"], z[-1], f[-1])
    assert all(part is not None and part.abs().max() > 0 for part in bent)
    same = byot_terms(z, f, y)
    for name, term in terms.items():
        torch.testing.assert_close(term, same[name])  # in value nothing shows


def test_a_changed_target_teaches():
    z, f, y = exits()
    terms = byot_terms(z, f, y, change=lambda z_t: z_t.flip(1))
    flipped = byot_terms([*z[:-1], z[-1].flip(1)], f, y)
    torch.testing.assert_close(terms["soft"], flipped["soft"])
    torch.testing.assert_close(terms["hard"], byot_terms(z, f, y)["hard"])


def test_a_batch_of_one_and_of_rows_without_labels():
    z, f, y = exits(b=1)
    assert all(term.isfinite() for term in byot_terms(z, f, y).values())
    nothing = byot_terms(z, f, torch.full_like(y, -1))
    assert nothing["hard"].item() == 0 and nothing["soft"].item() > 0


# --- bad inputs ---------------------------------------------------------------------------------


@pytest.mark.parametrize("loss", [lambda a, b: soft_loss(a, b, 3.0), hint_loss])
@pytest.mark.parametrize(
    "shapes", [((2, 3), (2, 4)), ((2, 3), (1, 3)), ((3,), (3,)), ((0, 3), (0, 3)), ((2, 0), (2, 0))]
)
def test_tables_of_wrong_shape_are_refused(loss, shapes):
    with pytest.raises(ValueError, match="both must be") as error:
        loss(torch.zeros(shapes[0]), torch.zeros(shapes[1]))
    assert str(shapes[0]) in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize("T", [0.0, -1.0, math.nan, math.inf])
def test_a_temperature_out_of_range_is_refused(T: float):
    with pytest.raises(ValueError, match="temperature"):
        soft_loss(torch.zeros(2, 3), torch.zeros(2, 3), T)


def test_one_exit_is_no_teacher():
    z, f, y = exits(k=1)
    for given in ((z, f), ([*z, *z], f)):
        with pytest.raises(ValueError, match="two or more"):
            byot_terms(*given, y)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("alpha", 1.1), ("alpha", math.nan), ("T", 0.0), ("beta", -1.0)),
        *(("teacher", "me"), ("head", "huge"), ("squared", "yes"), ("detach", None)),
    ],
)
def test_a_bad_setting_is_refused_at_construction(name: str, value: object):
    with pytest.raises(ValueError, match=f"{name} is {value!r}; give"):
        BYOT(build("cnn2", 10, seed=0), **{name: value})


# --- the method ---------------------------------------------------------------------------------


def batch(b: int = 6) -> Batch:
    x = normal(b, 1, 28, 28, dtype=torch.float32)
    return Batch(x, torch.arange(b), torch.arange(b))


def test_the_method_weighs_what_its_exits_say():
    method, now = (
        BYOT(build("cnn2", 10, seed=0), alpha=0.6, T=2.0, beta=0.5, teacher="next"),
        batch(),
    )
    z, f = method.exits(now.x)
    terms = method(now)
    expected = oracle(z, f, now.y, 2.0, 0.6, 0.5, "next")
    assert {name: term.item() for name, term in terms.items()} == pytest.approx(expected, rel=1e-4)


def test_predict_is_the_plain_student():
    student, x = build("cnn2", 10, seed=0), batch().x
    method = BYOT(student)
    for now in (method.train(), method.eval()):
        torch.testing.assert_close(now.predict(x), student(x))
    torch.testing.assert_close(method.exits(x)[0][-1], student(x))
    assert method.n_classes == 10


@pytest.mark.parametrize("options", [{}, {"alpha": 0.0, "beta": 0.0}, {"head": "residual"}])
def test_every_parameter_learns(options: dict[str, Any]):
    method = BYOT(build("cnn4", 10, seed=0), **options)
    sum(method(batch()).values()).backward()
    assert all(p.grad is not None and p.grad.abs().max() > 0 for p in method.parameters())


def test_of_a_replicate_the_student_and_the_heads_follow_from_it():
    one, same, other = (BYOT.of(replicate("mnist5k", r), beta=0.5) for r in (1, 1, 2))
    assert one.settings["beta"] == 0.5
    pairs = list(zip(one.parameters(), same.parameters(), other.parameters(), strict=True))
    assert all(torch.equal(a, b) for a, b, _ in pairs)
    assert not any(torch.equal(a, c) for a, _, c in pairs if a.dim() == 4)
    plain = replicate("mnist5k", 1).student()
    assert torch.equal(one.exits.net.linear.weight, plain.linear.weight)


def test_fit_makes_every_term_fall(data: Data):
    method = BYOT(build("cnn4", 10, seed=0), beta=0.1)
    history = fit(method, data, Recipe(epochs=40), device="cpu")
    assert history["hard"].iloc[-1] < 0.7 * history["hard"].iloc[0]
    assert {"soft", "hint"} <= set(history)
    first = logits_of(method.exits, data.val.x)[:, 0].argmax(dim=1)
    assert (first == data.val.y).float().mean() > 0.2  # the shallowest exit, too


def test_ten_classes_and_blocks_are_asked_for():
    with pytest.raises(ValueError, match="blocks"):
        BYOT(nn.Identity())


# --- mutants ------------------------------------------------------------------------------------

by_hand, on_paper = test_values_worked_out_by_hand, test_values_worked_out_on_paper
soft_oracle = partial(test_soft_term_equals_the_slow_oracle, shape=(5, 10), T=3.0)
slope = partial(test_gradient_is_the_gap_over_the_temperature, T=3.0)
hint_oracle = partial(test_feature_term_equals_the_slow_oracle, shape=(5, 10))
terms = partial(
    test_terms_equal_the_slow_oracle, teacher="deepest", T=3.0, alpha=0.3, beta=0.03, squared=False
)
following = partial(terms, teacher="next")
together = partial(terms, teacher="ensemble")
stiff = partial(test_the_deepest_exit_hears_the_labels_alone, teacher="deepest")
half = partial(test_half_precision_is_computed_and_returned_in_float32, dtype=torch.bfloat16)
masked = partial(test_a_class_that_the_teaching_exit_rules_out_is_learned, detach=True)

MUTANTS = {
    "always T^2": (soft_loss, "if squared else 1", "if True else 1", [by_hand, soft_oracle, slope]),
    "never T^2": (soft_loss, "if squared else 1", "if False else 1", [on_paper, soft_oracle]),
    "sides swapped": (
        soft_loss,
        "(log_p, log_q)",
        "(log_q, log_p)",
        [by_hand, on_paper, soft_oracle, test_it_is_forward_kl],
    ),
    "sum over the batch": (soft_loss, ".mean()", ".sum()", [soft_oracle, slope]),
    "mean over classes": (soft_loss, ".mean()", ".mean() / z_k.shape[1]", [by_hand, soft_oracle]),
    "teaching exit not a constant": (
        soft_loss,
        "z_t.detach() if detach else z_t",
        "z_t",
        [test_no_gradient_reaches_the_teaching_exit, stiff],
    ),
    "always a constant": (
        soft_loss,
        "z_t.detach() if detach else z_t",
        "z_t.detach()",
        [test_without_the_detach_the_deepest_exit_bends],
    ),
    "no temperature": (soft_loss, "in_float32(z_k) / T", "in_float32(z_k)", [by_hand, soft_oracle]),
    "half precision": (soft_loss, "in_float32(z_k)", "z_k", [half]),
    "0 log 0 is no number": (
        divergence,
        "torch.where(p > 0, log_p - log_q, 0)",
        "log_p - log_q",
        [masked],
    ),
    "features not squared": (hint_loss, ".square()", ".abs()", [by_hand, hint_oracle]),
    "mean over features": (hint_loss, ".sum(dim=1)", ".mean(dim=1)", [by_hand, hint_oracle]),
    "features summed over the batch": (hint_loss, ".mean()", ".sum()", [hint_oracle, terms]),
    "features bend": (
        hint_loss,
        "f_t.detach() if detach else f_t",
        "f_t",
        [test_no_gradient_reaches_the_teaching_exit, stiff],
    ),
    "labels of the deepest lose a share": (
        byot_terms,
        "(1 - alpha * (z_t is not None))",
        "(1 - alpha)",
        [terms, stiff],
    ),
    "labels keep all": (byot_terms, "(1 - alpha * (z_t is not None)) * ", "", [terms, together]),
    "soft term without its share": (
        byot_terms,
        "alpha * torch.stack(soft)",
        "torch.stack(soft)",
        [terms],
    ),
    "hint without its weight": (
        byot_terms,
        "beta * torch.stack(hints)",
        "torch.stack(hints)",
        [terms],
    ),
    "soft terms averaged": (
        byot_terms,
        "torch.stack(soft).sum()",
        "torch.stack(soft).mean()",
        [terms],
    ),
    "the shallowest teaches": (byot_terms, '"deepest": [z[-1]]', '"deepest": [z[0]]', [terms]),
    "features of the shallowest": (byot_terms, "f[-1], detach", "f[0], detach", [terms]),
    "hints skip one": (byot_terms, "in f[:-1]", "in f[:-2]", [terms]),
    "the next is itself": (byot_terms, "[*z[1:], None]", "[*z[:-1], None]", [following]),
    "ensemble summed": (byot_terms, ".mean(dim=0)", ".sum(dim=0)", [together]),
    "temperature lost": (byot_terms, "(t), T, squared", "(t), 1.0, squared", [terms, following]),
    "change forgotten": (byot_terms, "change(t)", "t", [test_a_changed_target_teaches]),
    "detach forgotten": (
        byot_terms,
        "T, squared, detach",
        "T, squared",
        [test_without_the_detach_the_deepest_exit_bends],
    ),
    "settings forgotten": (
        BYOT,
        ", **self.settings",
        "",
        [test_the_method_weighs_what_its_exits_say],
    ),
    "the first exit predicts": (
        BYOT,
        "self.exits.net(x)",
        "self.exits(x)[0][0]",
        [test_predict_is_the_plain_student],
    ),
}


@pytest.mark.parametrize("name", MUTANTS)
def test_a_wrong_loss_is_caught(name: str):
    target, old, new, by = MUTANTS[name]
    assert_caught(target, old, new, by)
