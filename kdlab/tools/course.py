"""Run the course without a browser: every notebook once, in its own kernel, measured."""

import json
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import psutil

from kdlab.fingerprint.digest import sha
from kdlab.runs import rows
from kdlab.show.explorers.panels import AHEAD
from kdlab.store import ROOT, write_atomic
from kdlab.tools import notebooks, pages, readme

GIB = 2**30
PATIENCE = {"ci": 300, "lesson": 1800}  # seconds for a cell; others take what they need


@dataclass
class Cost:
    """Seconds, and peak memory in GiB, of one notebook."""

    seconds: float = 0.0
    peak: float = 0.0


class Run(NamedTuple):
    """One executed notebook: its stem, cost, judged claims, and how it failed."""

    stem: str
    cost: Cost
    claims: list[dict[str, Any]]
    error: str = ""

    def __str__(self) -> str:
        outcome = self.error or f"{len(self.claims)} claims"
        return f"{self.stem:<20} {self.cost.seconds:6.1f} s {self.cost.peak:6.2f} GiB   {outcome}"


def _memory(process: psutil.Process) -> int:
    """Return the bytes of one process; pages shared with others count in part where known."""
    try:
        info = process.memory_full_info()
    except psutil.Error:  # it has ended since it was listed, or is the system's
        return 0
    return int(getattr(info, "pss", info.uss))


@contextmanager
def metered(every: float = 2.0) -> Iterator[Cost]:
    """Measure what happens inside: the `Cost` that is yielded is filled in at the end.

    All processes started below this one count together. They are looked at each `every` seconds,
    at first more often: a look takes time, which is then missing to them.
    """
    cost, over = Cost(), threading.Event()

    def watch() -> None:
        pause = every / 8
        while not over.wait(pause):
            pause = min(2 * pause, every)
            children = psutil.Process().children(recursive=True)
            cost.peak = max(cost.peak, sum(_memory(child) for child in children) / GIB)

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    started = time.perf_counter()
    try:
        yield cost
    finally:
        cost.seconds = time.perf_counter() - started
        over.set()
        watcher.join()


def prepare(source: Path, target: Path, given: dict[str, Any]) -> Path:
    """Write a copy of a notebook with parameters set, not executed.

    Raises:
        ValueError: a parameter that the notebook does not have, or a value of another type.
    """
    import papermill

    notebooks.check_parameters(notebooks.read(source), given)
    papermill.execute_notebook(source, target, given, prepare_only=True, progress_bar=False)
    return target


def execute(
    nb: notebooks.Notebook, folder: Path, patience: int | None = None, *, ahead: bool = False
) -> notebooks.Notebook:
    """Run all cells in place, with `folder` as the working directory.

    `ahead`: panels draw at once what a page without a kernel could not ask for later.

    Raises:
        nbclient.exceptions.CellExecutionError: a cell raised; the outputs up to it are in `nb`.
        nbclient.exceptions.CellTimeoutError: a cell took more than `patience` seconds.
    """
    import nbclient

    options: dict[str, Any] = {"store_widget_state": True, "record_timing": False}
    options |= {"kernel_name": "python3", "coalesce_streams": True, "timeout": patience}
    # A kernel is interrupted before it ends and logs that as an error; errors of cells are raised.
    options["extra_arguments"] = ["--log-level=CRITICAL"]
    where = {"metadata": {"path": str(folder.resolve())}}
    env = os.environ | ({AHEAD: "1"} if ahead else {})
    return nbclient.NotebookClient(nb, resources=where, **options).execute(env=env)


def to_html(path: Path) -> Path:
    """Write the notebook at `path` as a page beside it."""
    page = pages.to_page(notebooks.read(path), path.stem)
    path.with_suffix(".html").write_text(page, encoding="utf-8")
    return path.with_suffix(".html")


def run(source: Path, out: Path, given: dict[str, Any], *, timed: bool = False) -> Run:
    """Run one notebook with parameters `given`; write it and its page into `out`.

    A failing cell ends this notebook only: the result names the error, the copy shows it. `timed`:
    it costs what it costs a reader, so nothing is drawn ahead for the page.

    Raises:
        ValueError: see `prepare`.
    """
    from nbclient.exceptions import CellExecutionError, CellTimeoutError

    out.mkdir(parents=True, exist_ok=True)
    nb = notebooks.read(prepare(source, out / source.name, given))
    error, budget = "", given.get("budget", "lesson")
    ahead = budget != "ci" and not timed
    with metered() as cost:
        try:
            execute(nb, source.parent, PATIENCE.get(budget), ahead=ahead)
        except CellExecutionError as failure:
            error = f"FAILED with {failure.ename}: {failure.evalue}"
        except CellTimeoutError as failure:
            error = f"FAILED: {str(failure).splitlines()[0]}"
    if not error:
        nb.metadata["kdlab"] = {"made_of": made_of(source, given)}
    write_atomic(out / source.name, notebooks.text(notebooks.close_folds(nb)).encode())
    to_html(out / source.name)
    return Run(source.stem, cost, readme.claims(nb), error)


def made_of(source: Path, given: dict[str, Any]) -> str:
    """Return a digest of what an executed notebook shows: its cells, `given`, code and evidence."""
    cells = [cell.source for cell in notebooks.read(source).cells]
    code = [path for kind in ("py", "js", "css") for path in (ROOT / "kdlab").rglob(f"*.{kind}")]
    code = [path for path in code if (ROOT / "kdlab" / "tools") not in path.parents]
    files = sorted([*code, *(rows.FOLDER / source.stem).glob("*")])
    said = json.dumps([cells, given], sort_keys=True)
    return sha(said, *(path.read_bytes() for path in files)).hex()


def is_fresh(path: Path, source: Path, given: dict[str, Any]) -> bool:
    """Tell whether the notebook at `path` is what `run` makes of `source` today, whole."""
    if not path.exists():
        return False
    kept = notebooks.read(path).metadata.get("kdlab", {})
    return kept.get("made_of") == made_of(source, given)


def fresh(source: Path, out: Path, given: dict[str, Any]) -> Path:
    """Return the executed copy of a notebook in `out`; run it where that is missing or stale.

    Raises:
        ValueError: a cell failed; the copy shows it.
    """
    path = out / source.name
    if is_fresh(path, source, given):
        return path
    ran = run(source, out, given)
    print(ran, flush=True)
    if ran.error:
        raise ValueError(f"{source.name} {ran.error}; {path} shows where.")
    return path


def rewrite(path: Path) -> Run:
    """Run a notebook as it stands, at budget `lesson`, and write it back with outputs and stamp.

    Nothing is injected, so the committed file has no cell that its author did not write.

    Raises:
        ValueError: its parameters cell does not say ``budget = "lesson"``.
        nbclient.exceptions.CellExecutionError: a cell raised; the file stays as it was.
    """
    nb = notebooks.read(path)
    if (budget := notebooks.parameters(nb).get("budget")) != "lesson":
        raise ValueError(f"{path.name} has budget = {budget!r}, expected 'lesson': set it back.")
    with metered() as cost:
        execute(nb, path.parent, PATIENCE["lesson"])
    notebooks.stamp(notebooks.clean(nb))
    write_atomic(path, notebooks.text(nb).encode())
    return Run(path.stem, cost, readme.claims(nb))
