"""Evidence: what the comparisons of a paper measured in full, kept in the repository.

A paper's ``experiment.py`` declares `Comparison` objects and its claims. `gather` makes what is
missing or stale, `read` gives a notebook the rows. A row carries the stamp of the code that made
it: the arm, and every file of kdlab that it uses. Changed code makes rows stale, and only those.

Files: ``evidence/NOTEBOOK/COMPARISON.csv``, a row a run, and ``.npz`` beside it with the arrays.
"""

import functools
import io
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from pandas.api.types import is_number

from kdlab.data.loading import test_rows
from kdlab.fingerprint import fingerprint
from kdlab.runs.claims import Claim, Difference, interval
from kdlab.runs.compare import compare, run_path
from kdlab.store import ROOT, write_atomic
from kdlab.train.worlds import WORLDS, Replicate, World, replicate, world

Arm = Callable[[Replicate], Mapping[str, Any]]
FOLDER = ROOT / "evidence"
KEYS = ["world", "arm", "seed"]
NOTES = ["seconds", "stamp", "torch", "date"]  # how a row came about
DISTANCE = 4.0  # points of accuracy that a run may be off on another machine; 0 on an equal one


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
        row = dict(self.arm(_replicate(self.world, r)))
        return row | {"seconds": time.perf_counter() - started}

    def __kdlab_fingerprint__(self) -> Any:
        """Return what the result depends on, free of what differs between versions of Python."""
        arm = self.arm
        if isinstance(arm, functools.partial):
            arm = arm.func, arm.args, sorted(arm.keywords.items())  # type: ignore[assignment]
        return arm, repr(self.world)

    @property
    def stamp(self) -> str:
        """12 hex digits for the arm, the code it uses, and the world's setting."""
        return fingerprint(self.__kdlab_fingerprint__())[:12]


@functools.lru_cache(maxsize=2)
def _replicate(world: World, r: int) -> Replicate:
    """Return one replicate; the arms that a process makes of it share its data and teacher."""
    return replicate(world, r)


def teach(r: Replicate) -> dict[str, Any]:
    """Train the teacher of a replicate, so that the arms find it; return nothing about it."""
    return {"weights": sum(p.numel() for p in r.teacher.net.parameters())}


def read(notebook: str, name: str, folder: Path = FOLDER) -> pd.DataFrame:
    """Return the evidence of one comparison: a row a run, with the columns that its arms measured.

    Columns: world, arm, seed (the replicate), numbers, arrays (where the arms returned some), and
    NOTES. No rows where nothing has been measured yet.
    """
    path = folder / notebook / f"{name}.csv"
    if not path.exists():
        table = pd.DataFrame(columns=[*KEYS, *NOTES])
    else:
        table = pd.read_csv(path, comment="#", dtype={"stamp": str, "torch": str})
        if (beside := path.with_suffix(".npz")).exists():
            with np.load(beside, allow_pickle=False) as arrays:
                table = _with_arrays(table, {key: arrays[key] for key in arrays.files})
    table.attrs["name"] = name
    return table


def _with_arrays(table: pd.DataFrame, arrays: dict[str, np.ndarray]) -> pd.DataFrame:
    """Return `table` with a column for each kind of array; None where a run has none."""
    table = table.copy()
    for kind in dict.fromkeys(key.split("|")[0] for key in arrays):
        column = []
        for row in table[KEYS].itertuples(index=False):
            world, arm, seed = row
            key = f"{kind}|{world}|{seed}" if kind == "rows" else f"{kind}|{world}|{arm}|{seed}"
            found = arrays.get(key)
            if kind == "correct" and found is not None:
                found = np.unpackbits(found)[: len(arrays[f"rows|{world}|{seed}"])].astype(bool)
            column.append(found)
        table[kind] = column
    return table


def write(notebook: str, table: pd.DataFrame, command: str, folder: Path = FOLDER) -> None:
    """Write the evidence of one comparison: numbers as text, arrays beside them, each file whole.

    The array ``correct`` is kept as bits. Columns that no run has any more are left out.
    """
    name, arrays = table.attrs["name"], dict[str, np.ndarray]()
    kinds = [c for c in table if table[c].map(lambda v: isinstance(v, np.ndarray)).any()]
    for row in table.to_dict("records"):
        for kind in kinds:
            if isinstance(value := row[kind], np.ndarray):
                key = [kind, row["world"], row["seed"]]
                key = key if kind == "rows" else [kind, row["world"], row["arm"], row["seed"]]
                small = np.packbits(value) if kind == "correct" else value
                arrays["|".join(map(str, key))] = small
    plain = table.drop(columns=kinds)
    plain = plain[[*KEYS, *(c for c in plain if c not in KEYS + NOTES), *NOTES]]
    text = f"# {command}\n" + plain.to_csv(index=False, float_format="%.6g", lineterminator="\n")
    path = folder / notebook / f"{name}.csv"
    if arrays:  # first: a table without its arrays would be read as whole
        buffer = io.BytesIO()
        np.savez_compressed(buffer, allow_pickle=False, **arrays)
        write_atomic(path.with_suffix(".npz"), buffer.getvalue())
    write_atomic(path, text.encode())


def fresh(table: pd.DataFrame, comparison: Comparison) -> pd.Series:
    """Return for each row whether the code that made it is the code of today."""
    stamps = {
        (name, arm): InWorld(function, world(name)).stamp
        for name in set(table["world"]) & set(WORLDS)
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
) -> pd.DataFrame:
    """Make the runs of one comparison in the world `name` that are missing or stale; keep them.

    First the teachers of all replicates, each once and in parallel, then the arms. A run that was
    finished before a kill is found again in the cache. Returns the whole table of the comparison.
    """
    table, w = read(notebook, comparison.name, folder), world(name)
    chosen = {arm: comparison.arms[arm] for arm in (arms or comparison.arms)}
    table = table[fresh(table, comparison) | (table["world"] != name)] if len(table) else table
    have = set(table[table["world"] == name][["arm", "seed"]].itertuples(index=False, name=None))
    missing = {arm: [r for r in range(replicates) if (arm, r) not in have] for arm in chosen}
    seeds = sorted({r for rs in missing.values() for r in rs})
    if not seeds:
        return table
    title = f"{notebook} {comparison.name}, {w.words}"
    compare({"teacher": InWorld(teach, w)}, seeds, n_jobs=n_jobs, title=f"{title}: teachers")
    jobs = {arm: InWorld(function, w) for arm, function in chosen.items() if missing[arm]}
    stamps = {arm: job.stamp for arm, job in jobs.items()}  # of the code that is about to run
    made = compare(jobs, seeds, n_jobs=n_jobs, title=title)
    made = made[[(a, s) not in have for a, s in zip(made["arm"], made["seed"], strict=True)]]
    made = made.assign(
        world=name,
        stamp=[stamps[arm] for arm in made["arm"]],
        torch=torch.__version__.partition("+")[0],
        date=date.today().isoformat(),
    )
    if "correct" in made:
        made["rows"] = [test_rows(name, seed).astype(np.uint16) for seed in made["seed"]]
    whole = pd.concat([table, made], ignore_index=True)
    names, sets = list(comparison.arms), list(comparison.worlds)
    whole = whole.sort_values(
        KEYS,
        key=lambda c: (
            c.map((sets if c.name == "world" else names).index) if c.name != "seed" else c
        ),
        ignore_index=True,
    )
    whole.attrs["name"] = comparison.name
    write(notebook, whole, command, folder)
    return whole


Claims = Callable[[Mapping[str, pd.DataFrame]], Sequence[Claim]]


def gather(
    notebook: str,
    comparisons: Sequence[Comparison],
    claims: Claims,
    *,
    worlds: Iterable[str] | None = None,
    folder: Path = FOLDER,
    n_jobs: int | None = None,
    command: str = "",
    say: Callable[[str], None] = print,
) -> None:
    """Measure all comparisons of a notebook that are missing or stale.

    Where a comparison names no number of replicates, they grow as the world says, until the 95 %
    interval of each primary claim is narrower on either side than its margin. The rule looks at the
    width, never at the sign, and only arms of claims that are still too wide go on.
    """
    wanted = [w for w in WORLDS if any(w in c.worlds for c in comparisons)]
    wanted = [w for w in wanted if worlds is None or w in set(worlds)]
    options: dict[str, Any] = {"command": command, "folder": folder, "n_jobs": n_jobs}
    growing = [c for c in comparisons if c.replicates is None]
    goes_on = {(w, c.name): set(c.arms) for c in growing for w in wanted if w in c.worlds}
    for stage in range(max(len(world(w).least) for w in wanted)):
        for name in [w for w in wanted if len(world(w).least) > stage]:
            for c in growing:
                if arms := [arm for arm in c.arms if arm in goes_on.get((name, c.name), ())]:
                    measure(notebook, c, name, world(name).least[stage], arms, **options)
            wide = too_wide(claims(tables(notebook, comparisons, folder)), name)
            for c in growing:
                goes_on[name, c.name] = {arm for of, arm in wide if of == c.name}
            told = ", ".join(f"{of}: {arm}" for of, arm in sorted(wide)) or "none"
            say(f"{notebook}, {name}: {world(name).least[stage]} replicates; too wide yet: {told}")
    for c in comparisons:
        for name in [w for w in c.worlds if w in wanted and c.replicates is not None]:
            measure(notebook, c, name, c.replicates or 0, **options)


def tables(
    notebook: str, comparisons: Iterable[Comparison], folder: Path = FOLDER
) -> dict[str, pd.DataFrame]:
    """Return {name: rows} of all comparisons of a notebook."""
    return {c.name: read(notebook, c.name, folder) for c in comparisons}


def too_wide(claims: Iterable[Claim], name: str) -> set[tuple[str, str]]:
    """Return the (comparison, arm) pairs of primary claims whose interval is wider than allowed."""
    wide = set[tuple[str, str]]()
    for claim in claims:
        x = claim.by_world().get(name)
        measured = claim.primary and isinstance(claim.x, Difference) and x is not None
        if measured and not interval(x).half < claim.margin:
            wide |= claim.x.arms
    return wide


def stale(notebook: str, comparisons: Sequence[Comparison], folder: Path = FOLDER) -> pd.DataFrame:
    """Return (comparison, world, arm) of the rows whose code has changed since, and how many."""
    found = []
    for c in comparisons:
        table = read(notebook, c.name, folder)
        old = table[~fresh(table, c)] if len(table) else table
        for (name, arm), rows in old.groupby(["world", "arm"], sort=False):
            found.append({"comparison": c.name, "world": name, "arm": arm, "runs": len(rows)})
    return pd.DataFrame(found, columns=["comparison", "world", "arm", "runs"])


def confirm(
    notebook: str,
    comparison: Comparison,
    *,
    worlds: Iterable[str] | None = None,
    folder: Path = FOLDER,
    n_jobs: int | None = None,
    say: Callable[[str], None] = print,
) -> None:
    """Train one run of each stale arm and world again; where the numbers repeat, all its rows stay.

    For code that was changed without changing any number: the rows get the stamp of today's code.
    Numbers repeat on an equal machine only, so elsewhere nothing is confirmed by mistake.
    """
    table = read(notebook, comparison.name, folder)
    old = table[~fresh(table, comparison)] if len(table) else table
    for (name, arm), rows in old.groupby(["world", "arm"], sort=False):
        if arm not in comparison.arms or (worlds is not None and name not in set(worlds)):
            continue
        kept, job = rows.iloc[0], InWorld(comparison.arms[arm], world(name))
        again = trained_again(arm, job, kept["seed"], n_jobs)
        numbers = [c for c in table if c not in KEYS + NOTES and is_number(kept[c])]
        gaps = [c for c in numbers if not np.isclose(kept[c], again[c], rtol=1e-5, equal_nan=True)]
        if gaps:
            say(f"{notebook} {comparison.name}, {name}, {arm}: {gaps[0]} has changed; stays stale")
        else:
            table.loc[rows.index, "stamp"] = job.stamp
            say(f"{notebook} {comparison.name}, {name}, {arm}: {len(rows)} runs confirmed")
    if len(old):
        write(notebook, table, command_of(notebook, comparison.name, folder), folder)


def trained_again(arm: str, job: InWorld, seed: int, n_jobs: int | None) -> pd.Series:
    """Return the row of a run that is made anew, also where it is kept in the cache."""
    run_path(job, seed, arm).unlink(missing_ok=True)
    title = f"{job.world.words}, {arm}, replicate {seed}"
    return compare({arm: job}, [seed], n_jobs=n_jobs, title=title).iloc[0]


def command_of(notebook: str, name: str, folder: Path = FOLDER) -> str:
    """Return the command that a file of evidence says it was made by."""
    with (folder / notebook / f"{name}.csv").open(encoding="utf-8") as file:
        return file.readline().lstrip("# ").rstrip()


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
        comparison, world, arm, seed, kept and again (test accuracy in %), gap (points).
    """
    rows = [
        row | {"comparison": c.name, "function": c.arms[row["arm"]]}
        for c in comparisons
        for row in read(notebook, c.name, folder).to_dict("records")
        if row["world"] in worlds and row["arm"] in c.arms
    ]
    drawn = np.random.default_rng(seed).choice(len(rows), size=min(runs, len(rows)), replace=False)
    found = []
    for i in sorted(drawn):
        row = rows[i]
        job = InWorld(row["function"], world(row["world"]))
        again = trained_again(row["arm"], job, row["seed"], n_jobs)
        facts = {k: row[k] for k in ("comparison", *KEYS)} | {"kept": row["accuracy"]}
        facts |= {"again": again["accuracy"], "gap": abs(again["accuracy"] - row["accuracy"])}
        found.append(facts)
    return pd.DataFrame(found)
