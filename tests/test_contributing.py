"""CONTRIBUTING.md asks for four things for each paper. These tests miss whichever is missing."""

import ast
import re
from pathlib import Path

import pytest

from kdlab.papers import folders
from kdlab.tools import notebooks, readme
from tests.notebooks import small_notebook
from tests.test_house import imported

ROOT = Path(__file__).parent.parent
NO_PAPER = {"12_lab"}  # a notebook that is about all papers
EQUATION = re.compile(r"^    \S.* = .+$", re.MULTILINE)
SOURCE = re.compile(r"arXiv:\d{4}\.\d{4,5}")
NO_LOSS = "proposes no loss"  # says the docstring of a folder without a method


def docstring(path: Path) -> str:
    return ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")), clean=False) or ""


def notebook_of(folder: Path) -> str | None:
    """Return the stem of the notebook that a paper's folder names, as a literal."""
    for node in ast.parse((folder / "__init__.py").read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "NOTEBOOK":
            return str(ast.literal_eval(node.value))
    return None


def lacks(folder: Path) -> list[str]:
    """Steps 1 and 2: the folder says which paper it is, and holds its files."""
    text, place = docstring(folder / "__init__.py"), f"kdlab/papers/{folder.name}"
    needed = [folder / "exercises.py", folder / "figures.py"]
    bad = [f"there is no {path.name} in {place}" for path in needed if not path.exists()]
    if not SOURCE.search(text):
        bad.append(f"{place}/__init__.py: its docstring names no arXiv number")
    if (folder / "method.py").exists():
        opening = docstring(folder / "method.py")
        if not SOURCE.search(opening):
            bad.append(f"{place}/method.py: its docstring names no arXiv number")
        if not EQUATION.search(opening):
            bad.append(f"{place}/method.py: its docstring has no equation")
    elif NO_LOSS not in text:
        bad.append(f"there is no method.py in {place}, and no word that the paper {NO_LOSS}")
    return bad


def untested(root: Path, folder: Path) -> list[str]:
    """Step 3: the paper's own tests import its method and its figures."""
    home, met = root / "tests" / "papers" / folder.name, set()
    for path in home.glob("test_*.py"):
        if "def test_" in path.read_text(encoding="utf-8"):
            for _, module, names in imported(path, root):
                met |= {module, *(f"{module}.{name}" for name in names)}
    return [
        f"no test in tests/papers/{folder.name} imports {name}.py"
        for name in ("method", "figures")
        if (folder / f"{name}.py").exists() and f"kdlab.papers.{folder.name}.{name}" not in met
    ]


def untold(root: Path, folder: Path, stem: str | None) -> list[str]:
    """Step 4: the folder names a notebook, and this carries claims."""
    if stem is None:
        return [f"kdlab/papers/{folder.name}/__init__.py names no NOTEBOOK"]
    path = root / "notebooks" / f"{stem}.ipynb"
    if not path.exists():
        return [f"there is no {path.name} in notebooks"]
    return [] if readme.claims(notebooks.read(path)) else [f"{path.name} carries no claims"]


def missing(root: Path) -> list[str]:
    """Return what the papers of `root` lack of the four steps."""
    bad, told = [], set()
    for path in sorted((root / "kdlab" / "papers").glob("*/__init__.py")):
        folder, stem = path.parent, notebook_of(path.parent)
        bad += lacks(folder) + untested(root, folder) + untold(root, folder, stem)
        told.add(stem)
    stems = {path.stem for path in (root / "notebooks").glob("*.ipynb")}
    return bad + [f"no paper names {p}.ipynb" for p in sorted(stems - told - NO_PAPER)]


def test_every_paper_has_its_part_in_the_notes_for_the_facilitator():
    notes = (ROOT / "notebooks" / "FACILITATOR.md").read_text(encoding="utf-8")
    heads = re.findall(r"^## (\d\d) ·", notes, re.MULTILINE)
    assert heads == sorted(stem[:2] for stem in folders())


def test_every_paper_has_all_four():
    assert missing(ROOT) == []


def test_the_registry_is_the_folders():
    paths = (ROOT / "kdlab" / "papers").glob("*/__init__.py")
    assert folders() == {notebook_of(path.parent): path.parent.name for path in paths}
    assert list(folders()) == sorted(folders())


PAPER = '"""A paper 2020, *Small*, arXiv:2001.00001."""\n\nNOTEBOOK = "00_small"\n'
METHOD = '"""A paper 2020, arXiv:2001.00001, section 3.\n\n    L = CE + alpha KL\n"""\n'
TEST = "from kdlab.papers.small import figures\nfrom kdlab.papers.small.method import loss\n"
TEST += "\n\ndef test_loss(): ...\n"


@pytest.fixture
def house(tmp_path: Path) -> Path:
    """A repository of one paper with all four."""
    files = {"__init__.py": PAPER, "method.py": METHOD, "exercises.py": "", "figures.py": ""}
    files = {f"kdlab/papers/small/{name}": text for name, text in files.items()}
    for name, text in {**files, "tests/papers/small/test_method.py": TEST}.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    (tmp_path / "notebooks").mkdir()
    small_notebook.write(tmp_path / "notebooks", small_notebook.committed())
    return tmp_path


def test_a_whole_paper_passes(house: Path):
    assert missing(house) == []


def test_a_paper_without_a_loss_needs_no_method(house: Path):
    (house / "kdlab/papers/small/method.py").unlink()
    (line,) = missing(house)
    assert "no method.py" in line
    says = PAPER.replace("00001.", "00001. It studies others and proposes no loss.")
    (house / "kdlab/papers/small/__init__.py").write_text(says)
    assert missing(house) == []


@pytest.mark.parametrize(
    ("lost", "said"),
    [
        ("kdlab/papers/small/exercises.py", "no exercises.py"),
        ("kdlab/papers/small/figures.py", "no figures.py"),
        ("tests/papers/small/test_method.py", "no test in tests/papers/small imports method.py"),
        ("notebooks/00_small.ipynb", "no 00_small.ipynb"),
    ],
)
def test_a_lost_file_is_missed(house: Path, lost: str, said: str):
    (house / lost).unlink()
    assert [line for line in missing(house) if said in line]


def test_a_lost_folder_is_missed(house: Path):
    (house / "kdlab/papers/small/__init__.py").unlink()
    assert missing(house) == ["no paper names 00_small.ipynb"]


@pytest.mark.parametrize(
    ("path", "old", "new", "said"),
    [
        ("kdlab/papers/small/__init__.py", ", arXiv:2001.00001", "", "no arXiv number"),
        ("kdlab/papers/small/method.py", "arXiv:2001.00001, ", "", "no arXiv number"),
        ("kdlab/papers/small/method.py", "    L = CE + alpha KL", "A loss.", "no equation"),
        ("tests/papers/small/test_method.py", "small.method", "other.method", "imports method"),
        ("tests/papers/small/test_method.py", "import figures", "import exercises", "figures.py"),
        ("notebooks/00_small.ipynb", readme.MIME, "other+json", "carries no claims"),
    ],
)
def test_an_empty_step_is_missed(house: Path, path: str, old: str, new: str, said: str):
    text = (house / path).read_text()
    assert old in text
    (house / path).write_text(text.replace(old, new))
    (line,) = missing(house)
    assert said in line


def test_tests_that_test_nothing_are_missed(house: Path):
    (house / "tests/papers/small/test_method.py").write_text(TEST.replace("def test_", "def "))
    assert len(missing(house)) == 2


def test_a_folder_that_names_no_notebook_is_missed(house: Path):
    path = house / "kdlab/papers/small/__init__.py"
    path.write_text(PAPER.replace("NOTEBOOK", "BOOK"))
    assert "names no NOTEBOOK" in missing(house)[0]
