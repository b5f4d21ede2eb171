"""Separate random streams: initial weights, data order and augmentation never disturb each other.

Adding a teacher, or training longer, must not reshuffle the data or change the first weights.
So nothing draws from the global generator. Every consumer names its own stream.
"""

import hashlib
import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch


def stream(seed: int, *names: object) -> int:
    """Return a 63-bit seed for the stream that `names` describe, e.g. ``stream(0, "order", 3)``.

    The same arguments give the same number on every machine and in every Python version.

    >>> stream(0, "init") == stream(0, "init"), stream(0, "init") == stream(0, "order")
    (True, False)
    """
    text = "/".join(str(part) for part in (seed, *names))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def generator(seed: int, *names: object) -> torch.Generator:
    """Return a CPU generator for the stream that `names` describe."""
    return torch.Generator().manual_seed(stream(seed, *names))


@contextmanager
def owned(seed: int, *names: object, device: torch.device) -> Iterator[None]:
    """Let code that draws from global generators, such as dropout, draw from a stream of its own.

    Equal arguments give equal draws in any process; afterwards all global generators of Python,
    NumPy and torch are as they were.
    """
    number, before = stream(seed, *names), (random.getstate(), np.random.get_state())
    cuda = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(devices=cuda):
        random.seed(number)
        np.random.seed(number % 2**32)
        torch.default_generator.manual_seed(number)
        if cuda:
            torch.cuda.manual_seed(number)
        try:
            yield
        finally:
            random.setstate(before[0])
            np.random.set_state(before[1])
