"""Exercises of notebook 04, Romero et al. 2015."""

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from kdlab.papers.fitnets.method import hint_loss
from kdlab.papers.fitnets.nets import kernel
from kdlab.show.exercise import Exercise, slip_unless, tell_apart

SHAPES = [((8, 7, 7), (64, 7, 7)), ((8, 7, 7), (128, 3, 3)), ((2, 5, 5), (3, 4, 4))]
DRAW = torch.Generator().manual_seed(4)
F_S, F_T = (torch.randn(3, c, n, n, generator=DRAW).relu() for c, n in ((2, 5), (4, 4)))
W, BIAS = torch.randn(4, 2, 2, 2, generator=DRAW), torch.randn(4, generator=DRAW)


def test_size(answer: Callable[..., tuple[int, int, int]]) -> str:
    """1, predict: compare with the paper's formulas."""
    for guided, hint in SHAPES:
        got, true = tuple(answer(guided, hint)), sizes(guided, hint)
        slip_unless(got[0] == true[0], f"from {guided} to {hint} the kernel is {true[0]}.")
        slip_unless(got[1] == true[1], "a convolution has k times k weights a channel pair.")
        slip_unless(got[2] == true[2], "dense: a weight for each pair of units.")
    return "kernel and both numbers of weights are right for three pairs of layers."


def sizes(guided: Any, hint: Any, more: int = 0, power: int = 2) -> tuple[int, int, int]:
    """Return the answer; wrong for other `more` or `power`."""
    (c, n, _), (d, m, _), k = guided, hint, kernel(guided, hint)[0] + more
    return k, k**power * c * d, n * n * c * m * m * d


def test_loss(answer: Callable[..., Tensor]) -> str:
    """2, implement: compare with the package at three reductions, then ask for gradients."""
    f_t, w = F_T.clone().requires_grad_(), W.clone().requires_grad_()
    for name in ("half sum", "rows", "mean"):
        got, straight = answer(F_S, w, BIAS, f_t, name), F.conv2d(F_S, W, BIAS)
        slip_unless(got.shape == (), f"one number is expected, not the shape {tuple(got.shape)}.")
        bent = not torch.isclose(got, hint_loss(straight, F_T, name))
        slip_unless(bent, "the hint went through a ReLU; so must the regressor's output.")
        ratio = (got / hint_loss(straight.relu(), F_T, name)).item()
        hint = f"{name!r}: {ratio:.3g} times too much. Which sums, which means, is there a half?"
        slip_unless(abs(ratio - 1) < 1e-4, hint)
        slopes = torch.autograd.grad(got, (w, f_t), allow_unused=True)
        slip_unless(slopes[0] is not None, "no gradient reaches the regressor.")
        slip_unless(slopes[1] is None, "a gradient flows into the teacher: detach its map.")
    return "value and gradients are right for all three reductions."


def by_hand(f_s: Tensor, w: Tensor, bias: Tensor, f_t: Tensor, reduction: str) -> Tensor:
    """Wrong: a gradient flows into the teacher."""
    squares = (F.conv2d(f_s, w, bias).relu() - f_t).square()
    sums = {"half sum": squares.sum(dim=(1, 2, 3)), "rows": squares.sum(dim=2)}
    return sums[reduction].mean() / 2 if reduction in sums else squares.mean()


def test_scale(answer: Callable[..., Tensor]) -> str:
    """3, ablate: each channel gets the teacher's mean and spread, nothing else of the teacher."""
    untrained, before = (1 + torch.arange(4.0)[:, None, None]) * F_T.flip(0) + 1, F_T.clone()
    got, true = answer(untrained, F_T), scaled(untrained, F_T)
    slip_unless(got.shape == F_T.shape, f"expected {tuple(F_T.shape)}, got {tuple(got.shape)}.")
    slip_unless(torch.equal(before, F_T), "your function changed the teacher's map.")
    slip_unless(not torch.equal(got, F_T), "this is the teacher's map, not the untrained one.")
    alike = torch.allclose(got.mean(dim=(0, 2, 3)), true.mean(dim=(0, 2, 3)), atol=1e-4)
    slip_unless(alike, "each channel needs the teacher's mean over images and places.")
    hint = "take out a channel's own mean and spread (images and places), put in the teacher's."
    slip_unless(torch.allclose(got, true, atol=1e-4), hint)
    return "scale and spread are the teacher's, the content is untrained."


def scaled(untrained: Tensor, f_t: Tensor, axes: tuple[int, ...] = (0, 2, 3)) -> Tensor:
    """Return the answer; wrong for other `axes`."""
    (m, s), (n, t) = ((f.mean(axes, True), f.std(axes, keepdim=True)) for f in (untrained, f_t))
    return (untrained - m) / s.clamp(min=1e-6) * t + n


PATIENTS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "right": partial(hint_loss, reduction="half sum"),
    "no half": lambda f, t: 2 * hint_loss(f, t, "half sum"),
    "summed over images": lambda f, t: len(f) * hint_loss(f, t, "half sum"),
    "teacher learns": lambda f, t: (f - t).square().sum(dim=(1, 2, 3)).mean() / 2,
}


def test_patients(answer: Callable[..., str]) -> str:
    """4, diagnose: show it every patient, and the healthy one twice."""
    tell_apart(answer, PATIENTS, "a loss that is {!r} was called {!r}: what tells these two apart?")
    return "all four losses were told apart."


def by_value(loss: Callable[..., Tensor], images: int = 1) -> str:
    """Wrong: a value says nothing about gradients."""
    names = {1.0: "right", 2.0: "no half", float(images): "summed over images"}
    f, t = torch.ones(images, 2, 1, 1), torch.zeros(images, 2, 1, 1)
    return names.get(loss(f, t).item(), "right")


less, once, cubed = (partial(sizes, **slip) for slip in ({"more": -1}, {"power": 1}, {"power": 3}))
twice: Any = lambda f, w, b, t, name: 2 * by_hand(f, w, b, t.detach(), name)  # noqa: E731
bare: Any = lambda f, w, b, t, name: hint_loss(F.conv2d(f, w, b), t, name)  # noqa: E731
one, each, same = partial(scaled, axes=(0, 1, 2, 3)), partial(scaled, axes=(2, 3)), lambda _, t: +t
three, well = partial(by_value, images=3), lambda loss: "right"
EXERCISES = {
    "regressor_size": Exercise(test_size, {"no + 1": less, "k once": once, "k cubed": cubed}),
    "hint_by_hand": Exercise(test_loss, {"teacher learns": by_hand, "half": twice, "ReLU": bare}),
    "same_scale": Exercise(test_scale, {"one scale": one, "each image": each, "the teacher": same}),
    "diagnose": Exercise(test_patients, {"one": by_value, "three": three, "healthy": well}),
}
