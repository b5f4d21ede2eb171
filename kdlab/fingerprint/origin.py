"""Where code comes from: the user, kdlab, an installed package, or Python itself."""

import ast
import functools
import hashlib
import io
import operator
import platform
import re
import sys
import sysconfig
import tokenize
import types
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

PACKAGE = Path(__file__).resolve().parent.parent
STDLIB = Path(sysconfig.get_path("stdlib"))
PYTHON = f"python {platform.python_version()}"
ASIDE = re.compile(  # rooms that keep, compare and show results, and change none
    r"(fingerprint|runs|show|tools)/|(store|budget|__main__|cli)\.py|__init__\.py$"
)
MEMORY = "<memory>"  # stands for the file of a module that has none


@functools.cache  # emptied by every call of fingerprint
def version_of(file: str) -> str | None:
    """Say which version the code in `file` has; None where it is the user's own."""
    if file.startswith("<frozen") or file in ("built-in", "frozen"):
        return PYTHON
    path = Path(file).absolute()
    if file.startswith("<"):  # a cell, exec, code made by dataclasses
        return None
    if path.is_relative_to(PACKAGE):
        return f"kdlab {closure(path)}"
    if found := re.search(r"[/\\](?:site|dist)-packages[/\\]([^./\\]+)", str(path)):
        return f"{found[1]} {_installed(found[1]) or text_of(path)}"
    return PYTHON if path.is_relative_to(STDLIB) else None


def closure(path: Path) -> str:
    """Return a hash of the file of kdlab at `path` and of all that it imports from kdlab.

    So a result depends on the shared rooms and on the papers that its arm uses, and on no other
    paper. Comments, docstrings and blank lines do not count.
    """
    seen, waiting = dict[str, str](), [path]
    while waiting:
        part = waiting.pop()
        name = part.relative_to(PACKAGE).as_posix()
        if name not in seen and not (seen and ASIDE.match(name)):
            facts = part.stat()
            seen[name], imports = _read(part, facts.st_mtime_ns, facts.st_size)
            waiting += imports
    return hashlib.sha256(repr(sorted(seen.items())).encode()).hexdigest()


@functools.lru_cache(maxsize=1024)
def _read(path: Path, changed: int, size: int) -> tuple[str, tuple[Path, ...]]:
    """Return a hash of what the file says, and the files of kdlab that it imports."""
    text = path.read_text(encoding="utf-8")
    if path.suffix != ".py":
        return text_of(path), ()
    tree = ast.parse(text)
    said = hashlib.sha256(meaning(text, tree).encode()).hexdigest()
    return said, tuple(dict.fromkeys(_imports(tree)))


def _imports(tree: ast.Module) -> Iterator[Path]:
    """Yield the files of kdlab that a module imports, also inside its functions."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            names = [f"{node.module}.{alias.name}" for alias in node.names] + [str(node.module)]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        else:
            continue
        for name in names:
            if re.match(r"kdlab\.\w", name):
                stem = PACKAGE.joinpath(*name.split(".")[1:])
                places = [stem.with_suffix(".py"), stem / "__init__.py"]
                yield from (place for place in places if place.exists())


def meaning(text: str, tree: ast.Module) -> str:
    """Return the program `text` without comments, docstrings and blank lines."""
    lines = text.splitlines()
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and ast.get_docstring(
            node
        ):
            told = node.body[0]
            for number in range(told.lineno - 1, told.end_lineno or told.lineno):
                lines[number] = ""
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type == tokenize.COMMENT:
            row, column = token.start
            lines[row - 1] = lines[row - 1][:column]
    return "\n".join(line.rstrip() for line in lines if line.strip())


def text_of(path: Path) -> str:
    """Return a hash of the text in `path`, the same on every system."""
    return hashlib.sha256(path.read_bytes().replace(b"\r\n", b"\n")).hexdigest()


def _installed(package: str) -> str | None:
    if isinstance(version := getattr(sys.modules.get(package), "__version__", None), str):
        return version
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:  # the distribution has another name than its package
        return None


def file_of(module: types.ModuleType) -> str:
    """Return where `module` was read from; a part without a file is where its package is."""
    if module.__name__ != "__main__":
        for part in (module, sys.modules.get(module.__name__.partition(".")[0])):
            spec = getattr(part, "__spec__", None)
            if file := getattr(part, "__file__", None) or getattr(spec, "origin", None):
                return file
    return MEMORY


def reference(obj: object) -> str | None:
    """Name `obj` and its version if it can be imported by name from anything but user code."""
    home = getattr(obj, "__module__", None)
    module = sys.modules.get(home) if isinstance(home, str) else None
    if module is None:
        return None
    for name in (getattr(obj, "__qualname__", None), getattr(obj, "__name__", None)):
        try:
            if isinstance(name, str) and operator.attrgetter(name)(module) is obj:
                stamp = version_of(file_of(module))
                return stamp and f"{home}.{name} {stamp}"
        except AttributeError:  # made inside a function
            continue
    return None
