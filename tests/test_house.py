"""The house keeps its order: who may import whom, how large a room may be, what it depends on."""

import ast
import graphlib
import importlib.metadata
import io
import sys
import tokenize
import tomllib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parent.parent
ROOMS = (  # a file imports its own room and those before it
    *("seeds", "fingerprint", "store", "data", "models", "measure", "train", "budget", "runs"),
    *("show", "papers", "lab", "shootout", "tools"),
)
BASELINE = "kd"  # the one paper that others may import
SHARED, PAPER = 4150, 620  # lines of code: of all rooms but papers and tools, of a paper's folder
APART = {"lab": 1250, "explorers": 250, "shootout": 420}  # counted beside the shared rooms
# mysteries: its made data and the net of its theory are a world of their own.
# kd: it also holds its explorers and presets, which show how the other papers make theirs.
# data_free: three methods, the networks and loops that dream, and what they give away.
# dml, okddip: one pair, two groups of their evidence failed, so they also hold what tests why.
LARGE = {"kd": 730, "mysteries": 630, "data_free": 950, "dml": 660, "okddip": 685}
LONG = {
    "data",
    "models",
    "teachers",
    "frozen",
    "gate",
    "evidence",
}  # files, or folders, that may have 250 lines
# Which extras of pyproject.toml may serve the imports of a folder, beside the plain dependencies.
EXTRAS = {
    "kdlab/tools": ("lab", "test", "site"),
    "kdlab": ("lab",),
    "bench": ("lab", "bench"),
    "tests": ("lab", "test", "site", "app", "bench"),
}


# --- who imports whom -----------------------------------------------------------------------------


def sources(root: Path, *folders: str) -> list[Path]:
    return sorted(path for folder in folders for path in (root / folder).rglob("*.py"))


def imported(path: Path, root: Path) -> Iterator[tuple[int, str, tuple[str, ...]]]:
    """Yield (line, module, names asked of it) of each import of a file, wherever it stands."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name, ()) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            here = path.relative_to(root).parent.parts
            base = here[: len(here) - node.level + 1] if node.level else ()
            module = ".".join([*base, *([node.module] if node.module else [])])
            yield node.lineno, module, tuple(alias.name for alias in node.names)


def file_of(module: str, root: Path) -> Path | None:
    """Return the file of a module of `root`; None where there is none."""
    place = root.joinpath(*module.split("."))
    return next((p for p in (place.with_suffix(".py"), place / "__init__.py") if p.exists()), None)


def edges(root: Path) -> dict[Path, dict[Path, int]]:
    """Return {file: {file that it imports: line}} within kdlab of `root`."""
    found: dict[Path, dict[Path, int]] = {}
    for path in sources(root, "kdlab"):
        found[path] = {}
        for line, module, names in imported(path, root):
            if module.split(".")[0] != "kdlab":
                continue
            parts = [file_of(f"{module}.{name}", root) for name in names] or [None]
            for target in (part or file_of(module, root) for part in parts):
                assert target, f"{path.relative_to(root)}:{line} imports {module}, no file of kdlab"
                found[path].setdefault(target, line)
    return found


def room(path: Path, root: Path) -> str:
    """Return the room of a file; "" for the face of the package, which stands before all."""
    first = path.relative_to(root / "kdlab").parts[0].removesuffix(".py")
    return "" if first in ("__init__", "__main__") else first


def paper(path: Path, root: Path) -> str | None:
    """Return the folder of a paper's file; None for any other file."""
    parts = path.relative_to(root / "kdlab").parts
    return parts[1] if parts[0] == "papers" and len(parts) > 2 else None


def disorder(root: Path) -> list[str]:
    """Return the imports of kdlab in `root` that go up, or across, or round in a circle."""
    found, bad = edges(root), []
    for path, targets in found.items():
        mine, name = room(path, root), str(path.relative_to(root))
        if mine and mine not in ROOMS:
            bad.append(f"{name} stands in a room {mine!r} that ROOMS does not know")
            continue
        for target, line in targets.items():
            theirs, what = room(target, root), target.relative_to(root)
            if mine and (not theirs or ROOMS.index(theirs) > ROOMS.index(mine)):
                bad.append(f"{name}:{line} imports {what}, which stands above it")
            if paper(target, root) not in (None, BASELINE, paper(path, root)) and mine != "tools":
                bad.append(f"{name}:{line} imports {what}, of another paper")
    try:
        graphlib.TopologicalSorter(found).prepare()
    except graphlib.CycleError as error:
        circle = " -> ".join(str(path.relative_to(root)) for path in reversed(error.args[1]))
        bad.append(f"a circle: {circle}")
    return bad


def test_no_room_knows_a_room_above_it_and_there_is_no_circle():
    assert disorder(ROOT) == []


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A house in order: a room a file, two papers beside the baseline, the face."""
    files = {f"{name}.py": "" for name in ("seeds", "store", "models", "measure", "budget")}
    files |= {f"{name}/__init__.py": "" for name in ("data", "train", "runs", "show", "tools")}
    for name in ("", "kd/", "dml/", "rkd/"):
        files[f"papers/{name}__init__.py"] = ""
    files |= {
        "__init__.py": "",
        "__main__.py": "from kdlab.tools.cli import main\n",
        "tools/cli.py": "import os\nfrom kdlab.papers.dml import method\n",
        "data/rows.py": "import torch\n\nfrom kdlab import seeds\nfrom . import __name__\n",
        "data/load.py": "from kdlab.data.rows import Batch\nfrom .rows import Split\n",
        "budget.py": "from kdlab import data, train\n",
        "papers/kd/method.py": "from kdlab.measure import loss\n",
        "papers/dml/method.py": "from kdlab.papers.kd.method import loss\n",
        "papers/dml/more.py": "from kdlab.papers.dml import method\n",
    }
    for name, text in files.items():
        (tmp_path / "kdlab" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "kdlab" / name).write_text(text)
    return tmp_path


def test_a_house_in_order_passes(tree: Path):
    assert disorder(tree) == []


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("store.py", "from kdlab.data import Batch", "store.py:1 imports kdlab/data/__init__.py"),
        ("measure.py", "import kdlab.train", "imports kdlab/train/__init__.py, which stands above"),
        ("models.py", "def f():\n    from kdlab import runs", "models.py:2 imports kdlab/runs"),
        ("train/fit.py", "from kdlab import load", "imports kdlab/__init__.py, which stands above"),
        ("train/fit.py", "from ..papers import kd", "imports kdlab/papers/kd/__init__.py, which"),
        ("runs/a.py", "if True:\n    import kdlab.show.plots", "runs/a.py:2 imports kdlab/show/pl"),
        ("show/a.py", "from kdlab.papers.kd.method import loss", "which stands above it"),
        ("papers/rkd/a.py", "from kdlab.papers.dml.method import loss", "of another paper"),
        ("papers/kd/a.py", "from kdlab.papers import rkd", "papers/rkd/__init__.py, of another"),
        (
            "data/rows.py",
            "def f():\n    from kdlab.data import load",
            "kdlab/data/load.py -> kdlab/",
        ),
        ("papers/kd/method.py", "from kdlab.papers.kd import method", "a circle: kdlab/papers/kd/"),
        ("attic/a.py", "", "a room 'attic'"),
    ],
)
def test_a_house_in_disorder_is_noticed(tree: Path, name: str, text: str, said: str):
    (tree / "kdlab/show/plots.py").write_text("")
    path = tree / "kdlab" / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    lines = disorder(tree)
    assert len(lines) == 1 and said in lines[0], lines


def test_an_import_of_nothing_is_noticed(tree: Path):
    (tree / "kdlab/data/rows.py").write_text("from kdlab.cache import cache_dir")
    with pytest.raises(AssertionError, match="imports kdlab.cache, no file"):
        disorder(tree)


# --- how large it may be --------------------------------------------------------------------------


def code_lines(path: Path) -> int:
    """Count lines that hold code: no blank line, comment or docstring."""
    text = path.read_text(encoding="utf-8")
    held: set[int] = set()
    idle = (tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT)
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type not in (*idle, tokenize.ENDMARKER):
            held |= set(range(token.start[0], token.end[0] + 1))
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and ast.get_docstring(
            node
        ):
            words = node.body[0]
            held -= set(range(words.lineno, (words.end_lineno or 0) + 1))
    return len(held)


def sizes(root: Path) -> tuple[Counter[str], Counter[str]]:
    """Return the lines of code of each shared room and of each paper."""
    shared, papers = Counter[str](), Counter[str]()
    for path in sources(root, "kdlab"):
        if name := paper(path, root):
            papers[name] += code_lines(path)
        elif not apart(path) and room(path, root) not in ("papers", "tools"):
            shared[room(path, root) or "kdlab"] += code_lines(path)
    return shared, papers


def apart(path: Path) -> str:
    """Return the folder of APART that a file stands in; "" for any other."""
    return next((name for name in APART if name in path.parts), "")


@pytest.mark.parametrize("name", APART)
def test_what_is_counted_apart_stays_small(name: str):
    lines = sum(code_lines(path) for path in sources(ROOT, "kdlab") if apart(path) == name)
    assert 0 < lines <= APART[name]


def test_the_shared_rooms_stay_small():
    shared, _ = sizes(ROOT)
    assert shared.total() <= SHARED, f"{shared.total()} lines of code: {dict(shared)}"


def test_every_paper_stays_small():
    _, papers = sizes(ROOT)
    over = {name: n for name, n in papers.items() if n > LARGE.get(name, PAPER)}
    assert not over, f"{over} lines of code, of {dict(papers)}"
    idle = [name for name in LARGE if papers[name] <= PAPER]
    assert not idle, f"{idle} need no exception any more: {dict(papers)}"


def test_a_room_and_a_paper_are_counted_apart(tree: Path):
    (tree / "kdlab/train/fit.py").write_text('"""Doc."""\n\nx = 1\ny = 2\n')
    shared, papers = sizes(tree)
    assert shared == Counter({"train": 2, "kdlab": 1, "data": 5, "budget": 1})
    assert papers == Counter({"kd": 1, "dml": 2, "rkd": 0})


def test_lines_of_code_are_counted_as_a_reader_would(tmp_path: Path):
    path = tmp_path / "a.py"
    lines = ['"""Doc.', "", 'More."""', "# why", "x = [", "    1,", "]", "", "def f():"]
    path.write_text("\n".join([*lines, '    """Doc."""', "    return x", ""]))
    assert code_lines(path) == 5


@pytest.mark.parametrize("path", sources(ROOT, "kdlab"), ids=lambda p: str(p.relative_to(ROOT)))
def test_a_source_file_fits(path: Path):
    lines = code_lines(path)
    assert lines <= (250 if LONG & {path.stem, path.parent.name} else 150), f"{lines} lines"
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef):
            words = len((ast.get_docstring(node) or "").splitlines())
            length = (node.end_lineno or 0) - node.lineno + 1 - words
            assert length <= 42, f"{node.name} has {length} lines beside its docstring"


# --- what it depends on ---------------------------------------------------------------------------


def undeclared(root: Path, project: dict, extras: dict[str, tuple[str, ...]]) -> list[str]:
    """Return the imports of other packages that `project`, of a pyproject.toml, does not declare.

    A file is served by the plain dependencies and by the `extras` of the innermost folder named.
    """
    homes, bad = importlib.metadata.packages_distributions(), []
    ours = {"kdlab", "bench", "tests", "__future__", *sys.stdlib_module_names}
    for path in sources(root, *dict.fromkeys(folder.split("/")[0] for folder in extras)):
        place = path.relative_to(root).as_posix()
        folder = max((f for f in extras if place.startswith(f"{f}/")), key=len)
        lines = [*project["dependencies"]]
        lines += [line for e in extras[folder] for line in project["optional-dependencies"][e]]
        declared = {canonicalize_name(Requirement(line).name) for line in lines}
        for line, module, _ in imported(path, root):
            package = module.split(".")[0]
            names = {canonicalize_name(name) for name in homes.get(package, [package])}
            if package not in ours and not names & declared:
                bad.append(f"{place}:{line} imports {package}, not declared for {folder}")
    return bad


def test_every_package_that_is_imported_is_declared():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert undeclared(ROOT, project, EXTRAS) == []


def test_a_package_that_is_not_declared_is_noticed(tmp_path: Path):
    for name, text in {
        "kdlab/a.py": "import os\nimport yaml\nfrom PIL import Image\nimport kdlab.data",
        "kdlab/tools/b.py": "def f():\n    import pytest, torch",
        "tests/c.py": "import pytest\nfrom bench import ways\nimport no_such_package.part",
    }.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    project = {
        "dependencies": ["Pillow>=10"],
        "optional-dependencies": {"lab": ["PyYAML"], "test": ["pytest>=8"]},
    }
    folders = {"kdlab": (), "kdlab/tools": ("test",), "tests": ("test", "lab")}
    assert undeclared(tmp_path, project, folders) == [
        "kdlab/a.py:2 imports yaml, not declared for kdlab",
        "kdlab/tools/b.py:2 imports torch, not declared for kdlab/tools",
        "tests/c.py:3 imports no_such_package, not declared for tests",
    ]
