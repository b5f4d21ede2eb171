"""The map of the papers: what ``docs/map.toml`` says of who builds on whom, and the page of it."""

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kdlab.tools import notes
from kdlab.tools.outcomes import Judged, grid, rows_of, sentence
from kdlab.tools.readme import markdown

FILE = "map.toml"
WORDS = {  # of edges, and what they mean
    "builds on": "takes it as a part of its own method",
    "adds to": "is meant to stand beside it",
    "resembles": "has the same idea in another form",
    "claims to beat": "says that it is better",
    "explains": "says why it works, or why it fails",
    "asks back": "doubts that it holds everywhere",
    "contradicts": "says that it is not so",
}
Paper = Mapping[str, Any]
Edge = Mapping[str, Any]


def read(docs: Path) -> tuple[dict[str, Paper], list[Edge]]:
    """Return {id: paper} and the edges of the file in `docs`.

    Raises:
        ValueError: an edge names a paper that is not there, or has a word without a meaning.
    """
    found = tomllib.loads((docs / FILE).read_text(encoding="utf-8"))
    papers = {paper["id"]: paper for paper in found["paper"]}
    for edge in found["edge"]:
        name = f"the edge from {edge['from']!r} to {edge['to']!r}"
        if unknown := [end for end in (edge["from"], edge["to"]) if end not in papers]:
            raise ValueError(f"{name}: there is no paper {unknown[0]!r} in {', '.join(papers)}.")
        if edge["word"] not in WORDS:
            raise ValueError(f"{name} says {edge['word']!r}; known are {', '.join(WORDS)}.")
    return papers, found["edge"]


def parts(docs: Path, judged: Judged) -> dict[str, str]:
    """Return {name of the marks in ``map.md``: what stands between them}."""
    return {
        "words": "\n".join(f"- *{word}*: {means}" for word, means in WORDS.items()),
        "relations": relations(docs, judged),
        "outcomes": grid(judged),
        "notes": notes.page(docs, judged),
    }


def relations(docs: Path, judged: Judged) -> str:
    """Return the edges as a Markdown table: who, what, whom, and what was found here."""
    papers, edges = read(docs)
    body = []
    for edge in edges:
        one, other = papers[edge["from"]], papers[edge["to"]]
        rows = list(judged[one["stem"]])
        named = [*edge.get("claims", ()), *edge.get("seen", ())]
        here = "; ".join(sentence(rows_of(rows, name)) for name in named)
        body.append([_link(one), edge["word"], _link(other), edge["says"], here or "no claim"])
    return markdown(["paper", "word", "of which", "what it says", "here"], body)


def _link(paper: Paper) -> str:
    stem = paper["stem"]
    text = f"{paper['name']}, {paper['who']} {paper['column']} ({stem[:2]})"
    return f"[{text}](../notebooks/{stem}.ipynb)"
