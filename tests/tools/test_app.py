"""`make app`: the lab as a page of its own, behind a token, with nothing from the net."""

import json
import re
import shlex
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator

import pytest
from playwright.sync_api import expect

from kdlab.lab.hand_out import FORMAT, presets_of
from kdlab.papers.kd.presets import PRESETS
from tests.lab.conftest import TINY
from tests.notebooks.test_browser import ROOT, SERVER_SECONDS, chromium, end, environment

pytest.importorskip("voila", reason="the package of the app: make .venv/.app")

SLOW = 300_000  # ms; kernels and workers start slowly where many processes share the cores
ADDRESS = re.compile(r"(http://localhost:\d+/)\?token=(\w+)")
SETTINGS = {"replicates": 2, "rows": [{"method": m, **TINY} for m in ("labels", "KD")]}


def command(port: int) -> tuple[list[str], dict[str, str]]:
    """Return what ``make app ARGS="--no-browser --port=..."`` runs, and its own environment."""
    line = re.search(r"^\tJUPYTER_PATH=(\S+) \$\(BIN\)/voila (.+) \$\(ARGS\)$", MAKEFILE, re.M)
    assert line is not None
    options = [*line[2].split(), "--no-browser", f"--port={port}"]
    (path,) = shlex.split(line[1].replace("$(CURDIR)", str(ROOT)))
    return [sys.executable, "-m", "voila", *options], {"JUPYTER_PATH": path}


MAKEFILE = (ROOT / "Makefile").read_text()


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str]]:
    """The page's address and its token, as the server says them."""
    chromium()
    folder = tmp_path_factory.mktemp("app")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        asked, more = command(probe.getsockname()[1])
    own = {"KDLAB_CACHE": str(folder / "cache"), "PYTHONPATH": str(ROOT)}  # nothing is trained yet
    settings = environment(folder) | more | own
    log = folder / "log"
    with log.open("wb") as out:
        server = subprocess.Popen(asked, cwd=ROOT, env=settings, stdout=out, stderr=out)
    try:
        latest = time.monotonic() + SERVER_SECONDS
        while not (said := ADDRESS.search(log.read_text())):
            assert server.poll() is None, f"the server ended at once: {log.read_text()[-2000:]}"
            assert time.monotonic() < latest, f"no address after {SERVER_SECONDS} s: see {log}"
            time.sleep(0.2)
        yield said[1], said[2]
    finally:
        end(server)


def elsewhere(url: str) -> bool:
    return not url.startswith(("http://localhost:", "data:", "blob:"))


def test_without_its_token_it_shows_nothing(app):
    with urllib.request.urlopen(f"{app[0]}?token=another", timeout=60) as reply:
        assert "/login" in reply.url and "data-voila" not in reply.read().decode()
    with urllib.request.urlopen(f"{app[0]}api/kernels", timeout=60) as reply:
        assert "/login" in reply.url


def test_it_trains_and_asks_nothing_but_localhost(app, chrome):
    context = chrome.new_context(viewport={"width": 1366, "height": 768})
    page, said = context.new_page(), []
    page.on("console", lambda m: said.append(m.text) if m.type == "error" else None)
    page.set_default_timeout(SLOW)
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("request", lambda request: said.append(request.url) if elsewhere(request.url) else None)
    page.goto(f"{app[0]}?token={app[1]}", timeout=SLOW, wait_until="commit")
    lab = page.locator(".kdlab-lab")
    expect(lab.get_by_role("button", name="Train")).to_be_visible(timeout=SLOW)
    offered = lab.get_by_label("Begin with").locator("option").all_inner_texts()
    assert offered == list(presets_of("all")) and len(offered) > len(PRESETS)
    assert page.get_by_text("from ipywidgets").count() == 0  # the code is hidden
    assert page.title() == "The lab of kdlab"

    lab.locator("summary", has_text="Hand out").click()
    lab.get_by_label("Settings to paste").fill(json.dumps({"format": FORMAT, **SETTINGS}))
    lab.get_by_role("button", name="Paste settings").click()
    expect(lab.get_by_role("status")).to_contain_text("Pasted; arms: 2", timeout=SLOW)
    lab.get_by_role("button", name="Train").click()
    expect(lab.get_by_role("status")).to_contain_text("All runs have ended.", timeout=SLOW)
    expect(lab).to_contain_text(re.compile(r"Arm 2 minus arm 1: .* points, n = 2"))
    assert said == []
    context.close()
