"""Has anything changed that a result depends on? One hex string for code and values together.

`fingerprint(arm)` follows an arm as Python runs it: bytecode and constants, defaults, closure, and
every global that the code reads, through all functions that it calls. What has its home in an
installed package stands for the version of that package, what lives in kdlab for the text of its
file and of all that this file imports from kdlab. Line numbers, file names, addresses, docstrings,
comments and the order of dicts and sets do not count: a notebook cell that is run again keeps its
value, in any process.
"""

from typing import Any

from kdlab.fingerprint import values
from kdlab.fingerprint.digest import OpaqueError, sha
from kdlab.fingerprint.origin import version_of
from kdlab.fingerprint.parts import parts_of

PLAIN = (type(None), bool, float, complex, str, bytes, range, type(...), type(NotImplemented))


def fingerprint(obj: object) -> str:
    """Return 64 hex digits that change when `obj`, or code or a value that it uses, changes.

    An object with a method ``__kdlab_fingerprint__()`` is judged by what that returns, alone.
    Raises TypeError, naming the way to it, for anything without comparable content: an open
    file, a lock, a generator. Source files are read as they are now, so restart the kernel after
    an edit: what runs must be what is read.
    """
    version_of.cache_clear()
    return _Walk().digest(obj, getattr(obj, "__name__", "")).hex()


class _Walk:
    """Hash a graph of objects, each once; one that contains itself counts by its distance."""

    def __init__(self) -> None:
        self.done: dict[int, tuple[object, bytes]] = {}  # holds the object, so its id stays its own
        self.open: dict[int, int] = {}

    def digest(self, obj: object, path: str) -> bytes:
        kind = type(obj).__qualname__
        if type(obj) is str:
            return sha(kind, repr(obj), values.of_text(obj))
        if type(obj) in PLAIN:
            return sha(kind, repr(obj))
        if type(obj) is int:
            return sha(kind, f"{obj:x}")
        if id(obj) in self.done:
            return self.done[id(obj)][1]
        if id(obj) in self.open:
            return sha("cycle", str(len(self.open) - self.open[id(obj)]))
        self.open[id(obj)] = len(self.open)
        try:
            result = sha(kind, *self.content(obj, path))
        finally:
            del self.open[id(obj)]
        self.done[id(obj)] = obj, result
        return result

    def content(self, obj: Any, path: str) -> list[str | bytes]:
        if type(obj) in (set, frozenset):
            return sorted(self.alone(item, path) for item in obj)
        if type(obj) is dict:
            keys = sorted(((self.alone(key, path), key) for key in obj), key=lambda pair: pair[0])
            children = [(key if isinstance(key, str) else repr(key), obj[key]) for _, key in keys]
            text: str | bytes = b"".join(key for key, _ in keys)
        else:
            try:
                text, children = parts_of(obj)
            except OpaqueError as error:
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
