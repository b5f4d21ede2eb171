"""What a notebook costs: seconds and memory of its first run and of a second, kept in a file."""

import contextlib
import json
import os
import platform
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from kdlab.store import write_atomic
from kdlab.tools import course, notebooks, readme

FILE = Path("docs/timings.json")
UNKNOWN = "not measured"
HEADS = ("notebook", "first run", "run again", "peak memory", "on")


def measure(paths: Sequence[Path], file: Path, budget: str = "lesson") -> Iterator[course.Run]:
    """Run each notebook twice, with an empty cache and with what the first run has left there.

    What has been measured is in `file` at once, so that a stop loses one notebook.

    Raises:
        ValueError: a notebook failed; it is not recorded.
    """
    for path in paths:
        with tempfile.TemporaryDirectory(prefix="kdlab-timings-") as folder, _home(folder):
            runs = []
            for turn in ("first", "again"):
                out = Path(folder) / turn
                runs.append(course.run(path, out, {"budget": budget}, timed=True))
                yield runs[-1]
                if runs[-1].error:
                    raise ValueError(f"{path.name} was not timed: {runs[-1].error}")
        told: dict[str, Any] = {"budget": budget, "code": notebooks.code_hash(notebooks.read(path))}
        told |= {"on": f"{os.cpu_count()} cores, {platform.machine()}"}
        for turn, run in zip(("first", "again"), runs, strict=True):
            told[turn] = {"seconds": round(run.cost.seconds), "gib": round(run.cost.peak, 2)}
        kept = {**read(file), path.stem: told}
        write_atomic(file, (json.dumps(kept, indent=1, sort_keys=True) + "\n").encode())


@contextlib.contextmanager
def _home(folder: str) -> Iterator[None]:
    """Let notebooks store and guess in `folder`, not where this machine's user does."""
    names = {"KDLAB_CACHE": f"{folder}/cache", "KDLAB_HOME": f"{folder}/home"}
    old = {name: os.environ.get(name) for name in names}
    os.environ.update(names)
    try:
        yield
    finally:
        for name, value in old.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value


def read(file: Path) -> dict[str, Any]:
    """Return {stem: what was measured}; nothing where there is no file.

    Raises:
        ValueError: the file is damaged.
    """
    try:
        return dict(json.loads(file.read_text(encoding="utf-8")))
    except FileNotFoundError:
        return {}
    except ValueError:
        raise ValueError(f"{file} is damaged: delete it, and measure again.") from None


def table(paths: Sequence[Path], times: Mapping[str, Any]) -> str:
    """Return the times at budget lesson as a Markdown table for a page in docs, a row a notebook.

    A notebook whose code has changed since is marked so.
    """
    body = []
    for path in paths:
        link = f"[{path.stem}](../notebooks/{path.name})"
        found = times.get(path.stem, {})
        if found.get("budget") != "lesson":
            body.append([link, UNKNOWN, UNKNOWN, UNKNOWN, ""])
            continue
        first, again = found["first"], found["again"]
        old = found["code"] != notebooks.code_hash(notebooks.read(path))
        where = found["on"] + (", before its last change" if old else "")
        peak = max(first["gib"], again["gib"])
        body.append(
            [link, f"{first['seconds']} s", f"{again['seconds']} s", f"{peak:.2f} GiB", where]
        )
    return readme.markdown(HEADS, body)
