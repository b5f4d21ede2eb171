"""The parts of a notebook's core, by the headings that all notebooks share, and what they show."""

import ast
import html
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from kdlab.show.explorers.base import STILL
from kdlab.tools.notebooks import WIDGET, Notebook
from kdlab.tools.pages import LIVE

FOLD = re.compile(r"<details>.*?</details>", re.DOTALL)  # help, solutions, facts in full
LINKS = re.compile(r"^\[.*\]\(.*\)$", re.MULTILINE)  # a line of links: a projector opens none
IMAGE = re.compile(r"<img\b[^>]*>")


@dataclass
class Part:
    """What stands under one heading: texts (Markdown) and code cells, in order."""

    title: str
    blocks: list[Any] = field(default_factory=list)

    @property
    def texts(self) -> list[str]:
        """The Markdown of this part."""
        return [block for block in self.blocks if isinstance(block, str)]

    @property
    def cells(self) -> list[Any]:
        """The code cells of this part."""
        return [block for block in self.blocks if not isinstance(block, str)]

    def above(self, cell: Any) -> str:
        """Return the text that stands right above `cell`; "" if none does."""
        place = next(i for i, block in enumerate(self.blocks) if block is cell)
        return next((b for b in reversed(self.blocks[:place]) if isinstance(b, str)), "")


def parts(nb: Notebook) -> dict[str, Part]:
    """Return {heading: part} of the core, in order; the title's part has the key "".

    Raises:
        ValueError: a heading that a meeting needs is missing.
    """
    found = {"": Part("")}
    part = found[""]
    for cell in nb.cells:
        if cell.cell_type == "code":
            part.blocks.append(cell)
            continue
        for text in re.split(r"(?m)^(?=##? )", FOLD.sub("", cell.source)):
            head, _, rest = text.partition("\n")
            if head.startswith("## "):
                if head == "## Deeper":
                    return _whole(found)
                part = found[head[3:].strip()] = Part(head[3:].strip())
            elif head.startswith("# "):
                found[""].title = head[2:].strip()
            else:
                rest = text
            if rest.strip():
                part.blocks.append(rest.strip())
    return _whole(found)


def _whole(found: dict[str, Part]) -> dict[str, Part]:
    needed = ("Predict", "Toy case by hand", "The loss", "Train", "Claims", "Play")
    for name in (*needed, "What came later", "Reading group"):
        if name not in found:
            raise ValueError(f"the notebook lacks the heading {name!r}, which all notebooks share.")
    return found


def question(found: dict[str, Part]) -> str:
    """Return the paragraph below the title, without the line of links."""
    return LINKS.sub("", "\n\n".join(found[""].texts)).strip()


def arms(found: dict[str, Part]) -> list[str]:
    """Return what the reader is asked to guess, in the words of the notebook; [] if unknown."""
    for cell in found["Predict"].cells:
        for node in ast.walk(ast.parse(cell.source)):
            match node:
                case ast.Call(func=ast.Name(id="Guesses"), args=[_, ast.Dict() as words, *_]):
                    return [str(v.value) for v in words.values if isinstance(v, ast.Constant)]
    return []


def numbered(texts: list[str]) -> list[str]:
    """Return the items of the numbered lists in `texts`."""
    return re.findall(r"(?m)^\d+\. +(.+)$", "\n".join(texts))


def calls(cell: Any, name: str) -> bool:
    """Tell whether a cell calls the function or method `name`."""
    return re.search(rf"\b{name}\(", cell.source) is not None


def alive(cell: Any) -> bool:
    """Tell whether the cell holds an explorer that moves without a kernel."""
    return any(LIVE in page for page in _pages(cell))


def _pages(cell: Any) -> Iterator[str]:
    yield from (output.get("data", {}).get("text/html", "") for output in cell.outputs)


def pictures(cell: Any) -> list[str]:
    """Return the outputs of a cell that are explorers, pictures or tables, as HTML."""
    live, found = alive(cell), []
    for output in cell.outputs:
        data = output.get("data", {})
        page, image = data.get("text/html", ""), data.get("image/png", "")
        if WIDGET in data or (live and STILL in page):
            continue
        if STILL in page:  # of an explorer that was not run: the picture without its wrapping
            found += IMAGE.findall(page)
        elif "<img" in page or "<table" in page or LIVE in page:
            found.append(page)
        elif image:
            words = html.escape(data.get("text/plain", ""))
            found.append(f'<img alt="{words}" src="data:image/png;base64,{image}">')
    return found


def printed(cell: Any) -> str:
    """Return what a cell printed."""
    return "".join(o.text for o in cell.outputs if o.output_type == "stream").rstrip()
