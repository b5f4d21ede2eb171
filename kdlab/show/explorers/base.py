"""One explorer: data and a setting from Python, a picture that a small ES module draws of them."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import anywidget
import traitlets
from IPython.display import display

FOLDER = Path(__file__).parent
VIEW = "application/vnd.jupyter.widget-view+json"
STILL = "kdlab-still"
# Hides the still picture while the explorer before it is alive, and the explorer where it is not:
# a notebook that was saved and opened again would show an error in its place. JupyterLab says of a
# widget's output only that it is a panel. Where a viewer strips styles it shows no widget either.
STYLE = (
    f".jp-OutputArea-child:has(.kdlab-explorer)+.jp-OutputArea-child:has(.{STILL}),"
    ".jp-OutputArea-child:has(>.lm-Panel.jp-OutputArea-output):not(:has(.kdlab-explorer))"
    f":has(+.jp-OutputArea-child .{STILL}){{display:none}}"
)


def module(kind: str) -> str:
    """Return the ES module of a kind: one text without imports, so that a page can hold it."""
    parts = (FOLDER / "shared.js", FOLDER / f"{kind}.js")
    return "\n".join(part.read_text(encoding="utf-8") for part in parts)


class Explorer(anywidget.AnyWidget):
    """A picture of `data` that is drawn anew while a control moves.

    Args:
        kind: the file of its module, see `module`.
        data: what is shown, as JSON; a kind says what it needs.
        setting: {control: value} to begin with, and where the reader is now.
        fold: a title under which it lies, closed, where it answers a guess.
    """

    _esm = traitlets.Unicode().tag(sync=True)
    _css = traitlets.Unicode().tag(sync=True)
    data = traitlets.Dict().tag(sync=True)
    setting = traitlets.Dict().tag(sync=True)
    fold = traitlets.Unicode().tag(sync=True)

    def __init__(
        self, kind: str, data: Mapping[str, Any], setting: Mapping[str, Any], fold: str = ""
    ) -> None:
        css = (FOLDER / "explorer.css").read_text(encoding="utf-8")
        super().__init__(
            _esm=module(kind), _css=css, data=dict(data), setting=dict(setting), fold=fold
        )

    def show(self, still: Callable[[], dict[str, str]]) -> None:
        """Display the explorer, then the picture that stands where there is no kernel.

        Args:
            still: returns it as `kdlab.show.plots.bundle` does. It is asked when the explorer is
                alive already, since matplotlib takes seconds to import.
        """
        view = {"model_id": self.model_id, "version_major": 2, "version_minor": 0}
        display({VIEW: view, "text/plain": ""}, raw=True)
        display(as_still(still()), raw=True)


def as_still(picture: Mapping[str, str]) -> dict[str, str]:
    """Return a displayed `picture` as one that is seen only where no explorer is alive."""
    page = f"{picture['text/html']}<p>A still picture. Run this cell, and it moves.</p>"
    return {**picture, "text/html": f'<style>{STYLE}</style><div class="{STILL}">{page}</div>'}
