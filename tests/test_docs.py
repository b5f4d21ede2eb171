"""What the documents say is so: the claims' table, the links, the first commands."""

import re
import tomllib
from pathlib import Path

import numpy as np
import pytest
import yaml

from kdlab.models import build
from kdlab.tools import notebooks, readme
from tests.notebooks.rules import FENCE

ROOT = Path(__file__).parent.parent
FOLDERS = (".", "notebooks", "data", "docs", "evidence", ".github")
PAGES = sorted(p for f in FOLDERS for p in (ROOT / f).glob("*.md"))
BOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
LINK = re.compile(r"\]\(([^)\s]+)\)|(?:src|href)=[\"']([^\"']+)[\"']")


def links(text: str) -> list[str]:
    """Return the relative links of a Markdown text, without their anchors."""
    found = ["".join(pair) for pair in LINK.findall(FENCE.sub("", text))]
    inside = [link for link in found if not re.match(r"[a-z]+:|#", link)]
    return [link.partition("#")[0] for link in inside]


def text_of(path: Path) -> str:
    """Return the Markdown of a page or of a notebook."""
    if path.suffix == ".md":
        return path.read_text(encoding="utf-8")
    cells = notebooks.read(path).cells
    return "\n\n".join(cell.source for cell in cells if cell.cell_type == "markdown")


def test_links_are_found():
    fence = "\n```\n[d](no.md)\n```"
    text = "[a](x.md#part) [b](https://a.b) ![c](y.png) <img src='z.png'> [e](#x)" + fence
    assert links(text) == ["x.md", "y.png", "z.png"]


def test_the_readme_shows_the_claims_of_the_committed_notebooks():
    books = [notebooks.read(path) for path in notebooks.find(ROOT / "notebooks")]
    rows = [row for nb in books for row in readme.claims(nb)]
    assert rows, "the committed notebooks carry no claims"
    shown = readme.between(ROOT / "README.md", "claims").strip()
    assert shown == readme.table(rows), "run python -m kdlab claims --write"


@pytest.mark.parametrize("path", PAGES + BOOKS, ids=lambda path: path.name)
def test_links_lead_somewhere(path):
    lost = [link for link in links(text_of(path)) if not (path.parent / link).exists()]
    assert lost == []


def test_the_readme_opens_with_two_commands_that_exist():
    page = (ROOT / "README.md").read_text(encoding="utf-8")
    first = re.search(r"```sh\n(.*?)```", page, re.DOTALL)
    assert first is not None
    commands = [line.split("#")[0].strip() for line in first[1].splitlines()]
    assert commands == ["make lab", "make test"]
    goals = re.findall(r"^([\w]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    asked = {goal for p in PAGES for goal in re.findall(r"\bmake ([a-z]+)\b(?=[`\s])", code_of(p))}
    assert asked and asked <= set(goals)


def code_of(path: Path) -> str:
    """Return what stands in code fences and between backticks."""
    text = path.read_text(encoding="utf-8")
    return "\n".join([*FENCE.findall(text), *re.findall(r"`[^`\n]+`", text)])


def test_the_readmes_own_data_and_teacher_work(tmp_path, monkeypatch, capsys):
    """Two classes of bright and dark images, which every student tells apart."""
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    (code,) = (block for block in blocks if "my_model" in block)
    draw = np.random.default_rng(0)
    y = np.arange(200) % 2
    x = draw.integers(0, 100, (200, 28, 28)) + 150 * y[:, None, None]
    (tmp_path / "path/to").mkdir(parents=True)
    np.savez(tmp_path / "path/to/arrays.npz", x=x.astype(np.uint8), y=y)
    monkeypatch.chdir(tmp_path)
    exec(code, {"my_model": build("cnn8", 2, (1, 28, 28), seed=1)})
    assert 50 <= float(capsys.readouterr().out.splitlines()[-1]) <= 100


def test_no_page_names_a_package_registry():
    registry = re.compile(
        r"pypi\.org|pythonhosted|download\.pytorch|index-url|conda\.anaconda", re.I
    )
    files = [*PAGES, *BOOKS, ROOT / "Makefile", ROOT / "constraints.txt", ROOT / "environment.yml"]
    assert [path.name for path in files if registry.search(path.read_text(encoding="utf-8"))] == []


def test_the_citation_is_of_this_version():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert (citation["version"], citation["license"]) == (project["version"], project["license"])
    assert citation["authors"] == [{"name": "The kdlab authors"}] == project["authors"]
