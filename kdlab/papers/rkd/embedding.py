"""What is measured on embeddings: retrieval, and agreement with a teacher's relations.

An embedding is a table (N, D), a row per image. Every function takes tensors and arrays alike.
"""

import numpy as np
import torch
from torch import Tensor

from kdlab.papers.rkd.method import angles, vertices_at_once

Table = Tensor | np.ndarray


def recall_at(f: Table, y: Table, k: int = 1) -> float:
    """Return recall@k in %: for how many images one of the k nearest others has its class.

    Song, Xiang, Jegelka, Savarese 2016, arXiv:1511.06452, section 6: all images are queries and
    gallery at once, an image does not find itself. Distances are Euclidean.

    Args:
        f: embedding (N, D).
        y: classes (N,).
        k: how many neighbours, 1 to N - 1.

    Raises:
        ValueError: sizes do not fit, a number is not finite, or `k` is out of its range.

    >>> recall_at(np.array([[0.0], [1.0], [1.5], [9.0]]), np.array([0, 0, 1, 1]), k=1)
    50.0
    """
    rows, classes = torch.as_tensor(f).double(), torch.as_tensor(y)
    fits = rows.dim() == 2 and len(rows) == len(classes) and 1 <= k < len(rows)
    if not fits or not rows.isfinite().all():
        raise ValueError(
            f"recall@{k} of an embedding {tuple(rows.shape)} with {len(classes)} classes; give "
            "finite numbers (N, D) and (N,), with k from 1 to N - 1."
        )
    gaps = torch.cdist(rows, rows, compute_mode="donot_use_mm_for_euclid_dist")
    nearest = gaps.fill_diagonal_(torch.inf).topk(k, largest=False).indices
    return 100 * (classes[nearest] == classes[:, None]).any(dim=1).double().mean().item()


def distance_correlation(f_s: Table, f_t: Table) -> float:
    """Return how far a student keeps its teacher's distances, whatever its loss was.

    Args:
        f_s, f_t: embeddings (N, D) and (N, E) of the same images, N >= 3.

    Returns:
        Pearson's correlation of the distances of all pairs: 1 where they agree, NaN where one of
        the two has no spread.

    Raises:
        ValueError: sizes do not fit.
    """
    pairs = [torch.pdist(f) for f in same_images(f_s, f_t)]
    return torch.corrcoef(torch.stack(pairs))[0, 1].item()


def angle_gap(f_s: Table, f_t: Table) -> float:
    """Return the mean difference, in degrees, of the angles of all triples: 0 where they agree.

    Arguments and errors as in `distance_correlation`.
    """
    both, gap = same_images(f_s, f_t), 0.0
    n, step = len(both[0]), vertices_at_once(*both)
    for j in range(0, n, step):
        one, two = (angles(f, slice(j, j + step)).clamp(-1, 1).acos() for f in both)
        gaps = (one - two).abs()
        gaps.diagonal(dim1=1, dim2=2).zero_()  # i = k is no triple; for i = j both cosines are 0
        gap += gaps.sum().item()
    return float(np.degrees(gap / (n * (n - 1) * (n - 2))))


def same_images(f_s: Table, f_t: Table) -> tuple[Tensor, Tensor]:
    """Return both embeddings in float64; refuse those that are not of the same three images."""
    student, teacher = torch.as_tensor(f_s).double(), torch.as_tensor(f_t).double()
    if student.dim() != 2 or teacher.dim() != 2 or not 3 <= len(student) == len(teacher):
        raise ValueError(
            f"embeddings {tuple(student.shape)} and {tuple(teacher.shape)} cannot be compared; "
            "give one row each for the same images, at least three."
        )
    return student, teacher
