"""From a name to a `Data`: read, split, normalise, name the content."""

import os
from numbers import Integral

import numpy as np
import torch

from kdlab.data import sources
from kdlab.data.rows import Split
from kdlab.data.sets import Data
from kdlab.data.splits import Part, Raw, normalised, quarter_turns, statistics, three_parts
from kdlab.store import digest


def load(
    name: str | os.PathLike[str], *, n_labelled: int | None = None, seed: int = 0, **options: object
) -> Data:
    """Return a data set: ``mnist5k``, ``fashion5k``, ``rot40``, ``natural``, ``digits``,
    ``fashion_mnist``, ``cifar10``, ``cifar100``, or the path of an .npz file or of an image folder.

    `n_labelled`: how many images of the pool carry a label, from one a class to the whole pool;
    None is 500 for mnist5k and fashion5k, 2,000 for rot40 and natural, the whole pool elsewhere.
    `seed` chooses the split. Option ``size``: side in pixels of the images of a folder
    (default 32).

    mnist5k, fashion5k, rot40, natural, digits and data without a test set are split 50/10/40 %
    into pool, validation and test; the others keep their test set and give 10 % of the training
    images to validation.
    The pool is ordered so that every prefix is class-balanced. Images are normalised by the mean
    and standard deviation per channel of the pool.

    Raises ValueError for an unknown name, bad content or a bad `n_labelled`, FileNotFoundError for
    a missing path, ConnectionError for a failed download, TypeError for an unknown option.
    """
    raw = sources.read(name, **options)
    parts, classes = _parts(name, raw, seed), raw.classes
    if _turned(name):
        classes = tuple(f"{digit} at {90 * turn}°" for digit in classes for turn in range(4))
    pool_size = len(parts["pool"].y)
    n = n_labelled if n_labelled is not None else raw.n_labelled or pool_size
    if isinstance(n, bool) or not isinstance(n, Integral) or not len(classes) <= n <= pool_size:
        raise ValueError(
            f"n_labelled={n!r}, expected {len(classes)} (one a class) to {pool_size} (the pool of "
            f"{raw.name}): choose a number between them."
        )
    return _data(raw.name, parts, classes, int(n))


def test_rows(name: str | os.PathLike[str], seed: int) -> np.ndarray:
    """Return which image of the data set each test image of ``load(name, seed=seed)`` is, (N,).

    The four turns of an image in rot40 have one number. An official test set is numbered from 0.
    """
    raw = sources.read(name)
    numbers = np.arange(len(raw.x)).reshape(-1, 1, 1, 1)
    if raw.test_x is not None:
        return np.arange(len(raw.test_x))
    return _parts(name, raw._replace(x=numbers), seed)["test"].x[:, 0, 0, 0]


def _turned(name: str | os.PathLike[str]) -> bool:
    return os.fspath(name) == "rot40"  # not raw.name: a file may be called rot40.npz


def _parts(name: str | os.PathLike[str], raw: Raw, seed: int) -> dict[str, Part]:
    parts = three_parts(raw, seed)
    if not _turned(name):
        return parts
    return {which: quarter_turns(part, seed, which) for which, part in parts.items()}


def _data(name: str, parts: dict[str, Part], classes: tuple[str, ...], n: int) -> Data:
    """Return the parts as a `Data` in which the first `n` rows of the pool are labelled."""
    key = digest(name, classes, n, *(array for part in parts.values() for array in part))
    mean, std = statistics(parts["pool"].x)
    x, truth = normalised(parts["pool"].x, mean, std), torch.from_numpy(parts["pool"].y)
    index = torch.arange(len(truth))
    val, test = (
        Split(
            normalised(parts[which].x, mean, std),
            torch.from_numpy(parts[which].y),
            torch.full((len(parts[which].y),), -1),
        )
        for which in ("val", "test")
    )
    return Data(
        name=name,
        train=Split(x[:n], truth[:n], index[:n]),
        unlabelled=Split(x[n:], torch.full_like(truth[n:], -1), index[n:]),
        val=val,
        test=test,
        classes=classes,
        mean=mean,
        std=std,
        key=key,
        truth=truth,
    )
