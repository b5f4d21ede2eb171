"""The reader's notes, each with an answer that follows from the outcomes of named claims.

``docs/notes.toml`` names for each note the claims, the heading that answers it, and how an answer
begins; outcomes and numbers come from the evidence.
"""

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kdlab.show.words import Row
from kdlab.tools.anchors import link
from kdlab.tools.outcomes import Judged, rows_of, sentence

FILE = "notes.toml"
KINDS = {  # outcomes, and under which key a note may say how its answer begins
    "reproduced": "yes",
    "contradicted": "no",
    "no effect that matters": "nothing",
}
USUAL = {
    "yes": "It holds here",
    "no": "Here it is the other way round",
    "nothing": "Here it makes no difference that matters",
    "mixed": "It depends on what is asked, and of which images",
    "open": "It is undecided here",
}
KEYS = {"note", "section", "claims", "seen", "answer", *USUAL}
Note = Mapping[str, Any]


def read(docs: Path) -> dict[str, dict[str, Any]]:
    """Return {stem of the notebook: title, notes} of the file in `docs`.

    Raises:
        ValueError: a note lacks its text or heading, has an unknown key, or rests on nothing.
    """
    papers = tomllib.loads((docs / FILE).read_text(encoding="utf-8"))
    for stem, paper in papers.items():
        for note in paper["notes"]:
            name = f"{stem}: {note.get('note', 'a note without a text')!r}"
            if unknown := set(note) - KEYS:
                raise ValueError(f"{name} has {sorted(unknown)}; known are {sorted(KEYS)}.")
            if not {"note", "section"} <= set(note):
                raise ValueError(f"{name} needs both `note` and `section`.")
            if not {"claims", "seen", "answer"} & set(note):
                raise ValueError(f"{name} rests on nothing: give `claims`, `seen` or `answer`.")
    return papers


def answer(note: Note, rows: list[Row]) -> str:
    """Return the answer to a note in one sentence.

    Args:
        rows: the judged claims of its notebook.
    """
    names = [*note.get("claims", ()), *note.get("seen", ())]
    found = [rows_of(rows, name) for name in names]
    parts = [sentence(claim) for claim in found]
    if "answer" in note:
        return "; ".join([note["answer"], *parts]) + "."
    if not any(row["n"] for claim in found for row in claim):
        return "Not tested here yet."
    told = ": ".join(filter(None, [opening(note, rows), "; ".join(parts)]))
    return f"{told[0].upper()}{told[1:]}."


def opening(note: Note, rows: list[Row]) -> str:
    """Return how the answer begins: what all primary claims of the note say together.

    "" where the note has no primary claim, since only these have outcomes. There is no verdict
    before all of them are tested.
    """
    claims = [rows_of(rows, name) for name in note.get("claims", ())]
    if not claims:
        return ""
    if not all(any(row["n"] for row in claim) for claim in claims):
        return "Not all of it is tested here yet"
    told = {row["outcome"] for claim in claims for row in claim if row["n"]}
    decided = told - {"undecided"}
    kind = KINDS[next(iter(decided))] if len(decided) == 1 else "mixed" if decided else "open"
    words = str(note.get(kind, USUAL[kind]))
    return f"{words}, where it is decided" if len(decided) == 1 and decided < told else words


def page(docs: Path, judged: Judged) -> str:
    """Return all notes with their answers as Markdown, a section a paper."""
    parts = []
    for stem, paper in read(docs).items():
        lines = [
            f"- *{note['note']}* {answer(note, list(judged[stem]))} "
            f"See {link(stem, note['section'])}."
            for note in paper["notes"]
        ]
        parts.append(f"### {stem[:2]} · {paper['title']}")
        parts += [paper["invented"]] if "invented" in paper else []
        parts.append("\n".join(lines))
    return "\n\n".join(parts)
