"""What a newcomer does: open the lab, run a notebook, move a slider by keyboard, see the figure.

KDLAB_REQUIRE_BROWSER=1 fails where there is no Chromium instead of skipping.
"""

import os
import re
import secrets
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest
from playwright.sync_api import Locator, Page, expect, sync_playwright

from kdlab.tools import course

ROOT = Path(__file__).parents[2]
FIRST = "notebooks/00_kd.ipynb"  # what ``make lab`` opens
NAMES = ("chromium", "chromium-browser", "google-chrome")
FLAGS = [
    "--no-sandbox",  # a container has no user namespaces
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-default-apps",
    "--disable-domain-reliability",
    "--disable-sync",
    "--metrics-recording-only",
    "--no-first-run",
    "--no-pings",
]
ALL_CELLS = '{"windowingMode": "none"}'  # every cell is in the page, not only what is in view
NO_NEWS = '{"disabledExtensions": {"@jupyterlab/apputils-extension:announcements": true}}'
SERVER_SECONDS, RUN_SECONDS, MOVE_SECONDS = 90, 240, 30
VIEW, LONG = {"width": 1400, "height": 900}, 120_000  # px; ms for a start of the browser
expect.set_options(timeout=60_000)  # ms; where many processes share the cores, a page takes a while
ERRORS = '[data-mime-type="application/vnd.jupyter.error"]'


def chromium() -> str:
    """Return the system's browser; skip, or fail where it is required, when there is none."""
    found = next(filter(None, map(shutil.which, NAMES)), None)
    if found is None:
        reason = f"the browser test needs Chromium and found none of {', '.join(NAMES)}: "
        reason += "install one, e.g. with apt-get install chromium."
        if os.environ.get("KDLAB_REQUIRE_BROWSER") == "1":
            pytest.fail(reason, pytrace=False)
        pytest.skip(reason)
    return found


def environment(folder: Path) -> dict[str, str]:
    """Return the environment of a server that knows no settings of this machine's user."""
    own = {
        f"JUPYTER_{name}_DIR": str(folder / name.lower()) for name in ("CONFIG", "DATA", "RUNTIME")
    }
    (folder / "config" / "labconfig").mkdir(parents=True)
    (folder / "config" / "labconfig" / "page_config.json").write_text(NO_NEWS)
    tracker = folder / "settings" / "@jupyterlab" / "notebook-extension"
    tracker.mkdir(parents=True)
    (tracker / "tracker.jupyterlab-settings").write_text(ALL_CELLS)
    known = {k: v for k, v in os.environ.items() if not k.startswith(("JUPYTER", "PYTEST"))}
    own["JUPYTERLAB_SETTINGS_DIR"] = str(folder / "settings")
    return known | own | {"IPYTHONDIR": str(folder / "ipython"), "OMP_NUM_THREADS": "1"}


def command(port: int, token: str) -> list[str]:
    """Return what ``make lab ARGS="--no-browser --port ..."`` runs, with a token that is known."""
    makefile = (ROOT / "Makefile").read_text()
    (flag,) = re.findall(r"/jupyter lab (--LabApp\.default_url=\S+)", makefile)
    own = ["--no-browser", f"--port={port}", "--ServerApp.port_retries=0"]
    own += [f"--IdentityProvider.token={token}", "--allow-root"]
    return [sys.executable, "-m", "jupyter", "lab", flag, *own]


def end(server: subprocess.Popen[bytes]) -> None:
    """End a server with its kernels and their workers; those that do not listen are killed."""
    family = psutil.Process(server.pid).children(recursive=True) if server.poll() is None else []
    server.terminate()
    try:
        server.wait(15)
    except subprocess.TimeoutExpired:
        server.kill()
        server.wait()
    _, alive = psutil.wait_procs(family, timeout=5)
    for process in alive:
        process.kill()
    psutil.wait_procs(alive, timeout=5)


def answers(url: str) -> bool:
    """Tell whether the server at `url` answers."""
    try:
        with urllib.request.urlopen(url, timeout=5) as reply:
            return reply.status == 200
    except (urllib.error.URLError, ConnectionError, TimeoutError):
        return False


@contextmanager
def lab(folder: Path, log: Path) -> Iterator[str]:
    """Serve `folder` and yield the address, token included, that ``make lab`` would open."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    token = secrets.token_hex(16)
    settings = environment(folder.parent / "jupyter")
    with log.open("wb") as out:
        options = {"cwd": folder, "env": settings, "stdout": out, "stderr": out}
        server = subprocess.Popen(command(port, token), **options)
    try:
        latest = time.monotonic() + SERVER_SECONDS
        while not answers(f"http://localhost:{port}/api/status?token={token}"):
            assert server.poll() is None, f"the server ended at once: {log.read_text()[-2000:]}"
            assert time.monotonic() < latest, f"no answer after {SERVER_SECONDS} s: see {log}"
            time.sleep(0.2)
        yield f"http://localhost:{port}/?token={token}"
    finally:
        end(server)


@contextmanager
def browser(folder: Path) -> Iterator[Page]:
    """Yield a page of a browser with a profile of its own."""
    path = chromium()
    with sync_playwright() as play:
        context = play.chromium.launch_persistent_context(
            folder, executable_path=path, args=FLAGS, viewport=VIEW, timeout=LONG
        )
        try:
            yield context.pages[0]
        finally:
            context.close()


@contextmanager
def opened(folder: Path, source: Path = ROOT / FIRST) -> Iterator[Page]:
    """Open `source` as notebook 00, at budget ci; keep a picture and the log of what fails."""
    chromium()
    (folder / "course" / "notebooks").mkdir(parents=True)
    course.prepare(source, folder / "course" / FIRST, {"budget": "ci"})
    log, picture = folder / "server.log", folder / "failure.png"
    with lab(folder / "course", log) as url, browser(folder / "profile") as page:
        try:
            page.goto(url)
            yield page
        except BaseException:
            print(f"the page: {picture}\nthe server's log: {log}")  # first: the page may be gone
            page.screenshot(path=picture)
            raise


def run_all(page: Page, end: str = "updates the weights differ by") -> None:
    """Choose Run > Run All Cells, wait until the last cell has said `end` and the kernel idles."""
    idle = page.get_by_role("button", name=re.compile(r"Python 3.*\| Idle"))
    expect(idle).to_be_visible(timeout=60_000)  # run before that, and the lab asks for a kernel
    page.get_by_role("menuitem", name="Run", exact=True).click()
    page.get_by_role("menuitem", name="Run All Cells", exact=True).click()
    last, failed = page.get_by_text(end), page.locator(ERRORS)
    expect(last.or_(failed).first).to_be_attached(timeout=1000 * RUN_SECONDS)
    expect(failed).to_have_count(0)
    expect(idle).to_be_visible(timeout=60_000)


def picture_of(panel: Locator) -> tuple[str, str]:
    """Return the alternative text and the bytes, as text, of the panel's figure."""
    image = panel.locator("img").last
    return image.get_attribute("alt") or "", image.get_attribute("src") or ""
