"""Pixels in a table of text, one image a row, as MNIST is passed round."""

import math
from pathlib import Path

import numpy as np

LABELS = ("label", "labels", "class", "target", "y")


def read_csv(path: Path) -> tuple[tuple[str, ...] | None, list[np.ndarray]]:
    """Return None for the class names, and images (N, H, W[, 3]) uint8 with labels (N,).

    The label stands in a column of that name, or in the first one. The others are the pixels of a
    square, 0 to 255, row by row; in colour, the three values of a pixel side by side.

    Raises:
        ValueError: no such table.
    """
    import pandas as pd

    try:
        table = pd.read_csv(path)
        if all(_is_number(name) for name in table.columns):  # the first row is no header
            table = pd.read_csv(path, header=None)
        named = [c for c in table.columns if str(c).lower() in LABELS]
        y = table.pop(named[0] if named else table.columns[0]).to_numpy()
        x = table.to_numpy(dtype=float)
    except (ValueError, OSError, IndexError, pd.errors.ParserError) as error:
        reason = " ".join(str(error).split())[:120]
        raise ValueError(
            f"Cannot read {path} ({reason}), expected a table of numbers: the label first, then a "
            "column for each pixel."
        ) from error
    channels = next((c for c in (1, 3) if math.isqrt(x.shape[1] // c) ** 2 * c == x.shape[1]), None)
    if channels is None or x.shape[1] < 16:
        raise ValueError(
            f"{path} has {x.shape[1]} columns beside the label, expected the pixels of a square, "
            "such as 784: give one column a pixel."
        )
    if np.isnan(x).any() or x.min() < 0 or x.max() > 255 or (x != x.round()).any():
        raise ValueError(f"{path} holds pixels other than whole numbers 0..255: convert them.")
    side = math.isqrt(x.shape[1] // channels)
    shape = (len(x), side, side) if channels == 1 else (len(x), side, side, 3)
    return None, [x.astype(np.uint8).reshape(shape), y]


def _is_number(text: object) -> bool:
    try:
        float(str(text).rpartition(".")[0] or str(text))  # pandas writes a repeated 0 as "0.1"
    except ValueError:
        return False
    return True
