"""The clock: interleaved single runs, and one comparison over seeds in worker processes."""

import contextlib
import os
import tempfile
import time
from collections.abc import Iterator

import joblib
import pandas as pd
import torch
from joblib.externals.loky import get_reusable_executor

from bench.setting import ALPHA, Setting, T
from bench.ways import KDLAB, WAYS
from kdlab.measure import logits_of
from kdlab.models import build
from kdlab.papers.kd.method import KD
from kdlab.runs.compare import compare
from kdlab.train.fit import run
from kdlab.train.frozen import images

TRIES = 4  # short runs by which the number of threads is chosen


@contextlib.contextmanager
def threads(number: int) -> Iterator[None]:
    """Let torch compute on `number` threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(number)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def single(name: str, s: Setting, seed: int, cores: int) -> dict[str, str | int | float]:
    """Distil and test once, torch on `cores` threads; return both times (s), the accuracy (%)."""
    with threads(cores):
        start = time.perf_counter()
        student = WAYS[name].distil(s, seed).student
        trained = time.perf_counter()
        accuracy = WAYS[name].test(s, student)
        tested = time.perf_counter()
    times = {"seconds": trained - start, "test_seconds": tested - trained}
    return {"way": name, "seed": seed, "threads": cores, **times, "accuracy": accuracy}


def quickest_threads(name: str, s: Setting) -> int:
    """Return 1 where the way runs on one thread, else what is quicker here: 1 or all cores.

    Two threads beside two loader processes can be slower than one, and much slower where another
    program computes too. No way shall win because another one had the wrong number. The numbers are
    tried in turn, `TRIES` times, and the best time of each counts; that warms up as well.
    """
    choices = sorted({1, joblib.cpu_count()} if WAYS[name].all_cores else {1})
    tried = [{n: single(name, s, i, n)["seconds"] for n in choices} for i in range(TRIES)]
    best = {n: min(times[n] for times in tried) for n in choices}
    told = ", ".join(f"{time:.2f} s on {n}" for n, time in best.items())
    print(f"warm-up  {name:20} {told}", flush=True)
    return min(best, key=best.__getitem__)


def interleaved(
    cores: dict[str, int], s: Setting, rounds: int
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Run all ways, {way: threads}, in turn, `rounds` times; the seed is the round.

    Each round starts with another way and ends with two comparisons over as many seeds as there
    are rounds. So a machine that slows down in between slows all of them.

    Returns:
        A row a run, see `single`; and a row a round with the seconds of the comparisons, "new" with
        new workers and "warm" with the same ones.
    """
    rows, whole, names = [], [], list(cores)
    for seed in range(rounds):
        first = seed % len(names)
        for name in names[first:] + names[:first]:
            rows.append(single(name, s, seed, cores[name]))
            row = rows[-1]
            print(
                f"round {seed + 1}/{rounds}  {name:20} {row['seconds']:7.2f} s"
                f"   {row['accuracy']:.2f} %",
                flush=True,
            )
        kinds = {"new": True, "warm": False}
        whole.append({k: comparison(s, rounds, new).seconds.iloc[0] for k, new in kinds.items()})
        told = ", ".join(f"{seconds:.2f} s {kind}" for kind, seconds in whole[-1].items())
        print(f"round {seed + 1}/{rounds}  {rounds} seeds, workers   {told}", flush=True)
    return pd.DataFrame(rows), pd.DataFrame(whole)


def answering(s: Setting) -> float:
    """Return the seconds in which the teacher answers for its stored images, on one thread."""
    with threads(1):
        start = time.perf_counter()
        logits_of(s.teacher.net, images(s.data), "cpu")
        return time.perf_counter() - start


def comparison(s: Setting, seeds: int, new_workers: bool) -> pd.DataFrame:
    """Run `kdlab.runs.compare.compare` over `seeds` in two processes, with nothing stored before.

    Returns:
        A row a seed: way, seed, accuracy (%), and in each row the seconds of the whole. They hold
        the start of the workers where these are new, with all they import; training, validation,
        test and storing.
    """
    # What an arm names goes to the workers: all of `s` would make them import torchvision, which
    # kdlab does not need.
    data, teacher, recipe, student = s.data, s.teacher, s.recipe, s.student
    if new_workers:
        get_reusable_executor().shutdown(wait=True)
    with empty_cache():
        start = time.perf_counter()

        def kd(seed: int) -> dict[str, float]:
            net = build(student, data.n_classes, data.in_shape, seed=seed)
            return run(KD(net, teacher, T, ALPHA), data, recipe, seed, device="cpu")

        table = compare({KDLAB: kd}, seeds, by=("way",), n_jobs=2, title="comparison")
        seconds = time.perf_counter() - start
    return table[["way", "seed", "accuracy"]].assign(seconds=seconds)


@contextlib.contextmanager
def empty_cache() -> Iterator[None]:
    """Point `kdlab.store.cache_dir` of this process and its workers at a new, empty folder."""
    before = os.environ.get("KDLAB_CACHE")
    with tempfile.TemporaryDirectory() as folder:
        os.environ["KDLAB_CACHE"] = folder
        try:
            yield
        finally:
            os.environ.pop("KDLAB_CACHE")
            if before is not None:
                os.environ["KDLAB_CACHE"] = before
