"""Exercises of notebook 00, Hinton, Vinyals, Dean 2015."""

from collections.abc import Callable
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor

from kdlab.papers.kd.method import kd_loss
from kdlab.show.exercise import Exercise, slip_unless, tell_apart
from kdlab.train.method import hard_loss

Z = torch.tensor([[1.0, 2.0, 0.0], [0.5, -1.0, 3.0]], dtype=torch.float64)  # student
V = torch.tensor([[2.0, 0.0, 1.0], [1.0, 1.0, 2.0]], dtype=torch.float64)  # teacher
Y = torch.tensor([0, 2])


def softmax(z: Tensor, T: float) -> Tensor:
    """Return softmax(z / T) over classes."""
    return F.softmax(z / T, dim=1)


# 1. predict --------------------------------------------------------------------------------------


def test_shrinkage(answer: Callable[..., float]) -> str:
    """Compare with the measured ratio of gradients, with and without T^2."""
    z = Z.clone().requires_grad_()
    for T in (2.0, 20.0):
        (with_it,) = torch.autograd.grad(kd_loss(z, V, T), z)
        (without,) = torch.autograd.grad(kd_loss(z, V, T) / T**2, z)
        measured = (with_it.norm() / without.norm()).item()
        got = answer(T)
        slip_unless(abs(got - 1 / measured) > 1e-9, "that is the inverse: by what is it DIVIDED?")
        slip_unless(abs(got - T) > 1e-9, "one T comes from the chain rule; where is the other?")
        hint = f"at T = {T:g} you say {got:g}, autograd measures {measured:g}."
        slip_unless(abs(got - measured) < 1e-6 * measured, hint)
    return "autograd agrees at T = 2 and at T = 20."


# 2. implement ------------------------------------------------------------------------------------


def test_gradient(answer: Callable[..., Tensor]) -> str:
    """Compare with autograd on the loss of the notebook."""
    for T, alpha in ((2.0, 0.5), (4.0, 0.9), (1.0, 1.0), (8.0, 0.0)):
        z = Z.clone().requires_grad_()
        loss = (1 - alpha) * hard_loss(z, Y) + alpha * kd_loss(z, V, T)
        (true,) = torch.autograd.grad(loss, z)
        got = answer(Z, V, Y, T, alpha)
        hint = f"expected the shape {tuple(true.shape)}, got {tuple(getattr(got, 'shape', ()))}."
        slip_unless(getattr(got, "shape", None) == true.shape, hint)
        slip_unless(not torch.allclose(got, len(Z) * true), "divide by the batch size B.")
        slip_unless(not torch.allclose(got, -true), "the sign: student minus teacher.")
        hint = f"wrong at T = {T:g}, alpha = {alpha:g}: is one factor T left in the soft part?"
        slip_unless(torch.allclose(got, true, atol=1e-9), hint)
    return "equal to autograd at four settings of T and alpha."


def gradient(
    z_s: Tensor, z_t: Tensor, y: Tensor, T: float, alpha: float, power: int = 1, sign: float = 1.0
) -> Tensor:
    """Return the gradient, or with other `power` and `sign` a wrong one."""
    hard = softmax(z_s, 1.0) - F.one_hot(y, z_s.shape[1])
    soft = T**power * sign * (softmax(z_s, T) - softmax(z_t, T))
    return ((1 - alpha) * hard + alpha * soft) / len(z_s)


# 3. ablate ---------------------------------------------------------------------------------------


def test_control(answer: Callable[..., Tensor]) -> str:
    """The control keeps top class and entropy and loses which wrong class is likely."""
    z = torch.randn(200, 6, generator=torch.Generator().manual_seed(1)) * 2
    before, source = z.clone(), torch.Generator().manual_seed(2)
    got = answer(z, source)
    slip_unless(torch.equal(z, before), "your function changed its input; work on z.clone().")
    slip_unless(
        got.shape == z.shape, f"expected the shape {tuple(z.shape)}, got {tuple(got.shape)}."
    )
    same_top = torch.equal(got.argmax(1), z.argmax(1)) and torch.equal(got.amax(1), z.amax(1))
    slip_unless(same_top, "the most likely class and its logit must stay where they are.")
    same_values = torch.equal(got.sort(1).values, z.sort(1).values)
    slip_unless(same_values, "each row must keep its own values, or entropy and confidence change.")
    slip_unless(not torch.equal(got, z), "nothing moved: this is the teacher itself.")
    moves = {tuple(row) for row in (got[:, None, :] == z[:, :, None]).int().argmax(2).tolist()}
    hint = "the wrong classes are moved alike in many rows: draw an order of its own for each row."
    slip_unless(len(moves) > 60, hint)
    return "top class, confidence and entropy are kept; who is second is random."


def shuffle_all(z: Tensor, source: torch.Generator) -> Tensor:
    """Wrong: moves the top class too."""
    return torch.stack([row[torch.randperm(len(row), generator=source)] for row in z])


def same_order(z: Tensor, source: torch.Generator) -> Tensor:
    """Wrong: one order for all rows that have the same top class."""
    order, top, out = torch.randperm(z.shape[1] - 1, generator=source), z.argmax(1), z.clone()
    for i, t in enumerate(top):
        rest = [c for c in range(z.shape[1]) if c != t]
        out[i, rest] = z[i, rest][order]
    return out


def smooth(z: Tensor, source: torch.Generator) -> Tensor:
    """Wrong: label smoothing; the wrong classes become equal."""
    top = z.argmax(1, keepdim=True)
    rest = (z.sum(1, keepdim=True) - z.gather(1, top)) / (z.shape[1] - 1)
    return rest.expand_as(z).clone().scatter(1, top, z.gather(1, top))


# 4. diagnose -------------------------------------------------------------------------------------


def no_square(z_s: Tensor, z_t: Tensor, T: float) -> Tensor:
    return kd_loss(z_s, z_t, T) / T**2


def swapped(z_s: Tensor, z_t: Tensor, T: float) -> Tensor:
    return T**2 * F.kl_div(F.log_softmax(z_t / T, 1), F.softmax(z_s / T, 1), reduction="batchmean")


def mean_over_classes(z_s: Tensor, z_t: Tensor, T: float) -> Tensor:
    return kd_loss(z_s, z_t, T) / z_s.shape[1]


def no_log(z_s: Tensor, z_t: Tensor, T: float) -> Tensor:
    return T**2 * F.kl_div(softmax(z_s, T), softmax(z_t, T), reduction="batchmean")


PATIENTS: dict[str, Callable[[Tensor, Tensor, float], Tensor]] = {
    "right": kd_loss,
    "no T^2": no_square,
    "swapped": swapped,
    "mean over classes": mean_over_classes,
    "no log": no_log,
}


def test_diagnose(answer: Callable[..., str]) -> str:
    """Show it every patient, and the healthy one twice."""
    hint = "a loss that is {!r} was called {!r}: which input tells these two apart?"
    tell_apart(answer, PATIENTS, hint)
    return "all five losses were told apart."


def by_value_at_one(loss: Callable[..., Tensor]) -> str:
    """Wrong: at T = 1 a missing T^2 does not show."""
    ratio = (loss(Z, V, 1.0) / kd_loss(Z, V, 1.0)).item()
    if ratio < 0:
        return "no log"
    if abs(ratio - 1 / 3) < 1e-6:
        return "mean over classes"
    return "right" if abs(ratio - 1) < 1e-6 else "swapped"


EXERCISES = {
    "shrinkage": Exercise(
        test_shrinkage,
        {
            "one T": lambda T: T,
            "inverse": lambda T: T**-2,
            "four": lambda T: T**4,
            "nothing": lambda T: 1.0,
        },
    ),
    "kd_gradient": Exercise(
        test_gradient,
        {
            "factor T squared": partial(gradient, power=2),
            "no factor T": partial(gradient, power=0),
            "teacher minus student": partial(gradient, sign=-1.0),
            "not averaged": lambda *a: len(a[0]) * gradient(*a),
            "softmax over the batch": lambda z, v, y, T, alpha: gradient(z.T, v.T, y[:1], T, alpha),
        },
    ),
    "keep_top_shuffle_rest": Exercise(
        test_control,
        {
            "shuffles the top class too": shuffle_all,
            "one order for all rows": same_order,
            "label smoothing": smooth,
            "nothing moves": lambda z, source: z.clone(),
        },
    ),
    "diagnose": Exercise(
        test_diagnose,
        {
            "looks at T = 1 only": by_value_at_one,
            "always healthy": lambda loss: "right",
            "sign only": lambda loss: "no log" if loss(Z, V, 4.0) < 0 else "right",
        },
    ),
}
