"""Exercises of notebook 10, Allen-Zhu, Li 2020."""

from collections.abc import Callable

import torch
from torch import Tensor

from kdlab.papers.mysteries.method import smoothed_relu
from kdlab.show.exercise import Exercise, slip_unless, tell_apart

Answer = Callable[..., Tensor]


# 1. predict --------------------------------------------------------------------------------------


def test_pair(answer: Callable[[float], float]) -> str:
    """Count the views that a pair of nets covers, class by class."""
    for same in (0, 5, 8, 10):  # of 10 classes, in which both nets know the same view
        views = sum(1 if c < same else 2 for c in range(10))
        got, true = answer(same / 10), views / 20
        hint = f"both know the same view in {same} of 10 classes: {views} of 20 views are known"
        slip_unless(abs(got - true) < 1e-9, f"{hint}, and you say a share of {got:g}.")
    return "equal to counting, also for a pair that shares nothing or everything."


# 2. implement ------------------------------------------------------------------------------------


def test_coverage(answer: Answer) -> str:
    """Ask about nets made by hand: one view a class, the other one, both, and two with none."""
    v = torch.eye(6).reshape(3, 2, 6)
    one = torch.stack([2 * v[:, 0], -9 * v[:, 1], 0 * v[:, 0]], dim=1)
    faint = 0.4 * v[:, :1].expand(3, 4, 6)  # four detectors, none above the threshold
    nets = {(1, 0): one, (0, 1): 2 * v[:, 1:], (1, 1): 2 * v, (0, 0): one.roll(1, dims=0)}
    for known, w in [*nets.items(), ((0, 0), faint)]:
        got = answer(w, v, 1.0)
        slip_unless(got.shape == (3, 2), f"expected the shape (3, 2), got {tuple(got.shape)}.")
        hint = "a view is known if ONE detector of its OWN class answers above the threshold."
        slip_unless(torch.equal(got.long(), torch.tensor([known] * 3)), hint)
    return "right for nets that know one view, the other, both, and none."


def reduced(how: str) -> Answer:
    """Return a wrong answer that takes another reduction over detectors than the maximum."""
    return lambda w, v, th: getattr(torch.einsum("kmd,kvd->kmv", w, v), how)(dim=1) > th


# 3. ablate ---------------------------------------------------------------------------------------


def test_level(answer: Answer) -> str:
    """The top class keeps its probability, all others share the rest evenly."""
    z = 2 * torch.randn(50, 6, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    p, top = z.softmax(dim=1), z.argmax(dim=1, keepdim=True)
    q = answer(z.clone()).softmax(dim=1)
    kept = torch.allclose(q.gather(1, top), p.gather(1, top))
    slip_unless(kept, "the top class must keep its probability: what do the others add up to?")
    even = ((1 - p.gather(1, top)) / 5).expand_as(q).scatter(1, top, p.gather(1, top))
    slip_unless(torch.allclose(q, even), "a wrong class is still named: level all of them.")
    return "the doubt is kept, and no wrong class is named."


def levelled(z: Tensor, rest: Callable[[Tensor], Tensor]) -> Tensor:
    """Give all wrong classes the logit `rest` of theirs."""
    top = z.argmax(dim=1, keepdim=True)
    wrong = z.scatter(1, top, -torch.inf)
    return rest(wrong)[:, None].expand_as(z).scatter(1, top, z.gather(1, top))


# 4. diagnose -------------------------------------------------------------------------------------

PATIENTS: dict[str, Answer] = {
    "right": smoothed_relu,
    "power 2": lambda z: smoothed_relu(z, power=2.0),
    "ReLU": lambda z: smoothed_relu(z, power=1.0),
    "no threshold": lambda z: z.clamp(min=0) ** 3 / 3,
    "jump": lambda z: torch.where(z < 1, smoothed_relu(z), z),
}


def test_diagnose(answer: Callable[..., str]) -> str:
    """Show it every activation."""
    tell_apart(answer, PATIENTS, "{!r} was called {!r}: look below and above the threshold.")
    return "all five activations were told apart."


SAY = {name: (lambda f, name=name: name) for name in PATIENTS}  # always the same
PAIR = {"shared": lambda s: s, "not shared": lambda s: 1 - s, "always": lambda s: 0.75}
LEVEL = {
    "mean logit": lambda z: levelled(z, lambda w: w.nan_to_num(neginf=0).sum(dim=1) / 5),
    "sum of the rest": lambda z: levelled(z, lambda w: w.logsumexp(dim=1)),
    "nothing": lambda z: z,
}
EXERCISES = {
    "pair_covers": Exercise(test_pair, PAIR),
    "view_coverage": Exercise(
        test_coverage, {how: reduced(how) for how in ("mean", "sum", "amin")}
    ),
    "level_the_rest": Exercise(test_level, LEVEL),
    "diagnose": Exercise(test_diagnose, SAY),
}
