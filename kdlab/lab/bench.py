"""The rows of a lab, what is stored of them, and what is still to be trained."""

import inspect
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kdlab.fingerprint import fingerprint
from kdlab.lab import pace
from kdlab.lab.book import Book
from kdlab.lab.hand_out import MOST_ROWS, settings
from kdlab.lab.job import Job, frozen
from kdlab.lab.methods import chosen
from kdlab.lab.rows import MINE, Row, Stock
from kdlab.lab.training import Training
from kdlab.runs.compare import run_path
from kdlab.show.falling import FIRST
from kdlab.store import cache_dir, check_writable, read_row


@dataclass
class Track:
    """One row of the lab: its fingerprint, the files of its runs, and what these measured.

    `fault` says why it cannot be trained, `stale` that its method has changed since.
    """

    row: Row
    key: str = ""
    paths: dict[int, Path] = field(default_factory=dict)
    found: dict[int, dict[str, Any]] = field(default_factory=dict)
    fault: str = ""
    stale: bool = False


class Bench:
    """Rows over the same replicates. `told` is called when a training moves on."""

    def __init__(
        self,
        stock: Stock,
        processes: int,
        book: Book,
        told: Callable[[], object],
        dask: str | None = None,
    ) -> None:
        self.stock, self.book, self.replicates, self.last = stock, book, 3, 0
        self.tracks: dict[int, Track] = {}
        self.training = Training(processes, book, told, dask)

    @property
    def seeds(self) -> list[int]:
        """The replicates of every row; those of the evidence are others."""
        return [FIRST + i for i in range(self.replicates)]

    @property
    def rows(self) -> list[Row]:
        """The rows in their order."""
        return [track.row for track in self.tracks.values()]

    def put(self, row: Row, who: int | None = None) -> int:
        """Add a row, or put it in the place of row `who`; return its number.

        Raises:
            ValueError: there are too many rows, or this one is there already.
        """
        for other, track in self.tracks.items():
            if track.row == row and other != who:
                raise ValueError(f"arm {other} says the same; change something first.")
        if who not in self.tracks:
            if len(self.tracks) >= MOST_ROWS:
                raise ValueError(f"a lab has at most {MOST_ROWS} arms; remove one.")
            self.last = who = self.last + 1
        self.tracks[who] = Track(row)
        self.look([who])
        return who

    def restart(self, rows: Iterable[Row], replicates: int) -> None:
        """Begin anew with these rows."""
        self.tracks, self.last, self.replicates = {}, 0, replicates
        for row in rows:
            if row not in self.rows:
                self.put(row)

    def learn(self, name: str, source: Any) -> None:
        """Take a method of the reader's, or another version of it: then its rows are stale.

        Raises:
            ValueError: `source` is neither a function nor a class.
        """
        # Not in `chosen`, which refuses the rest: its file is in the stamp of the shoot-out's runs.
        if callable(source) and not (inspect.isroutine(source) or inspect.isclass(source)):
            told = f"the method {name!r} is a {type(source).__name__}, whose knobs nobody can read"
            raise ValueError(f"{told}; write a function f(z_s, z_t, y, *, T=4.0) that calls it.")
        place = self.stock.places.get(MINE) or next(iter(self.stock.places.values()))
        self.stock.methods[name] = chosen(name, source, place.classes)
        self.look(who for who, track in self.tracks.items() if track.row.method == name)

    def look(self, which: Iterable[int]) -> None:
        """Find out under which names the runs of rows are stored, and read those that are."""
        for track in [self.tracks[who] for who in which]:
            before, had = track.key, track.stale or bool(track.found)
            track.fault, track.paths = self.stock.methods[track.row.method].fault, {}
            try:
                track.key = fingerprint(track.row.run(self.stock))[:16]
            except TypeError as error:  # it refers to something whose changes cannot be noticed
                track.fault = track.fault or str(error)
            if track.fault or track.key != before:
                track.found, track.stale = {}, had
        self.read()

    def read(self) -> None:
        """Read the runs that have been stored since."""
        for track in [track for track in self.tracks.values() if not track.fault]:
            run, words = track.row.run(self.stock), track.row.words(self.stock)
            for seed in self.seeds:
                if seed not in track.paths:
                    track.paths[seed] = run_path(run, seed, words)
                measured = None if seed in track.found else read_row(track.paths[seed])
                if measured is not None:
                    track.found[seed], track.stale = measured, False

    def shown(self, who: int) -> dict[int, dict[str, Any]]:
        """Return what row `who` measured in the replicates that are asked for."""
        return {r: row for r, row in self.tracks[who].found.items() if r in self.seeds}

    def jobs(self) -> list[Job]:
        """Return what is missing: replicate by replicate, teachers before those that ask them."""
        jobs, teachers, runs = list[Job](), set[Path](), self.book.runs()
        missing = [(r, who) for r in self.seeds for who in self.tracks]
        for seed, who in missing:
            track, needs = self.tracks[who], None
            if track.fault or seed in track.found:
                continue
            row, words = track.row, track.row.words(self.stock)
            if teach := row.teach(self.stock):
                needs = run_path(teach, seed, words)
                if needs not in teachers and not needs.exists():
                    long = pace.of_teacher(row, self.stock)
                    jobs.append(Job(None, teach, seed, needs, words, long))
                    teachers.add(needs)
            long = pace.of_student(row, self.stock)
            entry = {"key": track.key, "seed": seed, "method": row.method, "words": words}
            entry |= {"settings": settings([row], self.replicates), "expected": long}
            long *= pace.learned(runs, row.method)
            run, path = row.run(self.stock), track.paths[seed]
            jobs.append(Job(who, run, seed, path, words, long, entry, needs))
        return jobs

    def train(self) -> bool:
        """Begin to train what is missing; return whether there is anything, and nobody trains.

        Raises:
            OSError: the cache cannot be written; said in a sentence, before anything trains.
        """
        if self.training.busy:
            return False
        check_writable(cache_dir() / "runs")
        homes = {name: choice.home[0] for name, choice in self.stock.methods.items()}
        own = [w for w, t in self.tracks.items() if not homes[t.row.method].startswith("kdlab.")]
        self.look(own)  # a function that it calls may have changed, too
        started = self.training.start(frozen(self.jobs()))
        for track in self.tracks.values():
            track.stale = track.stale and not started
        return started
