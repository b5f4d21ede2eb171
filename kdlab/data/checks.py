"""Refuse images and labels that would break, or quietly spoil, a training run."""

import warnings
from collections.abc import Sequence

import numpy as np

CHANNELS = (1, 3, 4)
ROUNDING = 1e-3  # how far a float image may lie outside [0, 1], after a resize or in half precision


def check_images(x: np.ndarray, what: str) -> np.ndarray:
    """Return `x` as (N, C, H, W), a view where possible.

    `x`: (N, H, W), (N, H, W, C) or (N, C, H, W) with C in 1, 3, 4, uint8 or floats in [0, 1], which
    may lie beside it by a rounding. `what` names the array in messages.
    Raises ValueError for any other shape, for one that can be read two ways, for another dtype or
    range, for NaN, infinite or constant images; warns where only some images are constant.
    """
    if x.dtype not in (np.uint8, np.float16, np.float32, np.float64):
        raise ValueError(
            f"{what} has dtype {x.dtype}, expected uint8 (0..255) or floats in [0, 1]: "
            f"convert it, e.g. with .astype('float32'), after bringing it to that range."
        )
    shape = x.shape
    if x.ndim == 3:
        x = x[:, None]
    elif x.ndim == 4 and shape[1] in CHANNELS and shape[3] in CHANNELS:
        n, a, b, c = shape
        raise ValueError(
            f"{what} has shape {shape}: {n} images of {b}x{c} pixels with {a} channels first, or "
            f"of {a}x{b} pixels with {c} channels last? Leave out a single channel, or pad them."
        )
    elif x.ndim == 4 and shape[3] in CHANNELS:
        x = x.transpose(0, 3, 1, 2)
    elif x.ndim != 4 or shape[1] not in CHANNELS:
        raise ValueError(
            f"{what} has shape {shape}, expected (N, H, W), (N, H, W, C) or (N, C, H, W) "
            f"with 1, 3 or 4 channels: reshape it."
        )
    if 0 in shape:
        raise ValueError(f"{what} has shape {shape}, expected at least one image: add images.")
    _check_values(x, what)
    return x if x.dtype == np.uint8 or (x.min() >= 0 and x.max() <= 1) else x.clip(0, 1)


def _check_values(x: np.ndarray, what: str) -> None:
    """Raise ValueError for NaN, infinite, out-of-range or constant images (N, C, H, W)."""
    low, high = x.min(axis=(1, 2, 3)), x.max(axis=(1, 2, 3))
    # NaN survives both min and max, infinities one of them: no array of the images' size is needed
    if bad := int((~np.isfinite(low) | ~np.isfinite(high)).sum()):
        raise ValueError(
            f"{what} has NaN or infinite values in {bad} of {len(x)} images, expected finite "
            f"numbers in [0, 1]: repair or drop those images."
        )
    if x.dtype != np.uint8 and (low.min() < -ROUNDING or high.max() > 1 + ROUNDING):
        raise ValueError(
            f"{what} holds floats from {low.min():g} to {high.max():g}, expected [0, 1]: "
            f"divide by 255 if they are 0..255, and undo any normalisation."
        )
    if flat := int((low == high).sum()):
        text = f"{what} has {flat} of {len(x)} images with one single value in every pixel"
        if flat == len(x):
            raise ValueError(f"{text}, expected pictures: look at how the array was written.")
        warnings.warn(f"{text}; they are kept, but look at them.", stacklevel=2)


def check_labels(y: np.ndarray, n: int, what: str) -> np.ndarray:
    """Return the labels `y` of `n` images as int64 (N,).

    Raises ValueError if they are not one non-negative integer an image.
    """
    if y.ndim != 1 or len(y) != n:
        raise ValueError(
            f"{what} has shape {y.shape} for {n} images, expected ({n},): give one label an image."
        )
    if not np.issubdtype(y.dtype, np.integer):
        raise ValueError(
            f"{what} has dtype {y.dtype}, expected whole numbers 0..classes-1: number the classes "
            f"and convert with .astype('int64')."
        )
    y = y.astype(np.int64)
    if y.min() < 0:
        raise ValueError(
            f"{what} holds the label {y.min()}, expected 0..classes-1: drop those images or "
            f"number the classes from 0."
        )
    return y


def check_classes(
    y: np.ndarray, test_y: np.ndarray | None, names: Sequence[str] | None
) -> tuple[str, ...]:
    """Return the class names: `names`, or "0", "1", ... if None.

    `y`, `test_y`: checked labels (N,) of the training images and of the test images, if these come
    separately. Raises ValueError for fewer than two classes, repeated names, a label without a
    name, a class that only the test set has, a class without a training image.
    """
    tested = y[:0] if test_y is None else test_y
    top = int(max(y.max(), tested.max(initial=0)))
    if names is not None and len(set(names)) != len(names):
        raise ValueError(f"'classes' names a class twice ({list(names)}): name each class once.")
    if names is not None and top >= len(names):
        raise ValueError(
            f"The label {top} is out of range, expected 0..{len(names) - 1} because 'classes' has "
            f"{len(names)} names: correct the labels or the names."
        )
    present = np.unique(y)
    if len(strange := np.setdiff1d(tested, present)):
        name = names[strange[0]] if names else strange[0]
        raise ValueError(
            f"The class {name!s} is only in the test set, expected training images of it too: "
            f"add some, or drop it from the test set."
        )
    n_classes = len(names) if names is not None else top + 1
    if len(present) < n_classes:
        gaps = np.flatnonzero(present != np.arange(len(present)))
        gap = int(gaps[0]) if len(gaps) else len(present)
        raise ValueError(
            f"The class {names[gap] if names else gap!s} has no training image although labels go "
            f"up to {n_classes - 1}: add images of it, or number the classes without a gap."
        )
    if n_classes < 2:
        raise ValueError("All images have the same label, expected at least two classes: add one.")
    return tuple(names) if names is not None else tuple(str(c) for c in range(n_classes))
