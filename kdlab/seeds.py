"""Separate random streams: initial weights, data order and augmentation never disturb each other.

Adding a teacher, or training longer, must not reshuffle the data or change the first weights.
So nothing draws from the global generator. Every consumer names its own stream.
"""

import hashlib

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
