"""Folders, tables and arrays as people have them: read as meant, skipped aloud, or refused."""

import warnings
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from kdlab.data import Data, load
from kdlab.data.checks import check_images


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KDLAB_CACHE", str(tmp_path / "cache"))


def draw(path: Path, seed: int = 0, kind: str | None = None) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (28, 28), dtype=np.uint8)
    Image.fromarray(pixels).save(path, format=kind)


def parts(root: Path, *names: str, n: int = 6, classes: str = "012") -> Path:
    for p, part in enumerate(names):
        for c, name in enumerate(classes):
            for i in range(n):
                draw(root / part / name / f"{i}.png", 1000 * p + 100 * c + i)
    return root


def sizes(data: Data) -> list[int]:
    return [len(s.y) for s in (data.train, data.val, data.test)]


def load_silently(path: Path, **options: object) -> Data:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return load(path, size=28, **options)


@pytest.mark.parametrize(
    "names",
    [("training", "testing"), ("Train", "Test"), ("seg_train", "seg_test"), ("TRAIN", "test_set")],
)
def test_parts_are_known_by_any_of_their_names(tmp_path: Path, names: tuple[str, str]):
    data = load_silently(parts(tmp_path / "set", *names))
    assert data.classes == ("0", "1", "2") and sizes(data) == [15, 3, 18]


@pytest.mark.parametrize("name", ["val", "valid", "Validation", "dev"])
def test_validation_images_that_come_apart_are_used_as_they_are(tmp_path: Path, name: str):
    data = load_silently(parts(tmp_path / "set", "train", "test", name))
    assert sizes(data) == [18, 18, 18]
    whole = torch.cat([data.train.x, data.val.x, data.test.x]).flatten(1)
    assert len(whole.unique(dim=0)) == 54, "an image stands in two parts"


def test_without_test_images_those_of_validation_serve_and_it_is_said(tmp_path: Path):
    with pytest.warns(UserWarning, match="val"):
        data = load(parts(tmp_path / "set", "train", "val"), size=28)
    assert sizes(data) == [15, 3, 18]


def test_a_class_may_be_called_valid(tmp_path: Path):
    for name in ("valid", "invalid"):
        for i in range(8):
            draw(tmp_path / "set" / name / f"{i}.png", i)
    assert load_silently(tmp_path / "set").classes == ("invalid", "valid")


def test_folders_of_the_same_classes_are_no_classes(tmp_path: Path):
    with pytest.raises(ValueError, match="parts of a split"):
        load(parts(tmp_path / "set", "part1", "part2"))


def test_two_folders_of_one_part_are_refused(tmp_path: Path):
    with pytest.raises(ValueError, match="two folders of train"):
        load(parts(tmp_path / "set", "train", "training", "test"))


def test_classes_that_are_numbers_are_sorted_by_number(tmp_path: Path):
    for c in range(12):
        for i in range(4):
            draw(tmp_path / "set" / str(c) / f"{i}.png", 10 * c + i)
    assert load_silently(tmp_path / "set").classes == tuple(map(str, range(12)))


@pytest.mark.parametrize(
    ("ending", "kind"),
    [("jfif", "JPEG"), ("jpe", "JPEG"), ("JPG", "JPEG"), ("tga", "TGA"), ("avif", "AVIF")],
)
def test_a_picture_of_another_ending_is_read(tmp_path: Path, ending: str, kind: str):
    if kind not in Image.registered_extensions().values():
        pytest.skip(f"this Pillow knows no {kind}")
    for name in "ab":
        for i in range(5):
            draw(tmp_path / "set" / name / f"{i}.{ending}", i, kind)
    assert sum(sizes(load_silently(tmp_path / "set"))) == 10


def test_what_is_skipped_is_named(tmp_path: Path):
    root = parts(tmp_path / "set", "train", "test")
    (root / "train" / "0" / "scan.pdf").write_text("no picture")
    (root / "notes.txt").write_text("no picture")
    draw(root / "extra" / "0" / "1.png")
    with pytest.warns(UserWarning, match=r"3 things .*scan\.pdf.*notes\.txt.*extra/"):
        load(root, size=28)


# --- tables ------------------------------------------------------------------------------------


@pytest.mark.parametrize("label", ["label", "y", "7"])
@pytest.mark.parametrize("channels", [1, 3])
def test_a_table_of_pixels(tmp_path: Path, label: str, channels: int):
    x = np.random.default_rng(0).integers(0, 256, (40, 64 * channels))
    y = np.arange(40) % 2
    table = pd.DataFrame(x).rename(columns=lambda c: f"pixel{c}")
    table.insert(0, label, y)
    table.to_csv(tmp_path / "mine.csv", index=False)
    data = load(tmp_path / "mine.csv")
    assert data.in_shape == (channels, 8, 8) and sum(sizes(data)) == 40
    shape = (40, 8, 8) if channels == 1 else (40, 8, 8, 3)
    np.savez(tmp_path / "mine.npz", x=x.astype(np.uint8).reshape(shape), y=y)
    same = load(tmp_path / "mine.npz")
    assert torch.equal(data.train.x, same.train.x) and torch.equal(data.train.y, same.train.y)


def test_a_table_without_names(tmp_path: Path):
    x = np.random.default_rng(0).integers(0, 3, (40, 64))  # equal numbers in the first row
    np.savetxt(tmp_path / "plain.csv", np.c_[np.arange(40) % 2, x], fmt="%d", delimiter=",")
    assert sum(sizes(load(tmp_path / "plain.csv"))) == 40


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("label,a,b\n0,1,2\n1,2,3\n", "square"),
        ("label," + ",".join(f"p{i}" for i in range(64)) + "\n0" + ",300" * 64 + "\n", "0..255"),
        ("label," + ",".join(f"p{i}" for i in range(64)) + "\n0" + ",x" * 64 + "\n", "Cannot read"),
        ("", "Cannot read"),
    ],
)
def test_a_table_that_holds_no_pixels_is_refused(tmp_path: Path, text: str, word: str):
    (tmp_path / "bad.csv").write_text(text)
    with pytest.raises(ValueError, match=word):
        load(tmp_path / "bad.csv")


def test_other_files_are_refused_with_the_formats_that_are_read(tmp_path: Path):
    np.save(tmp_path / "a.npy", np.zeros((20, 64)))
    torch.save({"x": torch.zeros(20, 64)}, tmp_path / "a.pt")
    with zipfile.ZipFile(tmp_path / "images.zip", "w") as z:
        z.writestr("cat/1.png", b"x")
    contents = {"a.parquet": b"PAR1" + bytes(99), "a.mat": b"MATLAB 5.0", "a.h5": b"\x89HDF\r\n"}
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
    files = sorted(p for p in tmp_path.iterdir() if p.is_file())
    assert len(files) == 6
    for file in files:
        with pytest.raises(ValueError, match=r"\.csv") as error:
            load(file)
        assert file.suffix in (".npy",) or "Python objects" not in str(error.value)


# --- arrays ------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(5, 3, 32, 3), (5, 1, 28, 1), (5, 4, 9, 3)])
def test_a_shape_that_can_be_read_two_ways_is_refused_with_both(shape: tuple[int, ...]):
    x = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    with pytest.raises(ValueError, match="channels first, or of") as error:
        check_images(x, "x")
    assert f"{shape[2]}x{shape[3]}" in str(error.value)


def test_a_rounding_beside_one_is_clipped_and_more_is_refused():
    x = np.random.default_rng(0).random((4, 8, 8), dtype=np.float32)
    x[0, 0, 0], x[1, 1, 1] = 1.0000001, -1e-6
    clipped = check_images(x, "x")
    assert clipped.max() == 1 and clipped.min() == 0 and x.max() > 1, "the array stays its owner's"
    x[0, 0, 0] = 1.5
    with pytest.raises(ValueError, match="1.5"):
        check_images(x, "x")
