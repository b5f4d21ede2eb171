"""Compare arms over seeds: in parallel, kept when killed, never a stale result.

An *arm* is a function of a seed that trains something and returns what it measured::

    def kd(seed):
        return run(KD(student(seed), teacher), data, recipe, seed)

    table = compare({"hard labels": hard, "KD": kd}, seeds=5)

Each finished run is a file named after a fingerprint of the arm: its code, the code and the values
it refers to, the seed. Change a loss and its arms train again; add a seed and only that one trains.
"""

import threading
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import cloudpickle
import joblib
import numpy as np
import pandas as pd
import torch
from joblib.externals.loky import get_reusable_executor
from joblib.parallel import BACKENDS, get_active_backend

from kdlab.fingerprint import fingerprint
from kdlab.measure import pick_device
from kdlab.runs.progress import bar
from kdlab.runs.workers import prepare, replace_quietly
from kdlab.store import cache_dir, check_writable, read_row, write_row

Arm = Callable[[int], Mapping[str, Any]]
KILLED = "a worker process was killed, most often for want of memory; try again with n_jobs=1."
STARTING: list[threading.Thread] = []  # they end when the workers have started


class ArmError(RuntimeError):
    """Some runs failed. ``table`` holds the rows of those that did not."""

    def __init__(self, message: str, table: pd.DataFrame) -> None:
        super().__init__(message)
        self.table = table


def compare(
    arms: Mapping[Any, Arm],
    seeds: int | Iterable[int] = 5,
    *,
    by: tuple[str, ...] = ("arm",),
    n_jobs: int | None = None,
    title: str = "runs",
    on_row: Callable[[pd.DataFrame], object] | None = None,
) -> pd.DataFrame:
    """Run every arm with every seed; return one tidy row per run, in the order of arms and seeds.

    Args:
        arms: {name: arm}. A name is a string, or a tuple with one value per column of `by`.
        seeds: how many (0, 1, ...) or which. The same seeds serve all arms: runs are paired.
        by: the columns that hold the names.
        n_jobs: processes of one thread each; None takes all cores, or 1 on a GPU. This process
            makes a run itself where a single one would be left over. A surrounding
            ``joblib.parallel_config(backend="dask")`` sends the runs to a Dask cluster, whose
            workers must see the same `kdlab.store.cache_dir`.
        title: stands before the progress bar.
        on_row: is called with the table so far, at the start and after every run.

    Returns:
        Columns `by`, seed, then what the arms returned: numbers, strings, or arrays.

    Raises:
        ValueError: no arms or no seeds, a name that does not fit `by`, or a result named like a
            column of the table.
        TypeError: an arm refers to something whose changes cannot be noticed, or that cannot go to
            another process.
        OSError: nothing can be written to the cache; said before anything trains.
        ArmError: some runs failed; names the arm and the seed of each. The others are kept.
    """
    chosen = list(range(seeds) if isinstance(seeds, int | np.integer) else seeds)
    names = check_names(arms, chosen, by)
    jobs = [(name, seed) for name in arms for seed in dict.fromkeys(chosen)]
    paths = {(name, seed): run_path(arms[name], seed, name) for name, seed in jobs}
    rows = {job: read_row(path) for job, path in paths.items()}
    missing = [(n, s) for s in dict.fromkeys(chosen) for n in arms if rows[n, s] is None]
    if missing:
        check_writable(cache_dir() / "runs")
    check_travels({n: arms[n] for n, _ in missing})
    tasks = [(arms[n], s, n, paths[n, s]) for n, s in missing]

    failures = []

    def found() -> pd.DataFrame:
        new = {job: read_row(paths[job]) for job in missing if rows[job] is None}
        return as_table(rows | new, names, by)

    with bar(len(jobs), len(jobs) - len(missing), title) as progress:
        if on_row:
            on_row(found())
        with ends_with_a_sentence(title):
            for failure in run_all(tasks, processes(n_jobs)):
                progress.update()
                failures += [failure] if failure else []
                if on_row:
                    on_row(found())
    table = found()
    if failures:
        told = f"{len(jobs) - len(table)} of {len(jobs)} runs failed, the others are kept.\n"
        raise ArmError(told + "\n".join(failures), table)
    return table


def start_workers(n_jobs: int | None = None) -> None:
    """Start the processes of `compare` and let them import torch, while this one goes on.

    Otherwise the first `compare` starts them and waits. Where `compare` would make the runs in this
    process, on a GPU or on a single core, nothing is started. With workers, this process computes
    with one thread from then on, as they do: for nets of this size a second one brings nothing,
    and while another program has its core, every step waits for it.
    """
    if (n := processes(n_jobs)) > 1:
        torch.set_num_threads(1)
        # The same initializer as below: workers that were started by another are not used again.
        parallel = joblib.Parallel(n, batch_size=1, initializer=prepare)
        STARTING.append(threading.Thread(target=parallel, args=[[joblib.delayed(prepare)()] * n]))
        STARTING[-1].start()


def processes(n_jobs: int | None) -> int:
    """Return how many processes `n_jobs` stands for, see `compare`."""
    return joblib.effective_n_jobs(n_jobs or (-1 if pick_device().type == "cpu" else 1))


def check_names(
    arms: Mapping[Any, Arm], seeds: list[int], by: tuple[str, ...]
) -> dict[Any, tuple[Any, ...]]:
    """Return each arm's name as a tuple with one value per column of `by`."""
    if not arms or not seeds:
        raise ValueError(f"compare got {len(arms)} arms and {len(seeds)} seeds; give one of each.")
    names = {name: name if isinstance(name, tuple) else (name,) for name in arms}
    for name in names.values():
        if len(name) != len(by):
            raise ValueError(
                f"the arm {name} has {len(name)} names for the columns {by}; give one for each."
            )
    return names


def check_travels(arms: Mapping[Any, Arm]) -> None:
    """Refuse an arm that cannot go to another process, before any run starts."""
    for name, arm in arms.items():
        try:
            cloudpickle.dumps(arm)
        except Exception as error:  # whatever an object says that cannot be taken apart
            reason = " ".join(str(error).split())[:160] or type(error).__name__
            raise TypeError(
                f"arm {name!r} holds something that cannot go to a worker process ({reason}); "
                "build it inside the arm, from the numbers or the path that it stands for."
            ) from error


def run_path(arm: Arm, seed: int, name: Any) -> Path:
    """Return the file of the run of `arm` with `seed`: named by all that decides its result."""
    setting = (arm, seed, torch.__version__, pick_device().type)
    try:
        return cache_dir() / "runs" / f"{fingerprint(setting)[:32]}.npz"
    except TypeError as error:
        raise TypeError(f"arm {name!r}: {error}") from None


def run_all(tasks: list[tuple[Any, ...]], n_jobs: int) -> Iterator[str | None]:
    """Do `run_one` for all `tasks` in `n_jobs` processes; yield what it says, as they end."""
    try:
        yield from run_each(tasks, n_jobs)
    except BrokenProcessPool:  # finished runs are on disk; which one was killed, nobody knows
        yield KILLED


@contextmanager
def ends_with_a_sentence(title: str) -> Iterator[None]:
    """Where the reader interrupts, end the workers, too: they would train on, unseen."""
    try:
        yield
    except KeyboardInterrupt:
        get_reusable_executor().shutdown(wait=False, kill_workers=True)
        told = f"{title} stopped; finished runs are kept, so the same call goes on from there."
        raise KeyboardInterrupt(told) from None


def run_each(tasks: list[tuple[Any, ...]], n_jobs: int) -> Iterator[str | None]:
    """Yield what `run_one` says of each of `tasks`.

    A single run that would be left for the last round, while the other cores idle, is made by this
    process meanwhile: on a copy, as in any other process, so that it changes nothing here.
    """
    local = isinstance(get_active_backend()[0], BACKENDS["loky"])
    odd = local and len(tasks) % n_jobs == 1
    while tasks and STARTING:
        STARTING.pop().join()
    replace_quietly()
    parallel = joblib.Parallel(n_jobs, return_as="generator_unordered", initializer=prepare)
    others = parallel(joblib.delayed(run_one)(*task) for task in tasks[odd:])
    for task in tasks[:odd]:
        yield run_one(*cloudpickle.loads(cloudpickle.dumps(task)))
    yield from others


def run_one(arm: Arm, seed: int, name: Any, path: Path) -> str | None:
    """Run one arm on one thread and keep its row at `path`; return None, or what went wrong."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        write_row(path, arm(seed))
    except Exception as error:  # reported by compare, with the arm and the seed
        where = "".join(traceback.format_tb(error.__traceback__)[1:])
        return f"arm {name!r}, seed {seed}: {type(error).__name__}: {error}\n{where}"
    finally:
        torch.set_num_threads(threads)
    return None


def as_table(
    rows: Mapping[Any, dict[str, Any] | None], names: Mapping[Any, tuple[Any, ...]], by: Any
) -> pd.DataFrame:
    """Return the runs that are there, {(name, seed): row}, as a table with the columns `by`."""
    return pd.DataFrame(
        full_row(dict(zip(by, names[name], strict=True)) | {"seed": seed}, row)
        for (name, seed), row in rows.items()
        if row is not None
    )


def full_row(head: dict[str, Any], row: dict[str, Any]) -> dict[str, Any]:
    """Return `head`, the name and the seed of a run, with what it measured."""
    if clash := head.keys() & row.keys():
        raise ValueError(
            f"the arm {tuple(head.values())[:-1]} returned {sorted(clash)}, which name the run "
            "in the table; call what it measured something else."
        )
    return head | row
