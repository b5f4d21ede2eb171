"""Random streams that do not meet, and files that appear whole or not at all."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from kdlab.cache import cache_dir, write_atomic

from kdlab import cache
from kdlab.seeds import generator, stream

# --- streams ------------------------------------------------------------------------------------


def test_a_stream_is_frozen():
    """These numbers decide every result of the course, on every machine; a change must be meant."""
    assert stream(0, "init") == 0x1514D1F1485CB8AE
    assert stream(3, "order", 7) == 0x749EA744F4ED670E


def test_streams_do_not_meet():
    names = [("init",), ("order",), ("augment",), *(("order", epoch) for epoch in range(100))]
    found = {stream(seed, *name) for seed in range(20) for name in names}
    assert len(found) == 20 * len(names)
    assert stream(1, 2) != stream(12) != stream(2, 1)
    assert all(0 <= number < 2**63 for number in found)


def test_a_generator_starts_at_its_stream():
    a, b, c = (
        torch.rand(100, generator=generator(*name)) for name in ((0, "x"), (0, "x"), (1, "x"))
    )
    assert torch.equal(a, b)
    assert not torch.equal(a, c)
    assert a.mean() == pytest.approx(0.5, abs=0.15)


def test_a_generator_leaves_the_global_one_alone():
    before = torch.get_rng_state()
    torch.rand(10, generator=generator(0, "x"))
    assert torch.equal(torch.get_rng_state(), before)


# --- the cache ----------------------------------------------------------------------------------


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
    clone = Path(cache.__file__).parents[1] / "data" / "cache"
    assert cache_dir() == clone
    monkeypatch.setenv("KDLAB_CACHE", "")  # an empty variable chooses nothing
    assert cache_dir() == clone


@pytest.mark.usefixtures("no_choice")
def test_an_installed_package_uses_the_home_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    installed = tmp_path / "site-packages" / "kdlab" / "cache.py"
    monkeypatch.setattr(cache, "__file__", str(installed))
    assert cache_dir() == Path.home() / ".cache" / "kdlab"
    assert list(tmp_path.iterdir()) == []


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
