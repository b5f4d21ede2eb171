"""The claims that executed notebooks carry, as one list and as the README's table."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from kdlab.notebooks import Notebook, code_cells
from kdlab.report import MIME, found


def claims(nb: Notebook) -> list[dict[str, Any]]:
    """Return the judged claims that the notebook's outputs carry."""
    outputs = [output for cell in code_cells(nb) for output in cell.outputs]
    return [row for output in outputs for row in output.get("data", {}).get(MIME, [])]


def table(rows: Iterable[dict[str, Any]]) -> str:
    """Return claims as a Markdown table, one line each, for a page beside the folder notebooks."""
    lines = ["| notebook | claim | paper | here: mean [95 % interval], seeds | verdict |"]
    lines += ["|---|---|---|---|---|"]
    for row in rows:
        where = f"[{row['notebook']}](notebooks/{row['notebook']}.ipynb)"
        cells = [where, row["claim"], row["paper"], found(row), row["verdict"]]
        lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return "\n".join(lines)


def marks(name: str) -> tuple[str, str]:
    """Return the lines between which a page holds what a command writes."""
    return f"<!-- {name}:start -->", f"<!-- {name}:end -->"


def between(page: Path, name: str) -> str:
    """Return what stands between the marks `name` of `page`.

    Raises:
        ValueError: it does not have both marks in order.
    """
    start, end = marks(name)
    _, opened, rest = page.read_text(encoding="utf-8").partition(start)
    content, closed, _ = rest.partition(end)
    if not (opened and closed):
        raise ValueError(f"{page} lacks {start} and {end}; put these lines where the table goes.")
    return content


def write(page: Path, name: str, content: str) -> None:
    """Put `content` between the marks `name` of `page`.

    Raises:
        ValueError: it does not have both marks in order.
    """
    start, end = marks(name)
    old = f"{start}{between(page, name)}{end}"
    text = page.read_text(encoding="utf-8").replace(old, f"{start}\n{content}\n{end}", 1)
    page.write_text(text, encoding="utf-8")
