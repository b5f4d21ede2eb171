"""Exercises of notebook 01, Cho, Hariharan 2019."""

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from kdlab import measure
from kdlab.papers.efficacy.method import equal_entropy, loss_weights
from kdlab.show.exercise import Exercise, slip_unless, tell_apart

Z = torch.tensor([[2.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 3.0]])  # student
V = torch.tensor([[3.0, 0.0, 0.0], [2.0, 1.0, 0.0], [0.0, 1.0, 4.0]])  # teacher


# 1. predict --------------------------------------------------------------------------------------


def test_same_targets(answer: Callable[[float, float], float]) -> str:
    """Compare the targets of both teachers at the answered temperature."""
    for k, T in ((3.0, 4.0), (0.5, 2.0), (2.0, 1.0)):
        got = answer(k, T)
        want, have = F.softmax(V / T, dim=1), F.softmax(k * V / got, dim=1)
        slip_unless(abs(got - T / k) > 1e-9, "that makes the sharper teacher sharper still.")
        gap = (want - have).abs().max().item()
        slip_unless(
            gap < 1e-6, f"k = {k:g}, T = {T:g}: at {got:g} the targets differ by {gap:.2f}."
        )
    return "the targets are the same at three settings: confidence and temperature trade off."


# 2. implement ------------------------------------------------------------------------------------


def test_fidelity(answer: Callable[[Tensor, Tensor], tuple[float, float]]) -> str:
    """Compare with the package on the example and on random logits."""
    z, v = torch.randn(2, 40, 7, generator=torch.Generator().manual_seed(0))
    for z_s, z_t in ((Z, V), (z, 3 * v)):
        true, back = measure.fidelity(z_s, z_t), measure.fidelity(z_t, z_s)
        agreement, kl = (float(x) for x in answer(z_s, z_t))
        hint = "the agreement is a share from 0 to 1, of images with the same top class."
        slip_unless(math.isclose(agreement, true.agreement / 100, abs_tol=1e-6), hint)
        slip_unless(not math.isclose(kl, back.kl, rel_tol=1e-4), "teacher first: KL(p || q).")
        slip_unless(not math.isclose(kl, -true.kl, rel_tol=1e-4), "the sign: log p minus log q.")
        hint = "summed over classes, averaged over images: divide by their number, only by that."
        slips = (true.kl * len(z_s), true.kl / z_s.shape[1])
        slip_unless(not any(math.isclose(kl, slip, rel_tol=1e-4) for slip in slips), hint)
        hint = f"expected KL = {true.kl:.6f} at T = 1, you return {kl:.6f}."
        slip_unless(math.isclose(kl, true.kl, rel_tol=1e-4), hint)
    return "agreement and KL are right on the example and on 40 random images."


def by_hand(z: Tensor, v: Tensor, T: float = 1.0, factor: float = 1.0) -> tuple[float, float]:
    """Return agreement and KL, or with another T or factor wrong ones."""
    kl = measure.fidelity(z / T, v / T).kl
    return (z.argmax(1) == v.argmax(1)).double().mean().item(), factor * kl


# 3. ablate ---------------------------------------------------------------------------------------


def test_match(answer: Callable[[Tensor, Tensor, float], Tensor]) -> str:
    """The mean entropy is that of the reference, and nothing but one factor has changed."""
    z, other = torch.randn(2, 60, 5, generator=torch.Generator().manual_seed(3))
    z, reference = 4 * z, 2 * other
    before = z.clone()
    for T in (4.0, 1.0):
        got = answer(z, reference, T)
        slip_unless(torch.equal(z, before), "your function changed its input; work on a copy.")
        hint = f"expected the shape {tuple(z.shape)}, got {tuple(got.shape)}."
        slip_unless(got.shape == z.shape, hint)
        goal, have = measure.softness(reference, T), measure.softness(got, T)
        slip_unless(not torch.equal(got, z), "nothing changed: this is the teacher itself.")
        hint = "the order of the classes of an image must stay: change the confidence alone."
        slip_unless(torch.equal(got.argsort(1), z.argsort(1)), hint)
        factor = (got * z).sum() / z.square().sum()
        hint = "one factor for all images: otherwise you also change which image is uncertain."
        slip_unless(torch.allclose(got, factor * z, rtol=1e-3, atol=1e-4), hint)
        hint = f"at T = {T:g} the mean entropy is {have:.4f}, that of the reference {goal:.4f}."
        slip_unless(abs(have - goal) < 1e-3, hint)
    return "equal mean entropy at T = 4 and at T = 1, and nothing else has changed."


def each_row(z: Tensor, reference: Tensor, T: float) -> Tensor:
    """Wrong: every image gets a factor of its own."""
    pairs = zip(z.split(1), reference.split(1), strict=True)
    return torch.cat([equal_entropy(row, other, T) * row for row, other in pairs])


# 4. diagnose -------------------------------------------------------------------------------------

Schedule = Callable[[float, float, float], tuple[float, float]]
PATIENTS: dict[str, Schedule] = {
    "right": loss_weights,
    "one epoch late": lambda now, stop, a: (1 - a, a) if now <= stop else (1.0, 0.0),
    "hidden drop of the learning rate": lambda now, stop, a: loss_weights(now, stop, a, 1 - a),
    "no labels before the stop": lambda now, stop, a: (0.0, a) if now < stop else (1.0, 0.0),
    "never stops": lambda now, stop, a: (1 - a, a),
}


def test_diagnose(answer: Callable[..., str]) -> str:
    """Show it every patient, and the healthy one twice."""
    hint = "a schedule that is {!r} was called {!r}: which moment tells them apart?"
    tell_apart(answer, PATIENTS, hint)
    return "all five schedules were told apart."


def looks_at_the_end(weights: Schedule) -> str:
    """Wrong: does not look at the moment of the stop itself."""
    if weights(19, 10, 0.9)[1]:
        return "never stops"
    if weights(19, 10, 0.9)[0] != 1:
        return "hidden drop of the learning rate"
    return "right" if weights(0, 10, 0.9)[0] else "no labels before the stop"


def looks_at_the_soft_weight(weights: Schedule) -> str:
    """Wrong: the soft term alone does not show what happens to the labels."""
    at_stop, at_end = weights(10, 10, 0.9)[1], weights(19, 10, 0.9)[1]
    return "never stops" if at_end else "one epoch late" if at_stop else "right"


EXERCISES = {
    "same_targets": Exercise(
        test_same_targets,
        {
            "divides": lambda k, T: T / k,
            "ignores the factor": lambda k, T: T,
            "squares": lambda k, T: T * k**2,
        },
    ),
    "fidelity": Exercise(
        test_fidelity,
        {
            "student first": lambda z, v: by_hand(v, z),
            "the default mean": lambda z, v: by_hand(z, v, factor=1 / z.shape[1]),
            "summed over images": lambda z, v: by_hand(z, v, factor=len(z)),
            "at T = 4": lambda z, v: by_hand(z, v, T=4.0),
            "agreement in per cent": lambda z, v: (100 * by_hand(z, v)[0], by_hand(z, v)[1]),
        },
    ),
    "match_entropy": Exercise(
        test_match,
        {
            "the reference itself": lambda z, reference, T: reference.clone(),
            "nothing": lambda z, reference, T: z.clone(),
            "equal spread": lambda z, reference, T: z * reference.std() / z.std(),
            "a factor for each image": each_row,
            "forgets T": lambda z, reference, T: z * equal_entropy(z, reference, T) / T,
        },
    ),
    "diagnose": Exercise(
        test_diagnose,
        {
            "looks at the end only": looks_at_the_end,
            "looks at the soft weight only": looks_at_the_soft_weight,
            "always healthy": lambda weights: "right",
        },
    ),
}
