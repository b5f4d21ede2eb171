"""Data sets: frozen splits, derived sets, sharing between processes, sentences for bad input."""

import functools
import gzip
import hashlib
import http.server
import io
import os
import pickle
import subprocess
import sys
import tarfile
import threading
import time
import urllib.error
import urllib.request
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision import datasets

from kdlab.data import Data, Split, downloads, folders, load, sources
from kdlab.data.checks import check_images, check_labels
from kdlab.data.rows import join
from kdlab.seeds import generator
from tests.faults import fault

RNG = np.random.default_rng(0)


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("KDLAB_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture(scope="module")
def data() -> Data:
    return load("mnist5k")


@pytest.fixture(scope="module")
def rot40() -> Data:
    return load("rot40")


def pictures(n: int = 60, shape: tuple[int, ...] = (6, 6, 3)) -> np.ndarray:
    return RNG.integers(0, 256, (n, *shape), dtype=np.uint8)


def labels(n: int = 60, classes: int = 3) -> np.ndarray:
    return np.arange(n) % classes


@pytest.fixture
def npz(tmp_path: Path):
    """Write arrays to an .npz and load it."""

    def write_and_load(n_labelled: int | None = None, **arrays: object) -> Data:
        np.savez(tmp_path / "mine.npz", **arrays)  # type: ignore[arg-type]
        return load(tmp_path / "mine.npz", n_labelled=n_labelled)

    return write_and_load


def bytes_of(data: Data, split: Split) -> np.ndarray:
    """The images of a split as the bytes they were read from, (N, C, H, W)."""
    return (data.images(split.x) * 255).round().byte().numpy()


def names_of(images: np.ndarray) -> list[bytes]:
    return [image.tobytes() for image in images]


# ---- splits ---------------------------------------------------------------------------------


def fingerprint(data: Data) -> str:
    """A checksum of images and labels, in order, that does not depend on float arithmetic."""
    content = hashlib.sha256(data.truth.numpy().tobytes())
    for split in (data.train, data.unlabelled, data.val, data.test):
        content.update(bytes_of(data, split).tobytes() + split.y.numpy().tobytes())
    return content.hexdigest()[:16]


FROZEN = {"mnist5k": "acf74918a3bbb28f", "rot40": "0db5964ee94550a6"}


@pytest.mark.parametrize("name", FROZEN)
def test_default_split_is_frozen(name: str, request: pytest.FixtureRequest) -> None:
    fixture = "data" if name == "mnist5k" else name
    assert fingerprint(request.getfixturevalue(fixture)) == FROZEN[name]


def test_sizes_and_names(data: Data, rot40: Data) -> None:
    sizes = [[len(s.y) for s in (d.train, d.unlabelled, d.val, d.test)] for d in (data, rot40)]
    assert sizes == [[500, 2000, 500, 2000], [2000, 8000, 2000, 8000]]
    assert data.in_shape == rot40.in_shape == (1, 28, 28)
    assert data.classes == tuple("0123456789") and rot40.n_classes == 40
    assert rot40.classes[:5] == ("0 at 0°", "0 at 90°", "0 at 180°", "0 at 270°", "1 at 0°")
    assert data.train.x.dtype == torch.float32 and data.train.y.dtype == torch.int64
    assert (data.unlabelled.y == -1).all() and (data.test.index == -1).all()
    assert "500 train, 2000 unlabelled" in repr(data)


def test_mnist5k_is_all_of_the_images_once(data: Data) -> None:
    parts = (data.train, data.unlabelled, data.val, data.test)
    images = np.concatenate([bytes_of(data, s) for s in parts])
    y = torch.cat([data.truth, data.val.y, data.test.y])
    x, truth = sources._mnist()
    key = dict(zip(names_of(x), truth.tolist(), strict=True))
    assert len(key) == 5000 and sorted(names_of(images)) == sorted(key)
    assert [key[name] for name in names_of(images)] == y.tolist()


def test_seed_chooses_the_split_and_n_labelled_only_the_labels(data: Data) -> None:
    other, more = load("mnist5k", seed=1), load("mnist5k", n_labelled=700)
    assert len({data.key, other.key, more.key}) == 3
    assert not torch.equal(other.truth, data.truth) or not torch.equal(other.val.x, data.val.x)
    assert torch.equal(more.truth, data.truth) and torch.equal(more.val.x, data.val.x)
    assert torch.equal(more.train.x[:500], data.train.x) and len(more.unlabelled.y) == 1800


@pytest.mark.parametrize("n", [10, 37, 500, 1234])
def test_every_prefix_of_a_pool_is_balanced(data: Data, rot40: Data, n: int) -> None:
    for d in (data, rot40):
        counts = torch.bincount(d.truth[:n], minlength=d.n_classes)
        assert counts.max() - counts.min() <= 1
        assert torch.equal(d.train.y, d.truth[: len(d.train.y)])
    assert data.truth[:10].tolist() != data.truth[10:20].tolist()  # classes shuffled in each round


def test_uneven_classes_run_out_one_after_the_other(npz) -> None:
    y = np.repeat([0, 1, 2], [40, 12, 8])
    data = npz(x=pictures(60), y=y)
    assert torch.bincount(data.truth).tolist() == [20, 6, 4]
    assert torch.bincount(data.truth[:12]).tolist() == [4, 4, 4]
    assert torch.bincount(data.truth[:16]).tolist() == [6, 6, 4]
    assert torch.bincount(data.val.y).tolist() == [4, 1, 1]
    assert torch.bincount(data.test.y).tolist() == [16, 5, 3]


def test_turns_are_counter_clockwise_and_stay_in_one_split(rot40: Data) -> None:
    x, digit = sources._mnist()
    truth = dict(zip(names_of(x), digit.tolist(), strict=True))
    pool_x = np.concatenate([bytes_of(rot40, rot40.train), bytes_of(rot40, rot40.unlabelled)])
    upright = []
    for images, y in (
        (pool_x, rot40.truth),
        (bytes_of(rot40, rot40.val), rot40.val.y),
        (bytes_of(rot40, rot40.test), rot40.test.y),
    ):
        back = [np.rot90(im, -int(c) % 4, axes=(1, 2)) for im, c in zip(images, y, strict=True)]
        assert [truth[b.tobytes()] for b in back] == (y // 4).tolist()
        originals = names_of(np.stack(back))
        assert len(set(originals)) * 4 == len(originals)
        upright += list(set(originals))
    assert len(upright) == len(set(upright)) == 5000


def test_a_quarter_turn_by_hand() -> None:
    from kdlab.data.splits import Part, quarter_turns

    image = np.array([[[[1, 2], [3, 4]]]], dtype=np.uint8)
    turned = quarter_turns(Part(image, np.array([6])), 0, "pool")
    by_label = {int(c): im.tolist() for c, im in zip(turned.y, turned.x, strict=True)}
    assert by_label == {
        24: [[[1, 2], [3, 4]]],
        25: [[[2, 4], [1, 3]]],
        26: [[[4, 3], [2, 1]]],
        27: [[[3, 1], [4, 2]]],
    }


# ---- normalisation --------------------------------------------------------------------------


def test_the_pool_is_standardised_per_channel_and_images_undoes_it(npz) -> None:
    raw = pictures(90) // np.array([1, 2, 4], dtype=np.uint8)
    data = npz(x=raw, y=labels(90))
    pool = torch.cat([data.train.x, data.unlabelled.x])
    assert torch.allclose(pool.mean((0, 2, 3)), torch.zeros(3), atol=1e-5)
    assert torch.allclose(pool.std((0, 2, 3), correction=0), torch.ones(3), atol=1e-5)
    everything = np.concatenate([bytes_of(data, s) for s in (data.train, data.val, data.test)])
    assert sorted(names_of(everything)) == sorted(names_of(raw.transpose(0, 3, 1, 2)))
    one = data.images(data.val.x[0])
    assert one.shape == (3, 6, 6) and torch.equal(one, data.images(data.val.x)[0])
    assert torch.allclose(data.images(data.black.expand(3, 6, 6)), torch.zeros(3, 6, 6), atol=1e-6)


def test_floats_and_bytes_of_the_same_images_agree(npz) -> None:
    raw, y = pictures(60), labels(60)
    a, b = npz(x=raw, y=y), npz(x=(raw / 255).astype(np.float64), y=y)
    assert b.train.x.dtype == torch.float32
    assert torch.allclose(a.train.x, b.train.x, atol=1e-5) and a.key != b.key


@pytest.mark.parametrize("shape", [(6, 7), (6, 7, 1), (1, 6, 7), (6, 7, 3), (3, 6, 7), (4, 6, 7)])
def test_every_layout_ends_as_channels_first(npz, shape: tuple[int, ...]) -> None:
    data = npz(x=pictures(30, shape), y=labels(30))
    c = {2: 1}.get(len(shape), min(shape))
    assert data.in_shape == (c, 6, 7) and data.train.x.is_contiguous()


# ---- derived data sets ----------------------------------------------------------------------


def test_with_unlabelled_shows_the_whole_pool_without_copying(data: Data) -> None:
    both = data.with_unlabelled()
    assert torch.equal(both.train.y, torch.cat([data.train.y, torch.full((2000,), -1)]))
    assert torch.equal(both.train.index, torch.arange(2500)) and not len(both.unlabelled.y)
    assert torch.equal(both.train.x[500:], data.unlabelled.x)
    assert both.train.x.data_ptr() == data.train.x.data_ptr()
    assert len(data.train.y) == 500  # the parent is as it was


def test_with_unlabelled_repeats_the_labelled_rows(data: Data) -> None:
    few = data.take(20)
    y, index = few.with_unlabelled(4).train[1:]
    assert torch.equal(y[:80], few.train.y.repeat(4)) and (y[80:] == -1).all()
    assert torch.equal(index[:80], few.train.index.repeat(4)) and len(index) == 80 + 2480
    x = few.with_unlabelled(4).train.x
    assert torch.equal(x[20:40], few.train.x) and torch.equal(x[80:], few.unlabelled.x)
    assert few.with_unlabelled(1).key == few.with_unlabelled().key
    for repeat in (0, -1):
        with pytest.raises(ValueError, match=rf"with_unlabelled\({repeat}\), expected 1 or more"):
            few.with_unlabelled(repeat)


def test_without_unlabelled_keeps_the_labelled_rows_only(data: Data) -> None:
    few = data.without_unlabelled()
    assert not len(few.unlabelled.y) and few.key != data.key
    for mine, theirs in zip(few.train, data.train, strict=True):
        assert mine.data_ptr() == theirs.data_ptr() and torch.equal(mine, theirs)
    assert torch.equal(few.with_label_noise(0.3).train.y, data.with_label_noise(0.3).train.y)
    assert len(few.take(20).unlabelled.y) == 480  # those lose their label now


def test_classes_are_dropped_by_label_and_by_hidden_truth(data: Data) -> None:
    without, only = data.without_classes(3, 7), data.only_classes("7", 3)
    for part in ("train", "unlabelled"):
        whole, rest, kept = (getattr(d, part) for d in (data, without, only))
        truth = data.truth[whole.index]
        wanted = (truth == 3) | (truth == 7)
        assert torch.equal(rest.index, whole.index[~wanted])
        assert torch.equal(kept.index, whole.index[wanted])
        assert torch.equal(rest.x, whole.x[~wanted]) and torch.equal(rest.y, whole.y[~wanted])
    assert without.val is data.val and without.test is data.test and without.n_classes == 10
    mixed = data.with_unlabelled().without_classes(3)
    assert (data.truth[mixed.train.index] != 3).all() and len(mixed.train.y) == 2250
    noisy = data.with_label_noise(0.5)  # a label that is there counts, right or wrong
    assert torch.equal(noisy.only_classes(3).train.index, (noisy.train.y == 3).nonzero().flatten())


def test_take_hides_the_other_labels(data: Data) -> None:
    few = data.take(100)
    assert torch.equal(few.train.y, data.truth[:100])
    assert few.train.x.data_ptr() == data.train.x.data_ptr()
    assert torch.equal(few.unlabelled.index, torch.arange(100, 2500))
    assert (few.unlabelled.y == -1).all()
    same = load("mnist5k", n_labelled=100)
    assert torch.equal(few.unlabelled.x, same.unlabelled.x)
    after = data.without_classes(0).take(9)
    assert after.train.y.tolist() == [c for c in data.truth[:20].tolist() if c][:9]
    assert len(after.unlabelled.y) == 2250 - 9
    assert len(data.with_unlabelled().take(20).train.y) == 20


@pytest.mark.parametrize(("rate", "flipped"), [(0, 0), (0.3, 150), (0.0051, 3), (1, 500)])
def test_label_noise_flips_an_exact_number(data: Data, rate: float, flipped: int) -> None:
    noisy = data.with_label_noise(rate, seed=4)
    assert int((noisy.train.y != data.train.y).sum()) == flipped
    assert noisy.train.x is data.train.x and noisy.truth is data.truth
    assert noisy.train.y.min() >= 0 and noisy.train.y.max() <= 9
    assert torch.equal(data.train.y, data.truth[:500])


def test_label_noise_is_uniform_over_the_wrong_classes(rot40: Data) -> None:
    data = rot40.take(2000)
    noisy = data.with_label_noise(1.0, seed=0)
    steps = torch.bincount((noisy.train.y - data.train.y) % 40, minlength=40)
    assert steps[0] == 0 and steps[1:].min() > 20  # 51 expected, standard deviation 7
    assert not torch.equal(noisy.train.y, data.with_label_noise(1.0, seed=1).train.y)
    partly = data.with_unlabelled().with_label_noise(0.5)
    assert (partly.train.y[2000:] == -1).all()
    assert int((partly.train.y[:2000] != data.train.y).sum()) == 1000


def test_views_are_a_bank_of_shifts_by_index(data: Data) -> None:
    bank = data.with_views(4, 2, seed=5)
    n = 500
    assert bank.views == 4 and bank.pool_size == 2500 and len(bank.train.y) == 4 * n
    assert torch.equal(bank.train.x[:n], data.train.x)
    assert torch.equal(bank.train.y, data.train.y.repeat(4))
    for view in range(4):
        assert torch.equal(
            bank.train.index[view * n : (view + 1) * n], view * 2500 + torch.arange(n)
        )
    seen = set()
    for i in range(n):  # each view is the original, moved, with black coming in
        frame = torch.nn.functional.pad(data.images(data.train.x[i]), (2, 2, 2, 2))
        view = data.images(bank.train.x[n + i])
        fits = [
            (dy, dx)
            for dy in range(5)
            for dx in range(5)
            if torch.allclose(frame[:, dy : dy + 28, dx : dx + 28], view, atol=1e-5)
        ]
        assert fits
        seen.update(fits if len(fits) == 1 else [])
    assert len(seen) == 25
    assert not torch.equal(bank.train.x[n : 2 * n], bank.train.x[2 * n : 3 * n])
    assert torch.equal(data.with_views(2, 2, seed=5).train.x, bank.train.x[: 2 * n])
    dropped = bank.without_classes(3)
    assert (data.truth[dropped.train.index % 2500] != 3).all() and len(dropped.train.y) == 1800
    hidden = data.with_unlabelled().with_views(2, 1).only_classes(8)
    assert len(hidden.train.y) == 500 and (data.truth[hidden.train.index % 2500] == 8).all()


def test_colour_views_fill_with_black_in_every_channel(npz) -> None:
    raw = np.clip(pictures(30), 1, 255) // np.array([1, 2, 4], dtype=np.uint8)
    data = npz(x=np.maximum(raw, 1), y=labels(30))
    bank = data.with_views(8, 1)
    shown = data.images(bank.train.x).mul(255).round()
    rim = shown.flatten(2).min(2).values  # 0 in all channels at once, or in none
    assert ((rim == 0).all(1) | (rim > 0).all(1)).all() and (rim == 0).any()


DERIVE = {
    "with_unlabelled": lambda d: d.with_unlabelled(),
    "with_unlabelled 2": lambda d: d.with_unlabelled(2),
    "without 1": lambda d: d.without_classes(1),
    "without 2": lambda d: d.without_classes(2),
    "without 1 2": lambda d: d.without_classes(2, 1),
    "only 1": lambda d: d.only_classes(1),
    "take 20": lambda d: d.take(20),
    "take 30": lambda d: d.take(30),
    "noise .1": lambda d: d.with_label_noise(0.1),
    "noise .2": lambda d: d.with_label_noise(0.2),
    "noise .2 seed 1": lambda d: d.with_label_noise(0.2, seed=1),
    "views 2 1": lambda d: d.with_views(2, 1),
    "views 3 1": lambda d: d.with_views(3, 1),
    "views 2 2": lambda d: d.with_views(2, 2),
    "views 2 1 seed 1": lambda d: d.with_views(2, 1, seed=1),
    "noise then take": lambda d: d.with_label_noise(0.2).take(20),
    "take then noise": lambda d: d.take(20).with_label_noise(0.2),
}


def test_the_key_names_the_content(data: Data) -> None:
    again = load("mnist5k")
    assert again is not data and again.key == data.key
    keys = {name: f(data).key for name, f in DERIVE.items()}
    assert len({data.key, *keys.values()}) == len(keys) + 1
    assert {name: f(again).key for name, f in DERIVE.items()} == keys
    assert data.without_classes(1, 2).key == keys["without 1 2"]
    assert all(len(key) == 32 and int(key, 16) >= 0 for key in keys.values())


# ---- sharing --------------------------------------------------------------------------------


def same(a: Data, b: Data) -> bool:
    tensors = all(
        torch.equal(s, t)
        for part in ("train", "unlabelled", "val", "test")
        for s, t in zip(getattr(a, part), getattr(b, part), strict=True)
    )
    fields = ("name", "classes", "mean", "std", "key", "views")
    return (
        tensors
        and torch.equal(a.truth, b.truth)
        and all(getattr(a, f) == getattr(b, f) for f in fields)
    )


@pytest.mark.parametrize("op", ["none", *DERIVE])
def test_pickle_is_a_reference(data: Data, cache: Path, op: str) -> None:
    small = load("mnist5k", n_labelled=60) if op == "none" else DERIVE[op](data)
    text = pickle.dumps(small)
    assert len(text) < 10_000
    back = pickle.loads(text)
    assert same(small, back) and back is not small
    assert pickle.loads(text) is back
    assert pickle.dumps(back) == text
    assert [p.name for p in (cache / "arrays").iterdir()] == [f"{small.key}.safetensors"]


def test_the_file_is_written_once_and_never_half(data: Data, cache: Path, monkeypatch) -> None:
    pickle.dumps(data)
    (file,) = (cache / "arrays").iterdir()
    before = file.stat().st_mtime_ns
    pickle.dumps(data)
    assert file.stat().st_mtime_ns == before
    file.unlink()

    def full_disk(*_: object) -> None:
        raise OSError("No space left on device")

    monkeypatch.setattr(os, "replace", full_disk)
    with pytest.raises(OSError, match="No space"):
        pickle.dumps(data)
    assert not list((cache / "arrays").iterdir())


def test_a_damaged_file_of_another_process_is_mended(data: Data, cache: Path, monkeypatch) -> None:
    pickle.dumps(data)
    (file,) = (cache / "arrays").iterdir()
    whole = file.read_bytes()
    file.write_bytes(whole[:1000])
    monkeypatch.setattr("kdlab.data.sets.WRITTEN", set())  # as a new process starts
    pickle.dumps(data)
    assert file.read_bytes() == whole


def test_writing_to_a_mapped_tensor_does_not_reach_the_file(data: Data, cache: Path) -> None:
    small = data.take(50)
    text = pickle.dumps(small)
    (file,) = (cache / "arrays").iterdir()
    before = hashlib.sha256(file.read_bytes()).hexdigest()
    pickle.loads(text).train.x.zero_()
    assert hashlib.sha256(file.read_bytes()).hexdigest() == before


def test_a_fresh_process_maps_the_same_tensors_and_imports_little(
    data: Data, tmp_path: Path
) -> None:
    noisy = data.with_label_noise(0.2)
    (tmp_path / "data.pkl").write_bytes(pickle.dumps(noisy))
    program = """
import os, pickle, sys
with open(sys.argv[1], "rb") as file:
    data = pickle.load(file)
seen = "/proc/self/maps"  # only Linux tells
print(data.key in open(seen).read() if os.path.exists(seen) else True)
print(data.key, data.train.y.sum().item(), data.train.x[7].sum().item())
print(*(m for m in ("torchvision", "sklearn", "mlxtend", "PIL") if m in sys.modules))
"""
    command = [sys.executable, "-c", program, str(tmp_path / "data.pkl")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    y, x = noisy.train.y.sum().item(), noisy.train.x[7].sum().item()
    assert done.stdout.splitlines() == ["True", f"{noisy.key} {y} {x}", ""]


def test_a_reference_without_its_file_says_so(data: Data, cache: Path, monkeypatch) -> None:
    small = data.take(40)
    text = pickle.dumps(small)
    (cache / "arrays").rename(cache / "elsewhere")
    with pytest.raises(FileNotFoundError, match="share that folder, or set KDLAB_CACHE"):
        pickle.loads(text)
    other = cache.parent / "other"
    (cache / "elsewhere").rename(cache / "arrays")
    cache.rename(other)
    monkeypatch.setenv("KDLAB_CACHE", str(other))  # the same file, seen from another machine
    assert same(pickle.loads(text), small)


def test_a_relative_cache_is_found_from_another_folder(data: Data, tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("KDLAB_CACHE", "near")
    monkeypatch.chdir(tmp_path)
    small = data.take(30)
    text = pickle.dumps(small)
    (tmp_path / "notebooks").mkdir()
    monkeypatch.chdir(tmp_path / "notebooks")  # as a worker started elsewhere
    assert same(pickle.loads(text), small)


# ---- bad input ------------------------------------------------------------------------------


def sentence(error: pytest.ExceptionInfo[BaseException], *parts: str) -> None:
    """One line that holds all `parts`."""
    text = str(error.value)
    assert "\n" not in text and text.endswith(".") and len(text) < 420, text
    assert all(part in text for part in parts), text


def with_values(*values: float) -> np.ndarray:
    x = RNG.random((60, 6, 6)).astype(np.float32)
    x[: len(values), 2, 2] = values
    return x


BAD_ARRAYS = {
    "negative label": ({"x": pictures(), "y": labels() - 1}, "holds the label -1"),
    "float labels": ({"x": pictures(), "y": labels() / 2}, "dtype float64, expected whole numbers"),
    "text labels": ({"x": pictures(), "y": labels().astype(str)}, "expected whole numbers"),
    "one-hot labels": ({"x": pictures(), "y": np.eye(3)[labels()]}, "expected (60,)"),
    "gap 0, 1, 3": (
        {"x": pictures(), "y": np.array([0, 1, 3])[labels()]},
        "The class 2 has no training image",
    ),
    "huge label": ({"x": pictures(), "y": labels() * 10**12}, "The class 1 has no training image"),
    "beyond the names": (
        {"x": pictures(), "y": labels(), "classes": np.array(["cat", "dog"])},
        "The label 2 is out of range, expected 0..1",
    ),
    "name without images": (
        {"x": pictures(), "y": labels(), "classes": np.array(["cat", "dog", "cow", "emu"])},
        "The class emu has no training image",
    ),
    "a name twice": (
        {"x": pictures(), "y": labels(), "classes": np.array(["a", "b", "a"])},
        "twice",
    ),
    "names not text": ({"x": pictures(), "y": labels(), "classes": np.arange(3)}, "a row of names"),
    "one class": ({"x": pictures(), "y": labels() * 0}, "at least two classes"),
    "only in test": (
        {"train_x": pictures(), "train_y": labels(), "test_x": pictures(4), "test_y": labels(4, 4)},
        "The class 3 is only in the test set",
    ),
    "test of another size": (
        {
            "train_x": pictures(),
            "train_y": labels(),
            "test_x": pictures(4, (5, 5, 3)),
            "test_y": labels(4),
        },
        "give both the same shape and dtype",
    ),
    "fewer labels": ({"x": pictures(), "y": labels(59)}, "(59,) for 60 images, expected (60,)"),
    "fewer test labels": (
        {"train_x": pictures(), "train_y": labels(), "test_x": pictures(4), "test_y": labels(3)},
        "test_y of mine has shape (3,) for 4 images",
    ),
    "NaN": ({"x": with_values(np.nan, np.nan), "y": labels()}, "infinite values in 2 of 60 images"),
    "infinite": ({"x": with_values(np.inf), "y": labels()}, "infinite values in 1 of 60 images"),
    "minus infinite": ({"x": with_values(-np.inf), "y": labels()}, "NaN or infinite"),
    "floats to 255": ({"x": pictures().astype(float), "y": labels()}, "divide by 255"),
    "negative floats": ({"x": with_values(-0.5), "y": labels()}, "floats from -0.5"),
    "constant": ({"x": np.zeros((60, 6, 6), np.uint8), "y": labels()}, "60 of 60 images with one"),
    "constant channel": (
        {"x": pictures() * np.array([1, 0, 1], np.uint8), "y": labels()},
        "Channel 1 has the same value",
    ),
    "wide integers": (
        {"x": pictures().astype(np.int64), "y": labels()},
        "dtype int64, expected uint8",
    ),
    "flat images": (
        {"x": pictures(60, (36,)), "y": labels()},
        "shape (60, 36), expected (N, H, W)",
    ),
    "five channels": ({"x": pictures(60, (6, 6, 5)), "y": labels()}, "1, 3 or 4 channels"),
    "no images": ({"x": pictures(0), "y": labels(0)}, "at least one image"),
    "too few of a class": (
        {"x": pictures(22), "y": np.r_[labels(20, 2), 2, 2]},
        "The class 2 has only 2 image(s), expected at least 3",
    ),
    "wrong keys": ({"images": pictures(), "labels": labels()}, "holds the arrays images, labels"),
    "test half missing": ({"train_x": pictures(), "train_y": labels()}, "rename them"),
    "objects": ({"x": pictures(), "y": np.array([{}] * 60)}, "not safe to open"),
}


@pytest.mark.parametrize("case", BAD_ARRAYS)
def test_bad_arrays_get_one_sentence(npz, case: str) -> None:
    arrays, words = BAD_ARRAYS[case]
    with pytest.raises(ValueError) as error:
        npz(**arrays)
    sentence(error, words)


def test_nan_is_counted_by_image_and_huge_labels_do_not_wrap_quietly() -> None:
    x = with_values(0.5)
    x[3, 0, 0], x[9, 1, 1] = np.nan, np.inf
    with pytest.raises(ValueError, match="2 of 60 images"):
        check_images(x, "x")
    with pytest.raises(ValueError, match="label -9223372036854775803"):
        check_labels(np.array([2**63 + 5, 0], dtype=np.uint64), 2, "y")


def test_some_constant_images_only_warn(npz) -> None:
    x = pictures()
    x[:3] = 7
    with pytest.warns(UserWarning, match="3 of 60 images with one single value"):
        npz(x=x, y=labels())


@pytest.mark.parametrize("n", [9, 2501, 0, -1, True, 50.0])
def test_a_bad_number_of_labels(n: object) -> None:
    with pytest.raises(ValueError) as error:
        load("mnist5k", n_labelled=n)  # type: ignore[arg-type]
    sentence(error, f"n_labelled={n!r}, expected 10 (one a class) to 2500 (the pool of mnist5k)")


def test_a_damaged_archive(tmp_path: Path) -> None:
    whole = tmp_path / "whole.npz"
    np.savez_compressed(whole, x=pictures(), y=labels())
    content = whole.read_bytes()
    middle = bytearray(content)
    middle[len(content) // 2] ^= 0xFF
    stream = io.BytesIO()
    np.save(stream, pictures())
    for name, damaged in {
        "half": content[: len(content) // 2],
        "bit": bytes(middle),
        "empty": b"",
        "text": b"hello, this is no archive",
        "single": stream.getvalue(),
    }.items():
        (tmp_path / f"{name}.npz").write_bytes(damaged)
        with pytest.raises(ValueError) as error:
            load(tmp_path / f"{name}.npz")
        sentence(error, "Cannot read", f"{name}.npz", "expected a whole .npz archive")


@pytest.mark.parametrize(
    ("name", "guess"),
    [("minst5k", "'mnist5k'"), ("CIFAR-10", "'cifar10'"), ("fashionmnist", "'fashion_mnist'")],
)
def test_an_unknown_name_suggests_the_closest(name: str, guess: str) -> None:
    with pytest.raises(ValueError) as error:
        load(name)
    sentence(error, f"did you mean {guess}?", "image folder")


def test_other_wrong_names_and_options(tmp_path: Path, data: Data) -> None:
    with pytest.raises(ValueError) as error:
        load("qqq")
    sentence(error, "Unknown data set 'qqq': known are mnist5k, fashion5k")
    with pytest.raises(ValueError, match="Unknown data set ''"):
        load("")
    with pytest.raises(FileNotFoundError) as missing:
        load(tmp_path / "none.npz")
    sentence(missing, "There is no file or folder")
    with pytest.raises(TypeError) as option:
        load("mnist5k", size=3)
    sentence(option, "got the option 'size', expected none")
    for call, words in (
        (lambda: data.take(501), "take(501), expected 1 to 500"),
        (lambda: data.take(0), "take(0)"),
        (lambda: data.with_label_noise(1.5), "a rate from 0 to 1"),
        (lambda: data.with_label_noise(float("nan")), "a rate from 0 to 1"),
        (lambda: data.with_views(0, 2), "k >= 1"),
        (lambda: data.with_views(2, 28), "0 to 27 pixels"),
        (lambda: data.without_classes(10), "no class 10, expected 0..9"),
        (lambda: data.only_classes("six"), "no class 'six'"),
        (lambda: data.without_classes(*range(10)), "leaves no training image"),
        (lambda: data.with_views(2, 1).take(5), "put it first"),
        (lambda: data.with_views(2, 1).with_views(2, 1), "put it first"),
        (lambda: data.with_unlabelled(repeat=3).take(20), "follows with_views or with_unlabelled"),
    ):
        with pytest.raises(ValueError) as error:
            call()
        sentence(error, words)


# ---- your own files -------------------------------------------------------------------------


def test_npz_with_a_test_set_and_names(npz) -> None:
    train, test = pictures(90), pictures(20)
    names = np.array(["cat", "dog", "cow"])
    data = npz(40, train_x=train, train_y=labels(90), test_x=test, test_y=labels(20), classes=names)
    assert data.classes == ("cat", "dog", "cow") and data.name == "mine"
    assert [len(s.y) for s in (data.train, data.unlabelled, data.val, data.test)] == [40, 41, 9, 20]
    assert names_of(bytes_of(data, data.test)) == names_of(test.transpose(0, 3, 1, 2))
    assert data.test.y.tolist() == labels(20).tolist()


def draw(file: Path, mode: str = "RGB", size: tuple[int, int] = (12, 9), seed: int = 0) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    channels = {"L": (), "RGB": (3,), "RGBA": (4,)}[mode]
    Image.fromarray(rng.integers(0, 256, (size[1], size[0], *channels), dtype=np.uint8)).save(file)


def folder_of(root: Path, modes: dict[str, str], n: int = 10) -> Path:
    for c, (name, mode) in enumerate(modes.items()):
        for i in range(n):
            draw(root / name / f"{i}.png", mode, seed=100 * c + i)
    return root


def test_a_folder_of_classes(tmp_path: Path) -> None:
    root = folder_of(tmp_path / "zoo", {"cat": "RGB", "dog": "RGBA", "emu": "L"})
    (root / ".ipynb_checkpoints").mkdir()
    (root / "cat" / "notes.txt").write_text("no image")
    data = load(root)
    assert data.classes == ("cat", "dog", "emu") and data.in_shape == (3, 32, 32)
    assert [len(s.y) for s in (data.train, data.val, data.test)] == [15, 3, 12]
    small = load(str(root), size=8)
    assert small.in_shape == (3, 8, 8) and small.name == "zoo" and small.key != data.key
    grey = load(folder_of(tmp_path / "grey", {"a": "L", "b": "L"}), size=9)
    assert grey.in_shape == (1, 9, 9)


def test_a_folder_with_train_and_test(tmp_path: Path) -> None:
    folder_of(tmp_path / "zoo" / "train", {"cat": "L", "dog": "L"})
    folder_of(tmp_path / "zoo" / "test", {"cat": "RGB", "dog": "L"}, n=3)
    data = load(tmp_path / "zoo", size=9)
    assert [len(s.y) for s in (data.train, data.val, data.test)] == [18, 2, 6]
    assert data.in_shape == (3, 9, 9) and data.test.y.tolist() == [0, 0, 0, 1, 1, 1]
    draw(tmp_path / "zoo" / "test" / "emu" / "0.png")
    with pytest.raises(ValueError) as error:
        load(tmp_path / "zoo")
    sentence(error, "The class emu is only in the test set")


def test_a_photo_is_turned_upright_and_resized(tmp_path: Path) -> None:
    image = Image.new("L", (8, 8))
    image.paste(255, (0, 0, 8, 4))  # stored: top half white
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was held sideways: turn clockwise to show
    image.save(tmp_path / "photo.png", exif=exif)
    seen = folders._image(tmp_path / "photo.png", 8)
    assert seen.shape == (1, 8, 8) and (seen[0, :, 4:] == 255).all() and (seen[0, :, :4] == 0).all()
    assert folders._image(tmp_path / "photo.png", 4).shape == (1, 4, 4)


def test_bad_folders(tmp_path: Path) -> None:
    root = tmp_path / "zoo"
    root.mkdir()

    def refused(*words: str, **options: object) -> None:
        with pytest.raises(ValueError) as error:
            load(root, **options)  # type: ignore[arg-type]
        sentence(error, *words)

    refused("holds no images, expected zoo/CLASS/*.png")
    draw(root / "loose.png")
    refused("holds no images")
    (root / "loose.png").unlink()
    folder_of(root, {"cat": "RGB", "dog": "RGB"}, n=4)
    refused("size=2, expected a whole number of pixels in 4..1024", size=2)
    with pytest.raises(TypeError, match="'colour', expected only size"):
        load(root, colour=True)
    (root / "empty").mkdir()
    refused("The class empty has no training image")
    (root / "empty").rmdir()
    whole = (root / "cat" / "0.png").read_bytes()
    for content in (whole[: len(whole) // 2], b"", b"text"):
        (root / "cat" / "0.png").write_bytes(content)
        refused("Cannot read the image", "0.png", "replace or delete it")
    deep = np.arange(64, dtype=np.uint16).reshape(8, 8) * 1000
    Image.fromarray(deep).save(root / "cat" / "0.png")
    refused("more than 8 bits a channel")
    (root / "train").mkdir()
    refused("only one of the folders train and test")


def test_digits() -> None:
    data = load("digits")
    assert data.in_shape == (1, 8, 8) and data.n_classes == 10
    assert [len(s.y) for s in (data.train, data.unlabelled, data.val, data.test)] == [
        899,
        0,
        179,
        719,
    ]


# ---- downloads ------------------------------------------------------------------------------


def md5(content: bytes) -> str:
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


def idx(array: np.ndarray) -> bytes:
    """The idx format of MNIST: zeros, type 8 (bytes), dimensions, sizes, data; gzipped."""
    sizes = b"".join(n.to_bytes(4, "big") for n in array.shape)
    head = bytes([0, 0, 8, array.ndim]) + sizes
    return gzip.compress(head + array.astype(np.uint8).tobytes(), mtime=0)


@pytest.fixture
def server(tmp_path: Path):
    """Serve a folder over http; yields the folder and its address."""
    (tmp_path / "www").mkdir()

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            """Keep the test's output clean."""

    handler = functools.partial(Quiet, directory=str(tmp_path / "www"))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as running:
        threading.Thread(target=running.serve_forever, args=(0.01,), daemon=True).start()
        yield tmp_path / "www", f"http://127.0.0.1:{running.server_port}/"
        running.shutdown()


@pytest.fixture
def fashion(server, monkeypatch) -> tuple[Path, dict[str, np.ndarray]]:
    """A small FashionMNIST in its real format behind a local server."""
    folder, address = server
    arrays = {
        "train-images-idx3-ubyte.gz": pictures(200, (28, 28)),
        "train-labels-idx1-ubyte.gz": labels(200, 10),
        "t10k-images-idx3-ubyte.gz": pictures(30, (28, 28)),
        "t10k-labels-idx1-ubyte.gz": labels(30, 10),
    }
    for name, array in arrays.items():
        (folder / name).write_bytes(idx(array))
    sums = [(name, md5((folder / name).read_bytes())) for name in arrays]
    monkeypatch.setattr(datasets.FashionMNIST, "mirrors", [address])
    monkeypatch.setattr(datasets.FashionMNIST, "resources", sums)
    return folder, arrays


def test_fashion_mnist_is_fetched_once(fashion, cache: Path, monkeypatch) -> None:
    _, arrays = fashion
    data = load("fashion_mnist")
    assert [len(s.y) for s in (data.train, data.unlabelled, data.val, data.test)] == [
        180,
        0,
        20,
        30,
    ]
    assert data.classes[9] == "Ankle boot" and data.in_shape == (1, 28, 28)
    assert names_of(bytes_of(data, data.test)) == names_of(arrays["t10k-images-idx3-ubyte.gz"])
    assert data.test.y.tolist() == arrays["t10k-labels-idx1-ubyte.gz"].tolist()
    assert [p.name for p in (cache / "downloads").iterdir()] == ["fashion_mnist"]
    assert not list(cache.rglob("*.gz"))
    monkeypatch.setattr(urllib.request, "urlopen", None)  # a second fetch would fail
    assert load("fashion_mnist").key == data.key


@fault(
    "A downloaded data set is damaged later",
    "It is fetched again.",
)
def test_a_stored_copy_that_broke_is_fetched_again(fashion, cache: Path) -> None:
    key = load("fashion_mnist").key
    raw = cache / "downloads" / "fashion_mnist" / "FashionMNIST" / "raw"
    for damage in (lambda f: f.write_bytes(f.read_bytes()[:500]), Path.unlink):
        damage(raw / "train-images-idx3-ubyte")
        assert load("fashion_mnist").key == key


@fault(
    "A download breaks off",
    "One sentence; nothing half stays, and the next call fetches anew.",
)
def test_a_truncated_archive_leaves_nothing_behind(fashion, cache: Path) -> None:
    folder, _ = fashion
    file = folder / "t10k-images-idx3-ubyte.gz"
    whole = file.read_bytes()
    file.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ConnectionError) as error:
        load("fashion_mnist")
    sentence(error, "Cannot download fashion_mnist, the archive arrived damaged", "try again")
    assert not list((cache / "downloads").iterdir())
    file.write_bytes(whole)
    assert len(load("fashion_mnist").test.y) == 30


def cifar(name: str, folder: Path, address: str, monkeypatch) -> dict[str, np.ndarray]:
    """Put a small CIFAR-10 or -100 in its real format, pickles in a tar.gz, on the server."""
    dataset = getattr(datasets, downloads.DOWNLOADS[name])
    fine, classes = ("labels", 10) if name == "cifar10" else ("fine_labels", 100)
    files, images = {}, {}
    for file, _ in (*dataset.train_list, *dataset.test_list):
        images[file] = pictures(2 * classes, (3072,))
        entry = {"data": images[file], fine: labels(2 * classes, classes).tolist()}
        files[file] = pickle.dumps(entry, protocol=2)
    names = [f"thing {c}" for c in range(classes)]
    files[dataset.meta["filename"]] = pickle.dumps({dataset.meta["key"]: names}, protocol=2)
    with tarfile.open(folder / dataset.filename, "w:gz") as tar:
        for file, content in files.items():
            member = tarfile.TarInfo(f"{dataset.base_folder}/{file}")
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    for field in ("train_list", "test_list"):
        pairs = [[file, md5(files[file])] for file, _ in getattr(dataset, field)]
        monkeypatch.setattr(dataset, field, pairs)
    meta = {**dataset.meta, "md5": md5(files[dataset.meta["filename"]])}
    monkeypatch.setattr(dataset, "meta", meta)
    monkeypatch.setattr(dataset, "url", address + dataset.filename)
    monkeypatch.setattr(dataset, "tgz_md5", md5((folder / dataset.filename).read_bytes()))
    return images


@pytest.mark.parametrize(
    ("name", "classes", "train"), [("cifar10", 10, 100), ("cifar100", 100, 200)]
)
def test_cifar(server, monkeypatch, cache: Path, name: str, classes: int, train: int) -> None:
    images = cifar(name, *server, monkeypatch)
    data = load(name)
    val = max(train // 10, classes)
    assert data.in_shape == (3, 32, 32) and data.classes[3] == "thing 3"
    assert [len(s.y) for s in (data.train, data.val, data.test)] == [train - val, val, 2 * classes]
    test = images["test_batch" if name == "cifar10" else "test"]
    assert names_of(bytes_of(data, data.test)) == names_of(test)
    assert data.test.y.tolist() == labels(2 * classes, classes).tolist()
    (stored,) = (cache / "downloads" / name).glob("*/test*")
    stored.write_bytes(stored.read_bytes()[:-9])  # the checksum finds it, the archive replaces it
    assert load(name).key == data.key


@fault(
    "There is no network",
    "One sentence names the data sets that need none.",
)
@pytest.mark.parametrize("name", downloads.DOWNLOADS)
def test_offline(monkeypatch, cache: Path, name: str) -> None:
    def no_network(*_: object, **__: object) -> None:
        raise urllib.error.URLError("Name or service not known")

    monkeypatch.setattr(urllib.request, "urlopen", no_network)
    with pytest.raises(ConnectionError) as error:
        load(name)
    sentence(
        error,
        f"Cannot download {name}, there is no connection to its server",
        "Name or service not known",
        "mnist5k, fashion5k, rot40, digits, your own .npz file or image folder",
    )
    assert not list((cache / "downloads").iterdir())


def test_a_full_disk_is_not_blamed_on_the_network(monkeypatch, cache: Path) -> None:
    def full_disk(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(datasets.CIFAR10, "download", full_disk)
    with pytest.raises(OSError, match="No space left") as error:
        load("cifar10")
    assert not isinstance(error.value, ConnectionError)
    assert not list((cache / "downloads").iterdir())


def test_leftovers_of_a_killed_download_go_after_a_day(fashion, cache: Path) -> None:
    old, new = (cache / "downloads" / f".fashion_mnist.{age}" for age in ("old", "new"))
    for folder in (old, new):
        folder.mkdir(parents=True)
    os.utime(old, (time.time() - 100_000,) * 2)
    load("fashion_mnist")
    assert not old.exists() and new.exists()  # the new one may be another process at work


def test_shifted_moves_by_what_its_generator_says() -> None:
    from kdlab.data import shifted

    x = torch.arange(2 * 16.0).reshape(2, 1, 4, 4) + 1
    out = shifted(x, 1, generator(0, "a"), 0.0)
    assert torch.equal(out, shifted(x, 1, generator(0, "a"), 0.0))
    assert torch.equal(shifted(x, 0, generator(0, "b"), 9.0), x)
    many = shifted(torch.ones(400, 1, 4, 4), 1, generator(0, "c"), 0.0).flatten(1).sum(1)
    assert set(many.tolist()) == {9.0, 12.0, 16.0}  # moved both ways, one way, not at all


def test_only_neighbours_in_one_memory_are_joined_without_copying() -> None:
    whole = np.arange(6 * 4, dtype=np.float32).reshape(6, 1, 2, 2)
    x = torch.from_numpy(whole)

    def rows(images: torch.Tensor) -> Split:
        n = torch.arange(len(images))
        return Split(images, n, n)

    near, far = join(rows(x[:2]), rows(x[2:5])), join(rows(x[:2]), rows(x[3:5]))
    assert near.x.data_ptr() == x.data_ptr() and torch.equal(near.x, x[:5])
    assert far.x.data_ptr() != x.data_ptr() and torch.equal(far.x, x[[0, 1, 3, 4]])
    # two tensors that do not know of each other, although one ends where the other begins
    apart = join(rows(torch.from_numpy(whole[:2])), rows(torch.from_numpy(whole[2:])))
    assert torch.equal(apart.x, x) and near.index.tolist() == [0, 1, 0, 1, 2]


def test_natural_is_the_same_world_from_both_sources(server, monkeypatch, tmp_path):
    cifar("cifar100", *server, monkeypatch)
    ten = tuple(f"thing {c}" for c in (3, 99, 14, 15, 92, 65, 35, 89, 79, 32))
    monkeypatch.setattr(sources, "NATURAL", ten)
    monkeypatch.setattr(sources, "_as_known", lambda raw: raw)
    fetched = load("natural", n_labelled=10)
    names, (x, y, test_x, test_y) = downloads.read_torchvision("cifar100")
    x, y = np.concatenate([test_x, x]), np.concatenate([test_y, y])  # in another order
    keep = np.isin(y, [names.index(name) for name in ten])
    number = np.array([ten.index(name) if name in ten else -1 for name in names])
    np.savez(tmp_path / "ten.npz", x=x[keep], y=number[y[keep]], classes=np.array(ten))
    monkeypatch.setenv("KDLAB_NATURAL", str(tmp_path / "ten.npz"))
    given = load("natural", n_labelled=10)
    assert given.key == fetched.key and given.classes == ten
    assert given.in_shape == (3, 32, 32) and given.pool_size + len(given.test.y) == 40 - 10


def test_natural_refuses_other_images(monkeypatch, tmp_path):
    x, y = pictures(40, (32, 32, 3)), np.arange(40) % 10
    names = np.array(sources.NATURAL)
    np.savez(tmp_path / "other.npz", x=x, y=y, classes=names)
    monkeypatch.setenv("KDLAB_NATURAL", str(tmp_path / "other.npz"))
    with pytest.raises(ValueError, match="digest"):
        load("natural")
    np.savez(tmp_path / "other.npz", x=x, y=y, classes=np.array([*names[:-1], "tram"]))
    with pytest.raises(ValueError, match="train"):
        load("natural")


def test_fashion5k_holds_500_of_each_class():
    data = load("fashion5k")
    assert (data.pool_size, len(data.train.y), len(data.test.y)) == (2500, 500, 2000)
    everything = np.bincount(sources.read("fashion5k").y)
    assert everything.tolist() == [500] * 10 and data.classes[9] == "ankle boot"
    assert len(names_of(sources.read("fashion5k").x)) == 5000


def test_fashion5k_outside_a_clone(monkeypatch, tmp_path):
    monkeypatch.setattr(sources, "ROOT", tmp_path)
    with pytest.raises(FileNotFoundError, match="clone"):
        load("fashion5k")
