"""Exercises as a notebook holds them: a stub to complete, and the solution in a fold."""

import ast
import re
from collections.abc import Callable
from typing import Any

from kdlab.tools.notebooks import Notebook, code_cells


def solutions(nb: Notebook) -> dict[str, str]:
    """Return the code in each fold whose summary says ``Solution: NAME``."""
    folds = re.findall(
        r"<details>\s*<summary>[^<]*Solution: *`?(\w+)`?[^<]*</summary>(.*?)</details>",
        "\n".join(cell.source for cell in nb.cells if cell.cell_type == "markdown"),
        re.DOTALL,
    )
    code = {name: re.findall(r"```python\n(.*?)```", fold, re.DOTALL) for name, fold in folds}
    return {name: "\n".join(blocks) for name, blocks in code.items()}


def function(source: str, name: str) -> ast.FunctionDef | None:
    """Return the definition of `name` in `source`, if there is one at the top level."""
    found = [n for n in ast.parse(source).body if isinstance(n, ast.FunctionDef) and n.name == name]
    return found[0] if found else None


def stub(nb: Notebook, name: str) -> ast.FunctionDef:
    """Return the definition that the reader completes.

    Raises:
        LookupError: no cell defines `name` with ``raise NotImplementedError`` in its body.
    """
    for cell in code_cells(nb):
        node = function(cell.source, name) if f"def {name}" in cell.source else None
        if node and "raise NotImplementedError" in ast.unparse(node):
            return node
    raise LookupError(f"no cell defines {name} with raise NotImplementedError.")


def is_open(node: ast.stmt) -> bool:
    """Tell whether the reader replaces this statement."""
    dots = any(isinstance(n, ast.Constant) and n.value is ... for n in ast.walk(node))
    return dots or (isinstance(node, ast.Raise) and "NotImplementedError" in ast.unparse(node))


def differences(stub: ast.FunctionDef, solution: ast.FunctionDef) -> list[str]:
    """Say where a solution changes more than the open statements of its stub."""
    bad = []
    for part in ("args", "returns"):
        one, two = (ast.dump(n) if (n := getattr(f, part)) else "" for f in (stub, solution))
        bad += [] if one == two else [f"{part} differ"]
    if ast.get_docstring(stub) != ast.get_docstring(solution):
        bad.append("docstrings differ")
    written = iter([ast.unparse(node) for node in solution.body])
    for node in stub.body:
        if not is_open(node) and ast.unparse(node) not in written:  # `in` walks on: keeps the order
            bad.append(f"the solution lacks {ast.unparse(node)!r} of the stub")
    return bad


def namespace(nb: Notebook) -> dict[str, Any]:
    """Return what the notebook imports, for running a solution."""
    found: dict[str, Any] = {}
    for cell in code_cells(nb):
        for node in ast.parse(cell.source).body:
            if isinstance(node, ast.Import | ast.ImportFrom):
                exec(ast.unparse(node), found)
    return found


def define(nb: Notebook, node: ast.FunctionDef) -> Callable[..., Any]:
    """Return the function that `node` defines, with the notebook's imports in reach."""
    found = namespace(nb)
    exec(ast.unparse(node), found)
    return found[node.name]
