"""Exercises of notebook 07, Zhang et al. 2019."""

import operator
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from kdlab.papers.byot.adaptive import adaptive, leaving
from kdlab.papers.byot.method import byot_terms
from kdlab.seeds import generator
from kdlab.show.exercise import Exercise, slip_unless, tell_apart

Loss = Callable[..., Tensor]
Pairs = Sequence[float]
Z, H = torch.randn(2, 3, 5, 4, dtype=torch.float64, generator=generator(0, "exits"))  # logits, f

# 1. predict --------------------------------------------------------------------------------------


def test_speed_up(answer: Callable[..., float]) -> str:
    """Compare with one over the mean cost."""
    for shares, costs in (((0.5, 0.5), (0.25, 1.0)), ((0.2, 0.3, 0.5), (0.3, 0.6, 1.1))):
        got, cost = answer(shares, costs), sum(map(operator.mul, shares, costs))
        slip_unless(abs(got - cost) > 1e-9, "that is the mean cost; how many times faster is it?")
        hint = "add up what all images cost first, and divide once: it is no mean of speed-ups."
        slip_unless(abs(got - 1 / cost) < 1e-9, f"{got:g} for {shares} and {costs}: {hint}")
    return "one over the mean cost. Half at a quarter of the cost is 1.6 times faster, not 2.5."


# 2. implement ------------------------------------------------------------------------------------

TABLE = torch.tensor(  # six images at four exits
    [
        [[0.99, 0.01, 0], [0.9, 0.05, 0.05], [0.8, 0.1, 0.1], [0.7, 0.2, 0.1]],
        [[0.98, 0.01, 0.01], [0.01, 0.98, 0.01], [0.1, 0.8, 0.1], [0.1, 0.1, 0.8]],
        [[0.3, 0.6, 0.1], [0.99, 0.01, 0], [0.01, 0.99, 0], [0.02, 0.97, 0.01]],
        [[0.5, 0.3, 0.2], [0.9, 0.1, 0], [0.99, 0.01, 0], [0.1, 0.9, 0]],
        [[0.2, 0.2, 0.6], [0.1, 0.5, 0.4], [0.01, 0.02, 0.97], [0.02, 0.02, 0.96]],
        [[0.9, 0.09, 0.01], [0.9, 0.09, 0.01], [0.02, 0.5, 0.48], [0.02, 0.48, 0.5]],
    ],
    dtype=torch.float64,
).transpose(0, 1)
LABELS = torch.tensor([0, 1, 1, 0, 2, 1])
THRESHOLDS, COSTS = (0.98, 0.97, 0.98, 0.95), (0.32, 0.53, 0.76, 1.0, 1.07)  # of the authors, 2019


def test_adaptive(answer: Callable[..., Pairs]) -> str:
    """Compare on the table of six images, then on random answers, with the package."""
    accuracy, cost = map(float, answer(TABLE, LABELS, THRESHOLDS, COSTS))
    slip_unless(abs(cost - 6 / 4.21) > 1e-6, "return the mean cost, not the speed-up.")
    hint = "at a threshold exactly an image stays: strictly above. And each exit has its own."
    slip_unless(abs(cost - 4.21 / 6) < 1e-6, f"the mean cost is {cost:.4f}, not 4.21 / 6: {hint}")
    slip_unless(accuracy <= 1, "return the accuracy as a share, from 0 to 1.")
    hint = "who answers when nobody is sure: the class with the largest mean log-probability?"
    slip_unless(abs(accuracy - 5 / 6) < 1e-6, f"5 of 6 are right, you say {accuracy:.3f}: {hint}")
    z = 2 * torch.randn(3, 200, 4, generator=generator(1, "exits"), dtype=torch.float64)
    settings = torch.arange(200) % 4, (0.6, 0.7, 0.8), (0.3, 0.7, 1.0, 1.1)
    got, true = answer(F.softmax(z, dim=2), *settings), adaptive(z, *settings)
    same = abs(100 * got[0] - true.accuracy) < 1e-4 and abs(got[1] - true.cost) < 1e-6
    slip_unless(same, "the table is right, 200 random images are not: does each exit come in turn?")
    return "1, 2, 1, 1 images leave at the exits and 1 never, 5 of 6 are right: 1.425 times faster."


def leave(
    p: Tensor, y: Tensor, thresholds: Pairs, costs: Pairs, together: Callable[..., Tensor]
) -> tuple[float, float]:
    """Return accuracy and cost where `together` makes one distribution of (K, N, C)."""
    at = leaving(p.amax(dim=2), thresholds)
    guess = torch.cat([p, together(p)[None]]).argmax(dim=2).gather(0, at[None])[0]
    return (guess == y).double().mean().item(), torch.tensor(costs)[at].mean().item()


right = partial(leave, together=lambda p: p.log().mean(dim=0))

# 3. implement the detach -------------------------------------------------------------------------


def teach(
    z: Sequence[Tensor], f: Sequence[Tensor], T: float, alpha: float, beta: float, **options: Any
) -> Tensor:
    """Return the soft and the feature term together, or with `options` wrong ones."""
    terms = byot_terms(z, f, torch.zeros(len(z[0])).long(), T, alpha, beta, **options)
    return torch.stack([term for name, term in terms.items() if name != "hard"]).sum()


def test_teach(answer: Loss) -> str:
    """Compare value and gradients; those of the deepest exit must be none."""
    z, f = ([part.clone().requires_grad_() for part in whole] for whole in (Z, H))
    got, true = (loss(z, f, 3.0, 0.3, 0.03) for loss in (answer, teach))
    pulls, wanted = (
        torch.autograd.grad(value, [*z, *f], allow_unused=True, materialize_grads=True)
        for value in (got, true)
    )
    slip_unless(abs(got - true) < 1e-9, f"{got:.5f} is not {true:.5f}: means over images, no T^2?")
    for name, pull in (("z[-1]", pulls[2]), ("f[-1]", pulls[5])):
        slip_unless(not pull.any(), f"a gradient reaches {name}: the deepest exit is a constant.")
    same = all(torch.allclose(a, b) for a, b in zip(pulls, wanted, strict=True))
    slip_unless(same, "the value is right and a gradient is not: a detach() too many?")
    return "the right value, and nothing flows into the deepest exit."


# 4. diagnose -------------------------------------------------------------------------------------


PATIENTS: dict[str, Loss] = {
    "right": teach,
    "not detached": partial(teach, detach=False),
    "times T^2": partial(teach, squared=True),
    "next teaches": partial(teach, teacher="next"),
}


def test_diagnose(answer: Callable[..., str]) -> str:
    """Show it every patient, and the healthy one twice."""
    tell_apart(answer, PATIENTS, "a loss that is {!r} was called {!r}: what does one differ in?")
    return "all four losses were told apart, one of them by its gradients alone."


def by_value(loss: Loss) -> str:
    """Wrong: what flows into the deepest exit does not show in a value."""
    ratio = (loss([*Z], [*H], 3.0, 1.0, 0.0) / teach([*Z], [*H], 3.0, 1.0, 0.0)).item()
    return "right" if abs(ratio - 1) < 1e-6 else "times T^2" if ratio > 8.9 else "next teaches"


EXERCISES = {
    "speed_up": Exercise(
        test_speed_up,
        {
            "mean cost": lambda shares, costs: sum(map(operator.mul, shares, costs)),
            "mean of speed-ups": lambda shares, costs: sum(map(operator.truediv, shares, costs)),
            "four": lambda *_: 4.0,
        },
    ),
    "adaptive_predict": Exercise(
        test_adaptive,
        {
            "at or above": lambda p, y, t, c: right(p, y, [one - 1e-9 for one in t], c),
            "the deepest answers": partial(leave, together=lambda p: p[-1]),
            "mean of probabilities": partial(leave, together=lambda p: p.mean(dim=0)),
            "one threshold": lambda p, y, t, c: right(p, y, t[:1] * len(t), c),
            "speed-up": lambda *given: (5 / 6, 1 / right(*given)[1]),
        },
    ),
    "teach": Exercise(
        test_teach,
        {name: loss for name, loss in PATIENTS.items() if loss is not teach}
        | {"deaf": lambda z, f, *a: teach([z[0].detach(), *z[1:]], f, *a)},
    ),
    "diagnose": Exercise(
        test_diagnose,
        {"by value": by_value, "healthy": lambda _: "right", "bent": lambda _: "not detached"},
    ),
}
