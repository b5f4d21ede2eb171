"""What a cell displays as HTML and as text: a sentence, a table, and a fold around an answer."""

import html
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pandas as pd


@dataclass(frozen=True)
class Shown:
    """What a notebook displays: `html`, or `text` where HTML cannot be shown."""

    html: str
    text: str

    def _repr_html_(self) -> str:
        return self.html

    def __repr__(self) -> str:
        return self.text


def folded(content_html: str, summary: str, opened: bool = False) -> str:
    """Return HTML that shows `summary`, a plain text, and `content_html` once it is opened.

    What answers a guess lies in a fold. `opened` lasts while the reader's kernel runs: a stored
    notebook and a page have every fold closed, see `kdlab.tools.notebooks.clean`.
    """
    mark = " open" if opened else ""
    return f"<details{mark}><summary>{html.escape(summary)}</summary>{content_html}</details>"


def told(text: str) -> Shown:
    """Return a sentence."""
    return Shown(f"<p>{html.escape(text)}</p>", text)


def as_table(rows: Sequence[Mapping[str, str]], caption: str, below: str = "") -> Shown:
    """Return `rows` of text, named by their first column, with a sentence `below`."""
    frame = pd.DataFrame(rows)
    frame = frame.set_index(frame.columns[0]).rename_axis(index=None)
    head = f"<caption>{html.escape(caption)}</caption><thead>"
    page = frame.to_html(border=0).replace("<thead>", head, 1)
    rest = told(below) if below else Shown("", "")
    return Shown(page + rest.html, f"{frame.to_string()}\n{rest.text}".rstrip())
