"""Exercises of notebook 05, Park, Kim, Lu, Cho 2019."""

from collections.abc import Callable
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor

from kdlab.papers.rkd.method import distances, rkd_angle, rkd_distance
from kdlab.show.exercise import Exercise, slip_unless, tell_apart

Loss = Callable[[Tensor, Tensor], Tensor]
S = torch.tensor([[0.0, 0.0], [3.0, 0.0], [0.0, 4.0], [5.0, 1.0]], dtype=torch.float64)
T = torch.tensor([[0.0], [1.0], [2.0], [-4.0]], dtype=torch.float64)
TRIANGLE, LINE = S[:3], T[:3]


def points(rows: int, size: int, seed: int = 0) -> Tensor:
    """Return random features (rows, size)."""
    gen = torch.Generator().manual_seed(seed)
    return torch.randn(rows, size, generator=gen, dtype=torch.float64)


def slope(loss: Loss, f_s: Tensor, f_t: Tensor) -> Tensor:
    """Return the gradient of a loss at the student's features."""
    f_s = f_s.detach().clone().requires_grad_()
    return torch.autograd.grad(loss(f_s, f_t), f_s)[0]


# 1. predict --------------------------------------------------------------------------------------

CHANGES: dict[str, Callable[[Tensor], Tensor]] = {
    "shift": lambda f: f + 5,
    "turn": lambda f: f @ torch.tensor([[0.6, 0.8], [-0.8, 0.6]], dtype=f.dtype),
    "mirror": lambda f: f * torch.tensor([-1.0, 1.0], dtype=f.dtype),
    "scale": lambda f: 3 * f,
    "stretch": lambda f: f * torch.tensor([3.0, 1.0], dtype=f.dtype),
    "swap coordinates": lambda f: f.flip(1),
    "swap images": lambda f: f[[1, 0, *range(2, len(f))]],
    "normalise": lambda f: F.normalize(f + 1),
}


def test_seen(answer: Callable[[], set[str]]) -> str:
    """Compare with the changes that move a loss."""
    got = set(answer())
    slip_unless(got <= set(CHANGES), f"choose among {', '.join(CHANGES)}.")
    before = rkd_distance(S, T), rkd_angle(S, T)
    for name, change in CHANGES.items():
        after = rkd_distance(change(S), T), rkd_angle(change(S), T)
        moved = not all(torch.allclose(a, b) for a, b in zip(before, after, strict=True))
        hint = "it moves a loss." if moved else "distances and angles stay as they were."
        slip_unless((name in got) == moved, f"try {name!r} on three points: {hint}")
    return "the losses agree with all eight."


# 2. implement ------------------------------------------------------------------------------------


def test_safe_angle(answer: Loss) -> str:
    """Values by hand, the package's loss, and gradients where points coincide."""
    for f_s, value in ((LINE[[0, 2, 1]], 6 / 27), (TRIANGLE, 0.12)):
        got = float(answer(f_s, LINE))
        slip_unless(abs(got - value * 27 / 6) > 1e-6, "divide by all B^3 entries, not by triples.")
        hint = f"{f_s.tolist()} against 0, 1, 2 give {value:.4f}; you have {got:.4f}."
        slip_unless(abs(got - value) < 1e-6, hint)
    f_s, f_t = points(7, 3), points(7, 5, seed=1)
    hint = "right for three points, wrong for seven: does each of them serve as vertex?"
    slip_unless(torch.allclose(answer(f_s, f_t), rkd_angle(f_s, f_t), atol=1e-9), hint)
    f_s[5] = f_s[2]
    for a, b in ((points(2, 3), points(2, 3, seed=1)), (f_s, f_t)):
        found, usual = slope(answer, a, b), slope(rkd_angle, a, b)
        hint = f"two equal rows, or a batch of two: the largest gradient is {found.abs().max():.1g}"
        slip_unless(found.abs().max() < 100, f"{hint}; mask what has no direction.")
        hint = "two equal rows: finite, but wrong; only what has no direction may be set to 0."
        slip_unless(torch.allclose(found, usual, atol=1e-9), hint)
    return "values, a batch of two and equal rows are right."


def angle_loss(
    f_s: Tensor, f_t: Tensor, safe: bool = True, cosine: bool = True, triples: bool = False
) -> Tensor:
    """Return L_A, or with other arguments a wrong one."""

    def cosines(f: Tensor) -> Tensor:
        e = f[:, None] - f
        if cosine:
            square = e.square().sum(dim=2, keepdim=True)
            length = torch.where(square > 0, square, 1).sqrt()
            e = e / length * (square > 0) if safe else F.normalize(e, dim=2)
        return torch.einsum("ijc,kjc->ijk", e, e)

    n = len(f_s)
    total = F.smooth_l1_loss(cosines(f_s), cosines(f_t), reduction="sum")
    return total / (n * (n - 1) * (n - 2) if triples else n**3)


# 3. ablate ---------------------------------------------------------------------------------------


def test_within_class(answer: Callable[..., Tensor]) -> str:
    """Each image gets the features of another image of its class."""
    y = torch.arange(60) % 5
    f = torch.stack([torch.arange(60.0), y.float()], dim=1)
    got = answer(handed := f.clone(), y, torch.Generator().manual_seed(3))
    slip_unless(torch.equal(handed, f), "your function changed its input; work on f.clone().")
    slip_unless(got.shape == f.shape, f"expected {tuple(f.shape)}, got {tuple(got.shape)}.")
    slip_unless(torch.equal(got[:, 1], y.float()), "an image got the features of another class.")
    whole = got[:, 0].unique().numel() == 60
    slip_unless(whole, "some features are dealt twice, others never: the set must stay as it was.")
    kept = (got[:, 0] == f[:, 0]).float().mean().item()
    slip_unless(kept < 0.5, f"{100 * kept:.0f} % of the images keep their own features.")
    again = answer(f, y, torch.Generator().manual_seed(4))
    slip_unless(not torch.equal(again, got), "the deal is not random: draw it from `source`.")
    return "classes stay together, images change places within them."


# 4. diagnose -------------------------------------------------------------------------------------


def mu(f: Tensor) -> Tensor:
    """Return the mean distance."""
    return torch.pdist(f).mean()


def compared(s: Tensor, t: Tensor, mu_s: Tensor | float, mu_t: Tensor | float) -> Tensor:
    """Return the distance loss with these mean distances."""
    return F.smooth_l1_loss(torch.cdist(s, s) / mu_s, torch.cdist(t, t) / mu_t)


PATIENTS: dict[str, Loss] = {
    "right": rkd_distance,
    "no mean": lambda s, t: compared(s, t, 1.0, 1.0),
    "teacher's mean": lambda s, t: compared(s, t, mu(t), mu(t)),
    "mean detached": lambda s, t: compared(s, t, mu(s).detach(), mu(t)),
    "squares": lambda s, t: 0.5 * F.mse_loss(distances(s), distances(t)),
}


def test_diagnose(answer: Callable[[Loss], str]) -> str:
    """Show it every patient, and the healthy one twice."""
    hint = "a loss that is {!r} was called {!r}: which input tells these two apart?"
    tell_apart(answer, PATIENTS, hint)
    return "all five losses were told apart."


def by_value(loss: Loss) -> str:
    """Wrong: a detached mean does not show in the value."""
    named = {name: patient(S, T) for name, patient in PATIENTS.items() if name != "mean detached"}
    value = loss(S, T)
    return next((name for name, v in named.items() if torch.isclose(value, v)), "mean detached")


SEEN = {  # wrong answers to the first exercise
    "mirror images differ": {"mirror", "stretch", "swap images", "normalise"},
    "size matters": {"scale", "stretch", "swap images", "normalise"},
    "normalising is free": {"stretch", "swap images"},
    "the order is free": {"stretch", "normalise"},
}
WITHIN: dict[str, Callable[..., Tensor]] = {
    "dealt over all classes": lambda f, y, g: f[torch.randperm(len(f), generator=g)],
    "one image for its class": lambda f, y, g: f[y],
    "nothing moves": lambda f, y, g: f.clone(),
}
SAFE: dict[str, Loss] = {
    "normalises what has no direction": partial(angle_loss, safe=False),
    "products instead of cosines": partial(angle_loss, cosine=False),
    "mean over distinct triples": partial(angle_loss, triples=True),
}
BENCHES: dict[str, Callable[[Loss], str]] = {
    "scale only": lambda loss: "right" if loss(3 * S, T) == loss(S, T) else "no mean",
    "value only": by_value,
    "always healthy": lambda loss: "right",
}
EXERCISES = {
    "seen_by_the_losses": Exercise(test_seen, {k: partial(set, v) for k, v in SEEN.items()}),
    "safe_angle": Exercise(test_safe_angle, SAFE),
    "within_class": Exercise(test_within_class, WITHIN),
    "diagnose": Exercise(test_diagnose, BENCHES),
}
