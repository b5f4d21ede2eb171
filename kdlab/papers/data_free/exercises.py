"""Exercises of notebook 11: Lopes 2017, DAFL 2019, DeepInversion 2020."""

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from kdlab.papers.data_free.losses import balance_loss, competition_loss
from kdlab.show.exercise import Exercise, slip_unless, tell_apart


def test_balance(answer: Callable[..., float]) -> str:
    """Compare with the loss of a batch that shows k classes, each sure and equally often."""
    for k in (1, 2, 5, 10):
        true = balance_loss(1e3 * torch.eye(10)[torch.arange(20) % k]).item()
        got = answer(k)
        slip_unless(abs(got + true) > 1e-4 or k == 1, "the sign: generators LOWER this term.")
        slip_unless(abs(got - true) < 1e-4, f"k = {k}: you say {got:g}, the loss is {true:.4f}.")
    return "equal to the loss for 1, 2, 5 and 10 classes."


def test_competition(answer: Callable[..., Tensor]) -> str:
    """Compare values with those of the package, and ask for a gradient on hard logits."""
    z = 2 * torch.randn(2, 6, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    for T in (1.0, 3.0):
        same, got = answer(z[0], z[0], T), answer(z[0], z[1], T)
        true = competition_loss(z[0], z[1], T)
        slip_unless(abs(same - 1) < 1e-6, f"for equal logits it is {same:.3f}; it should be 1.")
        slip_unless(torch.allclose(got, true), f"T = {T:g}: {got:.4f}, and {true:.4f} is right.")
    hard = (1e3 * torch.eye(4, dtype=torch.float64)).requires_grad_()
    (slope,) = torch.autograd.grad(answer(hard, hard.flip(0), 1.0), hard)
    slip_unless(slope.isfinite().all(), "logits of 1000 give no gradient: use log_softmax.")
    return "value and gradient agree, also where no class is shared."


def competition(z_s: Tensor, z_t: Tensor, T: float, half: float = 0.5, sign: int = -1) -> Tensor:
    """Return 1 - JS, or with other `half` and `sign` something wrong."""
    q, p = (F.log_softmax(z / T, dim=1) for z in (z_s, z_t))
    m = torch.logaddexp(p, q) - math.log(2)
    return 1 + sign * half * (p.exp() * (p - m) + q.exp() * (q - m)).sum(dim=1).mean()


def test_shuffle(answer: Callable[..., Tensor]) -> str:
    """Each image keeps its pixels and loses their order, in its own way."""
    x = torch.arange(4 * 49.0).view(4, 1, 7, 7) % 49
    got = answer(x.clone(), torch.Generator().manual_seed(1))
    kept = torch.equal(got.flatten(1).sort(1).values, x.flatten(1).sort(1).values)
    slip_unless(kept, "an image must keep its own pixels: were some lost, or given to others?")
    slip_unless(not torch.equal(got, x), "nothing moved: no pixel has another place.")
    slip_unless(
        not (got == got[:1]).all(), "all images got one order: a place still means a place."
    )
    rows = got.sort(3).values == x.sort(3).values
    slip_unless(not rows.all(), "rows stay rows: shuffle over the whole image.")
    return "pixels stay, places go, each image in its own way."


def one_order(x: Tensor, source: torch.Generator) -> Tensor:
    """Wrong: one order for all images."""
    return x.flatten(1)[:, torch.randperm(x[0].numel(), generator=source)].view_as(x)


PATIENTS: dict[str, Callable[[Tensor], Tensor]] = {
    "right": balance_loss,
    "per image": lambda z: -torch.special.entr(z.softmax(1)).sum(1).mean(),
    "sign": lambda z: -balance_loss(z),
    "decimal": lambda z: balance_loss(z) / math.log(10),
    "not a number": lambda z: (z.softmax(1).mean(0) * z.softmax(1).mean(0).log()).sum(),
}


def test_diagnose(answer: Callable[..., str]) -> str:
    """Show it every patient, and the healthy one twice."""
    tell_apart(answer, PATIENTS, "a term that is {!r} was called {!r}: which logits tell?")
    return "all five terms were told apart."


EXERCISES = {
    "balance_of": Exercise(
        test_balance,
        {"sign": math.log, "decimal": lambda k: -math.log10(k), "share": lambda k: -k / 10},
    ),
    "competition": Exercise(
        test_competition,
        {
            "no half": lambda z_s, z_t, T: competition(z_s, z_t, T, 1.0),
            "plus": lambda z_s, z_t, T: competition(z_s, z_t, T, 0.5, 1),
            "no T": lambda z_s, z_t, T: competition(z_s, z_t, 1.0),
        },
    ),
    "shuffle_pixels": Exercise(
        test_shuffle,
        {
            "one order": one_order,
            "within rows": lambda x, source: x.flip(3),
            "noise": lambda x, source: torch.randn(x.shape, generator=source),
            "nothing": lambda x, source: x,
        },
    ),
    "diagnose": Exercise(
        test_diagnose,
        {
            "healthy": lambda loss: "right",
            "sign only": lambda loss: "sign" if loss(torch.eye(3)) > 0 else "right",
            "one image": lambda loss: "decimal" if loss(torch.eye(2)) > -0.6 else "per image",
        },
    ),
}
