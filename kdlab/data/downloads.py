"""Data sets that torchvision fetches on demand, whole or not at all."""

import contextlib
import os
import pickle
import shutil
import socket
import tempfile
import time
from collections.abc import Iterator
from http.client import HTTPException
from pathlib import Path
from urllib.error import URLError

import numpy as np

from kdlab.store import cache_dir

DOWNLOADS = {"fashion_mnist": "FashionMNIST", "cifar10": "CIFAR10", "cifar100": "CIFAR100"}
OFFLINE = "mnist5k, fashion5k, rot40, digits, your own .npz file or image folder"
# A URLError is an OSError, but a full disk is one too, and no fault of the network.
# torchvision wraps some of these, and a wrong checksum, in a RuntimeError.
NETWORK = (URLError, ConnectionError, TimeoutError, HTTPException, EOFError, RuntimeError)
Content = tuple[tuple[str, ...], list[np.ndarray]]  # classes; x, y, test_x, test_y


def read_torchvision(name: str) -> Content:
    """Return the classes and x, y, test_x, test_y of data set `name`, fetched if not stored.

    It is kept in ``cache_dir()/downloads/name``. A stored copy that cannot be read is fetched
    again. Raises ConnectionError if there is no network or the archive arrives damaged.
    """
    home = cache_dir() / "downloads" / name
    if home.exists():
        try:
            return _open(name, home)
        except (RuntimeError, OSError, ValueError, EOFError, pickle.UnpicklingError):
            shutil.rmtree(home)  # damaged since it was stored
    home.parent.mkdir(parents=True, exist_ok=True)
    _sweep(home)
    with tempfile.TemporaryDirectory(dir=home.parent, prefix=f".{name}.") as folder:
        whole = Path(folder) / name
        try:
            with _patience(60):
                content = _open(name, whole, download=True)
        except NETWORK as error:
            raise ConnectionError(_sentence(name, error)) from error
        for archive in whole.rglob("*.gz"):
            archive.unlink()  # unpacked: only the space is left to lose
        try:
            os.rename(whole, home)
        except OSError:
            if not home.exists():
                raise  # else another process was faster, and its copy is as good
    return content


def _open(name: str, root: Path, download: bool = False) -> Content:
    """Return classes and arrays of a data set that torchvision keeps, or fetches, under `root`."""
    from torchvision import datasets

    dataset = getattr(datasets, DOWNLOADS[name])
    train = dataset(root, train=True, download=download)
    test = dataset(root, train=False)
    columns = (train.data, train.targets, test.data, test.targets)
    return tuple(train.classes), [np.asarray(column) for column in columns]


def _sentence(name: str, error: Exception) -> str:
    """Return one line: what failed, why, and what works without a network."""
    reason = " ".join(str(error).split()) or type(error).__name__
    # torchvision has no exception of its own for a wrong checksum, only these words
    damaged = "corrupted" in reason or isinstance(error, EOFError)
    cause = "the archive arrived damaged" if damaged else "there is no connection to its server"
    return f"Cannot download {name}, {cause} ({reason}): try again later, or use {OFFLINE}."


def _sweep(home: Path, age: float = 86_400) -> None:
    """Delete what a killed download left beside `home` more than `age` seconds ago."""
    for left in home.parent.glob(f".{home.name}.*"):
        if time.time() - left.stat().st_mtime > age:
            shutil.rmtree(left)


@contextlib.contextmanager
def _patience(seconds: float) -> Iterator[None]:
    """Let sockets give up after `seconds`: torchvision sets no limit and would wait for ever."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(seconds)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)
