"""Has anything changed that a result depends on? One hex string for code and values together.

`fingerprint(arm)` follows an arm as Python runs it: bytecode and constants, defaults, closure, and
every global that the code reads, through all functions that it calls. What has its home in an
installed package stands for the version of that package, what lives in kdlab for the text of all
modules of kdlab that compute. Line numbers, file names, addresses, docstrings and the order of
dicts and sets do not count: a notebook cell that is run again keeps its value, in any process.
"""

import copyreg
import dis
import functools
import hashlib
import operator
import platform
import re
import sys
import sysconfig
import types
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path, PurePath
from typing import Any

import numpy as np
import torch
from torch import nn

PACKAGE = Path(__file__).resolve().parent
STDLIB = Path(sysconfig.get_path("stdlib"))
PYTHON = f"python {platform.python_version()}"
SHOWS = re.compile(  # the parts of kdlab that no result depends on; a new file counts until named
    r"(plots|panels|claims|exercises|cli|style|course|readme|report|notebooks|progress|bench|__main__)\b"
)
PLAIN = (type(None), bool, float, complex, str, bytes, range, type(...), type(NotImplemented))
NOTES = re.compile(  # what Python notes about a class: where it stands and how it was declared
    "__(dict|weakref|module|qualname|doc|annotations|annotate|annotate_func|annotations_cache|"
    "firstlineno|static_attributes|dataclass_fields|orig_bases|classdictcell)__|_abc_impl"
)
MEMORY = "<memory>"  # stands for the file of a module that has none
Parts = tuple[str, list[tuple[str, object]]]  # own text, and (name or "", value) of what it holds


def fingerprint(obj: object) -> str:
    """Return 64 hex digits that change when `obj`, or code or a value that it uses, changes.

    An object with a method ``__kdlab_fingerprint__()`` is judged by what that returns, alone.
    Raises TypeError, naming the way to it, for anything without comparable content: an open
    file, a lock, a generator. Source files are read as they are now, so restart the kernel after
    an edit: what runs must be what is read.
    """
    _stamp.cache_clear()
    _package.cache_clear()
    return _Walk().digest(obj, getattr(obj, "__name__", "")).hex()


def _sha(*parts: object) -> bytes:
    """Hash texts and buffers; each is hashed alone first, so that no two lists of parts agree."""
    raw = (part.encode() if isinstance(part, str) else part for part in parts)
    return hashlib.sha256(b"".join(hashlib.sha256(part).digest() for part in raw)).digest()


class _Walk:
    """Hash a graph of objects, each once; one that contains itself counts by its distance."""

    def __init__(self) -> None:
        self.done: dict[int, tuple[object, bytes]] = {}  # holds the object, so its id stays its own
        self.open: dict[int, int] = {}

    def digest(self, obj: object, path: str) -> bytes:
        kind = type(obj).__qualname__
        if type(obj) in PLAIN:
            return _sha(kind, repr(obj))
        if type(obj) is int:
            return _sha(kind, f"{obj:x}")
        if id(obj) in self.done:
            return self.done[id(obj)][1]
        if id(obj) in self.open:
            return _sha("cycle", str(len(self.open) - self.open[id(obj)]))
        self.open[id(obj)] = len(self.open)
        try:
            result = _sha(kind, *self.content(obj, path))
        finally:
            del self.open[id(obj)]
        self.done[id(obj)] = obj, result
        return result

    def content(self, obj: object, path: str) -> list[object]:
        if type(obj) in (set, frozenset):
            return sorted(self.alone(item, path) for item in obj)
        if type(obj) is dict:
            keys = sorted(((self.alone(key, path), key) for key in obj), key=lambda pair: pair[0])
            children = [(key if isinstance(key, str) else repr(key), obj[key]) for _, key in keys]
            text = b"".join(key for key, _ in keys)
        else:
            try:
                text, children = _parts(obj)
            except _OpaqueError as error:
                raise TypeError(
                    f"{path or 'the object'}: cannot tell whether this {type(obj).__name__} "
                    f"changed; pass the numbers, the tensors or the Path that it stands for, or "
                    f"give its class a method __kdlab_fingerprint__() that returns them."
                ) from error
        return [text, *(self.digest(value, _way(path, name, value)) for name, value in children)]

    def alone(self, item: object, path: str) -> bytes:
        """Hash one of several in no order: none may see what the others left in `done`."""
        before = self.done
        if type(item) not in (*PLAIN, int):
            self.done = dict(before)
        try:
            return self.digest(item, path)
        finally:
            self.done = before


def _way(path: str, name: str, value: object) -> str:
    step = name or ("" if path else getattr(value, "__name__", ""))
    return " -> ".join(part for part in (path, step) if part)


class _OpaqueError(Exception):
    """An object has no content that could be compared."""


def _parts(obj: object) -> Parts:
    """Split `obj` into a text of its own and the objects that it stands on."""
    if hasattr(type(obj), "__kdlab_fingerprint__"):
        return "", [("", obj.__kdlab_fingerprint__())]
    if reference := _reference(obj):
        return reference, []
    if type(obj) in (list, tuple):
        return "", [(f"[{i}]" if type(obj) is list else "", item) for i, item in enumerate(obj)]
    if any((c.__name__, c.__module__[:10]) == ("Data", "kdlab.data") for c in type(obj).__mro__):
        return obj.key, []
    pandas = sys.modules.get("pandas")
    if pandas and isinstance(obj, (pandas.DataFrame, pandas.Series, pandas.Index)):
        return _table(obj)
    for kinds, parts in KINDS:
        if isinstance(obj, kinds):
            return parts(obj)
    return _reduced(obj)


# Where code comes from.


@functools.cache  # emptied by every call of fingerprint
def _stamp(file: str) -> str | None:
    """Say which version the code in `file` has; None where it is the user's own."""
    if file.startswith("<frozen") or file in ("built-in", "frozen"):
        return PYTHON
    path = Path(file).absolute()
    if file.startswith("<"):  # a cell, exec, code made by dataclasses
        return None
    if path.is_relative_to(PACKAGE):
        return f"kdlab {_package()} {_text(path)}"
    if found := re.search(r"[/\\](?:site|dist)-packages[/\\]([^./\\]+)", str(path)):
        return f"{found[1]} {_version(found[1]) or _text(path)}"
    return PYTHON if path.is_relative_to(STDLIB) else None


@functools.cache  # emptied by every call of fingerprint
def _package() -> str:
    names = {str(path.relative_to(PACKAGE)): path for path in PACKAGE.rglob("*.py")}
    return str([f"{n} {_text(names[n])}" for n in sorted(names) if not SHOWS.match(n)])


def _text(path: Path) -> str:
    return hashlib.sha256(path.read_bytes().replace(b"\r\n", b"\n")).hexdigest()


def _version(package: str) -> str | None:
    if isinstance(version := getattr(sys.modules.get(package), "__version__", None), str):
        return version
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:  # the distribution has another name than its package
        return None


def _file(module: types.ModuleType) -> str:
    """Return where `module` was read from; a part without a file is where its package is."""
    if module.__name__ != "__main__":
        for part in (module, sys.modules.get(module.__name__.partition(".")[0])):
            spec = getattr(part, "__spec__", None)
            if file := getattr(part, "__file__", None) or getattr(spec, "origin", None):
                return file
    return MEMORY


def _reference(obj: object) -> str | None:
    """Name `obj` and its version if it can be imported by name from anything but user code."""
    home = getattr(obj, "__module__", None)
    module = sys.modules.get(home) if isinstance(home, str) else None
    if module is None:
        return None
    for name in (getattr(obj, "__qualname__", None), getattr(obj, "__name__", None)):
        try:
            if isinstance(name, str) and operator.attrgetter(name)(module) is obj:
                stamp = _stamp(_file(module))
                return stamp and f"{home}.{name} {stamp}"
        except AttributeError:  # made inside a function
            continue
    return None


# Code.


def _steps(code: types.CodeType) -> list[dis.Instruction]:
    return [step for step in dis.get_instructions(code) if step.opname != "EXTENDED_ARG"]


def _code(code: types.CodeType) -> Parts:
    """Instructions by name and meaning; unused constants (docstrings) and line numbers drop out."""
    text = [code.co_argcount, code.co_posonlyargcount, code.co_kwonlyargcount, code.co_varnames]
    text += [code.co_flags & 0x3FF, code.co_freevars, code.co_cellvars, code.co_exceptiontable]
    steps, constants = _steps(code), []
    for step, after in zip(steps, [*steps[1:], None], strict=True):
        if after and after.opname == "STORE_NAME" and NOTES.fullmatch(after.argval):
            continue
        if step.opcode in dis.hasconst:
            constants.append(("", step.argval))
            text.append(step.opname)
        else:
            text.append((step.opname, step.arg, step.argrepr))
    return repr(text), constants


def _function(function: types.FunctionType) -> Parts:
    code = function.__code__
    held: list[tuple[str, object]] = [("", code), ("", function.__defaults__)]
    held += [("", function.__kwdefaults__), ("", vars(function))]
    held += zip(code.co_freevars, map(_cell, function.__closure__ or ()), strict=True)
    stamp = _stamp(code.co_filename)
    return stamp or "", held if stamp else held + list(_read(code, function.__globals__))


def _cell(cell: types.CellType) -> object:
    try:
        return cell.cell_contents
    except ValueError:
        return "a name that has no value yet"


def _read(code: types.CodeType, space: dict) -> Iterator[tuple[str, object]]:
    """Yield the globals and the imports that `code` and the code inside it read."""
    steps = _steps(code)
    for i, step in enumerate(steps):
        name = step.argval
        if re.fullmatch("LOAD_.*GLOBAL.*|LOAD_NAME", step.opname):
            if name in space and not re.fullmatch("__.*__", name):
                yield name, space[name]
        elif step.opname == "IMPORT_NAME":
            level, names = steps[i - 2].argval, steps[i - 1].argval or ()
            try:
                module = __import__(name, space, None, names, level)
            except ImportError:
                yield name, "a module that is not installed"
                continue
            yield name, module if names else sys.modules[name]
        elif isinstance(name, types.CodeType):
            yield from _read(name, space)


def _builtin(function: types.BuiltinFunctionType) -> Parts:
    return f"{function.__module__}.{function.__qualname__}", [("", function.__self__)]


def _class(cls: type) -> Parts:
    if not cls.__flags__ & (1 << 9):  # made in C, not by a class statement
        return f"{cls.__module__}.{cls.__qualname__} {PYTHON}", []
    body = {k: v for k, v in vars(cls).items() if not NOTES.fullmatch(k)}
    return "", [("", type(cls)), ("", cls.__bases__), ("", body)]


def _wrapper(obj: object) -> Parts:
    inside = ("fget", "fset", "fdel", "func", "__func__", "__wrapped__")
    return "", [("", getattr(obj, name, None)) for name in inside]


def _module(module: types.ModuleType) -> Parts:
    """The texts of the user's modules that `module` is made of, the versions of all others."""
    if _file(module) == MEMORY:
        return "", [("", {k: v for k, v in vars(module).items() if not k.startswith("__")})]
    texts, waiting = {}, [module]
    while waiting:
        part = waiting.pop()
        file = _file(part)
        if part.__name__ in texts or part.__name__ == "__main__":
            continue
        texts[part.__name__] = stamp = _stamp(file)
        if stamp is None:
            texts[part.__name__] = "" if file == MEMORY else _text(Path(file))
            for value in vars(part).values():
                home = sys.modules.get(str(getattr(value, "__module__", None)))
                waiting += [m for m in (value, home) if isinstance(m, types.ModuleType)]
    return repr(sorted(texts.items())), []


# Values.


def _network(net: nn.Module) -> Parts:
    """Class, mode, weights, attributes. Hooks are kept under numbers that differ between runs."""
    held = {k: list(v.values()) if "_hooks" in k and v else v for k, v in vars(net).items()}
    return "", [("", type(net)), ("", held)]


def _tensor(tensor: torch.Tensor) -> Parts:
    if tensor.is_meta:
        raise _OpaqueError
    plain = tensor.detach().to_dense() if tensor.layout != torch.strided else tensor.detach()
    plain = plain.cpu().resolve_conj().resolve_neg().contiguous()
    digits = _sha(plain.flatten().view(torch.uint8).numpy()).hex()
    return f"{tensor.dtype} {tuple(tensor.shape)} {tensor.requires_grad} {digits}", []


def _array(array: np.ndarray | np.generic) -> Parts:
    head = f"{array.dtype.descr if array.dtype.names else array.dtype.str} {array.shape}"
    if array.dtype.hasobject:
        return head, [("", array.tolist())]
    return f"{head} {_sha(array.tobytes()).hex()}", [("", getattr(array, "mask", None))]


def _table(table: Any) -> Parts:
    """A pandas frame, series or index."""
    if hasattr(type(table), "columns"):
        return "", [("", table.index), *((str(label), (label, c)) for label, c in table.items())]
    is_index = hasattr(type(table), "names")
    names = [("", list(table.names))] if is_index else [("", table.name), ("", table.index)]
    return str(table.dtype), [*names, ("", table.to_numpy())]


def _reduced(obj: object) -> Parts:
    """Anything else as `pickle` takes it apart."""
    reduce = copyreg.dispatch_table.get(type(obj))
    try:
        made = reduce(obj) if reduce else obj.__reduce_ex__(4)
    except Exception as error:
        raise _OpaqueError from error
    if isinstance(made, str):  # the name of a global
        return f"{getattr(obj, '__module__', '')}.{made}", [("", type(obj))]
    maker, arguments, state, items, pairs, *_ = (*made, None, None, None, None)
    held = [("", maker), ("", arguments), ("", state), ("", items and list(items))]
    return "", [*held, ("", pairs and dict(pairs))]


C_MEMBERS = (
    *(types.GetSetDescriptorType, types.MemberDescriptorType, types.WrapperDescriptorType),
    *(types.MethodDescriptorType, types.ClassMethodDescriptorType, types.MethodWrapperType),
)
CACHED = type(functools.lru_cache(len))
WRAPPERS = (property, functools.cached_property, staticmethod, classmethod, CACHED)
KINDS = (
    (types.FunctionType, _function),
    (types.MethodType, lambda method: ("", [("", method.__func__), ("", method.__self__)])),
    (types.BuiltinFunctionType, _builtin),
    (types.CodeType, _code),
    (type, _class),
    (WRAPPERS, _wrapper),
    (types.ModuleType, _module),
    (types.MappingProxyType, lambda proxy: ("", [("", dict(proxy))])),
    (C_MEMBERS, lambda member: (f"{member.__objclass__.__qualname__}.{member.__name__}", [])),
    (nn.Module, _network),
    (torch.Tensor, _tensor),
    ((np.ndarray, np.generic), _array),
    (PurePath, lambda path: (str(path), [])),
    ((set, frozenset), lambda items: ("", [("", type(items)), ("", frozenset(items))])),
)
