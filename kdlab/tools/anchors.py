"""Headings of notebooks and pages, and links to them.

Anchors are those of GitHub and of MyST: small letters, hyphens for blanks. GitHub shows a notebook
in a frame that no anchor reaches, so the text of a link names the heading, too.
"""

import re
from collections import Counter
from pathlib import Path

from kdlab.tools import notebooks


def slug(title: str) -> str:
    """Return the anchor of a heading.

    >>> slug('What stands between a block and *its* "classifier"?')
    'what-stands-between-a-block-and-its-classifier'
    """
    return re.sub(r"[^\w\- ]", "", title.strip().lower()).replace(" ", "-")


def headings(page: Path) -> dict[str, str]:
    """Return {anchor: title} of a Markdown page or a notebook; what stands in fences is left out.

    A title that was met before gets a number, as on GitHub. Of a link its text counts.
    """
    if page.suffix == ".ipynb":
        cells = notebooks.read(page).cells
        source = "\n\n".join(cell.source for cell in cells if cell.cell_type == "markdown")
    else:
        source = page.read_text(encoding="utf-8")
    found, met, fenced = dict[str, str](), Counter[str](), False
    for line in source.splitlines():
        fenced ^= line.lstrip().startswith("```")
        title = re.match(r"#{1,6} +(.+)", line)
        if title and not fenced:
            text = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", title[1]).strip()
            name = slug(text)
            found[f"{name}-{met[name]}" if met[name] else name] = text
            met[name] += 1
    return found


def link(stem: str, heading: str, text: str = "") -> str:
    """Return a link from a page of docs to a heading of a notebook.

    >>> link("05_rkd", "The loss")
    '[05, *The loss*](../notebooks/05_rkd.ipynb#the-loss)'
    """
    text = text or f"{stem[:2]}, *{heading}*"
    return f"[{text}](../notebooks/{stem}.ipynb#{slug(heading)})"
