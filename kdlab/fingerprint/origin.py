"""Where code comes from: the user, kdlab, an installed package, or Python itself."""

import functools
import hashlib
import operator
import platform
import re
import sys
import sysconfig
import types
from importlib import metadata
from pathlib import Path

PACKAGE = Path(__file__).resolve().parent.parent
STDLIB = Path(sysconfig.get_path("stdlib"))
PYTHON = f"python {platform.python_version()}"
SHOWS = re.compile(  # the parts of kdlab that no result depends on; a new file counts until named
    r"(plots|panels|claims|exercises|cli|style|course|readme|report|notebooks|figures|live|progress|bench|__main__)\b"
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
        return f"kdlab {package_text()} {text_of(path)}"
    if found := re.search(r"[/\\](?:site|dist)-packages[/\\]([^./\\]+)", str(path)):
        return f"{found[1]} {_installed(found[1]) or text_of(path)}"
    return PYTHON if path.is_relative_to(STDLIB) else None


@functools.cache  # emptied by every call of fingerprint
def package_text() -> str:
    """Return the texts of all modules of kdlab that compute, hashed."""
    names = {str(path.relative_to(PACKAGE)): path for path in PACKAGE.rglob("*.py")}
    return str([f"{n} {text_of(names[n])}" for n in sorted(names) if not SHOWS.match(n)])


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
