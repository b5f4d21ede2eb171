"""What the tests of the lab share: a home of its own, tiny arms, two workers for all tests."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from joblib.externals.loky import ProcessPoolExecutor

from kdlab.lab import lab
from kdlab.lab.widget import Lab
from kdlab.runs.workers import prepare

TINY = {"updates": 6, "teacher": "cnn2", "epochs": 1, "student": "cnn2", "labels": 20}
LABELS, KD = {"method": "labels", **TINY}, {"method": "KD", **TINY}
PATIENCE = 180  # seconds; workers start slowly where many processes share the cores


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """No test writes into the lab book of whoever runs it."""
    monkeypatch.setenv("KDLAB_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.fixture(scope="session")
def workers(cache: None) -> Iterator[Any]:
    """Two worker processes that stay."""
    pool = ProcessPoolExecutor(2, timeout=600, initializer=prepare)
    yield pool
    pool.shutdown(wait=True, kill_workers=True)


def until(true: Callable[[], object], seconds: float = PATIENCE) -> None:
    latest = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < latest, f"not within {seconds} s"
        time.sleep(0.02)


def press(my_lab: Lab, what: str, **given: Any) -> str:
    """Press something; return what the lab says."""
    my_lab._heard(None, {"do": what, **given}, None)
    return str(my_lab.state["said"]["text"])


def train(my_lab: Lab) -> None:
    """Press Train, and wait until the training has ended."""
    assert press(my_lab, "train") == "The training has started."
    until(lambda: my_lab.state["training"]["state"] != "running")


def numbers(my_lab: Lab) -> dict[int, list[float]]:
    """Return {arm: accuracies} as the widget shows them."""
    return {row["id"]: [dot[1] for dot in row["dots"]] for row in my_lab.state["rows"]}


@pytest.fixture
def make(workers: Any, home: Path) -> Callable[..., Lab]:
    """Return what makes a lab whose training uses the workers that are there."""

    def made(start: Any = (LABELS, KD), replicates: int = 2, **options: Any) -> Lab:
        preset = {"these": {"rows": list(start), "replicates": replicates}}
        my_lab = lab(preset, n_jobs=2, **options)
        my_lab.bench.training.pool = workers
        return my_lab

    return made
