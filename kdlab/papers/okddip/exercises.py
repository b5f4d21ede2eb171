"""Exercises of notebook 09, Chen et al. 2020."""

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor

from kdlab.papers.okddip import method
from kdlab.seeds import generator
from kdlab.show.exercise import Exercise, slip_unless, tell_apart

DRAWN = torch.randn(6, 5, 4, dtype=torch.float64, generator=generator(0, "peers"))
Z, F = 2 * DRAWN[:3], DRAWN[3:]  # logits and features (3, 5, 4)
W_Q, W_K = torch.randn(2, 2, 4, dtype=torch.float64, generator=generator(1, "peers"))
T = 3.0

# 1. predict --------------------------------------------------------------------------------------


def test_cost(answer: Callable[..., float]) -> str:
    """Compare for groups whose members share more or less."""
    hint = "the trunk is computed once, whatever the number of members."
    for members, shared in ((4, 0.0), (4, 1.0), (4, 0.6), (3, 0.25)):
        got, true = answer(members, shared), shared + members * (1 - shared)
        slip_unless(abs(got - true) < 1e-9, f"{got:g} for {members} and {shared:g}: {hint}")
    return "a group of four that shares 0.6 of each net costs 2.2 nets, not four."


# 2. implement ------------------------------------------------------------------------------------


def mixed(z: Tensor, f: Tensor, *W: Any, axis: int = 2, mix: str = "probabilities") -> Tensor:
    """Return the targets of the peers, or with options wrong ones; `W` is W_Q, W_K, T."""
    A = torch.einsum("aid,bid->iab", f @ W[0].T, f @ W[1].T).softmax(dim=axis)
    return method.targets(z, A, W[2], mix)


def test_targets(answer: Callable[..., Tensor]) -> str:
    """Compare with the package, and look at what a likely slip would change."""
    got, true = answer(Z, F, W_Q, W_K, T), mixed(Z, F, W_Q, W_K, T)
    slip_unless(got.shape == true.shape, f"the shape is {tuple(got.shape)}, not (K, B, C).")
    hint = "each target must sum to 1 over the classes: do the rows of A sum to 1 over b?"
    slip_unless(torch.allclose(got.sum(dim=2), torch.ones(3, 5, dtype=got.dtype)), hint)
    logits = mixed(Z, F, W_Q, W_K, T, mix="logits")
    slip_unless(not torch.allclose(got, logits), "mix the probabilities at T, not the logits.")
    hint = "a target is wrong: A[a, b] comes from W_Q f_a and W_K f_b, without any factor."
    slip_unless(torch.allclose(got, true), hint)
    return "each peer has its own mixture."


# 3. ablate ---------------------------------------------------------------------------------------


def test_others(answer: Callable[[Tensor], Tensor]) -> str:
    """Nobody listens to itself, and among the others nothing changes."""
    E = torch.einsum("aid,bid->iab", F @ W_Q.T, F @ W_K.T)
    before, got, true = E.clone(), answer(E), hidden(E, -torch.inf)
    slip_unless(torch.equal(before, E), "your function changed its input; work on E.clone().")
    slip_unless(got.shape == E.shape, f"expected the shape {tuple(E.shape)}.")
    slip_unless(not got.diagonal(dim1=1, dim2=2).any(), "the diagonal of A must be 0.")
    hint = "rows must sum to 1, and among the others the ratios stay those of the softmax."
    slip_unless(torch.allclose(got, true), hint)
    return "nobody is its own teacher, so the pull cannot be switched off."


def hidden(E: Tensor, value: float) -> Tensor:
    """Return the softmax with `value` on the diagonal."""
    return E.clone().masked_fill(torch.eye(E.shape[1], dtype=torch.bool), value).softmax(dim=2)


# 4. diagnose -------------------------------------------------------------------------------------


def level(z: Tensor, A: Tensor, T: float, bend: bool = False, freeze: bool = False) -> Tensor:
    """Return the first level, or with other options wrong ones."""
    t = method.targets(z if bend else z.detach(), A.detach() if freeze else A, T)
    return method.pull(z, t, T)


PATIENTS: dict[str, Callable[..., Tensor]] = {
    "right": level,
    "not detached": partial(level, bend=True),
    "all detached": partial(level, freeze=True),
    "wrong axis": lambda z, A, T: level(z, A.transpose(1, 2), T),
}


def test_diagnose(answer: Callable[..., str]) -> str:
    """Show it every patient, and the healthy one twice."""
    tell_apart(answer, PATIENTS, "a loss that is {!r} was called {!r}: is it value or gradient?")
    return "all four were told apart, two of them by their gradients alone."


def by_value(loss: Callable[..., Tensor]) -> str:
    """Wrong: two of the slips do not show in a value."""
    A = torch.tensor([[[0.5, 0.5], [0.1, 0.9]]], dtype=Z.dtype)
    same = torch.isclose(loss(Z[:2, :1], A, T), level(Z[:2, :1], A, T))
    return "right" if same else "wrong axis"


EXERCISES = {
    "group_cost": Exercise(
        test_cost,
        {
            "all apart": lambda members, shared: float(members),
            "one trunk each": lambda members, shared: members * (1 - shared),
            "mean": lambda members, shared: shared + (1 - shared) / members,
        },
    ),
    "okddip_targets": Exercise(
        test_targets,
        {
            "softmax over those who listen": partial(mixed, axis=1),
            "transposed": lambda z, f, Q, K, T: mixed(z, f, K, Q, T),
            "divided by a root": lambda z, f, Q, *rest: mixed(z, f, Q / 2**0.5, *rest),
            "logits mixed": partial(mixed, mix="logits"),
        },
    ),
    "without_self": Exercise(
        test_others,
        {
            "zero energy": lambda E: hidden(E, 0.0),
            "nothing masked": lambda E: E.softmax(dim=2),
            "a plain mean": lambda E: hidden(0 * E, -torch.inf),
        },
    ),
    "diagnose": Exercise(
        test_diagnose,
        {"by value": by_value, "healthy": lambda _: "right", "bent": lambda _: "not detached"},
    ),
}
