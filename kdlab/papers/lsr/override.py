"""When a teacher overrules the label: a rule for one image, of this course, with its proof.

Let z be the student's logits at which the whole loss of one image is lowest. There the gradient is
0 at every logit. Subtract that of the label y from that of a wrong class k:

    (1 - alpha) (q_k - q_y + 1) + factor alpha / c (q_T,k - q_T,y - (p_k - p_y)) = 0

q_k - q_y and q_T,k - q_T,y have the sign of z_k - z_y. So the student prefers k to the label if and
only if factor (p_k - p_y) > c (1 - alpha) / alpha, where p is the teacher at T, c is 1 for
"batchmean" and the number of classes for "mean", and the factor is T for "squared" (T^2 times the
1/T of the chain rule), 1/T for "literal", and 1 for "untempered".
"""

import math

import torch
from torch import Tensor

from kdlab.papers.lsr.method import FORM, REDUCTION
from kdlab.train.method import check_share


def pressure(z_t: Tensor, y: Tensor, T: float, form: str = "squared") -> Tensor:
    """Return factor (p_k - p_y) of each row (B,) for the strongest wrong class k.

    Args:
        z_t: teacher logits (B, C) of at least two classes.
        y: labels (B,).
    """
    FORM.check(form)
    p, at = torch.softmax(z_t / T, dim=1), y[:, None]
    wrong = p.scatter(1, at, -1.0).amax(dim=1)
    return {"squared": T, "literal": 1 / T, "untempered": 1.0}[form] * (
        wrong - p.gather(1, at)[:, 0]
    )


def resistance(alpha: float, C: int, reduction: str = "batchmean") -> float:
    """Return c (1 - alpha) / alpha: the pressure up to which the label wins.

    >>> round(resistance(0.95, 100, "mean"), 2), round(resistance(0.16, 10), 2)
    (5.26, 5.25)
    """
    check_share("alpha", alpha)
    REDUCTION.check(reduction)
    return (C if reduction == "mean" else 1) * (1 - alpha) / alpha if alpha else math.inf


def margin_needed(alpha: float, T: float, C: int, reduction: str = "batchmean") -> float:
    """Return how far a wrong class must lie above the label, in the teacher's logits, to win.

    For the form "squared" and a teacher whose other logits equal that of the label. Infinite where
    no teacher can win.

    >>> [round(margin_needed(0.9, 20, C, r), 1) for C in (10, 100) for r in ("batchmean", "mean")]
    [1.1, 9.3, 8.9, 96.7]
    """
    r = resistance(alpha, C, reduction)
    return T * math.log((T + r * (C - 1)) / (T - r)) if r < T else math.inf
