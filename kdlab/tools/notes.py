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
from kdlab.tools.outcomes import Judged, rows_of, sentence, side

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
LOOKS = {  # where all intervals of a note lie that rests on what is also seen
    "above 0": "It looks so here",
    "below 0": "Here it looks the other way round",
    "on both sides of 0": "It stays open here",
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
    if "answer" in note:
        return f"{note['answer']}."
    return f"{(_decided if note.get('claims') else _looks)(note, rows)}."


def grounds(note: Note, rows: list[Row]) -> list[str]:
    """Return what the answer rests on: each claim of the note with its outcomes."""
    named = [*note.get("claims", ()), *note.get("seen", ())]
    found = [sentence(rows_of(rows, name)) for name in named]
    return [f"{told[0].upper()}{told[1:]}." for told in found]


def _decided(note: Note, rows: list[Row]) -> str:
    """Return what all primary claims of the note say together, once all of them are tested."""
    claims = [rows_of(rows, name) for name in note["claims"]]
    tested = [any(row["n"] for row in claim) for claim in claims]
    if not all(tested):
        return "Not all of it is tested here yet" if any(tested) else "Not tested here yet"
    told = {row["outcome"] for claim in claims for row in claim if row["n"]}
    decided = told - {"undecided"}
    kind = KINDS[next(iter(decided))] if len(decided) == 1 else "mixed" if decided else "open"
    words = str(note.get(kind, USUAL[kind]))
    return f"{words}, where it is decided" if len(decided) == 1 and decided < told else words


def _looks(note: Note, rows: list[Row]) -> str:
    """Return where the intervals of a note without primary claims lie: they have no outcome."""
    found = [row for name in note["seen"] for row in rows_of(rows, name) if row["n"]]
    sides = {side(row) for row in found}
    if not sides:
        return "Not tested here yet"
    if len(sides) == 1:
        return LOOKS[sides.pop()]
    return USUAL["mixed"] if "below 0" in sides else "It looks so here in part"


def page(docs: Path, judged: Judged) -> str:
    """Return all notes with their answers as Markdown, a section a paper."""
    parts = []
    for stem, paper in read(docs).items():
        lines, rows = list[str](), list(judged[stem])
        for note in paper["notes"]:
            told, where = answer(note, rows), link(stem, note["section"])
            lines.append(f"- *{note['note']}* **{told}** See {where}.")
            lines += [f"  - {ground}" for ground in grounds(note, rows)]
        parts.append(f"### {stem[:2]} · {paper['title']}")
        parts += [paper["invented"]] if "invented" in paper else []
        parts.append("\n".join(lines))
    return "\n\n".join(parts)
