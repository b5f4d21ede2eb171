"""Every rule for notebooks accepts a good notebook and refuses each way of breaking it."""

import ast
from collections.abc import Callable

import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_output

from kdlab.tools import notebooks
from kdlab.tools.notebooks import Notebook, code_cells
from tests.notebooks import small_notebook
from tests.notebooks.rules import RULES
from tests.notebooks.small_notebook import PARAMETERS
from tests.papers import exercise_texts

PNG = {"image/png": "iVBORw0KGgo=", "text/plain": "<Figure>"}


def shows(data: dict[str, str], kind: str = "display_data") -> Callable[[Notebook], None]:
    """Return what adds an output with `data` to the first cell."""
    return lambda nb: code_cells(nb)[0].outputs.append(new_output(kind, data))


def says(text: str, name: str = "stdout") -> Callable[[Notebook], None]:
    """Return what adds printed text to the first cell."""
    output = new_output("stream", name=name, text=text)
    return lambda nb: code_cells(nb)[0].outputs.append(output)


def writes(markdown: str) -> Callable[[Notebook], None]:
    """Return what adds a Markdown cell before the last cell."""
    return lambda nb: nb.cells.insert(-1, new_markdown_cell(markdown))


def deeper(nb: Notebook, *before: str, after: int = 0) -> None:
    """Give a notebook the two parts of the pattern: cells before "Deeper", and cells after it."""
    texts = [*before, "## Deeper", *["A sentence."] * after]
    nb.cells.extend(new_markdown_cell(text) for text in texts)


def runs(source: str) -> Callable[[Notebook], None]:
    """Return what adds code to the second cell."""

    def change(nb: Notebook) -> None:
        code_cells(nb)[1].source += "\n" + source

    return change


def swaps(old: str, new: str, kind: str = "markdown") -> Callable[[Notebook], None]:
    """Return what replaces text in the sources of all cells of a kind."""

    def change(nb: Notebook) -> None:
        for cell in nb.cells:
            if cell.cell_type == kind:
                cell.source = cell.source.replace(old, new)

    return change


def claims(nb: Notebook) -> list[dict]:
    return code_cells(nb)[4].outputs[0].data["application/vnd.kdlab.claims+json"]


def lines(nb: Notebook, count: int, cells: int) -> None:
    for cell in code_cells(nb)[1 : 1 + cells]:
        cell.source = "\n".join(["1"] * count)


def no_slide(nb: Notebook) -> None:
    nb.cells[0].metadata = {}


def many_slides(nb: Notebook) -> None:
    for cell in nb.cells[:16]:
        cell.metadata["slideshow"] = {"slide_type": "slide"}


BREAKS: dict[str, list[Callable[[Notebook], object]]] = {
    "fresh": [
        runs("1 + 1"),
        lambda nb: nb.metadata.pop("kdlab"),
        lambda nb: nb.metadata.kdlab.update(budget="ci"),
        lambda nb: nb.metadata.kdlab.versions.pop("torch"),
    ],
    "counted": [
        lambda nb: code_cells(nb)[2].update(execution_count=9),
        lambda nb: code_cells(nb)[2].update(execution_count=None),
    ],
    "small": [says("x" * 400_000)],
    "bare": [
        lambda nb: nb.metadata.update(widgets={}),
        lambda nb: nb.metadata.update(papermill={}),
        lambda nb: nb.cells[3].metadata.update(execution={}),
        lambda nb: nb.cells[3].metadata.update(tags=["injected-parameters"]),
        shows({notebooks.WIDGET: "{}", "text/plain": "VBox()"}),
    ],
    "quiet": [
        says("UserWarning: careful", "stderr"),
        lambda nb: code_cells(nb)[0].outputs.append(new_output("error", ename="E", evalue="")),
    ],
    "described": [
        shows(PNG),
        shows({**PNG, "text/html": "<p>a picture</p>"}),
        shows({**PNG, "text/html": '<img src="data:image/png;base64,AAAA">'}),
        shows({**PNG, "text/html": '<img alt=" " src="data:image/png;base64,AAAA">'}),
        writes("![](docs/lab.png)"),
    ],
    "skeleton": [
        swaps("## Predict\n", "## Forecast\n"),
        swaps("## Predict\n", "### Predict\n"),
        swaps("## Play\n", "## Train\n"),
        writes("#### Too deep"),
        swaps("(GLOSSARY.md)", ""),
        swaps("(NOTATION.md)", ""),
        writes("# Second title"),
        lambda nb: nb.cells.pop(0),
    ],
    "short": [
        lambda nb: lines(nb, 41, 1),
        lambda nb: lines(nb, 26, 2),
        lambda nb: lines(nb, 9, 7),
    ],
    "spaced": [
        lambda nb: nb.cells.insert(5, new_code_cell("1")),
        lambda nb: nb.cells.extend([new_code_cell("1")]),
        lambda nb: nb.cells[-1].metadata.clear() or nb.cells.insert(-1, new_code_cell("1")),
        lambda nb: nb.cells.insert(nb.cells.index(code_cells(nb)[2]), new_code_cell("1")),
    ],
    "claimed": [
        lambda nb: claims(nb).clear(),
        lambda nb: claims(nb)[0].update(outcome="confirmed"),
        lambda nb: claims(nb)[0].update(outcome=""),
        lambda nb: claims(nb)[0].update(primary=False, outcome=""),
        lambda nb: claims(nb)[0].pop("low"),
        lambda nb: claims(nb).append(dict(claims(nb)[0])),
    ],
    "portable": [
        says("saved in /home/someone/x"),
        says(r"saved in C:\Users"),
        runs('open("/tmp/x")'),
        runs("!pip install kdlab"),
        runs("%conda install kdlab"),
        runs("# NBVAL_SKIP"),
        writes("![logo](https://example.org/logo.png)"),
        writes('<img alt="logo" src="https://example.org/logo.png">'),
    ],
    "slides": [no_slide, many_slides],
    "parametrised": [
        swaps("seed = 0", "seed = int(0)", "code"),
        swaps("seed = 0", "", "code"),
        swaps('"lesson"', '"ci"', "code"),
    ],
    "ready": [runs("compare({}, 5)")],
    "meeting": [
        lambda nb: deeper(nb, *["A sentence."] * 41),
        lambda nb: deeper(nb, "word " * 1801),
        lambda nb: deeper(nb, after=91),
        lambda nb: runs("1\n" * 13)(nb) or deeper(nb),
    ],
    "timed": [
        lambda nb: deeper(nb, "## Paper facts\n\nthe exercises here 7", "### 1 · 7 minutes"),
        lambda nb: deeper(
            nb, "## Paper facts\n\nthe exercises here 20", "### 1 · 7 minutes", "### 2 · 5 minutes"
        ),
    ],
    "unspoiled": [
        lambda nb: shows({"text/html": "<details open>92 %</details>"})(nb) or deeper(nb),
        lambda nb: shows(PNG)(nb) or deeper(nb) or swaps(PARAMETERS, "report(claims)", "code")(nb),
        lambda nb: runs("panels.drive(explorer)")(nb) or deeper(nb),
    ],
}


@pytest.mark.parametrize("rule", RULES)
def test_a_good_notebook_keeps_the_rule(rule):
    assert RULES[rule](small_notebook.committed()) == []


@pytest.mark.parametrize(
    ("rule", "place"), [(rule, place) for rule in BREAKS for place in range(len(BREAKS[rule]))]
)
def test_a_broken_notebook_does_not(rule, place):
    nb = small_notebook.committed()
    BREAKS[rule][place](nb)
    assert RULES[rule](nb) != []


def test_every_rule_is_broken_somewhere():
    assert set(BREAKS) == set(RULES)


def test_bytes_of_a_picture_are_no_path_and_code_in_a_fence_no_heading():
    nb = small_notebook.committed()
    shows({"text/html": '<img alt="x" src="data:image/png;base64,AA/tmp/AA==">'})(nb)
    writes("```python\n# a comment\n```")(nb)
    assert RULES["portable"](nb) == RULES["skeleton"](nb) == []


def solution(code: str) -> ast.FunctionDef:
    node = exercise_texts.function(code, "double")
    assert node is not None
    return node


GOOD = '''def double(x: float) -> float:
    """Return twice `x`."""
    assert x == x, "x is not a number"
    return math.ldexp(x, 1)'''


def test_a_solution_is_found_runs_and_fills_its_stub():
    nb = small_notebook.committed()
    (code,) = exercise_texts.solutions(nb).values()
    assert code.strip() == GOOD
    assert exercise_texts.differences(exercise_texts.stub(nb, "double"), solution(code)) == []
    assert exercise_texts.define(nb, solution(code))(4.0) == 8.0
    with pytest.raises(NotImplementedError):
        exercise_texts.define(nb, exercise_texts.stub(nb, "double"))(4.0)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("x: float)", "y: float)"),
        ("x: float)", "x: int)"),
        ("-> float", "-> int"),
        ("twice", "half"),
        ("assert x == x", "assert True"),
    ],
)
def test_a_solution_may_change_no_more_than_the_open_lines(old, new):
    stub = exercise_texts.stub(small_notebook.committed(), "double")
    assert exercise_texts.differences(stub, solution(GOOD.replace(old, new))) != []


def test_a_missing_stub_is_named():
    with pytest.raises(LookupError, match="no cell defines triple"):
        exercise_texts.stub(small_notebook.committed(), "triple")
