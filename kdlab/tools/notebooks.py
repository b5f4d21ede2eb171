"""Notebook files: their parameters, and the form in which they are committed."""

import ast
import hashlib
import importlib.metadata
import json
import platform
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import nbformat

from kdlab.papers import folders

Notebook = Any  # nbformat carries no types

WIDGET = "application/vnd.jupyter.widget-view+json"
KERNEL = {"display_name": "Python 3", "language": "python", "name": "python3"}
KEEP = ("jupyter", "slideshow", "tags")  # cell metadata that a person wrote


def find(folder: Path, only: Iterable[str] = ()) -> list[Path]:
    """Return the course's notebooks in order; with `only`, those stems.

    Raises:
        ValueError: the folder has no notebook, or none of a name in `only`.
    """
    paths = {path.stem: path for path in sorted(folder.glob("[0-9][0-9]_*.ipynb"))}
    if not paths:
        raise ValueError(f"found no notebook in {folder}: call this in the root of a clone.")
    if unknown := [stem for stem in only if stem not in paths]:
        raise ValueError(f"there is no notebook {unknown[0]!r}; there are {', '.join(paths)}.")
    return [path for stem, path in paths.items() if not only or stem in only]


def of_papers(paths: Iterable[Path]) -> list[Path]:
    """Return the notebooks that are about a paper: the one of the lab is not."""
    return [path for path in paths if path.stem in folders()]


def read(path: Path) -> Notebook:
    """Read a notebook as format 4."""
    return nbformat.read(path, as_version=4)


def text(nb: Notebook) -> str:
    """Return the notebook as it stands in a file."""
    return nbformat.writes(nb, version=4).rstrip("\n") + "\n"


def code_cells(nb: Notebook) -> list[Any]:
    """Return the code cells in order."""
    return [cell for cell in nb.cells if cell.cell_type == "code"]


def tags(cell: Any) -> list[str]:
    """Return a cell's tags."""
    return list(cell.metadata.get("tags", []))


def parameters(nb: Notebook) -> dict[str, Any]:
    """Return names and defaults of the one cell tagged `parameters`.

    Raises:
        ValueError: no such cell or several, or one that holds more than ``name = literal`` lines.
            A derived value there would keep its old state when a parameter is injected below it.
    """
    cells = [cell for cell in code_cells(nb) if "parameters" in tags(cell)]
    if len(cells) != 1:
        raise ValueError(f"{len(cells)} cells have the tag 'parameters', expected exactly one.")
    values = {}
    for node in ast.parse(cells[0].source).body:
        try:
            match node:
                case ast.Assign(targets=[ast.Name(id=name)], value=value):
                    values[name] = ast.literal_eval(value)
                case _:
                    raise ValueError
        except ValueError:
            raise ValueError(
                f"the parameters cell holds {ast.unparse(node)!r}, expected name = literal: "
                "move it to the next cell."
            ) from None
    return values


def check_parameters(nb: Notebook, given: dict[str, Any]) -> None:
    """Compare `given` with the parameters cell; papermill itself lets a misspelt name pass.

    Raises:
        ValueError: a name that the cell does not have, or a value of another type.
    """
    have = parameters(nb)
    for name, value in given.items():
        if name not in have:
            raise ValueError(f"unknown parameter {name!r}: the notebook has {', '.join(have)}.")
        if type(value) is not type(have[name]):
            raise ValueError(
                f"parameter {name} is {value!r}, expected {type(have[name]).__name__} "
                f"like {have[name]!r}."
            )


def code_hash(nb: Notebook) -> str:
    """Return the sha256 of the sources of the code cells: it changes when outputs become stale."""
    sources = [cell.source for cell in code_cells(nb)]
    return hashlib.sha256(json.dumps(sources).encode()).hexdigest()


def clean(nb: Notebook) -> Notebook:
    """Remove, in place, what a run leaves beside its outputs: widget state, timings, progress bars.

    Outputs and execution counts stay. Views of widgets cannot live in a file; a line of text takes
    their place, and the static figure above each widget shows what it shows.
    """
    stamp = close_folds(nb).metadata.get("kdlab")
    nb.metadata.clear()
    nb.metadata.update({"kernelspec": KERNEL, "language_info": {"name": "python"}})
    if stamp:
        nb.metadata["kdlab"] = stamp
    for cell in nb.cells:
        for key in [key for key in cell.metadata if key not in KEEP]:
            del cell.metadata[key]
        if cell.cell_type == "code":
            cell.outputs = [o for o in cell.outputs if not _is_progress(o) and not _has_still(o)]
            for output in cell.outputs:
                if "text/html" in (data := output.get("data", {})):  # the lab names each showing
                    data["text/html"] = re.sub(r' data-kdlab-lab="\w+"', "", data["text/html"])
                if WIDGET in data:
                    output.data = {"text/plain": "A widget: run this cell to use it."}
    return nb


def _has_still(output: Any) -> bool:
    """Tell whether an output is the view of an explorer, whose still picture follows it."""
    data = output.get("data", {})
    return WIDGET in data and data.get("text/plain") == ""


def close_folds(nb: Notebook) -> Notebook:
    """Close, in place, what was open while the notebook ran: it answers a reader's guess."""
    for cell in code_cells(nb):
        for output in cell.outputs:
            data = output.get("data", {})
            if "text/html" in data:
                data["text/html"] = data["text/html"].replace("<details open>", "<details>")
    return nb


def _is_progress(output: Any) -> bool:
    """Tell whether an output is nothing but a progress bar, which holds timings."""
    if output.output_type == "stream" and output.name == "stderr":
        lines = [line for line in re.split(r"[\r\n]", output.text) if line.strip()]
        return all(re.search(r"\d+%\|", line) for line in lines)
    data = output.get("data", {})
    return WIDGET in data and re.search(r"\d+%\|", data.get("text/plain", "")) is not None


def stamp(nb: Notebook) -> Notebook:
    """Number the cells of a notebook that was just run from top to bottom, and say what ran."""
    for count, cell in enumerate(code_cells(nb), start=1):
        cell.execution_count = count
        for output in cell.outputs:
            if "execution_count" in output:
                output.execution_count = count
    versions = {name: importlib.metadata.version(name) for name in ("torch", "kdlab")}
    nb.metadata["kdlab"] = {
        "code": code_hash(nb),
        "budget": parameters(nb)["budget"],
        "versions": {"python": platform.python_version(), **versions},
    }
    return nb
