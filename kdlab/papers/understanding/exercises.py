"""Exercises of notebook 03, Tang et al. 2020."""

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from kdlab.papers.understanding.experiment import CELLS, shares
from kdlab.papers.understanding.method import make_target, omega
from kdlab.show.exercise import Exercise, slip_unless, tell_apart

V = torch.tensor([[4.0, 2.0, 1.0, 0.0], [0.0, 3.0, 1.0, 2.0]], dtype=torch.float64)  # teacher
Y = torch.tensor([2, 1])  # the teacher disagrees with the first label
SHAPE = torch.tensor([[9.0, 1, 1, 2], [1, 9, 1, 2], [3, 1, 9, 0], [1, 1, 2, 9]]).double()


# 1. predict --------------------------------------------------------------------------------------


def test_each_wrong_class(answer: Callable[..., float]) -> str:
    """Compare with the target of the package."""
    for C in (4, 2):
        r = make_target(V[:1, :C], torch.tensor([0]), 2.0, shape=torch.ones(C, C))[0]
        c, right = r[0].item(), r[1].item()
        got = answer(c, C)
        slip_unless(abs(got - (1 - c) / C) > 1e-9, "the label is not among those that share.")
        hint = f"c = {c:.3f}, C = {C}: you say {got:.3f}, but all {C} must sum to 1."
        slip_unless(abs(got - right) < 1e-9, hint)
    return "equal to the package for 4 and for 2 classes."


# 2. implement ------------------------------------------------------------------------------------


def test_target(answer: Callable[..., Tensor]) -> str:
    """Compare with the package in all four ways to give or leave out a part."""
    for mass, shape in ((None, None), (None, SHAPE), (0.6, None), (0.6, SHAPE)):
        got, right = answer(V, Y, 2.0, mass, shape), make_target(V, Y, 2.0, mass, shape)
        told = f"mass {mass}, shape {'None' if shape is None else 'given'}"
        slip_unless(getattr(got, "shape", None) == right.shape, f"{told}: give a tensor (2, 4).")
        hint = f"{told}: rows do not sum to 1; does the label take part in sharing the rest?"
        slip_unless((got.sum(1) - 1).abs().max() < 1e-6, hint)
        hint = f"{told}: is the label's mass right? Or the row of shape that shares the rest?"
        slip_unless((got - right).abs().max() < 1e-6, hint)
    return "equal to the package in all four ways."


def target(
    slip: str, v: Tensor, y: Tensor, T: float, mass: float | None, shape: Tensor | None
) -> Tensor:
    """Return the target with one slip."""
    p = F.softmax(v if slip == "T" else v / T, dim=1)
    y = p.argmax(1) if slip == "top" else y
    own = F.one_hot(y, 4)
    others = p if shape is None else shape[y.flip(0) if slip == "row" else y]
    others = others * (1 - own) if slip != "label" else others
    held = (p * own).sum(1, keepdim=True) if mass is None else mass
    return own * held + (1 - held) * others / others.sum(1, keepdim=True)


# 3. ablate ---------------------------------------------------------------------------------------


def test_confidence_share(answer: Callable[..., float]) -> str:
    """Compare with the shares of the package, where the order of the parts matters."""
    v = dict(zip(("labels", *CELLS.values()), (90, 91, 92, 95, 90, 93, 99), strict=True))
    got, right = answer(dict(v)), shares(v)["confidence"]
    slip_unless(abs(got + right) > 1e-9, "the sign: its own mass minus the mean mass.")
    hint = f"for {v} the share is {right:.3f}, you say {got:.3f}: average over all three columns."
    slip_unless(abs(got - right) < 1e-9, hint)
    return "the share does not depend on the order."


# 4. diagnose -------------------------------------------------------------------------------------

PATIENTS: dict[str, Callable[..., Tensor]] = {
    "right": omega,
    "T^2": lambda z, r, y, T, a: (1 - a) + T * (omega(z, r, y, T, a) - (1 - a)),
    "no hard part": lambda z, r, y, T, a: omega(z, r, y, T, a) - (1 - a),
    "student at 1": lambda z, r, y, T, a: omega(z, r, y, 1.0, a) * T + (1 - a) * (1 - T),
    "teacher's class": lambda z, r, y, T, a: omega(z, r, r.argmax(1), T, a),
}


def test_diagnose(answer: Callable[..., Any]) -> str:
    """Show it every patient, and the healthy one twice."""
    tell_apart(answer, PATIENTS, "an omega that is {!r} was called {!r}: which input differs?")
    return "all five were told apart."


def at_equal_logits(asked: Callable[..., Tensor]) -> str:
    """Wrong: a student of equal logits says the same at every temperature."""
    args = torch.zeros(2, 4).double(), F.softmax(V / 2, dim=1), Y, 2.0, 0.5
    same = (name for name, patient in PATIENTS.items() if asked(*args).equal(patient(*args)))
    return next(same, "right")


EXERCISES = {
    "each_wrong_class": Exercise(
        test_each_wrong_class,
        {
            "the label takes part": lambda c, C: (1 - c) / C,
            "all the rest for each": lambda c, C: 1 - c,
            "shares the label": lambda c, C: c / (C - 1),
        },
    ),
    "target": Exercise(test_target, {s: partial(target, s) for s in ("T", "top", "row", "label")}),
    "confidence_share": Exercise(
        test_confidence_share,
        {
            "added first": lambda v: v["confidence"] - v["smoothing at T"],
            "added last": lambda v: v["KD"] - v["image relations"],
            "sign": lambda v: -shares(v)["confidence"],
        },
    ),
    "diagnose": Exercise(
        test_diagnose,
        {
            "equal logits": at_equal_logits,
            "always healthy": lambda asked: "right",
            "never healthy": lambda asked: "T^2",
        },
    ),
}
