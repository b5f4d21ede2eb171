"""The claims that executed notebooks carry: as a list, the README's table, beside other runs."""

import collections
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from kdlab.show.report import MIME, found
from kdlab.tools.notebooks import Notebook, code_cells

Row = dict[str, Any]  # one judged claim, see `kdlab.show.claims.judge`


def claims(nb: Notebook) -> list[Row]:
    """Return the judged claims that the notebook's outputs carry."""
    outputs = [output for cell in code_cells(nb) for output in cell.outputs]
    return [row for output in outputs for row in output.get("data", {}).get(MIME, [])]


def table(rows: Iterable[Row]) -> str:
    """Return claims as a Markdown table, one line each, for a page beside the folder notebooks."""
    lines = ["| notebook | claim | paper | here: mean [95 % interval], seeds | verdict |"]
    lines += ["|---|---|---|---|---|"]
    for row in rows:
        where = f"[{row['notebook']}](notebooks/{row['notebook']}.ipynb)"
        cells = [where, row["claim"], row["paper"], found(row), row["verdict"]]
        lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return "\n".join(lines)


def beside(rows: Sequence[Row], others: Mapping[str, Iterable[Row]]) -> str:
    """Return the verdicts of the committed run beside those of `others`, {name of run: claims}.

    A verdict that differs from the committed one is bold. Claims that no run tests are left out.
    """
    known = [{key(row): row for row in found} for found in others.values()]
    heads, counts = ["notebook", "claim", "committed run", *others], collections.Counter[str]()
    lines = [f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]
    for row in rows:
        if row["verdict"] == "not tested here":
            continue
        runs = [row, *(run.get(key(row), {"verdict": row["verdict"]}) for run in known)]
        verdicts = {other["verdict"] for other in runs}
        turned = {"reproduced", "not reproduced"} <= verdicts
        counts["one" if len(verdicts) == 1 else "turned" if turned else "step"] += 1
        told = (verdict(other, "**" * (other["verdict"] != row["verdict"])) for other in runs)
        cells = [row["notebook"], row["claim"].replace("|", "\\|"), *told]
        lines.append(f"| {' | '.join(cells)} |")
    head = (
        f"Of {counts.total()} claims, {counts['one']} have one verdict in all runs that judged "
        f"them. {counts['turned']} turned between *reproduced* and *not reproduced*; the intervals "
        f"say by how much. {counts['step']} moved by one step, to or from *direction only*."
    )
    return head + "\n\n" + "\n".join(lines)


def verdict(row: Row, bold: str) -> str:
    """Return a verdict with its numbers; a dash where the claim was not judged."""
    return f"{bold}{row['verdict']}{bold}: {found(row)}" if "ours" in row else "–"


def key(row: Row) -> tuple[str, str]:
    """Return what tells a claim from all others."""
    return row["notebook"], row["id"]


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
