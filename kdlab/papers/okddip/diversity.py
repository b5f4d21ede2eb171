"""How far the members of a group are apart, in what they say and in where they err."""

import itertools

import numpy as np
from torch import Tensor


def distances(z: Tensor) -> Tensor:
    """Return the mean Euclidean distance, in hundredths, of the answers of each two members (M, M).

    The answers are probabilities at T = 1, of logits `z` (M, N, C). Two members that are sure of
    different classes are 141 apart.

    >>> import torch
    >>> z = torch.tensor([[[99.0, 0.0]], [[0.0, 99.0]]])
    >>> round(distances(z)[0, 1].item(), 2)
    141.42
    """
    q = z.double().softmax(dim=2)
    return 100 * (q[:, None] - q[None]).norm(dim=3).mean(dim=2)


def mean_of_pairs(table: Tensor | np.ndarray) -> float:
    """Return the mean of a table (M, M) over all pairs of different members."""
    pairs = list(itertools.combinations(range(len(table)), 2))
    return float(np.mean([float(table[a, b]) for a, b in pairs]))


def error_correlation(z: Tensor, y: Tensor) -> float:
    """Return the correlation of the errors of two members, a mean over pairs; 1: the same errors.

    NaN where a member makes no error, or nothing but errors.
    """
    wrong = (z.argmax(dim=2) != y).double().numpy()
    with np.errstate(invalid="ignore", divide="ignore"):
        return mean_of_pairs(np.corrcoef(wrong))
