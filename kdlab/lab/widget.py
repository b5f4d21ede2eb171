"""The lab as one sees it: a widget whose numbers come from `kdlab.lab.bench`.

Python sends one state, JavaScript draws it and sends what was pressed. The output that a notebook
keeps is plain HTML: `lab.js` puts the live lab in its place as long as the kernel has it. So a
notebook that is opened without a kernel shows a table, and no error.
"""

import sqlite3
import threading
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import anywidget
import pandas as pd
import traitlets

from kdlab.lab import hand_out, results, view
from kdlab.lab.bench import Bench
from kdlab.lab.book import Book
from kdlab.lab.methods import from_papers
from kdlab.lab.rows import MINE, PLACES, Stock, WrongError, number, own_place, row_of
from kdlab.runs.compare import as_table, processes

HERE = Path(__file__).parent


class Lab(anywidget.AnyWidget):
    """The lab; see `kdlab.lab.lab` for the arguments.

    Outside of JupyterLab and Notebook, show it in a box: ``ipywidgets.VBox([my_lab])``.
    """

    _esm, _css = HERE / "lab.js", HERE / "lab.css"
    offer = traitlets.Dict().tag(sync=True)
    state = traitlets.Dict().tag(sync=True)

    def __init__(
        self,
        start: Any,
        methods: Mapping[str, Any],
        data: Any,
        teacher: Any,
        n_jobs: int | None,
        dask: str | None = None,
    ) -> None:
        self._presets, self._lock = hand_out.presets_of(start), threading.RLock()
        own = {} if data is None else {MINE: own_place(data)}
        stock = Stock(from_papers(), {**own, **PLACES}, teacher)
        self.bench = Bench(stock, processes(n_jobs), Book(), self._moved, dask)
        for name, source in methods.items():
            self.bench.learn(name, source)
        self._said: dict[str, Any] = {"n": 0, "text": "", "bad": False, "field": ""}
        self._notice, self._preset = "", next(iter(self._presets))
        self.bench.restart(*hand_out.opened(self._presets[self._preset], stock))
        self._press_draft({"method": [*methods, "KD"][0]})
        self._id = uuid.uuid4().hex  # by which `lab.js` finds the page that the notebook keeps
        super().__init__(**self._now())
        self.on_msg(self._heard)

    # --- for Python -----------------------------------------------------------------------------

    def add(self, loss: Any, name: str = "") -> None:
        """Take a loss of your own, or another version of it, see `kdlab.lab.lab`."""
        with self._lock:
            name = name or getattr(loss, "__name__", "my loss")
            self.bench.learn(name, loss)
            self._press_draft({"method": name})
            self._push()

    def runs(self) -> pd.DataFrame:
        """Return the finished runs of the rows: arm, seed, and what was measured."""
        tracks = self.bench.tracks
        names = {who: (f"{who}: {t.row.words(self.bench.stock)}",) for who, t in tracks.items()}
        rows = {(w, r): row for w in tracks for r, row in sorted(self.bench.shown(w).items())}
        return as_table(rows, names, ("arm",))

    def as_python(self) -> str:
        """Return lines of Python that make the same rows."""
        return hand_out.as_python(self.bench.rows, self.bench.seeds, self.bench.stock)

    def settings(self) -> str:
        """Return the rows as a short text, to hand out."""
        return hand_out.settings(self.bench.rows, self.bench.replicates)

    # --- what is pressed ------------------------------------------------------------------------

    def _heard(self, _: object, content: dict[str, Any], __: object) -> None:
        """Do what was pressed, and say it, or what is wrong with it."""
        what = {key: value for key, value in content.items() if key != "do"}
        with self._lock:
            said = {"n": self._said["n"] + 1, "bad": False, "field": "", "text": ""}
            try:
                said["text"] = getattr(self, f"_press_{content['do']}")(**what) or ""
            except ValueError as error:
                said |= {"text": str(error), "bad": True, "field": getattr(error, "field", "")}
            except Exception as error:
                said |= {"text": f"This failed: {type(error).__name__}: {error}", "bad": True}
                raise
            finally:
                self._said = said
                self._push()

    def _press_draft(self, row: Mapping[str, Any], editing: int | None = None) -> None:
        """Take the row that stands in the form; keep what is wrong with it beside it."""
        stock, wrong, plain, words = self.bench.stock, {}, dict(row), ""
        try:
            made = row_of(row, stock)
            plain, words = made.plain(), made.words(stock)
        except WrongError as error:
            wrong = {"field": error.field, "text": str(error)}
        self._draft = {"row": plain, "words": words, "wrong": wrong, "editing": editing}

    def _press_add(self, row: dict[str, Any], editing: int | None = None) -> str:
        made = row_of(row, self.bench.stock)
        who = self.bench.put(made, editing)
        self._press_draft(row)
        return f"Arm {who}: {made.words(self.bench.stock)}."

    def _press_remove(self, who: int) -> str:
        del self.bench.tracks[who]
        return f"Arm {who} is removed; its runs are kept."

    def _press_count(self, n: Any) -> None:
        most = hand_out.MOST_REPLICATES
        self.bench.replicates = number("replicates", n, 1, most, whole=True)
        self.bench.read()

    def _press_train(self) -> str:
        if self.bench.train():
            return "The training has started."
        return "It is running already." if self.bench.training.busy else "Nothing is missing."

    def _press_stop(self) -> str:
        self.bench.training.stop()
        return "Stopping. What has finished is kept."

    def _press_preset(self, name: str) -> str:
        self._preset = name
        self.bench.restart(*hand_out.opened(self._presets[name], self.bench.stock))
        return f"The arms are those of “{name}”."

    def _press_paste(self, text: str) -> str:
        self.bench.restart(*hand_out.pasted(text, self.bench.stock))
        return f"Pasted; arms: {len(self.bench.rows)}."

    def _press_give(self, what: str) -> None:
        """Send a text to take home: "python", "settings" or "csv"."""
        give = {"python": self.as_python, "settings": self.settings, "csv": self.bench.book.csv}
        self.send({"what": what, "text": give[what]()})

    def _press_images(self, first: int, second: int) -> None:
        bench = self.bench
        one, two = ((bench.tracks[who].row, bench.shown(who)) for who in (first, second))
        found = results.images(*one, *two, bench.stock)
        self.send({"what": "images", "pair": f"{first}-{second}", **found})

    def _press_costs(self) -> None:
        tracks, stock = self.bench.tracks, self.bench.stock
        rows = {w: results.cost(t.row, self.bench.shown(w), stock) for w, t in tracks.items()}
        self.send({"what": "costs", "rows": rows})

    def _press_note(self, key: str, text: str) -> str:
        self.bench.book.note(key, text)
        return "The note is kept."

    def _press_forget(self, key: str) -> str:
        self.bench.book.delete(key)
        return "Deleted from the lab book."

    # --- what is shown --------------------------------------------------------------------------

    def _moved(self) -> None:
        """A training moved on; called from its thread, which goes on where the book is locked."""
        with self._lock:
            self.bench.read()
            try:
                self._push()
            except sqlite3.Error as error:  # the next push shows the notice
                self._notice = f"The lab book {self.bench.book.path} cannot be read: {error}."

    def _push(self) -> None:
        """Send what is to be seen. The lock keeps two threads from sending at once."""
        with self._lock:
            for name, value in self._now().items():
                self.set_trait(name, value)

    def _now(self) -> dict[str, dict[str, Any]]:
        self._notice = self.bench.book.mend() or self._notice
        why = self._presets[self._preset].get("why", "")
        here = {"draft": self._draft, "said": self._said, "notice": self._notice}
        here["preset"] = {"name": self._preset, "why": why}
        offer = view.offer(self.bench.stock, self._presets) | {"id": self._id}
        return {"offer": offer, "state": view.state(self.bench) | here}

    def _repr_mimebundle_(self, **_: object) -> dict[str, str]:  # type: ignore[override]
        """Return the page that a notebook keeps; `lab.js` puts the live lab into it."""
        page, text = view.static(self.bench)
        mark = f'<div data-kdlab-lab="{self._id}">{page}</div>'
        return {"text/html": mark, "text/plain": text}
