"""What a student's notebook answers: for each exercise the least code that makes its function.

Nothing is executed here. A cell that does not parse is left out, and remembered.
"""

import ast
import symtable
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from IPython.core.inputtransformer2 import TransformerManager

from kdlab.tools import notebooks


class NotOursError(ValueError):
    """A file is damaged, or no notebook of the course; the message says which, in a sentence."""


@dataclass(frozen=True)
class Answer:
    """One exercise in one notebook: the `source` that makes its function, or why there is none."""

    exercise: str
    source: str = ""
    problem: str = ""


def read(path: Path, exercises: Mapping[str, Sequence[str]]) -> tuple[str, list[Answer]]:
    """Return the stem of the course's notebook that a file is a copy of, and its answers.

    Args:
        exercises: {stem: names of the functions to write}.

    Raises:
        NotOursError: it cannot be read, or answers no exercise of the course.
    """
    try:
        cells = [str(cell.source) for cell in notebooks.code_cells(notebooks.read(path))]
    except FileNotFoundError:
        raise NotOursError("there is no such file.") from None
    except Exception as error:  # nbformat's and json's errors have no class in common
        raise NotOursError(
            f"this is no notebook that can be read ({type(error).__name__})."
        ) from None
    parsed = {cell: _parse(cell) for cell in cells}
    body = [node for cell in cells for node in _statements(parsed[cell])]
    errors = {cell: found for cell, found in parsed.items() if isinstance(found, str)}
    try:
        stem = _stem(body, exercises)
        return stem, [_answer(name, body, errors) for name in exercises[stem]]
    except RecursionError:
        raise NotOursError("its code is nested too deeply to be read.") from None


def _statements(found: ast.Module | str) -> list[ast.stmt]:
    return found.body if isinstance(found, ast.Module) else []


def _parse(cell: str) -> ast.Module | str:
    """Return a cell as syntax, with IPython's own lines taken out; or what is wrong with it.

    ``%time f()``, ``x = !ls`` and ``f?`` become calls of get_ipython, which run nowhere here.
    """
    lines = ["" if line.lstrip().startswith(("%", "!")) else line for line in cell.splitlines()]
    try:
        return ast.parse(TransformerManager().transform_cell("\n".join(lines)))
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        where = f" in line {error.lineno}" if isinstance(error, SyntaxError) else ""
        return f"the cell is not Python{where}: {getattr(error, 'msg', error)}."


def _stem(body: Sequence[ast.stmt], exercises: Mapping[str, Sequence[str]]) -> str:
    """Return the notebook whose checks the cells call most often; else whose functions they define.

    Students rename files, so the name of the file says nothing.
    """
    asked = Counter[str]()
    for node in (found for statement in body for found in ast.walk(statement)):
        match node:
            case ast.Call(func=ast.Name(id="check"), args=[ast.Constant(value=str(stem)), *_]):
                asked[stem] += stem in exercises
    if not asked.total():
        met = Counter(name for names in exercises.values() for name in names)
        own = {name for node in body for name in bound(node) if met[name] == 1}
        asked.update({stem: len(own & set(names)) for stem, names in exercises.items()})
    if not asked.total():
        raise NotOursError("this is no notebook of the course: it has none of the exercises.")
    return asked.most_common(1)[0][0]


def bound(node: ast.stmt) -> Iterator[str]:
    """Yield the names that a statement gives a value: a def, a class, an import, an assignment."""
    match node:
        case ast.FunctionDef(name=name) | ast.ClassDef(name=name):
            yield name
        case ast.Import(names=names) | ast.ImportFrom(names=names):
            yield from ((a.asname or a.name.split(".")[0]) for a in names)
        case ast.Assign(targets=targets):
            for target in targets:
                yield from (n.id for n in ast.walk(target) if isinstance(n, ast.Name))
        case ast.AnnAssign(target=ast.Name(id=name), value=value) if value is not None:
            yield name


def _answer(name: str, body: Sequence[ast.stmt], errors: Mapping[str, str]) -> Answer:
    """Return the last thing of this name, with what it needs of the rest of the notebook."""
    for cell, problem in errors.items():
        if f"def {name}(" in cell:
            return Answer(name, problem=problem)
    homes = {found: place for place, node in enumerate(body) for found in bound(node)}
    if name not in homes:
        return Answer(name)
    needed, waiting = set[int](), [homes[name]]
    while waiting:
        if (place := waiting.pop()) in needed:
            continue
        needed.add(place)
        try:
            free = _free(body[place])
        except SyntaxError as error:  # what parses may still be no program, such as a lost nonlocal
            return Answer(name, problem=f"its code is not Python: {error.msg}.")
        waiting += [homes[other] for other in free if other in homes]
    return Answer(name, "\n\n".join(ast.unparse(body[place]) for place in sorted(needed)))


def _free(node: ast.stmt) -> set[str]:
    """Return the names that a statement takes from the notebook: no parameter and no local name."""
    scopes, names = [symtable.symtable(ast.unparse(node), "answer", "exec")], set[str]()
    while scopes:
        scope = scopes.pop()
        top = scope.get_type() == "module"
        names |= {s.get_name() for s in scope.get_symbols() if s.is_global() or top}
        scopes += scope.get_children()
    return names
