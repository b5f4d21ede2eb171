"""The command ``python -m kdlab evidence``: measure, look what is stale, confirm, spot check."""

import argparse
import contextlib
import importlib
import importlib.util
from collections.abc import Iterable, Iterator
from types import ModuleType

import joblib

from kdlab.papers import folders
from kdlab.runs import evidence
from kdlab.runs.claims import Difference


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


def command(args: argparse.Namespace) -> int:
    """Do what `args` say; return 1 where evidence is stale, or a spot check failed."""
    bad = 0
    for stem, paper in experiments(args.only).items():
        if args.check or args.confirm:
            if args.confirm:
                for comparison in paper.COMPARISONS:
                    evidence.confirm(stem, comparison, n_jobs=args.jobs, worlds=args.world)
            told = stale_claims(stem, paper)
            print("\n".join(told) or f"{stem}: no evidence is stale")
            bad += bool(told)
        elif args.spot is not None:
            found = evidence.spot_check(stem, paper.COMPARISONS, args.spot, n_jobs=args.jobs)
            print(found.to_string(index=False))
            bad += bool((found["gap"] > evidence.DISTANCE).any())
        else:
            with cluster(args.dask):
                evidence.gather(
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
