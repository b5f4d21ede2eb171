"""The numbers behind the explorer of notebook 02: settings in, arrays out, no drawing.

One image with its label in front. The student's logit of the label lies `gap` above the others,
which are equal: all targets of label smoothing and of Tf-KD_reg have their lowest loss there.
"""

import numpy as np
import torch
from scipy.optimize import brentq
from scipy.special import expit, softmax

from kdlab.papers.lsr.method import lsr_equivalent, virtual_teacher

GAPS = np.linspace(-4, 12, 321)  # of the label's logit above the others
FAR = 60.0  # a gap beyond which the probability of the label is 1 in float64


def made_up(C: int) -> np.ndarray:
    """Return logits (C,) of a made-up teacher: sure of the label, one other class close."""
    return np.concatenate([[4.0], [2.5][: C - 1], np.linspace(0.5, -1.0, max(0, C - 2))])


def targets(alpha: float, T: float, a_c: float, C: int) -> dict[str, np.ndarray]:
    """Return each distribution (C,) that a loss of this notebook compares the student with.

    "label": y. "label smoothing": the label smoothed by the epsilon that equals the untempered
    Tf-KD_reg. "virtual teacher": p_d at T. "teacher": a made-up one at T.
    """
    y = np.eye(C)[0]
    epsilon = lsr_equivalent(alpha, T, a_c, C)[0]
    p_d = virtual_teacher(torch.tensor([0]), C, a_c, torch.float64)[0].numpy()
    return {
        "label": y,
        "label smoothing": (1 - epsilon) * y + epsilon / C,
        "virtual teacher": softmax(p_d / T),
        "teacher": softmax(made_up(C) / T),
    }


def pulls(alpha: float, T: float, a_c: float, C: int, gap: np.ndarray) -> dict[str, np.ndarray]:
    """Return minus the slope of each loss along the gap (N,): above 0 it asks for a larger gap.

    "labels", "label smoothing" (of the epsilon in `targets`), and Tf-KD_reg in three forms.
    """
    found = targets(alpha, T, a_c, C)
    p = found["virtual teacher"][0]
    q, q_T = (expit(gap / heat - np.log(C - 1)) for heat in (1, T))  # the student on the label
    hard = (1 - alpha) * (1 - q)
    return {
        "labels": 1 - q,
        "label smoothing": found["label smoothing"][0] - q,
        "untempered": hard + alpha * (p - q),
        "squared": hard + alpha * T * (p - q_T),
        "literal": hard + alpha / T * (p - q_T),
    }


def best_gaps(alpha: float, T: float, a_c: float, C: int) -> dict[str, float]:
    """Return the gap at which each loss is lowest; infinite where a larger one is always better."""

    def pull(gap: float, name: str) -> float:
        return float(pulls(alpha, T, a_c, C, np.array(gap))[name])

    return {
        name: brentq(pull, -FAR, FAR, args=(name,)) if pull(FAR, name) < 0 else np.inf
        for name in pulls(alpha, T, a_c, C, GAPS)
    }
