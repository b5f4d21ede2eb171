"""What an answer must not do if it is to be run: reach files, the system, or the checks.

An exercise needs none of it. Code that does is not run; the teacher reads it instead.
"""

import ast
from collections.abc import Iterator

from kdlab.tools.teaching.answers import bound

WORDS = {
    "imports": "__future__ torch torchvision numpy scipy sklearn pandas matplotlib math cmath "
    "itertools functools operator collections typing dataclasses random statistics copy abc enum "
    "fractions decimal numbers string re heapq bisect warnings time kdlab",
    "closed parts of kdlab": "exercise exercises tools store lab",
    "names": "eval exec compile open input breakpoint exit quit globals locals vars getattr "
    "setattr delattr __import__ __builtins__ get_ipython",
    "attributes": "os sys io subprocess builtins importlib inspect gc ctypes pathlib shutil socket "
    "modules load save loadtxt savetxt savez fromfile tofile memmap to_csv to_pickle read_csv "
    "read_pickle savefig hub cpp_extension EXERCISES",
}
ROOTS, CLOSED, NAMES, ATTRIBUTES = (frozenset(words.split()) for words in WORDS.values())


def reasons(source: str) -> list[str]:
    """Return what speaks against running `source`, in short words; none is needed by an answer."""
    tree = ast.parse(source)
    imports = [node for node in ast.walk(tree) if isinstance(node, ast.Import | ast.ImportFrom)]
    borrowed = {name for node in imports for name in bound(node)}
    found = [why for node in imports for why in _imported(node)]
    for node in ast.walk(tree):
        match node:
            case ast.Name(id=name) if name in NAMES or name.startswith("__"):
                found.append(f"it uses {name}")
            case ast.Attribute(attr=name) if name in ATTRIBUTES or name.startswith("_"):
                found.append(f"it uses .{name}")
            case (
                ast.Attribute(ctx=ast.Store() | ast.Del())
                | ast.Subscript(ctx=ast.Store() | ast.Del())
            ) if _root(node) in borrowed:
                found.append(f"it changes {_root(node)}, which it imports")
            case ast.Global() | ast.Nonlocal():
                found.append("it changes names outside of its function")
    return list(dict.fromkeys(found))


def _root(node: ast.expr) -> str:
    """Return the name that a chain of attributes and indices begins with."""
    while isinstance(node, ast.Attribute | ast.Subscript):
        node = node.value
    return node.id if isinstance(node, ast.Name) else ""


def _imported(node: ast.Import | ast.ImportFrom) -> Iterator[str]:
    """Yield what is wrong with an import; of kdlab all but checks, tools and the lab may be."""
    if isinstance(node, ast.Import):
        names = [alias.name for alias in node.names]
    else:
        names = [f"{'.' * node.level}{node.module or ''}.{alias.name}" for alias in node.names]
    for name in names:
        root, *rest = name.split(".")
        if root not in ROOTS or (root == "kdlab" and CLOSED & set(rest)):
            yield f"it imports {name}"
        elif hidden := [part for part in rest if part in ATTRIBUTES or part.startswith("_")]:
            yield f"it imports {hidden[0]}"
