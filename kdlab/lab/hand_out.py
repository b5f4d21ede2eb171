"""Rows to begin with, to hand out as a short text, and to take home as lines of Python."""

import importlib
import importlib.util
import json
from collections.abc import Mapping, Sequence
from typing import Any

from kdlab.lab.rows import OWN_TEACHER, Row, Stock, number, row_of
from kdlab.papers import folders

FORMAT = "kdlab lab 1"
MOST_ROWS, MOST_REPLICATES = 12, 40


def settings(rows: Sequence[Row], replicates: int) -> str:
    """Return rows and replicates as a short text that `pasted` reads."""
    plain = {"format": FORMAT, "replicates": replicates, "rows": [row.plain() for row in rows]}
    return json.dumps(plain)


def pasted(text: str, stock: Stock) -> tuple[list[Row], int]:
    """Return the rows and replicates of a text by `settings`. Nothing in it is executed.

    Raises:
        ValueError: it is no such text, or a row cannot be.
    """
    try:
        found = json.loads(text)
        if found["format"] != FORMAT:
            raise KeyError
    except (ValueError, KeyError, TypeError, RecursionError):
        begin = f'{{"format": "{FORMAT}"'
        raise ValueError(f"these are no settings of the lab, which begin with {begin}.") from None
    return opened(found, stock)


def opened(plain: Mapping[str, Any], stock: Stock) -> tuple[list[Row], int]:
    """Return the rows and the replicates of settings or of a preset.

    Raises:
        ValueError: see `row_of`; or too many rows or replicates.
    """
    rows = plain.get("rows")
    if not isinstance(rows, list | tuple) or not 1 <= len(rows) <= MOST_ROWS:
        raise ValueError(f"settings hold a list of 1 to {MOST_ROWS} rows, and these do not.")
    n = number("replicates", plain.get("replicates", 3), 1, MOST_REPLICATES, whole=True)
    return [row_of(row, stock) for row in rows], n


Presets = dict[str, Mapping[str, Any]]  # name -> {"rows": [...], "replicates": 3, "why": sentence}


def of_papers() -> dict[str, Presets]:
    """Return {notebook: presets} of all papers that offer some, in the order of the notebooks."""
    homes = {stem: f"kdlab.papers.{name}.presets" for stem, name in folders().items()}
    some = {stem: home for stem, home in homes.items() if importlib.util.find_spec(home)}
    return {stem: dict(importlib.import_module(home).PRESETS) for stem, home in some.items()}


def presets_of(start: str | Mapping[str, Any] | Sequence[Mapping[str, Any]]) -> Presets:
    """Return the presets of a paper, given by folder or notebook; or those that `start` is itself.

    "all": those of all papers, each with the number of its notebook.

    Raises:
        ValueError: there is no such paper, or it has none; or `start` is something else.
    """
    if start == "all":
        every = of_papers().items()
        return {f"{stem[:2]} · {name}": p for stem, some in every for name, p in some.items()}
    if isinstance(start, str):
        stems = {name: stem for stem, name in folders().items()}
        if (found := of_papers().get(stems.get(start, start))) is None:
            raise ValueError(
                f"no paper {start!r} offers presets; give another, such as lab('kd'), or rows, "
                'such as lab([{"method": "KD"}, {"method": "labels"}]).'
            )
        return found
    rows: Presets = {"your rows": {"rows": start}}
    presets = dict(start) if isinstance(start, Mapping) else rows
    if not presets or not all(isinstance(preset, Mapping) for preset in presets.values()):
        raise ValueError('presets are {name: {"rows": [...], "why": sentence}}; give at least one.')
    return presets


HEAD = """from dataclasses import replace

from kdlab.lab.run import OwnLoss, Setting
from kdlab.runs.compare import compare
from kdlab.train.teachers import TEACHER
from kdlab.train.worlds import STUDENT, World, replicate, world
"""


def as_python(rows: Sequence[Row], seeds: Sequence[int], stock: Stock) -> str:
    """Return lines that make the same rows with `kdlab.runs.compare.compare`."""
    imports, arms, names = dict[str, None](), list[str](), list[str]()
    for place, row in enumerate(rows, 1):
        module, name = stock.methods[row.method].home
        ours = module.startswith("kdlab.")
        imports[f"from {module} import {name}" if ours else f"# {name} is yours: run it first"] = (
            None
        )
        arms.append(_arm(place, row, stock))
        names.append(f'    "{place}: {row.method}": arm_{place},')
    table = f"runs = compare(arms, seeds={list(seeds)})\nruns[['arm', 'seed', 'accuracy']]"
    return "\n".join([HEAD + "\n".join(imports), *arms, "", "arms = {", *names, "}", table, ""])


def _arm(place: int, row: Row, stock: Stock) -> str:
    """Return the function that trains one row."""
    choice, setting = stock.methods[row.method], row.run(stock).setting
    w, given = setting.world, []
    head = f"World({w.name!r}, {w.words!r}," if setting.own is not None else f"world({w.name!r},"
    given += [f"noise={row.noise}"] if row.noise else []
    given += ["own=my_data"] if setting.own is not None else []  # the Data given to the lab
    given += ["net=my_teacher"] if row.teacher == OWN_TEACHER else []
    made = f"Setting(w, seed, {', '.join(given)})" if given else "replicate(w, seed)"
    student, teacher = "r.student()", "r.teacher"
    if choice.tap:
        teacher = f"r.teacher_of(taps={choice.tap!r})"
    first = {"of": ["r"], "alone": [student]}.get(choice.kind, [student, teacher])
    first += [choice.home[1]] if choice.kind == "loss" else []
    name = {"loss": "OwnLoss", "of": f"{choice.home[1]}.of"}.get(choice.kind, choice.home[1])
    asked = ", ".join([*first, *(f"{knob}={value!r}" for knob, value in row.knobs.items())])
    return f'''

def arm_{place}(seed):
    """{row.words(stock)}."""
    w = {head}
        n_labelled={w.n_labelled},
        teacher_net={w.teacher_net!r},
        student_net={w.student_net!r},
        recipe=replace(STUDENT, steps={row.updates}),
        teacher_recipe=replace(TEACHER, epochs={w.teacher_recipe.epochs}),
    )
    r = {made}
    return r.train({name}({asked}))'''
