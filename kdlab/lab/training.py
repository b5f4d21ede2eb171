"""Who works when: worker processes make the runs of the lab, a thread of the kernel follows them.

The kernel stays free. *Stop* ends the processes within a second; what had finished is on disk. A
job that fails takes none of the others with it: where a worker is killed, whatever ran is tried
once more, each job alone, so that it is known which of them does it. The workers may be those of a
Dask cluster.
"""

import threading
import time
import weakref
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from concurrent.futures.process import BrokenProcessPool
from typing import Any

import torch
from joblib.externals.loky import ProcessPoolExecutor

from kdlab.lab.book import Book
from kdlab.lab.job import Ended, Job, begin, enter, work
from kdlab.lab.pace import ONCE
from kdlab.runs.cluster import Cluster
from kdlab.runs.compare import KILLED
from kdlab.runs.workers import replace_quietly

EVERY = 0.1  # seconds between two looks at the workers
TRIES = 2  # of a job that ran while a worker was killed
IDLE = 600  # seconds after which workers without work end
LIVE: "weakref.WeakSet[Training]" = weakref.WeakSet()  # of this kernel: one trains at a time


class Training:
    """Runs jobs; `told` is called after every change, mostly from another thread.

    `state` is "ready", "running", "stopping", "stopped" or "done".
    """

    def __init__(
        self, processes: int, book: Book, told: Callable[[], object], dask: str | None = None
    ) -> None:
        self.processes, self.book, self.told, self.dask = processes, book, told, dask
        self.state, self.lock, self.halt = "ready", threading.Lock(), threading.Event()
        self.jobs: list[Job] = []
        self.running: dict[Future[Ended], Job] = {}
        self.ended: list[Job] = []
        self.total = 0  # of jobs: those that wait, run or have ended
        self.failures: dict[str, str] = {}  # key of a row -> what went wrong first
        self.notice = ""  # what went wrong with the training as a whole, or with the book
        self.pool: Any = None
        self.began = self.spent = self.planned = 0.0
        LIVE.add(self)

    @property
    def busy(self) -> bool:
        """Whether workers work, or are about to end."""
        return self.state in ("running", "stopping")

    def start(self, jobs: Sequence[Job]) -> bool:
        """Begin with `jobs`, in this order; return whether it did: not while others run.

        Beside workers this process uses one thread, see `kdlab.runs.compare.start_workers`.
        """
        for other in LIVE - {self} if jobs else ():  # such as that of a cell that was run again
            other.stop()
        with self.lock:
            if self.busy or not jobs:
                return False
            self.state, self.jobs, self.ended, self.failures = "running", list(jobs), [], {}
            self.notice, self.spent, self.planned, self.total = "", 0.0, 0.0, len(self.jobs)
            self.began = time.perf_counter()
            self.halt.clear()
        if self.processes > 1 and self.dask is None:
            torch.set_num_threads(1)
        threading.Thread(target=self._work, daemon=True, name="kdlab lab").start()
        return True

    def stop(self) -> None:
        """End the workers; finished runs are kept."""
        with self.lock:
            if self.state == "running":
                self.state = "stopping"
                self.halt.set()

    def left(self) -> float:
        """Return the seconds until the end, by what the finished jobs took."""
        pace, now = self.spent / self.planned if self.planned else 1.0, time.perf_counter()
        waiting = sum(pace * job.expected for job in list(self.jobs))
        going = [max(0.0, pace * j.expected - now + j.started) for j in list(self.running.values())]
        start = 0.0 if self.ended else max(0.0, ONCE + self.began - now)
        return start + max((waiting + sum(going)) / self.processes, *going, 0.0)

    def _work(self) -> None:
        try:
            while (self.jobs or self.running) and not self.halt.is_set():
                self._hand_out()
                for future in wait(self.running, EVERY, FIRST_COMPLETED).done:
                    self._end(self.running.pop(future), future)
        except Exception as error:  # a thread has nobody to raise to: the lab shows it
            self.notice = f"The training ended: {type(error).__name__}: {error}"
            self.halt.set()
        finally:
            self._close()

    def _hand_out(self) -> None:
        """Give free workers the first jobs whose teachers are there."""
        self._open()
        ready = [job for job in self.jobs if job.needs is None or job.needs.exists()]
        if not ready and not self.running:
            ready = list(self.jobs)  # a teacher was deleted meanwhile: who asks it, trains it
        free = self.processes - len(self.running)
        if suspects := [job for job in ready if job.killed]:
            ready, free = suspects, 1 - len(self.running)
        if any(job.killed for job in self.running.values()):
            free = 0
        for job in ready[: max(free, 0)]:
            self.jobs.remove(job)
            job.started = time.perf_counter()
            self.running[self._submit(job)] = job

    def _open(self) -> None:
        """Start the workers, where there are none."""
        if self.pool is None and self.dask:
            self.pool = Cluster(self.dask)
            self.processes = self.pool.processes
        elif self.pool is None:
            replace_quietly()
            self.pool = ProcessPoolExecutor(self.processes, timeout=IDLE, initializer=begin)

    def _submit(self, job: Job) -> Future[Ended]:
        """Give a job to the workers; to new ones, if one was killed while it waited."""
        book = self.book.path if self.dask is None else None
        try:
            return self.pool.submit(work, job, book)
        except BrokenProcessPool:
            self.pool = None
            self._open()
            return self._submit(job)

    def _end(self, job: Job, future: Future[Ended]) -> None:
        """Note how a job ended."""
        try:
            told, lost, seconds = future.result()
            self.notice = (enter(job, self.book) if self.dask else lost) or self.notice
        except BrokenProcessPool:  # by which, nobody knows yet: each is tried again, alone
            told, seconds, self.pool = KILLED, 0.0, None
            job.killed += 1
            if job.killed < TRIES:
                return self.jobs.insert(0, job)
        except Exception as error:  # the job could not be sent: the reader's loss holds a lock, say
            told, seconds = f"{type(error).__name__}: {error}", 0.0
        self.ended.append(job)
        self.spent += seconds
        self.planned += job.expected
        if told:
            told = told.removeprefix(f"arm {job.words!r}, seed {job.seed}: ").partition("\n")[0]
            self._fail(job, told)
        self.total = len(self.jobs) + len(self.running) + len(self.ended)
        self.told()

    def _fail(self, job: Job, told: str) -> None:
        """Note a failure; what depends on it, or would fail alike, is not tried."""
        hit = [j for j in self.jobs if j.needs == job.path] if job.who is None else [job]
        what = "its teacher" if job.who is None else "it"
        for key in {j.entry["key"] for j in hit}:
            self.failures.setdefault(key, f"In replicate {job.seed} {what} failed: {told}")
            self.jobs = [j for j in self.jobs if j.entry.get("key") != key]

    def _close(self) -> None:
        """Note how it ended; after *Stop* the workers are killed."""
        if stopped := self.halt.is_set():
            self.shut()
            for job in self.running.values():  # perhaps it had just finished
                self.notice = enter(job, self.book) or self.notice
        self.running = {}
        with self.lock:
            self.state = "stopped" if stopped else "done"
        self.told()

    def shut(self) -> None:
        """Kill the workers."""
        if self.pool is not None:
            self.pool.shutdown(wait=False, kill_workers=True)
            self.pool = None
