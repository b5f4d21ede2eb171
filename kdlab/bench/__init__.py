"""Time kdlab against other ways to distil the default pair: ``make bench``.

The teacher (cnn32) is trained, or taken from the cache, before the clock starts. Every way then
trains the same student (cnn4) on the same stored images with the same loss, batch, epochs and
learning rates. A run is the training alone, without imports and without the test. kdlab and the
bare step compute on one thread; the loops with a loader have two loader processes and all cores.

The comparison over seeds takes kdlab's whole `compare` on two processes, with new workers and
nothing stored, and sets it against the other ways' runs of the same seeds one after another.
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
    parser = argparse.ArgumentParser(prog="python -m kdlab bench", description=__doc__)
    parser.add_argument("--epochs", type=int, default=20, help="of every run")
    parser.add_argument("--rounds", type=int, default=5, help="runs of every way = seeds")
    parser.add_argument("--images", type=int, default=2500, help="that the student learns from")
    parser.add_argument("--json", type=Path, default=Path("build/bench.json"))
    parser.add_argument("--write-readme", action="store_true", help="put the table into --readme")
    parser.add_argument("--readme", type=Path, default=Path("README.md"))
    return parser


def _bench(args: argparse.Namespace) -> int:
    from kdlab.bench.setting import prepare
    from kdlab.bench.summary import bars, markdown, record, summary, write_readme
    from kdlab.bench.timing import comparison, interleaved
    from kdlab.bench.ways import WAYS, missing
    from kdlab.cache import write_atomic
    from kdlab.data import load
    from kdlab.recipe import Recipe
    from kdlab.teachers import teacher

    if args.rounds < 1:
        raise ValueError(f"--rounds is {args.rounds}; give 1 or more.")
    recipe = Recipe(epochs=args.epochs)
    data = load("mnist5k", n_labelled=args.images)
    net = teacher(data, device="cpu").net
    setting = prepare(data, net, recipe)
    absent = missing()
    for name, reason in absent.items():
        print(f"skipped {name}: {reason}")
    names = [name for name in WAYS if name not in absent]
    print("warming up", flush=True)
    interleaved(names, prepare(data.take(200), net, Recipe(epochs=1)), rounds=1)

    compared = [comparison(setting, args.rounds)]
    runs = interleaved(names, setting, args.rounds)
    compared.append(comparison(setting, args.rounds))
    seconds = [table.seconds.iloc[0] for table in compared]
    print("comparison on two processes: " + ", ".join(f"{s:.1f} s" for s in seconds))

    table = summary(runs, seconds, images=args.images * args.epochs)
    found, caption = bars(table, args.rounds), _caption(args)
    text = markdown(table, args.rounds, caption)
    print(f"\n{text}\n\n" + "\n".join(map(str, found)))
    everything = record(runs, seconds, found, setting=caption)
    write_atomic(args.json, json.dumps(everything, indent=1).encode())
    if args.write_readme:
        write_readme(args.readme, text)
    return int(any(bar.verdict == "FAIL" for bar in found))


def _caption(args: argparse.Namespace) -> str:
    return (
        f"Medians of {args.rounds} interleaved runs: cnn32 teaches cnn4, {args.images:,} images, "
        f"{args.epochs} epochs, batch 50; {joblib.cpu_count()} cores, torch {torch.__version__}, "
        f"Python {platform.python_version()}."
    )
