"""The arms of notebook 07: each takes a replicate, trains a student, returns what it measured."""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from kdlab.measure import logits_of, scores
from kdlab.models import size
from kdlab.papers.byot.adaptive import adaptive, sweep, votes, within
from kdlab.papers.byot.method import BYOT
from kdlab.papers.byot.nets import Exits, costs
from kdlab.papers.kd.method import KD
from kdlab.seeds import generator
from kdlab.train.frozen import permuted
from kdlab.train.method import CE
from kdlab.train.teachers import teacher
from kdlab.train.worlds import Replicate

MOST = 0.6  # of the plain net's multiply-adds, what adaptive answers may cost: those of cnn3
ANOTHER = 1_000_003  # a teacher of the student's size begins with other weights than the student


def byot(r: Replicate, permute: bool = False, **options: Any) -> dict[str, Any]:
    """The student with exits. `permute`: the control whose targets lost their ranking."""
    method = BYOT.of(r, **options)
    if permute:
        source = generator(r.r, "permuted")
        method.settings["change"] = lambda z: permuted(z.detach().cpu(), source).to(z.device)
    return r.train(method) | of_exits(method.exits, r)


def plain(r: Replicate, net: str) -> dict[str, Any]:
    """Another net alone, with labels: a rival that costs as much as an early exit."""
    share = size(r.student(net), r.data.in_shape).macs / size(r.student(), r.data.in_shape).macs
    return r.train(CE(r.student(net))) | {"cost": share}


def separate(r: Replicate, net: str | None = None) -> dict[str, Any]:
    """KD from a teacher that is trained first, at the price of BYOT.

    Half of the multiply-adds of BYOT's training train the teacher, a `net`, the other half the
    student. Both see the images that BYOT sees, unmoved.
    """
    net, shape = net or r.world.student_net, r.data.in_shape
    half = costs(Exits(r.student()), shape)[-1] / 2
    first, second = (half / size(r.student(name), shape).macs for name in (net, None))
    told = teacher(r.data, net, r.recipe(first), r.r + ANOTHER)
    return r.train(KD(r.student(), told), longer=second)


def logits(exits: Exits, x: Tensor) -> Tensor:
    """Return the logits (K, N, C) of all exits for images (N, C, H, W)."""
    return logits_of(exits, x).transpose(0, 1)


def relative(exits: Exits, r: Replicate, alone: bool = False) -> list[float]:
    """Return the cost up to each exit, and of all together, as a share of the plain net's."""
    shape = r.data.in_shape
    shares = [cost / size(exits.net, shape).macs for cost in costs(exits, shape, alone)]
    return [*shares, shares[-1]]


def of_exits(exits: Exits, r: Replicate) -> dict[str, Any]:
    """Measure every exit, all together, and early leaving, on the test images of `r`.

    Returns:
        For each exit k, "exit k" and "ece k" (%), "cost k" and "alone k" (share of the plain net).
        "ensemble" and its "ensemble ece"; "oracle": any exit is right; "overthinking": an earlier
        one is right and the deepest wrong. "adaptive": accuracy at the threshold that keeps
        validation images within MOST. Arrays: "answers", bits of what was right, a row for each
        exit, the ensemble and "adaptive"; "sweep" (2, thresholds), cost and accuracy.
    """
    (x, y, _), val = r.data.test, r.data.val
    z, paid, row = logits(exits, x), relative(exits, r), dict[str, Any]()
    threshold = within(logits(exits, val.x), val.y, paid, MOST)
    early, everyone = adaptive(z, y, [threshold] * len(z), paid), torch.cat([z, z.mean(0)[None]])
    right = torch.cat([votes(z), early.guess[None]]) == y
    for k, found in enumerate([scores(part, y) for part in everyone], start=1):
        last = k > len(z)
        row["ensemble" if last else f"exit {k}"] = found["accuracy"]
        row["ensemble ece" if last else f"ece {k}"] = found["ece"]
    for name, shares in (("cost", paid), ("alone", relative(exits, r, alone=True))):
        row |= {f"{name} {k}": share for k, share in enumerate(shares[:-1], start=1)}
    row["oracle"] = 100 * right[: len(z)].any(dim=0).double().mean().item()
    row["overthinking"] = row["oracle"] - row[f"exit {len(z)}"]
    row |= {"threshold": threshold, "adaptive": early.accuracy, "adaptive cost": early.cost}
    row["sweep"] = np.array([(one.cost, one.accuracy) for one in sweep(z, y, paid)], np.float32).T
    row["answers"] = np.packbits(right.numpy(), axis=1)
    return row
