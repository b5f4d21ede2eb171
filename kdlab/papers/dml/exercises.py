"""Exercises of notebook 08, Zhang, Xiang, Hospedales, Lu 2018."""

from collections.abc import Callable, Sequence
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor

from kdlab.papers.dml.method import mimicry_loss
from kdlab.show.exercise import Exercise, SlipError, slip_unless, tell_apart
from kdlab.train.method import hard_loss

Losses = Callable[[Sequence[Tensor], Tensor], list[Tensor]]


def peers(K: int, b: int = 4, c: int = 5) -> list[Tensor]:
    """Return logits (b, c) of K peers, in float64, that keep their gradient."""
    z = 2 * torch.randn(K, b, c, generator=torch.Generator().manual_seed(K), dtype=torch.float64)
    return [z_k.requires_grad_() for z_k in z]


Y = torch.tensor([0, 3, 1, 4])


def dml(z: Sequence[Tensor], y: Tensor, slip: str = "right") -> list[Tensor]:
    """Return the losses of the paper, or with a `slip` wrong ones."""

    def term(k: int, other: int) -> Tensor:
        mine, theirs = F.log_softmax(z[k], 1), F.log_softmax(z[other], 1)
        theirs = theirs if slip == "not detached" else theirs.detach()
        a, b = (mine, theirs) if slip == "swapped" else (theirs, mine)
        gap = ((a.exp() + 1e-8) / (b.exp() + 1e-8)).log() if slip == "epsilon" else a - b
        return (a.exp() * gap).sum(1).mean() / (z[k].shape[1] if slip == "over classes" else 1)

    K = range(len(z))
    soft = [sum(term(k, other) for other in K if other != k) for k in K]  # 0 without a peer
    others = 1 if slip == "sum" else len(z) - 1 if slip == "alone" else max(1, len(z) - 1)
    return [hard_loss(z_k, y) + s / others for z_k, s in zip(z, soft, strict=True)]


# 1. predict --------------------------------------------------------------------------------------


def test_factor(answer: Callable[..., float]) -> str:
    """Compare with the measured ratio of gradients, sum over mean."""
    for K in (2, 3, 5, 9):
        z = peers(K)
        norms = []
        for target in ("sum", "each"):
            loss = mimicry_loss(z[0], z[1:], target)
            norms.append(torch.autograd.grad(loss, z[0])[0].norm().item())
        measured, got = norms[0] / norms[1], answer(K)
        slip_unless(abs(got * measured - 1) > 1e-9 or K == 2, "that is the inverse.")
        slip_unless(abs(got - K) > 1e-9, "a peer does not mimic itself: how many others are there?")
        hint = f"for K = {K} you say {got:g}, autograd measures {measured:g}."
        slip_unless(abs(got - measured) < 1e-6 * measured, hint)
    return "autograd agrees for 2, 3, 5 and 9 peers."


# 2. implement ------------------------------------------------------------------------------------


def test_losses(answer: Losses) -> str:
    """Compare values and gradients with the paper's equation, for several cohorts."""
    for K in (2, 3, 4):
        z = peers(K)
        got, true = answer(z, Y), dml(z, Y)
        told = type(got).__name__ if not isinstance(got, list | tuple) else f"{len(got)} losses"
        slip_unless(isinstance(got, list | tuple) and len(got) == K, f"expected {K}, got {told}.")
        for k in range(K):
            slip_unless(got[k].shape == (), f"loss {k + 1} has shape {tuple(got[k].shape)}.")
            hint = "KL(mine || peer) is the wrong way round: the peer is the reference."
            slip_unless(not torch.isclose(got[k], dml(z, Y, "swapped")[k]), hint)
            hint = "divide the sum over peers by K - 1."
            slip_unless(K == 2 or not torch.isclose(got[k], dml(z, Y, "sum")[k]), hint)
            hint = "the mean runs over images, not over classes as well: use batchmean."
            slip_unless(not torch.isclose(got[k], dml(z, Y, "over classes")[k]), hint)
            slip_unless(torch.isclose(got[k], true[k]), f"K = {K}, peer {k + 1}: wrong value.")
            flows = torch.autograd.grad(got[k], z, retain_graph=True, allow_unused=True)
            hint = "a gradient reaches another peer: detach what is mimicked."
            others = [g for place, g in enumerate(flows) if place != k and g is not None]
            slip_unless(all(float(g.abs().max()) == 0 for g in others), hint)
    (z_1,) = peers(1)
    try:
        (alone,) = answer([z_1], Y)
    except (ZeroDivisionError, RuntimeError) as error:
        raise SlipError(f"one net has no peer, and your function raised: {error}.") from None
    hint = f"one net without a peer has its cross-entropy, got {alone.item():.4g}."
    slip_unless(torch.isclose(alone, hard_loss(z_1, Y)), hint)
    sure = torch.tensor([[100.0, -100.0]]).requires_grad_()
    loss = answer([sure, -sure.detach()], torch.tensor([0]))[0]
    flow = torch.autograd.grad(loss, sure)[0]
    right = bool(torch.isfinite(loss)) and abs(loss.item() - 200) < 0.1 and float(flow.norm()) > 0.5
    slip_unless(right, "logits of 100 give no pull: work with log_softmax, not with log(p + eps).")
    return "values and gradients agree for 1 to 4 peers, also where peers are sure."


# 3. ablate ---------------------------------------------------------------------------------------


def test_same_label(answer: Callable[..., Tensor]) -> str:
    """Each row must come from another image of its label, where there is one, and be used once."""
    y = torch.randint(0, 4, (60,), generator=torch.Generator().manual_seed(3))
    y[0] = 4  # alone in its class
    z = torch.arange(60.0)[:, None] + torch.randn(60, 5, generator=torch.Generator().manual_seed(1))
    before = z.clone()
    got = [answer(z, y, torch.Generator().manual_seed(seed)) for seed in (2, 3)]
    slip_unless(torch.equal(z, before), "your function changed its input; work on z.clone().")
    slip_unless(got[0].shape == z.shape, f"expected {tuple(z.shape)}, got {tuple(got[0].shape)}.")
    matches = (got[0][:, None, :] == z[None]).all(2)
    slip_unless(bool(matches.any(1).all()), "a row is no image's answer: deal whole rows.")
    source = matches.int().argmax(1)
    hint = "an image got the answer for another label: what is left then is noise, not a class."
    slip_unless(torch.equal(y[source], y), hint)
    slip_unless(len(set(source.tolist())) == 60, "an answer was dealt twice: use a permutation.")
    stay = sum(int((g[1:] == z[1:]).all(1).sum()) for g in got)
    hint = "an image kept its own answer though its label has others: roll the shuffled rows."
    slip_unless(not stay, hint)
    slip_unless(not torch.equal(*got), "the deal ignores `source`: draw it from there.")
    return "each image has the answer for another image of its label; nothing else has changed."


def per_label(z: Tensor, y: Tensor, source: torch.Generator, kind: str) -> Tensor:
    """Deal answers wrongly, in the way that `kind` says."""
    out = z.clone()
    for label in y.unique():
        rows = (y == label).nonzero().flatten()
        if kind == "mean":
            out[rows] = z[rows].mean(0)
        elif kind == "drawn":
            out[rows] = z[rows[torch.randint(0, len(rows), (len(rows),), generator=source)]]
        elif kind == "permuted":
            out[rows] = z[rows[torch.randperm(len(rows), generator=source)]]
        else:
            out[rows] = z[rows.roll(1)]
    return out


# 4. diagnose -------------------------------------------------------------------------------------

SLIPS = ("right", "swapped", "not detached", "sum", "epsilon")


def test_diagnose(answer: Callable[..., str]) -> str:
    """Show it every patient, and the healthy one twice."""
    hint = "losses that are {!r} were called {!r}: which input tells these two apart?"
    tell_apart(answer, {name: partial(dml, slip=name) for name in SLIPS}, hint)
    return "all five were told apart."


def by_value_of_two(losses: Losses) -> str:
    """Wrong: values of two peers show neither a leak nor a sum."""
    z = peers(2)
    value = losses(z, Y)[0]
    if torch.isclose(value, dml(z, Y)[0], rtol=1e-9):
        return "right"
    return "swapped" if torch.isclose(value, dml(z, Y, "swapped")[0]) else "epsilon"


EXERCISES = {
    "sum_over_mean": Exercise(
        test_factor,
        {
            "counts itself": lambda K: K,
            "inverse": lambda K: 1 / (K - 1),
            "no difference": lambda K: 1.0,
        },
    ),
    "dml_losses": Exercise(
        test_losses,
        {
            **{slip: partial(dml, slip=slip) for slip in (*SLIPS[1:], "over classes")},
            "no net alone": partial(dml, slip="alone"),
            "one number": lambda z, y: torch.stack(dml(z, y)).sum(),
        },
    ),
    "other_image_same_label": Exercise(
        test_same_label,
        {
            "over all labels": lambda z, y, source: z[torch.randperm(len(z), generator=source)],
            "mean of the label": partial(per_label, kind="mean"),
            "some twice": partial(per_label, kind="drawn"),
            "not random": partial(per_label, kind="roll"),
            "some keep theirs": partial(per_label, kind="permuted"),
            "nothing": lambda z, y, source: z.clone(),
        },
    ),
    "diagnose": Exercise(
        test_diagnose,
        {
            "values of two peers": by_value_of_two,
            "always healthy": lambda losses: "right",
            "a leak at any sign": lambda losses: "not detached",
        },
    ),
}
