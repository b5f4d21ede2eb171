"""Files that appear whole or not at all, and that are read only when they are undamaged."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch

from kdlab import store
from kdlab.store import (
    cache_dir,
    digest,
    map_tensors,
    read_row,
    read_tensors,
    write_atomic,
    write_row,
    write_tensors,
)

# --- where it lies ------------------------------------------------------------------------------


@pytest.fixture
def no_choice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KDLAB_CACHE")


def test_the_variable_wins(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setenv("KDLAB_CACHE", str(tmp_path / "mine"))
    assert cache_dir() == tmp_path / "mine"
    assert not cache_dir().exists()


def test_a_tilde_is_the_home_folder(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("KDLAB_CACHE", "~/mine")
    assert cache_dir() == Path.home() / "mine"


@pytest.mark.usefixtures("no_choice")
def test_a_clone_keeps_its_cache_to_itself(monkeypatch: pytest.MonkeyPatch):
    clone = Path(__file__).parents[1] / "data" / "cache"
    assert cache_dir() == clone
    monkeypatch.setenv("KDLAB_CACHE", "")  # an empty variable chooses nothing
    assert cache_dir() == clone


@pytest.mark.usefixtures("no_choice")
def test_an_installed_package_uses_the_home_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setattr(store, "ROOT", tmp_path / "site-packages")
    assert cache_dir() == Path.home() / ".cache" / "kdlab"
    assert list(tmp_path.iterdir()) == []


# --- whole or not at all ------------------------------------------------------------------------


def test_a_file_is_written_with_its_folders(tmp_path: Path):
    path = tmp_path / "a" / "b" / "file.bin"
    assert write_atomic(path, b"first") == path
    assert path.read_bytes() == b"first"
    write_atomic(path, b"second, longer")
    assert path.read_bytes() == b"second, longer"
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("error", [OSError("disk full"), KeyboardInterrupt()], ids=repr)
@pytest.mark.parametrize("before", [None, b"old"])
def test_a_failure_leaves_what_was_there(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, error: BaseException, before: bytes | None
):
    path = tmp_path / "file.bin"
    if before is not None:
        path.write_bytes(before)

    def fail(source: str, target: Path) -> None:
        assert Path(source).read_bytes() == b"new"  # all was written before the name is taken
        assert Path(source).parent == path.parent  # a rename across disks is a copy
        raise error

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(type(error)):
        write_atomic(path, b"new")
    assert list(tmp_path.iterdir()) == ([] if before is None else [path])
    assert before is None or path.read_bytes() == before


def test_a_reader_never_meets_half_a_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    """What can be seen under the name at any moment of the writing is the old or the new."""
    path, seen, replace = tmp_path / "file.bin", [], os.replace
    write_atomic(path, b"old")

    def watch(source: str, target: Path) -> None:
        seen.append(path.read_bytes())
        replace(source, target)
        seen.append(path.read_bytes())

    monkeypatch.setattr(os, "replace", watch)
    write_atomic(path, b"new" * 100_000)
    assert seen == [b"old", b"new" * 100_000]


def test_import_touches_neither_cache_nor_network(tmp_path: Path):
    code = """
import socket
def refuse(*_): raise AssertionError("the network was asked")
socket.socket.connect = socket.getaddrinfo = refuse
import kdlab, kdlab.data, kdlab.train.fit, kdlab.models
import kdlab.papers.kd.method, kdlab.train.teachers
"""
    environment = os.environ | {"KDLAB_CACHE": str(tmp_path / "cache")}
    subprocess.run([sys.executable, "-c", code], env=environment, check=True)
    assert list(tmp_path.iterdir()) == []


# --- rows and tensors ---------------------------------------------------------------------------

ROW = {"accuracy": 91.25, "n": 3, "name": "KD", "sure": True, "none": None, "right": np.arange(4)}
TENSORS = {
    "weight": torch.arange(6.0).reshape(2, 3).T,  # not contiguous
    "count": torch.tensor(7),
    "answers": torch.tensor([[1.0, -torch.inf], [torch.nan, 0.0]], dtype=torch.float64),
}


def same(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    """Tell whether both hold the same numbers, types and shapes; NaN equals NaN."""
    pairs = [(a[name], b[name]) for name in a]
    return a.keys() == b.keys() and all(
        x.dtype == y.dtype and torch.equal(x.nan_to_num(9e9), y.nan_to_num(9e9)) for x, y in pairs
    )


def test_a_row_comes_back_as_it_was(tmp_path: Path):
    row = ROW | {"tensor": torch.ones(2), "scalar": np.float32(0.5), "zero": torch.tensor(3.0)}
    write_row(tmp_path / "row.npz", row)
    found = read_row(tmp_path / "row.npz")
    assert found is not None and found.keys() == row.keys()
    assert {name: found[name] for name in ROW if name != "right"} == {
        name: value for name, value in ROW.items() if name != "right"
    }
    assert found["right"].tolist() == [0, 1, 2, 3] and found["tensor"].tolist() == [1, 1]
    assert (found["scalar"], found["zero"]) == (0.5, 3.0)
    assert read_row(tmp_path / "other.npz") is None


@pytest.mark.parametrize("row", [5.0, [1, 2], {"x": np.array([object()])}])
def test_what_is_no_row_is_refused_and_leaves_no_file(tmp_path: Path, row: object):
    with pytest.raises(TypeError, match="an arm returned"):
        write_row(tmp_path / "row.npz", row)
    assert list(tmp_path.iterdir()) == []


def test_tensors_come_back_as_they_were(tmp_path: Path):
    path = tmp_path / "a" / "tensors.safetensors"
    write_tensors(path, TENSORS, {"net": "cnn2", "epoch": 3})
    found, (mapped, facts) = read_tensors(path, "teacher"), map_tensors(path)
    assert found is not None and same(found, TENSORS) and same(mapped, TENSORS)
    assert facts == {"net": "cnn2", "epoch": 3}
    assert list(path.parent.iterdir()) == [path]
    assert read_tensors(tmp_path / "other.safetensors", "teacher") is None


def test_tensors_appear_whole_or_not_at_all(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    def full(*_: object) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(OSError, match="no space"):
        write_tensors(tmp_path / "tensors.safetensors", TENSORS, {})
    assert list(tmp_path.iterdir()) == []


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-9])


def flip_a_bit(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-20] ^= 1
    path.write_bytes(bytes(content))


def forget_the_digest(path: Path) -> None:
    safetensors.torch.save_file(safetensors.torch.load(path.read_bytes()), path)


@pytest.mark.parametrize("damage", [cut, flip_a_bit, forget_the_digest])
def test_damaged_tensors_are_named_and_never_returned(
    tmp_path: Path, damage: Callable[[Path], None]
):
    path = tmp_path / "tensors.safetensors"
    write_tensors(path, TENSORS, {})
    damage(path)
    with pytest.warns(UserWarning, match="stored teacher tensors.safetensors is damaged"):
        assert read_tensors(path, "teacher") is None


@pytest.mark.parametrize("damage", [cut, lambda path: path.write_bytes(b"")])
def test_a_damaged_row_is_named_and_never_returned(tmp_path: Path, damage: Callable[[Path], None]):
    write_row(tmp_path / "row.npz", ROW)
    damage(tmp_path / "row.npz")
    with pytest.warns(UserWarning, match=r"stored run row.npz is damaged"):
        assert read_row(tmp_path / "row.npz") is None


def test_a_digest_knows_content_type_shape_and_place():
    x = np.arange(6)
    others = [x.astype("i4"), x.reshape(2, 3), x[::-1], x + 1, "x", (x, 1)]
    names = {digest(x), digest("a", x), digest(x, "a"), *map(digest, others)}
    assert len(names) == 9 and all(len(name) == 32 for name in names)
    assert digest(x, "a", 1.5) == digest(np.arange(12)[:6], "a", 1.5)
    assert digest(x.reshape(2, 3).T) == digest(np.ascontiguousarray(x.reshape(2, 3).T))
