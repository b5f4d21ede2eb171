"""Two small models without a net: a race of views as plain numbers, and a vote of nets on paper.

Both are pure functions from what a reader sets to numbers; `figures` draws them.
"""

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from kdlab.papers.mysteries.made import CLASSES, DONE
from kdlab.papers.mysteries.method import slope, smoothed_relu

MEAN, RATE = 1.25, 0.4  # strength of a view; learning rate, shared by the classes of a batch


def race(
    start: Tensor, power: float = 3.0, threshold: float = 1.0, steps: int = 400, stop: float = 0.0
) -> Tensor:
    """Return how the detectors of a class grow from `start` (..., views, m), (steps + 1, ...).

    The net of the theory without noise and without other classes' features. Every detector climbs

        x <- x + RATE (1 - q) MEAN slope(MEAN x),      1 - q = (C - 1) / (C - 1 + e^z)

    where z is the sum of the answers of all its detectors and q the probability of the class. One
    factor, 1 - q, serves all: whoever explains the label first stops the others. The race ends
    after `steps`, or where the cross-entropy has fallen below `stop`.
    """
    path = [start]
    for _ in range(steps):
        x = path[-1]
        z = smoothed_relu(MEAN * x, power, threshold).sum(dim=(-2, -1), keepdim=True)
        missing = (CLASSES - 1) / (CLASSES - 1 + z.exp())
        if missing.max() < 1 - math.exp(-stop):
            break
        path.append(x + RATE * missing * MEAN * slope(MEAN * x, power, threshold))
    return torch.stack(path)


def duel(power: float, threshold: float, head: float, start: float) -> tuple[Tensor, float]:
    """Let two detectors race, one with a `head` start, until the class is learned.

    Returns:
        Their strengths, (steps, 2), and the share of the first in the final answer: from 0.5, a
        tie, to 1, a monopoly.
    """
    path = race(torch.tensor([[head * start], [start]]), power, threshold, 2000, DONE)[..., 0]
    answers = smoothed_relu(MEAN * path[-1], power, threshold)
    return path, float(answers[0] / answers.sum())


# --- a vote ---------------------------------------------------------------------------------------

KNOWS = {"wheels": (1.0, 0.0), "lights": (0.0, 1.0), "both": (1.0, 1.0)}
IMAGES = {  # how strongly an image shows wheels and lights of a car, and anything of a cat
    "a whole car": (1.0, 1.0, 0.0),
    "a car, no wheels in sight": (0.0, 1.0, 0.0),
    "a car, no lights in sight": (1.0, 0.0, 0.0),
    "a cat with shining eyes": (0.0, 0.4, 1.0),
}
GAIN = 5.0  # what a known view at full strength adds to the score of its class


def vote(nets: Sequence[str], image: str, T: float = 2.0) -> tuple[Tensor, Tensor]:
    """Return what nets say of an image, each alone, and last their mean.

    Args:
        nets: what each knows of cars, one of KNOWS; all know cats.
        image: one of IMAGES.

    Returns:
        Scores (nets + 1, 2) of car and cat; and the probability of *car* (nets + 1,) that a student
        would be told, with scores capped at T^2.
    """
    shown = torch.tensor(IMAGES[image])
    car = GAIN * torch.tensor([KNOWS[net] for net in nets]) @ shown[:2]
    z = torch.stack([car, GAIN * shown[2].expand(len(nets))], dim=1)
    z = torch.cat([z, z.mean(dim=0, keepdim=True)])
    return z, F.softmax(z.clamp(max=T**2) / T, dim=1)[:, 0]
