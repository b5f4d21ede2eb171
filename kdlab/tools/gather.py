"""The command ``python -m kdlab evidence``: measure, look what is stale, confirm, spot check."""

import argparse
import contextlib
import importlib
import importlib.util
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import joblib
import numpy as np
import pandas as pd
from pandas.api.types import is_number

from kdlab.papers import folders
from kdlab.runs import evidence
from kdlab.runs.claims import Claim
from kdlab.runs.differences import Difference, interval
from kdlab.runs.evidence import Comparison, measure, tables
from kdlab.runs.rows import FOLDER, KEYS, NOTES, command_of, read, write
from kdlab.shootout import experiment as shootout
from kdlab.shootout.tuning import NOTEBOOK as LAB
from kdlab.train.worlds import WORLDS, world


def experiments(only: Iterable[str] = ()) -> dict[str, ModuleType]:
    """Return {stem of the notebook: its experiment}, for papers that have one.

    Raises:
        ValueError: a name in `only` has none.
    """
    names = {stem: f"kdlab.papers.{name}.experiment" for stem, name in folders().items()}
    known = {stem: name for stem, name in names.items() if importlib.util.find_spec(name)}
    if unknown := [stem for stem in only if stem not in known]:
        raise ValueError(f"there is no evidence for {unknown[0]!r}; there is for {list(known)}.")
    chosen = set(only) or set(known)
    return {stem: importlib.import_module(known[stem]) for stem in known if stem in chosen}


def sources(only: Iterable[str] = ()) -> dict[str, Any]:
    """Return what `experiments` does, and the shoot-out, which has comparisons and no claims."""
    papers = [stem for stem in only if stem != LAB]
    found: dict[str, Any] = experiments(papers) if papers or not list(only) else {}
    asked = {LAB: shootout} if LAB in only or not list(only) else {}
    return found | asked


def command(args: argparse.Namespace) -> int:
    """Do what `args` say; return 1 where evidence is stale, or a spot check failed.

    Raises:
        ValueError: no world, or no notebook, of a name that they give.
    """
    bad = 0
    if unknown := [name for name in args.world or () if name not in WORLDS]:
        raise ValueError(f"no world {unknown[0]!r}; choose from {', '.join(WORLDS)}.")
    for stem, paper in sources(args.only).items():
        if args.check or args.confirm:
            if args.confirm:
                for comparison in paper.COMPARISONS:
                    confirm(stem, comparison, n_jobs=args.jobs, worlds=args.world)
            told = stale_claims(stem, paper)
            print("\n".join(told) or f"{stem}: no evidence is stale")
            bad += bool(told)
        elif args.spot is not None:
            found = evidence.spot_check(stem, paper.COMPARISONS, args.spot, n_jobs=args.jobs)
            print(found.to_string(index=False))
            bad += bool((found["gap"] > evidence.DISTANCE).any())
        else:
            with cluster(args.dask):
                gather(
                    stem,
                    paper.COMPARISONS,
                    paper.claims,
                    worlds=args.world,
                    n_jobs=args.jobs,
                    command=f"python -m kdlab evidence --only {stem}",
                )
    return int(bool(bad))


@contextlib.contextmanager
def cluster(address: str | None) -> Iterator[None]:
    """Within the block, runs go to the Dask cluster at `address`; None: to this machine."""
    if address is None:
        yield
        return
    from distributed import Client

    with Client(address), joblib.parallel_config(backend="dask"):
        yield


def stale_claims(stem: str, paper: ModuleType) -> list[str]:
    """Return a line for each claim, and each arm outside of claims, whose evidence is stale."""
    old = evidence.stale(stem, paper.COMPARISONS)
    arms = {(row.comparison, row.arm): row.world for row in old.itertuples()}
    lines, named = [], set()
    for claim in paper.claims(evidence.tables(stem, paper.COMPARISONS)):
        used = claim.x.arms if isinstance(claim.x, Difference) else frozenset()
        if hit := sorted(used & set(arms)):
            named |= set(hit)
            lines.append(f"{stem}: {claim.id} is stale: {', '.join(arm for _, arm in hit)}")
    rest = sorted(set(arms) - named)
    return lines + [f"{stem}: {of}, {arm} is stale and carries no claim" for of, arm in rest]


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
    if not wanted:
        return say(f"{notebook}: no comparison in {', '.join(worlds or ())}")
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


def too_wide(claims: Iterable[Claim], name: str) -> set[tuple[str, str]]:
    """Return the (comparison, arm) pairs of primary claims whose interval is wider than allowed."""
    wide = set[tuple[str, str]]()
    for claim in claims:
        x, gap = claim.by_world().get(name), claim.x
        if not claim.primary or x is None or not isinstance(gap, Difference):
            continue
        if not interval(x).half < claim.margin:
            wide |= gap.arms
    return wide


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
    old = table[~evidence.fresh(table, comparison)] if len(table) else table
    for (name, arm), rows in old.groupby(["world", "arm"], sort=False):
        if arm not in comparison.arms or (worlds is not None and name not in set(worlds)):
            continue
        kept, job = rows.iloc[0], evidence.InWorld(comparison.arms[arm], world(name))
        again = evidence.trained_again([(job, kept["seed"])], n_jobs).iloc[0]
        numbers = [c for c in table if c not in KEYS + NOTES and is_number(kept[c])]
        # what only other arms measure is missing in both
        pairs = {c: (kept[c], again.get(c, np.nan)) for c in numbers}
        gaps = [c for c, xy in pairs.items() if not np.isclose(*xy, rtol=1e-5, equal_nan=True)]
        if gaps:
            say(f"{notebook} {comparison.name}, {name}, {arm}: {gaps[0]} has changed; stays stale")
        else:
            table.loc[rows.index, "stamp"] = job.stamp
            say(f"{notebook} {comparison.name}, {name}, {arm}: {len(rows)} runs confirmed")
    if len(old):
        write(notebook, table, command_of(notebook, comparison.name, folder), folder)
