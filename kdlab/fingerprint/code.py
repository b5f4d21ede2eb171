"""What code means: its instructions and constants, and everything that it reads."""

import dis
import re
import sys
import types
from collections.abc import Iterator
from pathlib import Path

from kdlab.fingerprint.digest import Parts
from kdlab.fingerprint.origin import MEMORY, PYTHON, file_of, text_of, version_of

NOTES = re.compile(  # what Python notes about a class: where it stands and how it was declared
    "__(dict|weakref|module|qualname|doc|annotations|annotate|annotate_func|annotations_cache|"
    "firstlineno|static_attributes|dataclass_fields|orig_bases|classdictcell)__|_abc_impl"
)


def _steps(code: types.CodeType) -> list[dis.Instruction]:
    return [step for step in dis.get_instructions(code) if step.opname != "EXTENDED_ARG"]


def of_code(code: types.CodeType) -> Parts:
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


def of_function(function: types.FunctionType) -> Parts:
    """Code, defaults, closure; for the user's own code also every global that it reads."""
    code = function.__code__
    held: list[tuple[str, object]] = [("", code), ("", function.__defaults__)]
    held += [("", function.__kwdefaults__), ("", vars(function))]
    held += zip(code.co_freevars, map(_cell, function.__closure__ or ()), strict=True)
    stamp = version_of(code.co_filename)
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


def of_builtin(function: types.BuiltinFunctionType) -> Parts:
    """Name, and the object that it is bound to."""
    return f"{function.__module__}.{function.__qualname__}", [("", function.__self__)]


def of_class(cls: type) -> Parts:
    """Bases and body, or a name where the class is made in C."""
    if not cls.__flags__ & (1 << 9):  # made in C, not by a class statement
        return f"{cls.__module__}.{cls.__qualname__} {PYTHON}", []
    body = {k: v for k, v in vars(cls).items() if not NOTES.fullmatch(k)}
    return "", [("", type(cls)), ("", cls.__bases__), ("", body)]


def of_wrapper(obj: object) -> Parts:
    """The functions inside a property, a static method, a cache."""
    inside = ("fget", "fset", "fdel", "func", "__func__", "__wrapped__")
    return "", [("", getattr(obj, name, None)) for name in inside]


def of_module(module: types.ModuleType) -> Parts:
    """The texts of the user's modules that `module` is made of, the versions of all others."""
    if file_of(module) == MEMORY:
        return "", [("", {k: v for k, v in vars(module).items() if not k.startswith("__")})]
    texts, waiting = {}, [module]
    while waiting:
        part = waiting.pop()
        file = file_of(part)
        if part.__name__ in texts or part.__name__ == "__main__":
            continue
        texts[part.__name__] = stamp = version_of(file)
        if stamp is None:
            text = Path(file).read_bytes() if file.endswith(".py") else b""
            texts[part.__name__] = "" if file == MEMORY else text_of(Path(file))
            read = _read(compile(text, file, "exec"), vars(part))  # imports that hold plain values
            for value in (*vars(part).values(), *(found for _, found in read)):
                home = sys.modules.get(str(getattr(value, "__module__", None)))
                waiting += [m for m in (value, home) if isinstance(m, types.ModuleType)]
    return repr(sorted(texts.items())), []
