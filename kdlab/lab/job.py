"""One job of the lab, a run or a teacher, and how a worker process does it."""

import signal
import sqlite3
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cloudpickle

from kdlab.lab.book import Book
from kdlab.runs.compare import run_one
from kdlab.runs.workers import prepare
from kdlab.store import read_row

Ended = tuple[str, str, float]  # what went wrong with a run, with the book, and the seconds


@dataclass(eq=False)
class Job:
    """One run, or one teacher.

    Args:
        who: the row it belongs to; of a teacher, nobody.
        arm, seed, path: what is run, and where its result lies.
        words: of the row.
        expected: seconds.
        entry: for the lab book, beside what is measured; empty for a teacher.
        needs: the file of the teacher that must be there before.
        killed: how often a worker was killed while it ran.
    """

    who: int | None
    arm: Any
    seed: int
    path: Path
    words: str
    expected: float
    entry: dict[str, Any] = field(default_factory=dict)
    needs: Path | None = None
    started: float = 0.0
    killed: int = 0


def frozen(jobs: list[Job]) -> list[Job]:
    """Return `jobs` as workers would get them now: what a cell changes later does not reach them.

    They are copied together, so that they share one copy of a teacher.
    """
    try:
        return list(cloudpickle.loads(cloudpickle.dumps(jobs)))
    except Exception:  # what cannot be sent says so where it is sent
        return jobs


def begin() -> None:
    """Start a worker. Whoever interrupts a cell does not mean the training beside it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    prepare()


def work(job: Job, book: Path | None) -> Ended:
    """Make the run of `job`, in a worker process.

    The worker itself writes into the book: a kernel that ends meanwhile loses nothing. None: it is
    a worker on another machine, and the kernel writes.
    """
    started = time.perf_counter()
    told = run_one(job.arm, job.seed, job.words, job.path) or ""
    lost = enter(job, Book(book)) if book and not told else ""
    return told, lost, time.perf_counter() - started


def enter(job: Job, book: Book) -> str:
    """Write a run into the book, if it has finished; return in a sentence what went wrong."""
    try:
        if job.entry and (row := read_row(job.path)) is not None:
            book.keep(job.entry, row)
    except (sqlite3.Error, OSError) as error:
        return f"A run is kept, but not in the lab book {book.path}: {error}."
    return ""
