"""Slow oracles in plain Python floats, written from the equations of Romero et al. 2015."""

import math
from typing import Any

import numpy as np

from tests.oracles import rows, softmax


def maps(f: Any) -> list[Any]:
    """Return maps (B, C, H, W) as nested lists of Python floats."""
    return np.asarray(f, dtype=np.float64).tolist()


def hint_loss(predicted: Any, hint: Any, reduction: str) -> float:
    """Equation 3, 1/2 sum over channels, rows and columns of (u - r)^2, mean over images.

    "rows": the half is kept, rows are summed, and channels and columns averaged as images are.
    "mean": no half, everything is averaged.
    """
    images, total = 0, []
    for u, r in zip(maps(hint), maps(predicted), strict=True):
        images += 1
        for u_channel, r_channel in zip(u, r, strict=True):
            for u_row, r_row in zip(u_channel, r_channel, strict=True):
                total += [(a - b) ** 2 for a, b in zip(u_row, r_row, strict=True)]
    channels, height, width = len(u), len(u[0]), len(u[0][0])
    if reduction == "half sum":
        return 0.5 * math.fsum(total) / images
    if reduction == "rows":
        return 0.5 * math.fsum(total) / (images * channels * width)
    return math.fsum(total) / (images * channels * height * width)


def soft_loss(z_s: Any, z_t: Any, T: float) -> float:
    """The second term of equation 2: H(p_T, q_T) = - sum_i p_i log q_i, mean over images."""
    pairs = list(zip(rows(z_s), rows(z_t), strict=True))
    total = 0.0
    for s, t in pairs:
        q, p = softmax(s, T), softmax(t, T)
        total -= math.fsum(a * math.log(b) for a, b in zip(p, q, strict=True) if a > 0)
    return total / len(pairs)


def convolved(f: Any, weight: Any, bias: Any) -> list[Any]:
    """Return max(0, bias + sum over channels and kernel of weight * f), without padding."""
    f, weight, bias = maps(f), maps(weight), np.asarray(bias, dtype=np.float64).tolist()
    k_h, k_w = len(weight[0][0]), len(weight[0][0][0])
    high, wide = len(f[0][0]) - k_h + 1, len(f[0][0][0]) - k_w + 1

    def unit(image: Any, out: int, i: int, j: int) -> float:
        total = bias[out]
        for c, channel in enumerate(image):
            for a in range(k_h):
                for b in range(k_w):
                    total += weight[out][c][a][b] * channel[i + a][j + b]
        return max(0.0, total)

    return [
        [
            [[unit(image, o, i, j) for j in range(wide)] for i in range(high)]
            for o in range(len(bias))
        ]
        for image in f
    ]
