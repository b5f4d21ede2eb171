"""The command ``python -m kdlab full``: comparisons of a paper at full size.

The world is CIFAR-100 with all labels, the nets and the recipe of budget ``full``. Runs are made
and kept by `kdlab.runs.evidence.measure`, so a call that was stopped goes on where it was. Rows go
to a folder of their own, one for each data set, pair of nets and precision. ``docs/full.md`` says
what the papers themselves trained.
"""

import argparse
import re
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import pandas as pd

from kdlab.measure import pick_device
from kdlab.papers.fitnets.arms import teacher
from kdlab.runs import evidence
from kdlab.runs.differences import interval, paired
from kdlab.runs.evidence import Comparison
from kdlab.runs.rows import FOLDER
from kdlab.store import ROOT
from kdlab.tools.gather import experiments
from kdlab.tools.places import FACTS, Place, place, warning

PRECISIONS = ("float32", "mixed")
PAGE = ROOT / "docs" / "full.md"


def chosen(stem: str, paper: ModuleType, name: str, arms: str) -> tuple[Comparison, list[str]]:
    """Return the comparison `name`, or the first that has all `arms`, and which to run.

    The teacher is an arm of each. Arms are parted by commas; a comma with a space is part of a
    name, as in "KD, permuted".

    Raises:
        ValueError: no such comparison or arms, or a paper without any of full size.
    """
    if stem in FACTS["elsewhere"]:
        raise ValueError(f"{stem} has nothing of full size: {FACTS['elsewhere'][stem]}.")
    asked = [arm.strip() for arm in re.split(r",(?! )", arms) if arm.strip()]
    known: list[Comparison] = paper.COMPARISONS
    for c in known:
        if name in ("", c.name) and set(asked) <= {*c.arms, "teacher"}:
            whole = replace(c, arms=dict(c.arms) | {"teacher": c.arms.get("teacher", teacher)})
            return whole, ["teacher", *(arm for arm in asked or c.arms if arm != "teacher")]
    have = "; ".join(f"{c.name}: {', '.join(c.arms)}" for c in known if name in ("", c.name))
    have = have or ", ".join(c.name for c in known)
    told = (
        f"{name or 'no comparison'} of {stem} has {arms!r}" if asked else f"no {name!r} in {stem}"
    )
    raise ValueError(f"{told}; there are {have}.")


def table(place: Place, comparison: Comparison, stem: str, folder: Path) -> pd.DataFrame:
    """Return an arm a row, and a precision: accuracy (%), differences (points), and the public one.

    Differences are paired by replicate, with 95 % intervals from two replicates on.
    """
    parts = []
    for precision in PRECISIONS:
        at = place.runs(comparison, precision, folder)
        kept = evidence.current(stem, **at)  # other worlds have other folders
        parts.append(kept.drop(columns="world").assign(precision=precision))
    lines = []
    for precision, rows in zip(PRECISIONS, parts, strict=True):
        for arm in [arm for arm in comparison.arms if arm in set(rows["arm"])]:
            own = rows[rows["arm"] == arm]
            line = {"arm": arm, "precision": precision, "runs": len(own)}
            line["accuracy"] = f"{own['accuracy'].mean():.2f}"
            for other in ("labels", "KD"):
                both = arm not in (other, "teacher") and other in set(rows["arm"])
                line[f"- {other}"] = str(interval(paired(rows, arm, other))) if both else ""
            mine = pd.concat(part[part["arm"] == arm] for part in parts if len(part))
            both = precision == "mixed" and len(mine) > len(own)
            gap = paired(mine, "mixed", "float32", by="precision") if both else ()
            line["- float32"] = str(interval(gap)) if len(gap) else ""
            line["public"] = public(place, comparison.arms[arm])[0]
            lines.append(line)
    return pd.DataFrame(lines)


def public(place: Place, arm: Any) -> tuple[str, str]:
    """Return what others measured of `arm` with these nets and recipe, in %, and their source."""
    function, options = getattr(arm, "func", arm), getattr(arm, "keywords", {})
    words = [f"{key}={value}" for key, value in sorted(options.items())]
    name = " ".join([f"{function.__module__.split('.')[-2]}.{function.__name__}", *words])
    w, alike = place.world, (place.world.name, place.recipe) == ("cifar100", "benchmark")
    for found in FACTS["measured"] if alike else ():
        nets = found["teacher_net"], found["student_net"]
        if nets == (w.teacher_net, w.student_net) and name in found["accuracy"]:
            return f"{found['accuracy'][name]:.2f}", found["source"]
    return "", ""


def listed(stem: str, paper: ModuleType) -> str:
    """Return what of a paper runs at full size, and what its card, in docs/full.md, says of it."""
    arms = [f"{c.name}: {', '.join(c.arms)}" for c in paper.COMPARISONS]
    if stem in FACTS["elsewhere"]:
        arms = [f"nothing: {FACTS['elsewhere'][stem]}"]
    text = PAGE.read_text("utf-8") if PAGE.exists() else ""
    section = re.search(rf"^## \[?{stem}\b.*?\n(.*?)(?=^## |\Z)", text, re.DOTALL | re.MULTILINE)
    return "\n".join([stem, *(f"  {line}" for line in arms), "", section[1] if section else ""])


def command(args: argparse.Namespace) -> int:
    """Do what `args` say: list, or make the runs and print the table."""
    papers = experiments(args.only)
    if args.list:
        print("\n".join(listed(stem, paper) for stem, paper in papers.items()))
        return 0
    if len(args.only) != 1 or args.replicates < 1:
        raise ValueError(
            "give one paper, --only 05_rkd, and one replicate or more; --list has all."
        )
    if args.folder.resolve() == FOLDER.resolve():
        raise ValueError(
            f"{args.folder} holds the evidence; rows of full size need another folder."
        )
    (stem,) = args.only
    comparison, arms = chosen(stem, papers[stem], args.comparison, args.arms)
    here = place(args.data, args.nets, stem if args.recipe == "paper" else "")
    if pick_device().type == "cpu":
        print(warning(here, args.replicates * (len(arms) - 1)), flush=True)
    told = f"python -m kdlab full --only {stem} --comparison {comparison.name}"
    at = here.runs(comparison, args.precision, args.folder)
    evidence.measure(
        stem, **at, replicates=args.replicates, arms=arms, n_jobs=args.jobs, command=told
    )
    print(table(here, comparison, stem, args.folder).to_string(index=False))
    sources = {public(here, arm)[1] for arm in comparison.arms.values()} - {""}
    print("\n".join([*(f"public: {source}" for source in sorted(sources)), f"rows: {args.folder}"]))
    return 0
