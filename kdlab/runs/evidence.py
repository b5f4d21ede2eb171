"""Evidence: what the comparisons of a paper measured in full, kept in the repository.

A paper's ``experiment.py`` declares `Comparison` objects and its claims. `gather` makes what is
missing or stale, `read` gives a notebook the rows. A row carries the stamp of the code that made
it: the arm, and every file of kdlab that it uses. Changed code makes rows stale, and only those.
"""

import functools
import time
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from kdlab.data.loading import test_rows
from kdlab.fingerprint import fingerprint
from kdlab.fingerprint.values import standing
from kdlab.runs.compare import compare, run_path
from kdlab.runs.rows import FOLDER, KEYS, read, write
from kdlab.train.gate import Suspicion
from kdlab.train.worlds import WORLDS, Replicate, World, replicate, world

Arm = Callable[[Replicate], Mapping[str, Any]]
DISTANCE = 4.0  # points of accuracy; any run may be off by as much on another machine


@dataclass(frozen=True)
class Comparison:
    """Arms that are compared over replicates of worlds.

    Args:
        name: of its file.
        arms: {words: function of a `Replicate`}, functions of a module.
        worlds: names of worlds, the cheapest first.
        replicates: how many; None: as many as the claims ask for, growing as the world says.
    """

    name: str
    arms: Mapping[str, Arm]
    worlds: tuple[str, ...] = ("mnist5k",)
    replicates: int | None = 10


@dataclass(frozen=True)
class InWorld:
    """An arm of `kdlab.runs.compare.compare`: of the seed r, it makes replicate r of a world."""

    arm: Arm
    world: World

    def __call__(self, r: int) -> dict[str, Any]:
        """Make the run and return its row, with the seconds it took."""
        started = time.perf_counter()
        row = dict(self.arm(_replicate(self.world, r, content(self.world))))
        return row | {"seconds": time.perf_counter() - started}

    def __kdlab_fingerprint__(self) -> Any:
        """Return what the result depends on, free of what differs between versions of Python."""
        own = content(self.world)
        return plainly(self.arm), repr(self.world), *([own] if own else [])

    @property
    def stamp(self) -> str:
        """12 hex digits for the arm, the code it uses, and the world's setting."""
        return fingerprint(self.__kdlab_fingerprint__())[:12]


def plainly(arm: Arm) -> Any:
    """Return `arm`, or the parts of a partial one, which each version of Python keeps otherwise."""
    if isinstance(arm, functools.partial):
        return arm.func, arm.args, sorted(arm.keywords.items())
    return arm


def content(world: World) -> str:
    """Return what tells a reader's images from others at their path; "" for a world by name."""
    return "" if world.name in WORLDS else standing(Path(world.name).expanduser())


@functools.lru_cache(maxsize=2)
def _replicate(world: World, r: int, content: str) -> Replicate:
    """Return one replicate; the arms that a process makes of it share its data and teacher."""
    return replicate(world, r)


def teach(r: Replicate) -> dict[str, Any]:
    """Train the teacher of a replicate, so that the arms find it; return nothing about it."""
    return {"weights": sum(p.numel() for p in r.teacher.net.parameters())}


def fresh(
    table: pd.DataFrame, comparison: Comparison, worlds: Mapping[str, World] = WORLDS
) -> pd.Series:
    """Return for each row whether the code that made it is the code of today."""
    stamps = {
        (name, arm): InWorld(function, worlds[name]).stamp
        for name in set(table["world"]) & set(worlds)
        for arm, function in comparison.arms.items()
    }
    today = [stamps.get((w, a)) for w, a in zip(table["world"], table["arm"], strict=True)]
    return table["stamp"] == pd.Series(today, index=table.index, dtype=object)


def measure(
    notebook: str,
    comparison: Comparison,
    name: str,
    replicates: int,
    arms: Iterable[str] | None = None,
    *,
    command: str = "",
    folder: Path = FOLDER,
    n_jobs: int | None = None,
    worlds: Mapping[str, World] = WORLDS,
) -> pd.DataFrame:
    """Make the runs of one comparison in the world `name` that are missing or stale; keep them.

    First the teachers of all replicates, each once and in parallel, then the arms. A run that was
    finished before a kill is found again in the cache. Returns the whole table of the comparison.

    Raises:
        ValueError: no world of that name.
    """
    table, w = current(notebook, comparison, name, folder, worlds), worlds[name]
    chosen = {arm: comparison.arms[arm] for arm in (arms or comparison.arms)}
    jobs = {arm: InWorld(function, w) for arm, function in chosen.items()}
    stamps = {arm: job.stamp for arm, job in jobs.items()}  # of the code that is about to run
    own, table = len(table), with_shared(table, stamps, name, replicates, folder)
    have = set(table[table["world"] == name][["arm", "seed"]].itertuples(index=False, name=None))
    missing = {arm: [r for r in range(replicates) if (arm, r) not in have] for arm in chosen}
    seeds = sorted({r for rs in missing.values() for r in rs})
    if not seeds:
        if len(table) > own:
            write(notebook, in_order(table, comparison), command, folder)
        return in_order(table, comparison) if len(table) else table
    title = f"{notebook} {comparison.name}, {w.words}"
    compare({"teacher": InWorld(teach, w)}, seeds, n_jobs=n_jobs, title=f"{title}: teachers")
    parts = [
        compare({arm: jobs[arm] for arm in names}, rs, n_jobs=n_jobs, title=title)
        for rs, names in by_lack(missing).items()
    ]
    made = pd.concat(parts, ignore_index=True).assign(
        world=name,
        stamp=lambda rows: [stamps[arm] for arm in rows["arm"]],
        torch=torch.__version__.partition("+")[0],
        date=date.today().isoformat(),
    )
    if "correct" in made:
        made["rows"] = [test_rows(w.name, seed).astype(np.uint16) for seed in made["seed"]]
    now = current(notebook, comparison, name, folder, worlds)  # another command may have written
    write(notebook, whole := in_order(joined(made, table, now), comparison), command, folder)
    return whole


def current(
    notebook: str,
    comparison: Comparison,
    name: str,
    folder: Path,
    worlds: Mapping[str, World] = WORLDS,
) -> pd.DataFrame:
    """Return the rows of a comparison, without those of the world `name` that are stale.

    Raises:
        ValueError: no world of that name.
    """
    if name not in worlds:
        raise ValueError(f"no world {name!r} here; choose one of {', '.join(worlds)}.")
    table = read(notebook, comparison.name, folder)
    if len(table):
        table = table[fresh(table, comparison, worlds) | (table["world"] != name)]
    return table


def joined(*tables: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of all tables, each run once: as the first of them has it."""
    filled = [table for table in tables if len(table)]
    return pd.concat(filled, ignore_index=True).drop_duplicates(KEYS)


def by_lack(missing: Mapping[str, list[int]]) -> dict[tuple[int, ...], list[str]]:
    """Return {replicates: the arms that lack just these}."""
    alike: dict[tuple[int, ...], list[str]] = {}
    for arm, replicates in missing.items():
        if replicates:
            alike.setdefault(tuple(replicates), []).append(arm)
    return alike


def with_shared(
    table: pd.DataFrame, stamps: Mapping[str, str], name: str, replicates: int, folder: Path
) -> pd.DataFrame:
    """Add the runs in the world `name` that other comparisons hold, of any notebook.

    Equal stamps mean equal code and an equal setting, so it is the same run: of labels alone, say.
    """
    found = [table]
    for path in sorted(folder.glob("*/*.csv")):
        other = read(path.parent.name, path.stem, folder)
        other = other[(other["world"] == name) & (other["seed"] < replicates)]
        found += [other[other["stamp"] == s].assign(arm=arm) for arm, s in stamps.items()]
    if not any(map(len, found)):
        return table
    whole = joined(*found)
    whole.attrs["name"] = table.attrs["name"]
    return whole.dropna(axis=1, how="all")


def in_order(table: pd.DataFrame, comparison: Comparison) -> pd.DataFrame:
    """Return the rows in the order in which the comparison names its worlds and arms."""
    places = {"world": list(comparison.worlds), "arm": list(comparison.arms)}
    ordered = table.sort_values(
        KEYS,
        key=lambda c: c.map(places[c.name].index) if c.name in places else c,
        ignore_index=True,
    )
    ordered.attrs["name"] = comparison.name
    return ordered


def tables(
    notebook: str, comparisons: Iterable[Comparison], folder: Path = FOLDER
) -> dict[str, pd.DataFrame]:
    """Return {name: rows} of all comparisons of a notebook."""
    return {c.name: read(notebook, c.name, folder) for c in comparisons}


def state(notebook: str, comparisons: Sequence[Comparison], folder: Path = FOLDER) -> str:
    """Say how much evidence there is, and which of it was made by other code than today's."""
    runs = sum(map(len, tables(notebook, comparisons, folder).values()))
    old = stale(notebook, comparisons, folder)
    told = f"Evidence: {runs:,} runs of {len(comparisons)} comparisons"
    if old.empty:
        return f"{told}, all made by the code of today."
    arms = ", ".join(f"{of} on {name}" for of, name in old.groupby(["comparison", "world"]).groups)
    return f"{told}. Stale, since the code has changed: {arms}. `make evidence` makes them anew."


def stale(notebook: str, comparisons: Sequence[Comparison], folder: Path = FOLDER) -> pd.DataFrame:
    """Return (comparison, world, arm) of the rows whose code has changed since, and how many."""
    found = []
    for c in comparisons:
        table = read(notebook, c.name, folder)
        old = table[~fresh(table, c)] if len(table) else table
        for (name, arm), rows in old.groupby(["world", "arm"], sort=False):
            found.append({"comparison": c.name, "world": name, "arm": arm, "runs": len(rows)})
    return pd.DataFrame(found, columns=["comparison", "world", "arm", "runs"])


@dataclass(frozen=True)
class Again:
    """A run that is made anew, whatever seed it is given."""

    job: InWorld
    r: int

    def __call__(self, _: int) -> dict[str, Any]:
        """Make the run. A control may have a teacher that knows nothing: no news to a reader."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Suspicion)
            return self.job(self.r)


def trained_again(jobs: Sequence[tuple[InWorld, int]], n_jobs: int | None) -> pd.DataFrame:
    """Return the rows of runs, (job, replicate), made anew though they may lie in the cache."""
    arms = {f"{i}": Again(*job) for i, job in enumerate(jobs)}
    for name, arm in arms.items():
        run_path(arm, 0, name).unlink(missing_ok=True)
    return compare(arms, [0], n_jobs=n_jobs, title="runs trained again")


def spot_check(
    notebook: str,
    comparisons: Sequence[Comparison],
    seed: int,
    *,
    runs: int = 2,
    worlds: Sequence[str] = ("mnist5k",),
    folder: Path = FOLDER,
    n_jobs: int | None = None,
) -> pd.DataFrame:
    """Train `runs` rows of evidence again, drawn by `seed`, and set both numbers side by side.

    Returns:
        comparison, world, arm, seed, kept and again (test accuracy in %), gap and spread (points):
        the standard deviation over the seeds of the evidence. On an equal machine the gap should
        be 0, and on another one at most DISTANCE; more is no fault where the spread is as large.
    """
    rows = []
    for c in comparisons:
        table = read(notebook, c.name, folder)
        if "accuracy" in table:
            table["spread"] = table.groupby(["world", "arm"])["accuracy"].transform("std").round(2)
        rows += [
            row | {"comparison": c.name, "job": InWorld(c.arms[row["arm"]], world(row["world"]))}
            for row in table.to_dict("records")
            if row["world"] in worlds and row["arm"] in c.arms
        ]
    drawn = [rows[i] for i in np.random.default_rng(seed).permutation(len(rows))[:runs]]
    facts = pd.DataFrame(drawn, columns=["comparison", *KEYS, "accuracy", "spread"])
    jobs = [(row["job"], row["seed"]) for row in drawn]
    again = list(trained_again(jobs, n_jobs)["accuracy"]) if jobs else []
    facts = facts.rename(columns={"accuracy": "kept"}).assign(again=again)
    gap = (facts["kept"] - facts["again"]).abs().astype(float)
    # kept is read from text: 1e-14 would mean nothing; the spread comes last, to be read beside it
    return facts.assign(gap=gap.round(6), spread=facts.pop("spread"))
