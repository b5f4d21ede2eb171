"""Tables of claims: in the README from executed notebooks, in `evidence` from what was measured."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import pandas as pd

from kdlab.runs import evidence
from kdlab.runs.claims import FEWEST, HALVES, halves, judge
from kdlab.show.report import MIME
from kdlab.show.words import Row, found, in_words
from kdlab.tools.notebooks import Notebook, code_cells
from kdlab.train.worlds import WORLDS

KEYS = (  # of a row of build/claims.json
    *("notebook", "id", "claim", "paper", "world", "ours", "low", "high", "n", "margin", "unit"),
    *("primary", "outcome"),
)
SPLITS = 200
NOTHING = "Nothing has been measured yet."


def claims(nb: Notebook) -> list[dict[str, Any]]:
    """Return the judged claims that the notebook's outputs carry, a row per claim and world."""
    outputs = [output for cell in code_cells(nb) for output in cell.outputs]
    rows = [row for output in outputs for row in output.get("data", {}).get(MIME, [])]
    return [{key: row[key] for key in KEYS if key in row} for row in rows]


def table(rows: Iterable[Row]) -> str:
    """Return the primary claims as a Markdown table, one line each, the worlds side by side.

    For a page beside the folder notebooks.
    """
    primary = [row for row in rows if row.get("primary")]

    def lead(row: Row) -> list[str]:
        return [_link(row["notebook"], "notebooks"), row["claim"], row["paper"]]

    return _worlds(primary, ["notebook", "claim", "paper"], lead)


def measured(papers: Mapping[str, ModuleType], folder: Path) -> str:
    """Return what the evidence in `folder` says: claims, and how often half of it says the same.

    Args:
        papers: {stem of the notebook: its experiment, with COMPARISONS and claims}.
    """
    parts = []
    for stem, paper in papers.items():
        tables = evidence.tables(stem, paper.COMPARISONS, folder)
        found = paper.claims(tables)
        judged = judge(found, stem)
        if judged["n"].any():
            parts += [f"## {_link(stem, '../notebooks')}", side_by_side(judged)]
            parts.append(_halves(halves(found, SPLITS)))
    return "\n\n".join(parts) or NOTHING


def side_by_side(judged: pd.DataFrame) -> str:
    """Return all claims that have numbers as a Markdown table, the worlds side by side."""

    def lead(row: Row) -> list[str]:
        margin = f"{row['margin']:g} {row['unit']}" if row["primary"] else "also seen"
        return [row["claim"], margin]

    tested = judged[judged["n"] > 0].to_dict("records")
    return _worlds(tested, ["claim", "smallest effect that matters"], lead)


def lengths(runs: pd.DataFrame) -> str:
    """Return the mean accuracy of arms "NAME, N updates" as a Markdown table, a column a length.

    With it, the largest step from one of the last two lengths to the other, and the spread between
    replicates that it stands beside.
    """
    if runs.empty:
        return NOTHING
    parts = runs["arm"].str.extract(r"^(?P<name>.+), (?P<updates>\d+) updates$")
    cells = runs.drop(columns="arm").join(parts.astype({"updates": int}))
    means = cells.pivot_table("accuracy", ["world", "name"], "updates", sort=False)
    spread = cells.groupby(["world", "name", "updates"])["accuracy"].std().groupby("world").mean()
    lines, told = [], []
    for world in dict.fromkeys(runs["world"]):
        for name, row in means.loc[world].iterrows():
            lines.append([in_words(world), name, *(f"{x:.1f}" for x in row)])
        steps = (means.loc[world].iloc[:, -1] - means.loc[world].iloc[:, -2]).round(2)
        moves = ", ".join(f"{name} by {x:+.2f}" for name, x in steps.items())
        told.append(f"{in_words(world)}: {moves}; spread {spread[world]:.2f}")
    heads = ["images", "student", *(f"{n:,}" for n in means.columns)]
    last = "Change over the last doubling, and mean standard deviation between replicates:"
    return f"{markdown(heads, lines)}\n\n{last} {'. '.join(told)}."


def _halves(counts: pd.DataFrame) -> str:
    """Return the table of split halves with its totals."""
    if counts.empty:
        return f"No claim has the {2 * FEWEST} replicates that two halves need."
    body = [
        [row["claim"], in_words(row["world"]), row["n"], *(row[kind] for kind in HALVES)]
        for row in counts.to_dict("records")
    ]
    totals = counts[list(HALVES)].sum()
    shares = ", ".join(f"{kind} {100 * n / totals.sum():.1f} %" for kind, n in totals.items())
    heads = ["claim", "world", "replicates", *HALVES]
    return f"Split halves, {SPLITS} splits of each claim: {shares}.\n\n" + markdown(
        heads, [*body, ["all", "", "", *totals]]
    )


def _worlds(rows: Sequence[Row], heads: Sequence[str], lead: Callable[[Row], list[str]]) -> str:
    """Return a Markdown table with one line per claim and one column per world."""
    met = dict.fromkeys(row["world"] for row in rows)
    worlds = [*(w for w in WORLDS if w in met), *(w for w in met if w not in WORLDS)]
    lines: dict[tuple[str, str], dict[str, Row]] = {}
    for row in rows:
        lines.setdefault((row["notebook"], row["id"]), {})[row["world"]] = row
    body = [
        [*lead(next(iter(line.values()))), *(_cell(line.get(world)) for world in worlds)]
        for line in lines.values()
    ]
    return markdown([*heads, *map(in_words, worlds)], body)


def _cell(row: Row | None) -> str:
    """Return interval and outcome of a claim in one world; a dash where it was not asked."""
    if row is None:
        return "–"
    ours = [str(found(row))] if row["n"] else []
    return ": ".join([*ours, row["outcome"]] if row["outcome"] else ours)


def _link(stem: str, folder: str) -> str:
    return f"[{stem}]({folder}/{stem}.ipynb)"


def markdown(heads: Sequence[str], body: Iterable[Sequence[Any]]) -> str:
    """Return a Markdown table."""
    lines = [heads, ["---"] * len(heads), *body]
    cells = ([str(cell).replace("|", "\\|") for cell in line] for line in lines)
    return "\n".join(f"| {' | '.join(line)} |" for line in cells)


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
