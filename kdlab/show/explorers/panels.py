"""Panels: a pure ``draw(...) -> Figure`` behind at most four controls, that fails loudly.

A picture is drawn once and kept. While somebody looks at the panel, the kernel draws in its pauses
what a single move of one control would show, so that a move is answered at once.
"""

import asyncio
import os
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

from matplotlib.figure import Figure

from kdlab.show.explorers.base import Explorer
from kdlab.show.plots import bundle

Draw = Callable[..., Figure]
Places = tuple[int, ...]  # of all controls, in their order
AHEAD = "KDLAB_FRAMES"  # set: all single moves are drawn at once, for a page without a kernel
PAUSE = 0.02  # seconds between two pictures that nobody asked for: a cell can start there


class Control(NamedTuple):
    """What a reader turns: `values`, their `texts`, and the place of the one it begins with."""

    kind: str
    label: str
    texts: tuple[str, ...]
    values: tuple[Any, ...]
    start: int


def slider(label: str, options: Sequence[Any], value: Any) -> Control:
    """Return a slider over `options`, each a value or a pair (text, value), that starts at `value`.

    Raises:
        ValueError: `value` is none of the options.
    """
    return _control("slider", label, options, value)


def choice(label: str, options: Sequence[Any], value: Any) -> Control:
    """Return a row of buttons, one for each of `options`: a value or a pair (text, value).

    Raises:
        ValueError: `value` is none of the options.
    """
    return _control("choice", label, options, value)


def _control(kind: str, label: str, options: Sequence[Any], value: Any) -> Control:
    pairs = [o if isinstance(o, tuple) and len(o) == 2 else (_said(o), o) for o in options]
    texts, values = zip(*pairs, strict=True) if pairs else ((), ())
    if value not in values:
        raise ValueError(f"{label} starts at {value!r}, which is none of {list(texts)}.")
    return Control(kind, label, tuple(map(str, texts)), values, values.index(value))


def _said(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


class Panel:
    """Controls, a reset button, and the figure of their values; see `panel`."""

    def __init__(self, draw: Draw, alt: str, controls: dict[str, Control]) -> None:
        self.draw, self.alt, self.controls = draw, alt, controls
        self.start: Places = tuple(c.start for c in controls.values())
        self.pictures: dict[Places, dict[str, str]] = {}
        self.first = self._bundle(self.start)
        self._keep(self.start, self.first)
        if os.environ.get(AHEAD):
            for places in self.around(self.start):
                self.picture(places)
        shown = [
            {"key": name, "kind": c.kind, "label": c.label, "texts": c.texts}
            for name, c in controls.items()
        ]
        start = dict(zip(controls, self.start, strict=True))
        pictures = {_name(places): found for places, found in self.pictures.items()}
        data = {"controls": shown, "start": start, "pictures": pictures}
        self.explorer = Explorer("frames", data, start)
        self.explorer.on_msg(self._heard)
        self._ahead: Iterator[Places] = iter(())
        self._drawing = False

    def _ipython_display_(self) -> None:
        self.explorer.show(lambda: self.first)

    def at(self, places: Places) -> dict[str, Any]:
        """Return {name of a control: its value}."""
        pairs = zip(self.controls.items(), places, strict=True)
        return {name: control.values[place] for (name, control), place in pairs}

    def around(self, places: Places) -> Iterator[Places]:
        """Yield all that one move of one control can reach, the near ones first."""
        sizes = [len(control.values) for control in self.controls.values()]
        moves = [(i, j) for i, size in enumerate(sizes) for j in range(size) if j != places[i]]
        for i, j in sorted(moves, key=lambda move: abs(move[1] - places[move[0]])):
            yield (*places[:i], j, *places[i + 1 :])

    def picture(self, places: Places) -> dict[str, str]:
        """Return what the page gets for these places: the picture, or the error in its place."""
        if places not in self.pictures:
            try:
                self._keep(places, self._bundle(places))
            except Exception as error:  # the reader sees it where the picture would be
                told = f"{type(error).__name__}: {error}"
                self.pictures[places] = {"error": told, "alt": told}
        return self.pictures[places]

    def _bundle(self, places: Places) -> dict[str, str]:
        at = self.at(places)
        return bundle(self.draw(**at), self.alt.format(**at))

    def _keep(self, places: Places, made: dict[str, str]) -> None:
        source = f"data:image/png;base64,{made['image/png']}"
        self.pictures[places] = {"src": source, "alt": made["text/plain"]}

    def _heard(self, _: object, content: dict[str, Any], __: object) -> None:
        """Answer the page: it wants a picture, or ("") says that somebody looks."""
        places = self.start
        if content.get("want"):
            places = tuple(int(place) for place in content["want"].split(","))
            self._send(places)
        self._ahead = self.around(places)
        if not self._drawing:
            self._drawing = True
            asyncio.get_event_loop().call_later(PAUSE, self._draw_ahead)

    def _draw_ahead(self) -> None:
        """Draw one picture that nobody asked for yet, then leave the kernel to others."""
        places = next((p for p in self._ahead if p not in self.pictures), None)
        self._drawing = places is not None
        if places is not None:
            self._send(places)
            asyncio.get_event_loop().call_later(PAUSE, self._draw_ahead)

    def _send(self, places: Places) -> None:
        self.explorer.send({"name": _name(places), "picture": self.picture(places)})


def _name(places: Places) -> str:
    return ",".join(map(str, places))


def panel(draw: Draw, alt: str, **controls: Control) -> Panel:
    """Return `controls`, a reset button and the figure that `draw` makes of their values.

    `draw` looks results up and draws; it never trains. It is called once at the start: what fails
    there fails the cell.

    Args:
        draw: takes the controls' values by name, returns a figure.
        alt: what the figure shows, for those who cannot see it; may name controls in braces.
        controls: at most four, by the name of the argument they set.

    Raises:
        ValueError: more than four controls.
    """
    if not 1 <= len(controls) <= 4:
        raise ValueError(f"a panel got {len(controls)} controls; one to four stay readable.")
    return Panel(draw, alt, controls)


def drive(box: Panel) -> int:
    """Move every control of a panel to both ends; return the number of moves.

    Raises:
        RuntimeError: a move failed, with the control and the value.
    """
    moves = 0
    for i, (name, control) in enumerate(box.controls.items()):
        for place in (0, len(control.values) - 1):
            places = (*box.start[:i], place, *box.start[i + 1 :])
            try:
                box._bundle(places)
            except Exception as error:
                told = f"the panel fails at {name} = {control.values[place]!r}"
                raise RuntimeError(told) from error
            moves += 1
    return moves
