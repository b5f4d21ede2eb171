"""One page A4 for each paper: question, loss, facts, claims with outcomes, two questions."""

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

from kdlab.runs.rows import FOLDER
from kdlab.show.words import found, in_words, where_it_holds
from kdlab.tools import chromium
from kdlab.tools.notebooks import Notebook
from kdlab.tools.outcomes import judged, rows_of
from kdlab.tools.pages import to_html, without_kernel
from kdlab.tools.teaching.parts import (
    IMAGE,
    Part,
    calls,
    numbered,
    parts,
    pictures,
    question,
)
from kdlab.tools.teaching.project import TEMPLATES, before_code

SOURCES = ("citation", "official code", "reported as", "its rival", "names")  # no facts on a method
MISSING = (
    "the sheets are printed by Chromium, and none could be started: install it, or print the .html "
    "files beside them from another browser."
)
LARGEST, SMALLEST, STEP = 10.5, 7.5, 0.25  # pt; what fits on the page is looked for in between
# Chromium's own layout says whether all is on the page; what is too long would be cut off.
FITS = """() => {
  const body = document.body, right = body.getBoundingClientRect().right - 40;
  const maths = [...document.querySelectorAll("math")];
  return body.scrollHeight <= body.clientHeight + 1
    && maths.every((math) => math.getBoundingClientRect().right <= right
      && [...math.querySelectorAll("*")].every((e) => e.getBoundingClientRect().right <= right));
}"""


def to_page(nb: Notebook, stem: str, paper: ModuleType, folder: Path = FOLDER) -> str:
    """Return the sheet of a paper as HTML.

    Args:
        nb: its notebook, with outputs.
        paper: its experiment, with COMPARISONS and claims.
        folder: of the evidence, from which the outcomes come.

    Raises:
        ValueError: the notebook lacks a heading that all notebooks share.
    """
    found_parts = parts(without_kernel(nb))
    (rows,) = judged({stem: paper}, folder).values()
    return TEMPLATES.get_template("sheet.html.j2").render(
        title=found_parts[""].title,
        question=to_html(question(found_parts)),
        loss=to_html(before_code(found_parts["The loss"])),
        facts=[[to_html(cell) for cell in row] for row in _facts(nb)],
        claims=_claims([row for row in rows if row["primary"]]),
        pictures=_pictures(found_parts),
        asked=[to_html(text) for text in numbered(found_parts["Reading group"].texts)[:2]],
    )


def _facts(nb: Notebook) -> list[list[str]]:
    """Return three rows of the notebook's *Paper facts*: what, in the paper, here."""
    text = "\n".join(cell.source for cell in nb.cells if cell.cell_type == "markdown")
    table = text.partition("## Paper facts")[2].partition("## Set-up")[0]
    rows = [
        [cell.strip() for cell in line.strip().strip("|").split("|")]
        for line in table.splitlines()
        if line.startswith("|") and not line.startswith(("| |", "|---"))
    ]
    return [row for row in rows if row[0] not in SOURCES and len(row) == 3][:3]


def _claims(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return each primary claim with where it holds, and its intervals in the worlds measured."""
    lines = []
    for name in dict.fromkeys(row["id"] for row in rows):
        mine = rows_of(rows, name)
        said = [f"{in_words(row['world'])} {found(row)}" for row in mine if row["n"]]
        where = where_it_holds(mine) if said else "not tested here"
        lines.append({"text": mine[0]["claim"], "where": where, "numbers": said})
    return lines


def _pictures(found_parts: Mapping[str, Part]) -> list[str]:
    """Return the dots of the headline, and the first picture to play with; else what there is."""
    dots = [cell for cell in found_parts["Train"].cells if calls(cell, "live")]
    rest = [cell for name in ("Play", "Train") for cell in found_parts[name].cells]
    images = [image for cell in (*dots[:1], *rest) for image in _images(cell)]
    return list(dict.fromkeys(images))[:2]


def _images(cell: Any) -> Iterator[str]:
    for page in pictures(cell):
        yield from IMAGE.findall(page)


def browser(executable: str | None) -> contextlib.AbstractContextManager[Any]:
    """Return what starts the browser that prints; see `kdlab.tools.chromium.started`."""
    return chromium.started(executable, MISSING)


def print_all(pages: Mapping[Path, str], started: Any) -> None:
    """Print {path of the PDF: HTML}, each in the largest letters with which it fits on one page.

    Raises:
        ValueError: a page is too long at the smallest letters.
    """
    page = started.new_page(offline=True)
    page.emulate_media(media="print")
    for path, text in pages.items():
        page.set_content(text)
        size = LARGEST
        while _too_long(page, size) and size > SMALLEST:
            size -= STEP
        if _too_long(page, size):
            raise ValueError(f"{path.stem} does not fit on a page: its notebook tells more.")
        page.pdf(path=path, prefer_css_page_size=True, print_background=True)
    page.close()


def _too_long(page: Any, size: float) -> bool:
    page.evaluate(f"document.body.style.fontSize = '{size}pt'")
    return not page.evaluate(FITS)
