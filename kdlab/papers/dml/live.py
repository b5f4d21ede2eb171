"""Training that one watches: a Train button, a progress bar, a figure that grows, a Stop button.

The training runs in a thread, so that the kernel stays free to hear *Stop*. Widgets and figures are
touched by the kernel's own thread only, which looks four times a second at what was reported.
"""

import asyncio
import html
import threading
import time
import traceback
from collections.abc import Callable
from typing import Any

import ipywidgets as widgets
import pandas as pd
from matplotlib.figure import Figure
from torch import nn

from kdlab.show.panels import ROW
from kdlab.show.plots import bundle

EVERY = 0.25  # seconds between two looks


class StoppedError(Exception):
    """Raised inside the training once *Stop* was pressed."""


class Monitor:
    """What a training gets: a place to report to, which also ends it when *Stop* was pressed."""

    def __init__(self) -> None:
        self.rows: list[dict[str, float]] = []
        self.share = 0.0
        self.stopped = threading.Event()

    def report(self, share: float, **values: float) -> None:
        """Keep `values` as the next row; `share` of the training, in [0, 1], is done.

        Raises:
            StoppedError: *Stop* was pressed.
        """
        self.share = share
        self.rows.append(values)
        self.check()

    def check(self, *_: object) -> None:
        """Raise `StoppedError` if *Stop* was pressed."""
        if self.stopped.is_set():
            raise StoppedError

    def watch(self, method: nn.Module) -> nn.Module:
        """Return `method`, which from now on ends within one forward pass after *Stop*."""
        for part in method.modules():
            part.register_forward_pre_hook(self.check)
        return method


Work = Callable[..., object]


class Live(widgets.VBox):
    """A panel that trains when its button is pressed, and at no other time.

    `state` is "ready", "running", "stopping", "stopped", "done" or "failed". An error in `work`,
    or in `draw`, is shown in the panel with its traceback, and kept in `failures`.

    Args:
        work: ``work(monitor, **values)`` trains, in a thread, and calls ``monitor.report``.
        draw: ``draw(table) -> Figure`` of the reported rows, at least one.
        alt: what the figure shows, for those who cannot see it.
        controls: at most four; their values, by name, are what `work` gets. They cannot be moved
            while it runs.

    Raises:
        ValueError: more than four controls.
    """

    def __init__(
        self, work: Work, draw: Callable[[pd.DataFrame], Figure], alt: str, **controls: Any
    ) -> None:
        if len(controls) > 4:
            raise ValueError(f"a panel got {len(controls)} controls; up to four stay readable.")
        self.work, self.draw, self.alt, self.controls = work, draw, alt, controls
        self.state, self.failures, self.monitor = "ready", list[Exception](), Monitor()
        self.task: asyncio.Task[None] | None = None
        self.start = widgets.Button(description="Train", button_style="primary")
        self.stop = widgets.Button(description="Stop", disabled=True)
        self.bar = widgets.FloatProgress(min=0, max=1, description="progress")
        self.line, self.picture = widgets.HTML("Press Train."), widgets.HTML()
        self.start.on_click(lambda _: self.press())
        self.stop.on_click(lambda _: self.halt())
        row = widgets.HBox([*controls.values()], layout=ROW)
        buttons = widgets.HBox([self.start, self.stop, self.bar])
        super().__init__([row, buttons, self.line, self.picture])

    def press(self) -> None:
        """Start to train, as the Train button does; needs a running event loop, as kernels have."""
        if self.state in ("running", "stopping"):
            return
        self.monitor = Monitor()
        values = {name: control.value for name, control in self.controls.items()}
        thread = threading.Thread(target=self._train, args=(self.monitor, values), daemon=True)
        self.task = asyncio.get_running_loop().create_task(self._follow(thread))
        self._turn("running")

    def halt(self) -> None:
        """Ask the training to end, as the Stop button does; it does so within one forward pass."""
        if self.state == "running":
            self.monitor.stopped.set()
            self._turn("stopping")

    def _train(self, monitor: Monitor, values: dict[str, Any]) -> None:
        try:
            self.work(monitor, **values)
        except StoppedError:
            pass
        except Exception as error:  # a thread has nobody to raise to; `_follow` shows it
            self.failures.append(error)

    async def _follow(self, thread: threading.Thread) -> None:
        """Show what `thread` reports until it ends, then how it ended."""
        before, shown, started = len(self.failures), 0, time.perf_counter()
        thread.start()
        try:
            while thread.is_alive():
                await asyncio.sleep(EVERY)
                shown = self._look(shown)
            self._look(shown)
        except Exception as error:
            self.monitor.stopped.set()
            self.failures.append(error)
        if len(self.failures) > before:
            self._turn("failed")
            told = "".join(traceback.format_exception(self.failures[-1]))
            self.line.value = f"<b>Failed.</b><pre>{html.escape(told)}</pre>"
            return
        self._turn("stopped" if self.monitor.stopped.is_set() else "done")
        self.line.value += f" {time.perf_counter() - started:.1f} s, {self.monitor.share:.0%}."

    def _look(self, shown: int) -> int:
        """Draw the rows if there are more than `shown`; return how many are shown now."""
        rows = list(self.monitor.rows)
        self.bar.value = self.monitor.share
        if len(rows) > shown:
            self.picture.value = bundle(self.draw(pd.DataFrame(rows)), self.alt)["text/html"]
        return len(rows)

    def _turn(self, state: str) -> None:
        """Set the state, and what may be pressed in it."""
        self.state, busy = state, state in ("running", "stopping")
        self.line.value = state.capitalize() + ("..." if busy else ".")
        self.stop.disabled = state != "running"
        for part in (self.start, *self.controls.values()):
            part.disabled = busy


async def drive(live: Live, patience: float = 60.0, **values: Any) -> int:
    """Press Train at `values`, press Stop at the first report; return the rows there were.

    Raises:
        RuntimeError: the training failed, or neither reported nor ended within `patience` seconds.
    """
    kept = {name: live.controls[name].value for name in values}
    for name, value in values.items():
        live.controls[name].value = value
    live.start.click()
    latest = time.perf_counter() + patience
    while not live.monitor.rows and live.state == "running" and time.perf_counter() < latest:
        await asyncio.sleep(0.02)
    live.stop.click()
    while live.state in ("running", "stopping") and time.perf_counter() < latest:
        await asyncio.sleep(0.02)
    for name, value in kept.items():
        live.controls[name].value = value
    if live.failures or live.state not in ("stopped", "done"):
        cause = live.failures[0] if live.failures else None
        raise RuntimeError(f"the training is {live.state!r}, not stopped") from cause
    return len(live.monitor.rows)
