"""Exercises of notebook 06, Xu et al. 2020."""

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from kdlab.papers.sskd.method import transfer_loss
from kdlab.papers.sskd.pretext import contrastive_loss, similarity
from kdlab.show.exercise import Exercise, slip_unless, tell_apart

DRAW = torch.Generator().manual_seed(6)
P_S, P_T = (torch.randn(20, d, generator=DRAW, dtype=torch.float64) for d in (3, 5))
F_T = torch.randn(50, 4, 6, generator=DRAW)


def test_least(answer: Callable[..., float]) -> str:
    """1, predict: compare with the loss of B orthogonal projections that find their own."""
    for b, tau in ((2, 1.0), (25, 0.5), (64, 1.0)):
        got, u = answer(b, tau), torch.eye(b, dtype=torch.float64)
        true = contrastive_loss(u, u, torch.arange(b), tau).item()
        slip_unless(abs(got) > 1e-9, "a cosine is at most 1, so the softmax is never quite sure.")
        slip_unless(abs(got - math.log(b)) > 1e-9, "that is chance: all cosines are equal there.")
        slip_unless(abs(got - true) < 1e-9, f"for B = {b}, tau = {tau:g} the loss is {true:.4f}.")
    return "the floor is right for three batches."


def rows_of(p: Tensor, by_view: bool = False) -> Tensor:
    """Return the cosines of views and originals; `by_view` takes the rows for sorted otherwise."""
    if by_view:
        return similarity(p[len(p) // 4 :], p[: len(p) // 4])
    parts = p.unflatten(0, (-1, 4))
    return similarity(parts[:, 1:].flatten(0, 1), parts[:, 0])


def by_hand(p_s: Tensor, p_t: Tensor, tau: float, by_view: bool = False) -> Tensor:
    """Return the loss of exercise 2; wrong, as it stands: a gradient flows into the teacher."""
    log_q, log_p = (F.log_softmax(rows_of(p, by_view) / tau, dim=1) for p in (p_s, p_t))
    return tau**2 * (log_p.exp() * (log_p - log_q)).sum(dim=1).mean()


def right(p_s: Tensor, p_t: Tensor, tau: float) -> Tensor:
    a_s, a_t = rows_of(p_s), rows_of(p_t)
    return transfer_loss(a_s, a_t, tau, torch.ones(len(a_s), dtype=torch.bool))


unsquared: Any = lambda p_s, p_t, tau: right(p_s, p_t, tau) / tau**2  # noqa: E731
by_view: Any = lambda p_s, p_t, tau: by_hand(p_s, p_t.detach(), tau, True)  # noqa: E731


def test_kl(answer: Callable[..., Tensor]) -> str:
    """2, implement: compare with the package, then ask for gradients."""
    for tau in (0.5, 1.0):
        p_s, p_t = P_S.clone().requires_grad_(), P_T.clone().requires_grad_()
        got, true = answer(p_s, p_t, tau), right(P_S, P_T, tau)
        slip_unless(got.shape == (), f"one number is expected, not the shape {tuple(got.shape)}.")
        order = torch.isclose(got, by_view(P_S, P_T, tau))
        slip_unless(not order, "rows stand image by image: image, its three views, next image.")
        hint = f"{got.item():.4f} at tau = {tau:g}, expected {true.item():.4f}: cosines? tau^2?"
        slip_unless(torch.isclose(got, true), hint)
        slopes = torch.autograd.grad(got, (p_s, p_t), allow_unused=True)
        slip_unless(slopes[0] is not None, "no gradient reaches the student.")
        slip_unless(slopes[1] is None, "a gradient flows into the teacher: detach its rows.")
    return "value and gradients are right at two temperatures."


def test_deal(answer: Callable[..., Tensor]) -> str:
    """3, ablate: every image gets the four rows of another one, all together."""
    before = F_T.clone()
    got, again = (answer(F_T, torch.Generator().manual_seed(seed)) for seed in (1, 2))
    slip_unless(torch.equal(before, F_T), "your function changed its input; make a new tensor.")
    slip_unless(got.shape == F_T.shape, f"expected {tuple(F_T.shape)}, got {tuple(got.shape)}.")
    slip_unless(not torch.equal(got, F_T), "nothing moved: this is the teacher itself.")
    whose = (got[:, None] == F_T[None]).flatten(2).all(dim=2)
    together = whose.any(dim=1).all()
    slip_unless(together, "an image and its views must move together, or what is right is lost.")
    slip_unless(whose.any(dim=0).all(), "some image's answers got lost: deal each exactly once.")
    slip_unless(not torch.equal(got, again), "draw the order from `source`.")
    return "what is right stays right, and who is alike is random."


def deal(f: Tensor, source: torch.Generator, parts: int = 1) -> Tensor:
    """Return the answer to exercise 3; wrong for more than one part: views move alone."""
    orders = [torch.randperm(len(f), generator=source) for _ in range(parts)]
    return torch.cat([p[o] for p, o in zip(f.chunk(parts, dim=1), orders, strict=True)], dim=1)


PATIENTS: dict[str, Callable[[Tensor, Tensor, float], Tensor]] = {
    "right": right,
    "no tau squared": unsquared,
    "wrong order": by_view,
    "teacher learns": by_hand,
}


def test_diagnose(answer: Callable[..., str]) -> str:
    """4, diagnose: show it every patient, and the healthy one twice."""
    tell_apart(answer, PATIENTS, "a loss that is {!r} was called {!r}: what tells these two apart?")
    return "all four losses were told apart."


def by_value(loss: Callable[..., Tensor], tau: float = 0.5) -> str:
    """Wrong: a value says nothing about gradients, and at tau = 1 nothing about tau^2."""
    found = loss(P_S, P_T, tau)
    return next((n for n, f in PATIENTS.items() if torch.isclose(found, f(P_S, P_T, tau))), "right")


flat: Any = lambda b, tau: math.log(1 + (b - 1) / math.e)  # noqa: E731
more: Any = lambda b, tau: math.log(1 + b * math.exp(-1 / tau))  # noqa: E731
cooler: Any = lambda p_s, p_t, tau: right(p_s, p_t, tau / 2)  # noqa: E731
twice: Any = lambda f, source: f[torch.randint(len(f), (len(f),), generator=source)]  # noqa: E731
LEAST: Any = {"zero": lambda *_: 0.0, "chance": lambda b, _: math.log(b), "no tau": flat}
LOSS: Any = {"tau": unsquared, "order": by_view, "teacher learns": by_hand, "cooler": cooler}
DEALS: Any = {"alone": partial(deal, parts=4), "still": lambda f, _: f.clone(), "twice": twice}
BENCH: Any = {"value": by_value, "at 1": partial(by_value, tau=1.0), "healthy": lambda _: "right"}
EXERCISES = {
    "least_loss": Exercise(test_least, LEAST | {"one too many": more}),
    "similarity_kl": Exercise(test_kl, LOSS),
    "deal": Exercise(test_deal, DEALS | {"same": lambda f, _: f.roll(1, 0)}),
    "diagnose": Exercise(test_diagnose, BENCH),
}
