"""The rule when a teacher overrules the label, against a search for the lowest loss."""

import doctest
import math

import pytest
import torch
from torch import Tensor

from kdlab.papers.lsr import override
from kdlab.papers.lsr.method import FORMS, REDUCTIONS, soft_term
from kdlab.papers.lsr.override import margin_needed, pressure, resistance
from kdlab.train.method import hard_loss
from tests import oracles
from tests.mutants import assert_caught

C = 5
SETTINGS = [(1.0, 0.5), (4.0, 0.9), (20.0, 0.9), (20.0, 0.99)]


def optimum(z_t: Tensor, T: float, alpha: float, form: str, reduction: str) -> Tensor:
    """Return the logits (C,) at which the loss of one image of class 0 is lowest."""
    z, y = torch.zeros_like(z_t)[None].requires_grad_(), torch.tensor([0])
    search = torch.optim.LBFGS([z], max_iter=200, line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        search.zero_grad()
        value = (1 - alpha) * hard_loss(z, y)
        value = value + alpha * soft_term(z, z_t[None], T, form, reduction)
        value.backward()
        return value

    search.step(loss)
    return z.detach()[0]


def teachers(seed: int, n: int) -> Tensor:
    return 4 * torch.randn(n, C, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("form", FORMS)
def test_the_lowest_loss_prefers_the_class_that_the_rule_names(form: str, reduction: str):
    y, seen = torch.tensor([0]), []
    for place, (T, alpha) in enumerate(SETTINGS):
        for z_t in teachers(place, 3):
            force, limit = pressure(z_t[None], y, T, form).item(), resistance(alpha, C, reduction)
            if abs(force - limit) > 0.02 * limit:  # not where the search itself decides
                best = optimum(z_t, T, alpha, form, reduction)
                assert (best.argmax().item() != 0) == (force > limit), (T, alpha, z_t)
                seen.append(force > limit)
    assert form != "squared" or reduction == "mean" or len(set(seen)) == 2


@pytest.mark.parametrize("side", [-0.1, 0.1])
def test_just_beside_the_margin_the_other_class_wins(side: float):
    T, alpha = 20.0, 0.9
    z_t = torch.zeros(C, dtype=torch.float64)
    z_t[2] = margin_needed(alpha, T, C) + side
    assert (optimum(z_t, T, alpha, "squared", "batchmean").argmax().item() == 2) == (side > 0)


def test_values_of_the_docstrings():
    for part in (resistance, margin_needed):
        (example,) = doctest.DocTestFinder(recurse=False).find(part, globs=dict(vars(override)))
        assert doctest.DocTestRunner(verbose=False).run(example).failed == 0


@pytest.mark.parametrize(("form", "factor"), [("squared", 4), ("literal", 0.25), ("untempered", 1)])
def test_pressure_equals_a_slow_loop(form: str, factor: float):
    z_t, y = teachers(7, 6), torch.tensor([0, 1, 2, 3, 4, 0])
    for row, label, got in zip(z_t.tolist(), y.tolist(), pressure(z_t, y, 4.0, form), strict=True):
        p = oracles.softmax(row, 4.0)
        expected = factor * (max(p[k] for k in range(C) if k != label) - p[label])
        assert got.item() == pytest.approx(expected, rel=1e-9)


def test_a_teacher_without_weight_and_a_label_without_weight():
    assert resistance(0.0, 10) == math.inf and resistance(1.0, 10) == 0
    assert margin_needed(1.0, 20.0, 10) == 0 and margin_needed(0.01, 20.0, 10) == math.inf
    with pytest.raises(ValueError, match="alpha"):
        resistance(1.5, 10)
    with pytest.raises(ValueError, match="form"):
        pressure(torch.zeros(1, 3), torch.tensor([0]), 4.0, "cubed")


beside = [lambda: test_just_beside_the_margin_the_other_class_wins(side=0.1)]
loop = [lambda: test_pressure_equals_a_slow_loop("squared", 4)]
rule = [lambda: test_the_lowest_loss_prefers_the_class_that_the_rule_names("squared", "batchmean")]


@pytest.mark.parametrize(
    ("target", "old", "new", "by"),
    [
        (pressure, '"squared": T', '"squared": 1.0', [*loop, *rule]),
        (pressure, "z_t / T", "z_t", loop),
        (pressure, "scatter(1, at, -1.0)", "clone()", loop),
        (resistance, "(1 - alpha) / alpha", "alpha / (1 - alpha)", [test_values_of_the_docstrings]),
        (resistance, '(C if reduction == "mean" else 1) * ', "", [test_values_of_the_docstrings]),
        (margin_needed, "(C - 1)", "C", [test_values_of_the_docstrings]),
    ],
)
def test_a_wrong_rule_is_caught(target, old: str, new: str, by):
    assert_caught(target, old, new, by)
