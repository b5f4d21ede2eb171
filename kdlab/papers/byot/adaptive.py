"""Leave early: an image stops at the first exit that is sure enough, and pays only so far."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

THRESHOLDS = np.append(1 - 10 ** -np.linspace(0, 4, 41), 1.0)  # 0 to 0.9999: nine, nine, nine ...


class Left(NamedTuple):
    """What came of it: accuracy in %, mean cost, and per image (N,) exit number - 1 and answer."""

    accuracy: float
    cost: float
    at: Tensor
    guess: Tensor


def votes(z: Tensor) -> Tensor:
    """Return the answers (K + 1, N) of K exits with logits (K, N, C), and of their ensemble.

    The ensemble is the class with the largest mean logit. The mean log-probability gives the same.
    """
    return torch.cat([z, z.mean(dim=0, keepdim=True)]).argmax(dim=2)


def leaving(top: Tensor, thresholds: Sequence[float]) -> Tensor:
    """Return where each image leaves (N,): the first exit whose `top` is above its threshold.

    `top` (K, N): the highest probability at each exit. The place is K where no exit is sure enough.
    """
    sure = top > torch.tensor([*thresholds], dtype=top.dtype)[:, None]
    return torch.where(sure.any(dim=0), sure.int().argmax(dim=0), len(top))


def adaptive(z: Tensor, y: Tensor, thresholds: Sequence[float], costs: Sequence[float]) -> Left:
    """Let each image leave at the first exit whose top probability is above its threshold.

    Args:
        z: logits (K, N, C) of the exits, the shallowest first.
        y: labels (N,).
        thresholds: one for each exit; at 1 nobody leaves. Who never leaves is answered by all
            together, and has the place K in `Left.at`.
        costs: K + 1 numbers: up to each exit, and of all with their ensemble.
    """
    at = leaving(F.softmax(z.double(), dim=2).amax(dim=2), thresholds)
    guess = votes(z).gather(0, at[None])[0]
    accuracy = 100 * (guess == y).double().mean().item()
    return Left(accuracy, torch.tensor([*costs]).double()[at].mean().item(), at, guess)


def sweep(z: Tensor, y: Tensor, costs: Sequence[float]) -> list[Left]:
    """Return what comes of each of THRESHOLDS, where all exits have the same."""
    return [adaptive(z, y, [t] * len(z), costs) for t in THRESHOLDS]


def within(z: Tensor, y: Tensor, costs: Sequence[float], most: float) -> float:
    """Return the highest of THRESHOLDS at which these images cost at most `most` in the mean."""
    paid = [left.cost for left in sweep(z, y, costs)]
    return float(max([t for t, p in zip(THRESHOLDS, paid, strict=True) if p <= most], default=0.0))
