"""Exercises of notebook 08, Zhang, Xiang, Hospedales, Lu 2018."""

from collections.abc import Callable, Sequence
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor

from kdlab.papers.dml.method import mimicry_loss
from kdlab.show.exercise import Exercise, slip_unless, tell_apart
from kdlab.train.method import hard_loss

Losses = Callable[[Sequence[Tensor], Tensor], list[Tensor]]
Y = torch.tensor([0, 3, 1, 4])


def peers(K: int, b: int = 4, c: int = 5) -> list[Tensor]:
    """Return logits (b, c) of K peers, in float64, that keep their gradient."""
    z = 2 * torch.randn(K, b, c, generator=torch.Generator().manual_seed(K), dtype=torch.float64)
    return [z_k.requires_grad_() for z_k in z]


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
        total, mean = (
            torch.autograd.grad(mimicry_loss(z[0], z[1:], target), z[0])[0].norm().item()
            for target in ("sum", "each")
        )
        measured, got = total / mean, answer(K)
        slip_unless(abs(got * measured - 1) > 1e-9 or K == 2, "that is the inverse.")
        slip_unless(abs(got - K) > 1e-9, "a peer does not mimic itself: how many others are there?")
        hint = f"for K = {K} you say {got:g}, autograd measures {measured:g}."
        slip_unless(abs(got - measured) < 1e-6 * measured, hint)
    return "autograd agrees for 2, 3, 5 and 9 peers."


# 2. implement ------------------------------------------------------------------------------------

SLIPS = {
    "swapped": "KL(mine || peer) is the wrong way round: the peer is the reference.",
    "sum": "divide the sum over peers by K - 1.",
    "over classes": "the mean runs over images, not over classes as well: use batchmean.",
}


def test_losses(answer: Losses) -> str:
    """Compare values and gradients with the paper's equation, for several cohorts."""
    for K in (2, 3, 4):
        z = peers(K)
        got, true = answer(z, Y), dml(z, Y)
        whole = isinstance(got, list | tuple) and len(got) == K
        slip_unless(whole, f"give a list of {K} losses, one for each peer.")
        for k in range(K):
            slip_unless(got[k].shape == (), f"loss {k + 1} has shape {tuple(got[k].shape)}.")
            for slip, hint in SLIPS.items():
                alike = torch.isclose(got[k], dml(z, Y, slip)[k]) and (slip, K) != ("sum", 2)
                slip_unless(not alike, hint)
            slip_unless(torch.isclose(got[k], true[k]), f"K = {K}, peer {k + 1}: wrong value.")
            flows = torch.autograd.grad(got[k], z, retain_graph=True, allow_unused=True)
            others = [g for place, g in enumerate(flows) if place != k and g is not None]
            hint = "a gradient reaches another peer: detach what is mimicked."
            slip_unless(all(float(g.abs().max()) == 0 for g in others), hint)
    (z_1,) = peers(1)
    (alone,) = answer([z_1], Y)
    hint = f"one net without a peer has its cross-entropy, got {alone.item():.4g}."
    slip_unless(torch.isclose(alone, hard_loss(z_1, Y)), hint)
    sure = torch.tensor([[100.0, -100.0]]).requires_grad_()
    loss = answer([sure, -sure.detach()], torch.tensor([0]))[0]
    flow = torch.autograd.grad(loss, sure)[0]
    right = bool(torch.isfinite(loss)) and abs(loss.item() - 200) < 0.1 and float(flow.norm()) > 0.5
    slip_unless(right, "logits of 100 give no pull: work with log_softmax, not with log(p + eps).")
    return "values and gradients agree for 1 to 4 peers, also where peers are sure."


# 3. ablate ---------------------------------------------------------------------------------------


def test_other_image(answer: Callable[..., Tensor]) -> str:
    """Each answer must go to another image, whole and once, in an order that is drawn."""
    z = torch.randn(40, 5, generator=torch.Generator().manual_seed(1))
    before, seen = z.clone(), []
    for seed in range(5):
        got = answer(z, torch.Generator().manual_seed(seed))
        slip_unless(torch.equal(z, before), "your function changed its input; work on z.clone().")
        slip_unless(got.shape == z.shape, f"expected (40, 5), got {tuple(got.shape)}.")
        same = (got[:, None] == z).all(dim=2)
        slip_unless(same.any(dim=1).all(), "a row is no image's answer: deal whole rows.")
        slip_unless((same.sum(dim=0) == 1).all(), "an answer was dealt twice: use a permutation.")
        stays = bool(same.diagonal().any())
        slip_unless(not stays, "an image kept its own: shuffle, then let each take the next one's.")
        seen.append(got)
    slip_unless(not torch.equal(*seen[:2]), "the deal ignores `source`: draw it from there.")
    return "each image has another one's answer; nothing else has changed."


# 4. diagnose -------------------------------------------------------------------------------------

PATIENTS = ("right", "swapped", "not detached", "sum", "epsilon")


def test_diagnose(answer: Callable[..., str]) -> str:
    """Show it every patient, and the healthy one twice."""
    hint = "losses that are {!r} were called {!r}: which input tells these two apart?"
    tell_apart(answer, {name: partial(dml, slip=name) for name in PATIENTS}, hint)
    return "all five were told apart."


def by_value_of_two(losses: Losses) -> str:
    """Wrong: values of two peers show neither a leak nor a sum."""
    z = peers(2)
    values = {name: dml(z, Y, name)[0] for name in ("right", "swapped")}
    found = [n for n, v in values.items() if torch.isclose(losses(z, Y)[0], v, rtol=1e-9)]
    return found[0] if found else "epsilon"


EXERCISES = {
    "sum_over_mean": Exercise(
        test_factor,
        {"counts itself": lambda K: K, "inverse": lambda K: 1 / (K - 1), "same": lambda K: 1.0},
    ),
    "dml_losses": Exercise(
        test_losses,
        {
            **{name: partial(dml, slip=name) for name in (*PATIENTS[1:], "over classes")},
            "no net alone": partial(dml, slip="alone"),
            "one number": lambda z, y: torch.stack(dml(z, y)).sum(),
        },
    ),
    "another_image": Exercise(
        test_other_image,
        {
            "some keep theirs": lambda z, source: z[torch.randperm(len(z), generator=source)],
            "some twice": lambda z, source: z[torch.randint(40, (len(z),), generator=source)],
            "not random": lambda z, source: z.roll(1, dims=0),
            "their mean": lambda z, source: z.mean(dim=0).expand_as(z),
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
