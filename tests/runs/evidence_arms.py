"""Arms for the tests of evidence: quick, and each run leaves a line in a file."""

import os
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np

from kdlab.train.gate import Suspicion
from kdlab.train.worlds import Replicate


def note(r: Replicate, name: str) -> None:
    """Append a line to the file that EVIDENCE_LOG names."""
    if log := os.environ.get("EVIDENCE_LOG"):
        with Path(log).open("a") as file:
            file.write(f"{name} {r.r}\n")


def row(r: Replicate, shift: float) -> dict[str, Any]:
    correct = np.random.default_rng(r.r).random(len(r.data.test.y)) < 0.8 + shift / 100
    return {"accuracy": 80.0 + shift + r.r, "val_accuracy": 80.0, "correct": correct}


def good(r: Replicate, shift: float = 1.0) -> dict[str, Any]:
    note(r, "good")
    return row(r, shift)


def plain(r: Replicate) -> dict[str, Any]:
    note(r, "plain")
    return row(r, 0.0)


def slow(r: Replicate) -> dict[str, Any]:
    """It waits where the environment names its replicate."""
    while os.environ.get("HELD") == str(r.r):
        time.sleep(0.02)
    note(r, "slow")
    return row(r, 2.0)


def noisy(r: Replicate) -> dict[str, Any]:
    """Its difference to `plain` has a wide spread."""
    return row(r, 0.0) | {"accuracy": 80.0 + r.r + 3 * (-1) ** r.r}


def curve(r: Replicate) -> dict[str, Any]:
    return {"accuracy": 1.0, "curve": np.arange(3.0) + r.r}


def doubtful(r: Replicate) -> dict[str, Any]:
    """A control whose teacher knows nothing, and says so."""
    warnings.warn("the teacher agrees with no label", Suspicion, stacklevel=2)
    return row(r, 0.0)
