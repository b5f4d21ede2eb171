"""Time kdlab against other ways to distil the default pair: ``make bench``.

The teacher (cnn32) is trained, or taken from the cache, before the clock starts. Its file holds its
answers for the stored images, too, and kdlab looks them up, as in the notebooks. The time in which
they were computed, once for all runs, is measured apart and stands below the table. Every way
trains the same student (cnn4) on the same stored images with the same loss, batch, epochs and
learning rates. A run is the training alone, without imports and without the test. kdlab and the
bare step compute on one thread. The loops with a loader have two loader processes, and compute on
one thread or on all cores, whichever a short trial finds quicker for them.

The comparison over seeds takes kdlab's whole `compare`, with nothing stored, and sets it against
the other ways' runs of the same seeds one after another, tests included on both sides: kdlab's on
tensors in memory, on validation images too; theirs through a loader, on test images only. It is
timed twice in every round: with new worker processes, so that their start and their imports are on
kdlab's time alone, and with workers that run already, as in a notebook, whose first cell starts
them. No bar asks for the former.

A second table has a step of every paper's method over one of the student alone: `bench.steps`.
"""

import argparse
import json
import platform
from pathlib import Path

import joblib
import torch


def main(argv: list[str]) -> int:
    """Run the bench; return 0 where no bar was missed, else 1, or 2 for bad input."""
    args = _parser().parse_args(argv)
    try:
        return _bench(args)
    except ValueError as error:
        print(f"bench: {error}")
        return 2


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--epochs", type=int, default=20, help="of every run")
    parser.add_argument("--rounds", type=int, default=5, help="runs of every way = seeds")
    parser.add_argument("--images", type=int, default=2500, help="that the student learns from")
    parser.add_argument("--json", type=Path, default=Path("build/bench.json"))
    parser.add_argument("--write-readme", action="store_true", help="put the tables into --readme")
    parser.add_argument("--readme", type=Path, default=Path("README.md"))
    return parser


def _bench(args: argparse.Namespace) -> int:
    from bench import steps
    from bench.setting import prepare
    from bench.summary import bars, markdown, record, summary
    from bench.timing import answering, interleaved, quickest_threads
    from bench.ways import WAYS, missing
    from kdlab.data import load
    from kdlab.store import write_atomic
    from kdlab.tools import readme
    from kdlab.train.recipe import Recipe
    from kdlab.train.teachers import teacher

    if args.rounds < 1:
        raise ValueError(f"--rounds is {args.rounds}; give 1 or more.")
    recipe = Recipe(epochs=args.epochs)
    data = load("mnist5k", n_labelled=args.images)
    stored = teacher(data, device="cpu")
    setting = prepare(data, stored, recipe)
    absent = missing()
    for name, reason in absent.items():
        print(f"skipped {name}: {reason}")
    trial = prepare(data, stored, Recipe(epochs=1))
    cores = {name: quickest_threads(name, trial) for name in WAYS if name not in absent}

    table_seconds = answering(setting)
    runs, comparisons = interleaved(cores, setting, args.rounds)
    new, warm = comparisons.median()
    table = summary(runs, new, warm, images=args.images * args.epochs)
    found = bars(table, args.rounds)
    caption = _caption(args, cores, table_seconds)
    times = steps.step_times(setting)
    second = steps.markdown(steps.over_ce(times), steps.caption(setting))
    text = f"{markdown(table, args.rounds, caption)}\n\n{second}"
    print(f"\n{text}\n\n" + "\n".join(map(str, found)))
    facts = {"comparisons": comparisons.to_dict("list"), "steps": times.to_dict("list")}
    everything = record(runs, found, setting=caption, **facts)
    write_atomic(args.json, json.dumps(everything, indent=1).encode())
    if args.write_readme:
        readme.write(args.readme, "bench", text)
    return int(any(bar.verdict == "FAIL" for bar in found))


def _caption(args: argparse.Namespace, cores: dict[str, int], answers: float) -> str:
    threads = ", ".join(f"{name} {n}" for name, n in cores.items())
    return (
        f"In brackets: times kdlab's. Medians of {args.rounds} interleaved runs: cnn32 teaches "
        f"cnn4, {args.images:,} images, {args.epochs} epochs, batch 50; {joblib.cpu_count()} "
        f"cores, torch {torch.__version__}, Python {platform.python_version()}. Threads beside the "
        f"loader's processes: {threads}. {args.rounds} seeds, trained and tested: kdlab "
        "compares them in two workers, which run already, or are new, with their start and imports "
        "on the clock; the others make one run after another. kdlab looks up the answers that the "
        f"teacher's file holds; computing them, once for all runs, took {answers:.1f} s."
    )
