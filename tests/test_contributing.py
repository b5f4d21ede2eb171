"""CONTRIBUTING.md asks for four things for each paper. These tests miss whichever is missing."""

import ast
import re
from pathlib import Path

import pytest
from kdlab.methods import METHODS

from kdlab.tools import notebooks, readme
from tests.notebooks import small_notebook

ROOT = Path(__file__).parent.parent
NO_PAPER = {"12_playground"}  # a notebook that is about all papers
EQUATION = re.compile(r"^    \S.* = .+$", re.MULTILINE)
SOURCE = re.compile(r"arXiv:\d{4}\.\d{4,5}")


def method_file(path: Path) -> list[str]:
    """Step 1: the method's file opens with its source and its equation."""
    if not path.exists():
        return [f"there is no {path.name} in kdlab/methods"]
    text = ast.get_docstring(ast.parse(path.read_text()), clean=False) or ""
    bad = [] if SOURCE.search(text) else [f"{path.name}: its docstring names no arXiv number"]
    return bad + ([] if EQUATION.search(text) else [f"{path.name}: its docstring has no equation"])


def test_file(path: Path, module: str) -> list[str]:
    """Step 2: the tests of the method import it."""
    if not path.exists():
        return [f"there is no {path.name} in tests/methods"]
    uses = re.search(rf"kdlab\.methods(\.{module}\b| import {module}\b)", path.read_text())
    return [] if uses and "def test_" in path.read_text() else [f"{path.name} tests nothing of it"]


test_file.__test__ = False


def notebook_file(path: Path) -> list[str]:
    """Step 4: the notebook exists and carries claims."""
    if not path.exists():
        return [f"there is no {path.name} in notebooks"]
    return [] if readme.claims(notebooks.read(path)) else [f"{path.name} carries no claims"]


def missing(root: Path, methods: dict[str, str | None]) -> list[str]:
    """Return what the papers of `root` lack of the four steps."""
    bad = []
    for stem, module in methods.items():
        if module:
            bad += method_file(root / "kdlab" / "methods" / f"{module}.py")
            bad += test_file(root / "tests" / "methods" / f"test_{module}.py", module)
        bad += notebook_file(root / "notebooks" / f"{stem}.ipynb")
    files = {path.stem for path in (root / "kdlab" / "methods").glob("[!_]*.py")}
    papers = {path.stem for path in (root / "notebooks").glob("*.ipynb")}
    bad += [f"{name}.py is not in METHODS" for name in sorted(files - set(methods.values()))]
    return bad + [f"{p}.ipynb is not in METHODS" for p in sorted(papers - set(methods) - NO_PAPER)]


def test_every_paper_has_its_part_in_the_notes_for_the_facilitator():
    notes = (ROOT / "notebooks" / "FACILITATOR.md").read_text(encoding="utf-8")
    heads = re.findall(r"^## (\d\d) ·", notes, re.MULTILINE)
    assert heads == sorted(stem[:2] for stem in METHODS)


def test_every_paper_has_all_four():
    assert missing(ROOT, METHODS) == []


@pytest.fixture
def house(tmp_path: Path) -> Path:
    """A repository of one paper with all four."""
    for folder in ("kdlab/methods", "tests/methods", "notebooks"):
        (tmp_path / folder).mkdir(parents=True)
    method = '"""A paper 2020, arXiv:2001.00001, section 3.\n\n    L = CE + alpha KL\n"""\n'
    (tmp_path / "kdlab/methods/small.py").write_text(method)
    test = "from kdlab.methods.small import loss\n\n\ndef test_loss(): ...\n"
    (tmp_path / "tests/methods/test_small.py").write_text(test)
    small_notebook.write(tmp_path / "notebooks", small_notebook.committed())
    return tmp_path


def test_a_whole_paper_passes(house):
    assert missing(house, {"00_small": "small"}) == []


def test_a_paper_without_a_loss_needs_no_method_file(house):
    (house / "kdlab/methods/small.py").unlink()
    (house / "tests/methods/test_small.py").unlink()
    assert missing(house, {"00_small": None}) == []


@pytest.mark.parametrize(
    "lost", ["kdlab/methods/small.py", "tests/methods/test_small.py", "notebooks/00_small.ipynb"]
)
def test_a_lost_file_is_missed(house, lost):
    (house / lost).unlink()
    assert [line for line in missing(house, {"00_small": "small"}) if Path(lost).name in line]


def test_a_lost_line_in_the_table_is_missed(house):
    lines = missing(house, {})
    assert lines == ["small.py is not in METHODS", "00_small.ipynb is not in METHODS"]


@pytest.mark.parametrize(
    ("path", "old", "new", "said"),
    [
        ("kdlab/methods/small.py", "arXiv:2001.00001, ", "", "no arXiv number"),
        ("kdlab/methods/small.py", "    L = CE + alpha KL", "A loss.", "no equation"),
        ("tests/methods/test_small.py", "methods.small", "methods.other", "tests nothing"),
        ("tests/methods/test_small.py", "def test_loss", "def loss", "tests nothing"),
        ("notebooks/00_small.ipynb", "kdlab.show.claims+json", "other+json", "carries no claims"),
    ],
)
def test_an_empty_step_is_missed(house, path, old, new, said):
    text = (house / path).read_text()
    assert old in text
    (house / path).write_text(text.replace(old, new))
    (line,) = missing(house, {"00_small": "small"})
    assert said in line
