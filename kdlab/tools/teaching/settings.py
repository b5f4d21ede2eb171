"""Settings of the lab to hand out: the presets of every paper that has some, as text to paste."""

import re
from collections.abc import Iterator
from typing import NamedTuple

from kdlab.lab.hand_out import of_papers, opened, settings
from kdlab.lab.methods import from_papers
from kdlab.lab.rows import PLACES, Stock
from kdlab.tools import readme
from kdlab.tools.teaching.project import TEMPLATES

NONE = "No paper has presets yet."


class HandOut(NamedTuple):
    """One preset: its paper's notebook, its name, what to look at, and the text that is pasted."""

    stem: str
    name: str
    why: str
    text: str

    @property
    def file(self) -> str:
        """The name of the file that holds the text alone."""
        return f"{self.stem}-{re.sub(r'[^a-z0-9]+', '-', self.name.lower()).strip('-')}.txt"


def hand_outs() -> Iterator[HandOut]:
    """Yield the presets of all papers, in the order of the notebooks; none is named here.

    Raises:
        ValueError: the lab would refuse a preset.
    """
    stock = Stock(from_papers(), dict(PLACES))
    for stem, presets in of_papers().items():
        for name, preset in presets.items():
            text = settings(*opened(preset, stock))
            yield HandOut(stem, name, str(preset.get("why", "")), text)


def to_page() -> str:
    """Return a page with all of them, each in a box from which it is copied."""
    return TEMPLATES.get_template("settings.html.j2").render(found=list(hand_outs())) + "\n"


def table() -> str:
    """Return names and reasons as a Markdown table for a page in docs."""
    body = [[f"[{h.stem}](../notebooks/{h.stem}.ipynb)", f"*{h.name}*", h.why] for h in hand_outs()]
    return readme.markdown(("notebook", "preset", "what to look at"), body) if body else NONE
