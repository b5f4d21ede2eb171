"""A class's exercises: who has solved which, without running notebooks, accounts or servers."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import astuple, dataclass, fields
from pathlib import Path

import pandas as pd

from kdlab.papers import EXERCISES
from kdlab.tools.teaching import answers, refused, trial
from kdlab.tools.teaching.answers import Answer, NotOursError

LARGEST = 50 * trial.MIB  # of a notebook's file
FORMULA = ("=", "+", "-", "@", "\t")  # a spreadsheet would calculate what begins with one


@dataclass(frozen=True)
class Mark:
    """What came of one exercise of one student."""

    student: str
    notebook: str
    exercise: str
    result: str
    hint: str = ""


def found(paths: Iterable[Path]) -> list[tuple[str, Path]]:
    """Return (student, file) of all notebooks in files and folders.

    In a folder each folder below it is a student's; a file in it is named after its student. A file
    that is given and says no name, 00_kd.ipynb, is of the student after whom its folder is named.

    Raises:
        ValueError: a path does not exist, or there is no notebook in all of them.
    """
    pairs = []
    for path in paths:
        if not path.exists():
            raise ValueError(f"{path} does not exist; give notebooks, or a folder of them.")
        if path.is_file():
            pairs.append((_named(path) or path.resolve().parent.name or path.stem, path))
            continue
        for file in sorted(path.rglob("*.ipynb")):
            inner = file.relative_to(path).parts
            if ".ipynb_checkpoints" not in inner:
                pairs.append((inner[0] if len(inner) > 1 else _named(file) or file.stem, file))
    if not pairs:
        raise ValueError("there is no notebook (.ipynb); give notebooks, or a folder of them.")
    return pairs


def _named(path: Path) -> str:
    """Return a file's name without what the course calls it: "00_kd anna.ipynb" is Anna's.

    Empty where nothing else stands in it.
    """
    name = path.stem
    for stem in EXERCISES:
        name = name.replace(stem, "")
    return name.strip(" _-.()")


def mark(
    pairs: Sequence[tuple[str, Path]], seconds: float = 20.0, mib: int = 1024
) -> tuple[list[Mark], list[str]]:
    """Try all answers; return the marks, and a sentence for each file that is none of ours.

    Args:
        pairs: (student, file), see `found`.
        seconds, mib: what one answer may take, see `trial.try_out`.
    """
    names = {stem: list(exercises) for stem, exercises in EXERCISES.items()}
    marks, lost = [], []
    for student, path in pairs:
        try:
            if path.exists() and path.stat().st_size > LARGEST:
                raise NotOursError(f"it is larger than {LARGEST // trial.MIB} MiB.")
            stem, given = answers.read(path, names)
        except NotOursError as error:
            lost.append(trial.plain(f"{path}: {error}"))
            continue
        for answer in given:
            result, hint = _tried(stem, answer, seconds, mib)
            who = trial.plain(student)
            marks.append(Mark(who, stem, answer.exercise, result, hint))
    return marks, lost


def _tried(stem: str, answer: Answer, seconds: float, mib: int) -> tuple[str, str]:
    if answer.problem:
        return trial.FAILED, trial.plain(answer.problem)
    if not answer.source:
        return trial.EMPTY, ""
    if why := refused.reasons(answer.source):
        return trial.UNREAD, trial.plain(f"not run: {', '.join(why)}")
    return trial.try_out(stem, answer.exercise, answer.source, seconds, mib)


def tables(marks: Sequence[Mark]) -> str:
    """Return a table for each notebook, a row a student, and below it the hints."""
    shown = []
    for stem, rows in _by_notebook(marks).items():
        students = dict.fromkeys(row.student for row in rows)
        grid = {name: dict.fromkeys(students, "") for name in EXERCISES[stem]}
        for row in rows:  # of two files of one student the later one counts
            grid[row.exercise][row.student] = row.result
        shown.append(f"{stem}\n{pd.DataFrame(grid, index=list(students)).to_string()}")
        hints = [f"  {row.student}, {row.exercise}: {row.hint}" for row in rows if _open(row)]
        shown += ["\n".join(hints)] if hints else []
    return "\n\n".join(shown)


def _open(row: Mark) -> bool:
    return bool(row.hint) and row.result != trial.PASSED


def _by_notebook(marks: Sequence[Mark]) -> Mapping[str, list[Mark]]:
    found: dict[str, list[Mark]] = {}
    for row in sorted(marks, key=lambda row: row.notebook):
        found.setdefault(row.notebook, []).append(row)
    return found


def save(marks: Sequence[Mark], path: Path) -> None:
    """Write the marks as a table of comma-separated values, a row an exercise."""
    cells = [[_safe(cell) for cell in astuple(row)] for row in marks]
    frame = pd.DataFrame(cells, columns=[f.name for f in fields(Mark)])
    frame.to_csv(path, index=False)


def _safe(cell: str) -> str:
    return f"'{cell}" if cell.startswith(FORMULA) else cell
