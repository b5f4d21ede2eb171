"""What all tests share: a cache, one thread, small data, the devices, a browser, a cluster."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from kdlab.data import Data, load

DEVICES = ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]


@pytest.fixture(scope="session", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """One empty cache for the whole run: a teacher that two tests ask for is trained once."""
    torch.set_num_threads(1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KDLAB_CACHE", str(tmp_path_factory.mktemp("cache")))
        patch.setenv("KDLAB_HOME", str(tmp_path_factory.mktemp("home")))
        yield


@pytest.fixture(scope="session")
def data() -> Data:
    """mnist5k with 100 labels: 100 training rows, 2,400 unlabelled, 500 and 2,000 to measure on."""
    return load("mnist5k", n_labelled=100)


@pytest.fixture(params=DEVICES)
def device(request: pytest.FixtureRequest) -> str:
    """The CPU, and CUDA where there is one."""
    return request.param


@pytest.fixture(scope="module")
def chrome() -> Iterator[Any]:
    """The system's browser, for pages from disk."""
    from playwright.sync_api import sync_playwright

    from tests.notebooks.test_browser import FLAGS, LONG, chromium

    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path=chromium(), args=FLAGS, timeout=LONG)
        yield browser
        browser.close()


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[str]:
    """The address of a Dask cluster of two processes on this machine, which is connected."""
    distributed = pytest.importorskip("distributed")
    options = {"n_workers": 2, "threads_per_worker": 1, "processes": True}
    options |= {"dashboard_address": None, "local_directory": str(tmp_path / "dask")}
    with (
        distributed.LocalCluster(**options) as local,
        distributed.Client(local),
    ):
        yield local.scheduler_address
