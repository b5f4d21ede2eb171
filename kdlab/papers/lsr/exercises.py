"""Exercises of notebook 02, Yuan, Tay, Li, Wang, Feng 2020."""

from collections.abc import Callable
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor

from kdlab.papers.lsr.method import lsr_equivalent, reg_term
from kdlab.show.exercise import Exercise, slip_unless, tell_apart
from kdlab.train.method import hard_loss

# 1. predict --------------------------------------------------------------------------------------


def test_share(answer: Callable[..., float]) -> str:
    """Compare with the share of the two weights."""
    for alpha, C in ((0.95, 100), (0.6, 100), (0.95, 10)):
        got, soft = answer(alpha, C), alpha / C
        at, true = f"at alpha = {alpha:g} and {C} classes", soft / (soft + 1 - alpha)
        hint = f"{at}: the two weights do not sum to 1 any more; divide by their sum."
        slip_unless(abs(got - soft) > 1e-9, hint)
        slip_unless(abs(got - true) < 1e-9, f"{at} you say {got:.4f}, the weights say {true:.4f}.")
    return "of 0.95 the teacher keeps 0.16 on 100 classes, and of 0.6 it keeps 0.015."


# 2. implement ------------------------------------------------------------------------------------


def slope(loss: Tensor, z: Tensor) -> Tensor:
    """Return the gradient of `loss` at the logits."""
    return torch.autograd.grad(loss, z, retain_graph=True)[0]


def test_epsilon(answer: Callable[..., float]) -> str:
    """Compare both gradients by autograd, and show that tempering the student parts them."""
    for alpha, a_c, T, C in ((0.3, 0.9, 5.0, 10), (0.95, 0.99, 40.0, 4), (0.1, 0.99, 2.0, 3)):
        got, true = answer(alpha, a_c, T, C), lsr_equivalent(alpha, T, a_c, C)[0]
        at = f"at ({alpha:g}, {a_c:g}, {T:g}, {C})"
        hint = f"{at}: that is 1 - delta alone; alpha says how much of it enters the loss."
        slip_unless(abs(got - true / alpha) > 1e-9, hint)
        hint = f"{at}: that would be a uniform teacher. At T = {T:g} it is not quite uniform."
        slip_unless(abs(got - alpha) > 1e-9, hint)
        hint = f"{at} you say {got:.6f}; the gradients agree at {true:.6f}. Is p_d softened first?"
        slip_unless(abs(got - true) < 1e-8, hint)
        z = torch.linspace(-2, 3, 2 * C, dtype=torch.float64).reshape(2, C).requires_grad_()
        y = torch.tensor([0, C - 1])
        smooth, hard = slope(hard_loss(z, y, got), z), (1 - alpha) * hard_loss(z, y)
        for form, equal in {"untempered": True, "squared": False}.items():
            theirs = slope(hard + alpha * reg_term(z, y, T, a_c, form), z)
            slip_unless(torch.allclose(theirs, smooth) == equal, f"{at}, {form}: not as proved.")
    return "both gradients agree; once the student is tempered, they part."


# 3. ablate ---------------------------------------------------------------------------------------


def test_twin(answer: Callable[..., Tensor]) -> str:
    """The control keeps the probability of each label and loses everything else."""
    source = torch.Generator().manual_seed(1)
    p = F.softmax(2 * torch.randn(60, 5, generator=source, dtype=torch.float64), dim=1)
    y, before = torch.randint(0, 5, (60,), generator=source), p.clone()
    got, own = answer(p, y), p.gather(1, y[:, None])
    slip_unless(torch.equal(p, before), "your function changed its input; work on a copy.")
    slip_unless(got.shape == p.shape, f"expected the shape {tuple(p.shape)}.")
    hint = "each row must sum to 1: over how many classes do you spread the rest?"
    slip_unless(torch.allclose(got.sum(dim=1), p.sum(dim=1)), hint)
    hint = "keep the probability of the LABEL, in each row its own, and not of the prediction."
    slip_unless(torch.allclose(got.gather(1, y[:, None]), own), hint)
    hint = "the other classes of a row must be equal: else the ranking is still there."
    slip_unless(torch.allclose(got, spread(p, y[:, None])), hint)
    return "label smoothing, with an amount of its own for each image."


def spread(p: Tensor, at: Tensor, classes: int = 1) -> Tensor:
    """Keep the probability at `at` (N, 1), spread the rest over C - `classes` classes."""
    own = p.gather(1, at)
    return ((1 - own) / (p.shape[1] - classes)).expand_as(p).scatter(1, at, own)


def one_for_all(p: Tensor, y: Tensor) -> Tensor:
    """Wrong: one amount of smoothing for all images."""
    return spread(p.gather(1, y[:, None]).mean().expand_as(p), y[:, None])


# 4. diagnose -------------------------------------------------------------------------------------


PATIENTS: dict[str, Callable[[Tensor, Tensor, float, float], Tensor]] = {
    "right": reg_term,
    "no T^2": partial(reg_term, form="literal"),
    "student at T = 1": partial(reg_term, form="untempered"),
    "mean over classes": partial(reg_term, reduction="mean"),
    "follows the prediction": lambda z, y, T, a_c: reg_term(z, z.argmax(dim=1), T, a_c),
}


def test_diagnose(answer: Callable[..., str]) -> str:
    """Show it every patient, and the healthy one twice."""
    tell_apart(answer, PATIENTS, "a loss that is {!r} was called {!r}: what tells them apart?")
    return "all five losses were told apart."


def by_value(loss: Callable[..., Tensor], label: int = 1, T: float = 4.0) -> str:
    """Wrong where the label is the prediction, or T = 1: then some patients look healthy."""
    case = torch.tensor([[1.0, 2.0, 0.0]]), torch.tensor([label]), T, 0.9
    value = loss(*case).item()
    return min(PATIENTS, key=lambda name: abs(PATIENTS[name](*case).item() - value))


EXERCISES = {
    "teacher_share": Exercise(
        test_share,
        {
            "alpha": lambda alpha, C: alpha,
            "not a share": lambda alpha, C: alpha / C,
            "of the labels": lambda alpha, C: (1 - alpha) / (1 - alpha + alpha / C),
        },
    ),
    "lsr_epsilon": Exercise(
        test_epsilon,
        {
            "alpha": lambda alpha, a_c, T, C: alpha,
            "without alpha": lambda alpha, a_c, T, C: lsr_equivalent(alpha, T, a_c, C)[0] / alpha,
            "not softened": lambda alpha, a_c, T, C: alpha * (1 - a_c) * C / (C - 1),
        },
    ),
    "spread_the_rest": Exercise(
        test_twin,
        {
            "keeps the prediction": lambda p, y: spread(p, p.argmax(dim=1, keepdim=True)),
            "over C classes": lambda p, y: spread(p, y[:, None], classes=0),
            "one amount for all": one_for_all,
            "the teacher itself": lambda p, y: p.clone(),
        },
    ),
    "diagnose": Exercise(
        test_diagnose,
        {
            "looks at right predictions only": by_value,
            "looks at T = 1 only": partial(by_value, label=0, T=1.0),
            "always healthy": lambda loss: "right",
        },
    ),
}
