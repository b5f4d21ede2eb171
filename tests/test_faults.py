"""Faults that are really made: nothing finished is lost, and one sentence says what happened."""

import errno
import json
import os
import resource
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from kdlab.data import load
from kdlab.fingerprint import fingerprint
from kdlab.models import build
from kdlab.runs.compare import ArmError, compare
from kdlab.store import cache_dir, write_atomic, write_row
from kdlab.train.fit import run
from kdlab.train.method import CE
from kdlab.train.recipe import Recipe
from tests import faults
from tests.data import test_data
from tests.faults import fault
from tests.lab import test_training  # noqa: F401 - their rows stand in the table
from tests.lab.conftest import until
from tests.notebooks import test_notebook_00  # noqa: F401
from tests.runs import test_compare, test_evidence  # noqa: F401


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("KDLAB_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def trivial(seed: int) -> dict[str, Any]:
    return {"x": seed}


def test_the_page_is_made_of_these_tests():
    assert faults.PAGE.read_text(encoding="utf-8") == faults.page()


# --- the disk -----------------------------------------------------------------------------------


@fault(
    "The cache cannot be written",
    "One sentence before anything trains names the folder and KDLAB_CACHE.",
)
@pytest.mark.parametrize("place", ["/proc/kdlab", "/dev/null/kdlab"])
def test_a_cache_that_cannot_be_written_is_told_before_anything_trains(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str
):
    def arm(seed: int) -> dict[str, Any]:
        (tmp_path / "trained").touch()
        return {"x": seed}

    monkeypatch.setenv("KDLAB_CACHE", place)
    with pytest.raises(OSError, match="KDLAB_CACHE"):
        compare({"a": arm}, 1)
    assert not (tmp_path / "trained").exists()


@fault(
    "The cache is on a read-only mount and holds all runs",
    "They are read; nothing has to be written.",
)
def test_finished_runs_are_read_where_nothing_can_be_written(
    own_cache: Path, monkeypatch: pytest.MonkeyPatch
):
    """A file system that refuses every new file: that of the kernel's own tables."""
    before = compare({"a": trivial}, 2)

    def refuse(*_: Any, **__: Any) -> None:
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr("tempfile.mkstemp", refuse)
    monkeypatch.setattr("tempfile.TemporaryFile", refuse)
    pd.testing.assert_frame_equal(compare({"a": trivial}, 2), before)
    with pytest.raises(OSError, match="KDLAB_CACHE"):
        compare({"a": trivial}, 3)


@fault(
    "The disk is full when a run ends",
    "The run is named with the reason; all others are kept, and the file that was there stays.",
)
def test_a_full_disk_is_told_and_what_was_there_stays(tmp_path: Path):
    """A limit on the size of files ends a write as a full disk does: in its middle."""
    path = write_atomic(tmp_path / "kept", b"before")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (5_000, hard))
        with pytest.raises(OSError, match="KDLAB_CACHE"):
            write_atomic(path, bytes(20_000))

        def arm(seed: int) -> dict[str, Any]:
            return {"x": np.zeros(10_000 if seed else 10)}

        with pytest.raises(ArmError, match="seed 1.*KDLAB_CACHE") as caught:
            compare({"a": arm}, 3, n_jobs=1)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, handler)
    assert path.read_bytes() == b"before" and [p.name for p in tmp_path.glob("*kept*")] == ["kept"]
    assert list(caught.value.table.seed) == [0]
    assert len(compare({"a": arm}, 3, n_jobs=1)) == 3


@fault(
    "The clock is set back, or a file comes from the future",
    "Finished runs are found; a file of equal size and time with another content makes runs anew.",
)
def test_a_clock_that_was_set_back_changes_nothing(own_cache: Path, tmp_path: Path):
    before = compare({"a": trivial}, 2)
    for when in (0, 4e9):
        for file in own_cache.rglob("*.npz"):
            os.utime(file, (when, when))
        pd.testing.assert_frame_equal(compare({"a": trivial}, 2), before)
    table = tmp_path / "table.bin"
    table.write_bytes(b"one")
    os.utime(table, (1e9, 1e9))
    name = fingerprint(str(table))
    table.write_bytes(b"two")
    os.utime(table, (1e9, 1e9))
    assert fingerprint(str(table)) != name


# --- processes ----------------------------------------------------------------------------------

SLOW = """
import sys, time
from kdlab.runs.compare import compare

def slow(seed):
    time.sleep(0.3 if seed < 4 else float(sys.argv[3]))
    with open(sys.argv[1], "a") as file:
        file.write(f"{seed}\\n")
    return {"x": seed}

def draw(table):
    if len(table) >= 2 and sys.argv[4] == "figure":
        open(sys.argv[1] + ".drawing", "w").close()
        time.sleep(600)

if __name__ == "__main__":
    made = compare({"a": slow}, 6, n_jobs=int(sys.argv[2]), on_row=draw)
    print(made.to_json(orient="records"))
"""


def start(
    tmp_path: Path, n_jobs: int = 2, last: float = 0.3, draws: str = "nothing"
) -> "subprocess.Popen[str]":
    """Start six runs, the two last of which take `last` seconds; a figure takes 600 s."""
    script = tmp_path / "slow.py"
    script.write_text(SLOW)
    pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    arguments = [str(x) for x in (tmp_path / "log", n_jobs, last, draws)]
    return subprocess.Popen(
        [sys.executable, str(script), *arguments], **pipes, start_new_session=True
    )


def rows_of(process: "subprocess.Popen[str]") -> list[dict[str, Any]]:
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    return json.loads(out)


def stored() -> int:
    return len(list(cache_dir().rglob("*.npz")))


@fault(
    "The kernel is interrupted while `compare` trains",
    "One line says so; workers end; the same call goes on from there.",
)
@pytest.mark.parametrize("draws", ["nothing", "figure"])
def test_an_interrupt_keeps_finished_runs_and_ends_in_one_line(tmp_path: Path, draws: str):
    process = start(tmp_path, last=600, draws=draws)
    until((tmp_path / "log.drawing").exists if draws == "figure" else lambda: stored() >= 2)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode != 0 and "the same call goes on" in err.strip().splitlines()[-1]
    assert 2 <= stored() < 6
    assert [row["x"] for row in rows_of(start(tmp_path, 1))] == list(range(6))


@fault(
    "Two notebooks train the same runs on one cache at once",
    "Both get the whole table; no file is damaged.",
)
def test_two_processes_on_one_cache_get_the_same_table(tmp_path: Path):
    both = [start(tmp_path, 1), start(tmp_path, 1)]
    one, two = (rows_of(process) for process in both)
    assert one == two and len(one) == 6
    assert len(list(cache_dir().rglob("*.npz"))) == 6


@fault(
    "A run asks for more memory than there is",
    "Its arm and seed are named with the reason; the others go on.",
)
def test_a_run_without_memory_is_named_and_the_others_go_on():
    def greedy(seed: int) -> dict[str, Any]:
        return {"x": len(torch.empty(10**15 if seed == 1 else 10))}

    with pytest.raises(ArmError, match=r"seed 1.*memory") as caught:
        compare({"a": greedy, "b": trivial}, 3)
    assert len(caught.value.table) == 5


@fault(
    "The loss of one arm becomes NaN",
    "Its term, epoch and arm are named; the other arms go on.",
)
def test_an_arm_that_diverges_is_named_and_the_others_go_on():
    def arm(lr: float) -> Any:
        def train(seed: int) -> dict[str, Any]:
            data = load("digits")
            net = build("mlp8", data.n_classes, data.in_shape, seed=seed)
            return run(CE(net), data, Recipe(steps=40, lr=lr), seed)

        return train

    with pytest.raises(ArmError, match="'wild'.*hard") as caught:
        compare({"calm": arm(0.01), "wild": arm(1e30)}, 2)
    assert set(caught.value.table.arm) == {"calm"} and len(caught.value.table) == 2


@fault(
    "A stored run is cut short, or a byte of it changes",
    "A warning names the file, and it is run again.",
)
@pytest.mark.parametrize("damage", [lambda raw: raw[: len(raw) // 2], lambda raw: b"", bytes.lower])
def test_a_damaged_run_is_made_again(own_cache: Path, damage: Any):
    before = compare({"a": trivial}, 1)
    (file,) = own_cache.rglob("*.npz")
    file.write_bytes(damage(file.read_bytes()))
    with pytest.warns(UserWarning, match=file.name):
        again = compare({"a": trivial}, 1)
    pd.testing.assert_frame_equal(again, before)


def test_a_row_that_cannot_be_kept_leaves_no_file(tmp_path: Path):
    with pytest.raises(TypeError):
        write_row(tmp_path / "row.npz", {"x": object()})
    assert list(tmp_path.glob("*.npz")) == [] and test_data.__name__
