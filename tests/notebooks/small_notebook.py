"""A small notebook that keeps every rule, for the tests of the machinery and of the rules."""

import copy
import functools
import tempfile
from pathlib import Path

import nbformat
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from kdlab.tools import course, notebooks
from kdlab.tools.notebooks import Notebook
from tests.notebooks.rules import SKELETON

PARAMETERS = 'budget = "lesson"\ndataset = "mnist5k"\nseed = 0'

SHOW_CLAIMS = """display(
    {"text/plain": "1 claim", "application/vnd.kdlab.claims+json": [{
        "notebook": "00_small", "id": "more", "claim": f"More | is more at {budget}", "paper": "2",
        "world": "mnist5k", "ours": 2.5, "low": 2.0, "high": 3.0, "n": 5, "margin": 0.5,
        "unit": "points", "primary": True, "outcome": "reproduced", "decides": 0}]},
    raw=True,
)"""

SHOW_PICTURE = """pixel = "data:image/gif;base64,R0lGODlhAQABAAAAACw="
picture = f'<img alt="One black pixel." src="{pixel}">'
display({"text/html": picture, "text/plain": "One black pixel."}, raw=True)"""

STUB = '''def double(x: float) -> float:
    """Return twice `x`."""
    assert x == x, "x is not a number"
    raise NotImplementedError'''

SOLUTION = """<details>
<summary>Solution: double</summary>

```python
def double(x: float) -> float:
    \"\"\"Return twice `x`.\"\"\"
    assert x == x, "x is not a number"
    return math.ldexp(x, 1)
```

</details>"""

WIDGET = """import ipywidgets
slider = ipywidgets.IntSlider(value=1, description="T")
slider"""

TITLE = "# Small\n\n[Notation](NOTATION.md) and [glossary](GLOSSARY.md)."

CODE = {  # what stands below a heading
    "Set-up": [new_code_cell(PARAMETERS), new_code_cell("import math\nprint(budget, seed)")],
    "Toy case by hand": [new_code_cell("math.exp(0)")],
    "Train": [new_code_cell(SHOW_PICTURE)],
    "Claims": [new_code_cell(SHOW_CLAIMS)],
    "Play": [new_code_cell(WIDGET)],
    "Exercises": [new_code_cell(STUB), new_markdown_cell(SOLUTION)],
}


def build() -> Notebook:
    """Return the notebook as its author writes it, without outputs."""
    cells = [new_markdown_cell(TITLE)]
    for title in SKELETON:
        cells += [new_markdown_cell(f"## {title}\n\nA sentence.")]
        cells += copy.deepcopy(CODE.get(title, []))
    cells.append(new_code_cell("slider.value = 100\nassert slider.value == 100"))
    cells[-1].metadata = {"jupyter": {"source_hidden": True}}
    cells[0].metadata = {"slideshow": {"slide_type": "slide"}}
    for place, cell in enumerate(cells):
        cell["id"] = f"cell-{place}"
        if cell.source == PARAMETERS:
            cell.metadata["tags"] = ["parameters"]
    metadata = {"kernelspec": notebooks.KERNEL, "language_info": {"name": "python"}}
    return nbformat.from_dict(new_notebook(cells=cells, metadata=metadata))


def write(folder: Path, nb: Notebook | None = None, name: str = "00_small.ipynb") -> Path:
    """Write `nb`, by default the one of `build`, into `folder`."""
    path = folder / name
    path.write_text(notebooks.text(nb or build()), encoding="utf-8")
    return path


@functools.cache
def _rewritten() -> str:
    with tempfile.TemporaryDirectory() as folder:
        path = write(Path(folder))
        course.rewrite(path)
        return path.read_text(encoding="utf-8")


def committed() -> Notebook:
    """Return the notebook as ``python -m kdlab notebooks`` leaves it; run once per process."""
    return nbformat.reads(_rewritten(), as_version=4)
