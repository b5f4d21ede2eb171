"""Pictures in folders: a folder a class, perhaps inside folders of training and test images."""

import warnings
from collections import Counter
from pathlib import Path

import numpy as np

ENDINGS = {
    *(".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".bmp", ".webp", ".avif", ".gif", ".tif", ".tiff"),
    *(".tga", ".ppm", ".pgm", ".pbm", ".pnm"),
}
GREY, DEEP = {"1", "L", "LA"}, {"I", "F", "I;16", "I;16B", "I;16L"}
SPLITS = {  # what a part is called in public data sets, in any case, with "seg_" or without
    **dict.fromkeys(("train", "training", "train_set", "training_set"), "train"),
    **dict.fromkeys(("test", "testing", "test_set", "testing_set"), "test"),
    **dict.fromkeys(("val", "valid", "validation", "dev", "val_set", "validation_set"), "val"),
}
Content = tuple[str, tuple[str, ...], tuple[np.ndarray, ...]]  # name, classes, images and labels


def read_folder(path: Path, size: int = 32) -> Content:
    """Return name, classes, and images and labels of training, test and validation where apart.

    `path` holds CLASS/*.png, or such folders inside train, test and val, however these are
    written. Where there is no test folder, val takes its place. Class folders that are all numbers
    are sorted by number. What is no picture is skipped, with a warning that names it.

    Raises:
        ValueError: no picture, one that cannot be read, or folders that can be read two ways.
    """
    if isinstance(size, bool) or not isinstance(size, int) or not 4 <= size <= 1024:
        raise ValueError(f"size={size!r}, expected a whole number of pixels in 4..1024.")
    places, name, seen = _parts(path), path.resolve().name, Counter[str]()
    if not places:
        names = _classes(path)
        _check_nested(path, names)
        parts = [_class_folders(path, names, size, seen)]
    else:
        names = _sorted({n for place in places.values() for n in _classes(place)})
        parts = [_class_folders(place, names, size, seen) for place in places.values()]
        if len({x.shape[1] for x, _ in parts}) > 1:  # one part is grey, another in colour
            parts = [(_in_colour(x), y) for x, y in parts]
    _tell_skipped(path, places, seen)
    return name, tuple(names), sum(parts, ())


def _parts(path: Path) -> dict[str, Path]:
    """Return {"train": folder, "test": folder, "val": folder} of those that there are, or {}."""
    found: dict[str, Path] = {}
    for name in _subfolders(path):
        part = SPLITS.get(name.lower().removeprefix("seg_"))
        if part and part in found:
            raise ValueError(
                f"{path} has two folders of {part} images, {found[part].name} and {name}: keep one."
            )
        if part:
            found[part] = path / name
    if not found.keys() & {"train", "test"}:  # valid may stand beside invalid, as a class
        return {}
    if "test" not in found and "val" in found:
        found["test"] = found.pop("val")
        warnings.warn(f"{path} has no test images: {found['test'].name} serves.", stacklevel=5)
    if not found.keys() >= {"train", "test"}:
        have = " and ".join(place.name for place in found.values())
        raise ValueError(
            f"{path} has only one of the folders train and test, {have}: add the other, or put the "
            f"class folders straight into {path}."
        )
    return {part: found[part] for part in ("train", "test", "val") if part in found}


def _check_nested(path: Path, names: list[str]) -> None:
    """Refuse folders that hold folders of the same names: parts of a split, not classes."""
    inside = {name: tuple(_subfolders(path / name)) for name in names}
    alike = [name for name in names if inside[name] and inside[name] == inside[names[0]]]
    if len(alike) > 1:
        raise ValueError(
            f"{path} holds {', '.join(alike[:3])}, each with the folders {inside[alike[0]][:3]}: "
            "if they are parts of a split, name them train, test and val; if they are classes, "
            "put their pictures straight into them."
        )


def _tell_skipped(path: Path, places: dict[str, Path], seen: Counter[str]) -> None:
    """Warn of what is no picture in a class folder, by count and name."""
    loose = [p for p in path.iterdir() if p.is_file() and not p.name.startswith(".")]
    beside = [path / n for n in _subfolders(path) if places and path / n not in places.values()]
    seen.update(f"{p.name}{'/' if p.is_dir() else ''}" for p in [*loose, *beside])
    if skipped := sum(seen.values()):
        named = ", ".join(list(seen)[:5]) + (", ..." if len(seen) > 5 else "")
        warnings.warn(
            f"{path} holds {skipped} things that are no pictures of a class, and are skipped: "
            f"{named}.",
            stacklevel=5,
        )


def _subfolders(path: Path) -> list[str]:
    """Return the names of the visible folders in `path` (.ipynb_checkpoints is no class)."""
    return sorted(p.name for p in path.iterdir() if p.is_dir() and not p.name.startswith("."))


def _classes(path: Path) -> list[str]:
    return _sorted(set(_subfolders(path)))


def _sorted(names: set[str]) -> list[str]:
    """Return class names in order: by number where all are numbers, as a teacher counts them."""
    numbered = all(name.isdecimal() for name in names)
    return sorted(names, key=lambda name: (int(name), name) if numbered else name)


def _class_folders(
    path: Path, names: list[str], size: int, seen: Counter[str]
) -> tuple[np.ndarray, np.ndarray]:
    """Return images (N, C, size, size) uint8, C = 1 if all are grey, and labels from `names`.

    What is no picture is counted in `seen` by its name.
    """
    images, y = [], []
    for label, name in enumerate(names):
        for file in sorted((path / name).rglob("*")):
            hidden = any(part.startswith(".") for part in file.relative_to(path).parts)
            if hidden or file.is_dir():
                continue
            if file.suffix.lower() in ENDINGS:
                images.append(_image(file, size))
                y.append(label)
            else:
                seen[file.name] += 1
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
