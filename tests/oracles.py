"""Slow oracles in plain Python floats, written from the equations, one loop for each sum.

They share no code with the package. They take anything that converts to nested lists of floats.
"""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

Row = Sequence[float]


def rows(table: Any) -> list[list[float]]:
    """Return a tensor or an array (B, C) as lists of Python floats."""
    return np.asarray(table, dtype=np.float64).tolist()


def softmax(z: Row, T: float = 1.0) -> list[float]:
    """q_i = exp(z_i / T) / sum_j exp(z_j / T). Hinton et al. 2015, equation 1."""
    top = max(z)  # the same number in every exponent cancels, and nothing overflows
    powers = [math.exp((value - top) / T) for value in z]
    return [power / math.fsum(powers) for power in powers]


def kl(p: Row, q: Row) -> float:
    """KL(p || q) = sum_i p_i log(p_i / q_i), with 0 log 0 = 0, in nats."""
    return math.fsum(a * (math.log(a) - math.log(b)) for a, b in zip(p, q, strict=True) if a > 0)


def entropy(p: Row) -> float:
    """H(p) = - sum_i p_i log p_i, in nats."""
    return -math.fsum(a * math.log(a) for a in p if a > 0)


def soft_loss(z_s: Any, z_t: Any, T: float) -> float:
    """T^2 / B sum_b KL(p_T || q_T), teacher first. Hinton et al. 2015, section 2."""
    pairs = list(zip(rows(z_s), rows(z_t), strict=True))
    return T**2 * math.fsum(kl(softmax(t, T), softmax(s, T)) for s, t in pairs) / len(pairs)


def soft_gradient(z_s: Any, z_t: Any, T: float) -> list[list[float]]:
    """d soft_loss / d z_s = T (q_T - p_T) / B, worked out by hand."""
    students, teachers = rows(z_s), rows(z_t)
    return [
        [T * (q - p) / len(students) for q, p in zip(softmax(s, T), softmax(t, T), strict=True)]
        for s, t in zip(students, teachers, strict=True)
    ]


def hard_loss(z: Any, y: Sequence[int], smoothing: float = 0.0) -> float:
    """Mean over rows with y >= 0 of - sum_i target_i log q_i; 0 where there is no such row.

    target_i = (1 - smoothing) [i = y] + smoothing / C. Szegedy et al. 2016, section 7.
    """
    losses = []
    for row, label in zip(rows(z), y, strict=True):
        if label >= 0:
            q, c = softmax(row), len(row)
            target = [(1 - smoothing) * (i == label) + smoothing / c for i in range(c)]
            losses.append(-math.fsum(t * math.log(a) for t, a in zip(target, q, strict=True) if t))
    return math.fsum(losses) / len(losses) if losses else 0.0


def hinton_loss(z_s: Any, z_t: Any, y: Sequence[int], T: float, alpha: float) -> float:
    """(1 - alpha) H(y, q_1) + alpha T^2 KL(p_T || q_T)."""
    return (1 - alpha) * hard_loss(z_s, y) + alpha * soft_loss(z_s, z_t, T)


def calibration_error(confidence: Row, correct: Sequence[bool], bins: int = 15) -> float:
    """100 sum_m |B_m| / n |accuracy(B_m) - confidence(B_m)|, bin m holds [m / M, (m + 1) / M)."""
    total = 0.0
    for m in range(bins):
        inside = [
            i
            for i, share in enumerate(confidence)
            if m / bins <= share < (m + 1) / bins or (m == bins - 1 and share == 1.0)
        ]
        if inside:
            accuracy = sum(bool(correct[i]) for i in inside) / len(inside)
            mean = math.fsum(confidence[i] for i in inside) / len(inside)
            total += len(inside) / len(confidence) * abs(accuracy - mean)
    return 100 * total
