"""The Train button: it trains when pressed, stops when told, and shows what went wrong."""

import asyncio
import threading
import time
from collections.abc import Callable, Coroutine
from typing import Any

import ipywidgets as widgets
import pandas as pd
import pytest
import torch
from matplotlib.figure import Figure

from kdlab.data import Data
from kdlab.models import build
from kdlab.papers.dml import live
from kdlab.papers.dml.live import Live, Monitor, StoppedError, drive
from kdlab.papers.dml.method import DML, DMLInTurn
from kdlab.show.panels import choice
from kdlab.show.plots import figure
from kdlab.train.fit import fit
from kdlab.train.recipe import Recipe

ALT = "The loss of two peers against the number of updates."


@pytest.fixture(autouse=True)
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    """Look every hundredth of a second."""
    monkeypatch.setattr(live, "EVERY", 0.01)


def line(table: pd.DataFrame) -> Figure:
    fig, ax = figure(size=(2, 1))
    ax.plot(table["loss"])
    return fig


def steps(n: int, pause: float = 0.01) -> Callable[..., None]:
    """Return a training of `n` reports, from 0 on."""

    def work(monitor: Monitor, **_: Any) -> None:
        for step in range(n):
            monitor.report((step + 1) / n, loss=float(step))
            time.sleep(pause)

    return work


async def until(live: Live, *states: str) -> None:
    for _ in range(1000):
        if live.state in states:
            return
        await asyncio.sleep(0.01)
    raise AssertionError(f"{live.state!r} after 10 s, expected {states}")


def run(story: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
    return asyncio.run(story())


def test_nothing_runs_before_the_button_is_pressed():
    called = []
    panel = Live(lambda monitor: called.append(1), line, ALT)
    assert (panel.state, called, panel.task) == ("ready", [], None)
    assert panel.stop.disabled and not panel.start.disabled


def test_it_runs_to_the_end_and_draws_every_row():
    async def story() -> None:
        panel = Live(steps(5), line, ALT)
        panel.start.click()
        assert panel.state == "running" and panel.start.disabled and not panel.stop.disabled
        await until(panel, "done")
        assert [row["loss"] for row in panel.monitor.rows] == [0, 1, 2, 3, 4]
        assert panel.bar.value == 1
        assert f'alt="{ALT}"' in panel.picture.value
        assert panel.line.value.startswith("Done.") and "100%" in panel.line.value
        assert not panel.start.disabled and panel.stop.disabled and panel.failures == []

    run(story)


def test_the_last_rows_are_drawn_when_it_ends_between_two_looks():
    tables: list[int] = []

    def draw(table: pd.DataFrame) -> Figure:
        tables.append(len(table))
        return line(table)

    async def story() -> None:
        panel = Live(steps(7, pause=0.0), draw, ALT)
        panel.press()
        await until(panel, "done")

    run(story)
    assert tables[-1] == 7 and tables == sorted(set(tables))


def test_stop_ends_it_and_keeps_what_there_is():
    async def story() -> None:
        panel = Live(steps(10_000), line, ALT)
        panel.start.click()
        while len(panel.monitor.rows) < 3:
            await asyncio.sleep(0.01)
        panel.stop.click()
        assert panel.state == "stopping" and panel.stop.disabled and panel.start.disabled
        await until(panel, "stopped")
        rows = len(panel.monitor.rows)
        assert 3 <= rows < 100 and 0 < panel.bar.value < 0.01
        await asyncio.sleep(0.05)
        assert len(panel.monitor.rows) == rows  # nothing goes on behind the panel
        assert panel.line.value.startswith("Stopped.")

    run(story)


def test_it_can_be_pressed_again_and_starts_afresh():
    async def story() -> None:
        panel = Live(steps(3), line, ALT)
        for _ in range(2):
            panel.start.click()
            await until(panel, "done")
            assert len(panel.monitor.rows) == 3

    run(story)


def test_a_second_press_while_it_runs_starts_nothing():
    async def story() -> None:
        panel = Live(steps(5), line, ALT)
        panel.press()
        monitor, task = panel.monitor, panel.task
        panel.press()
        assert panel.monitor is monitor and panel.task is task
        panel.halt()
        panel.press()
        assert panel.monitor is monitor
        await until(panel, "stopped")

    run(story)


def test_stop_without_a_run_does_nothing():
    panel = Live(steps(1), line, ALT)
    panel.halt()
    assert panel.state == "ready" and not panel.monitor.stopped.is_set()


def test_the_training_leaves_the_loop_free():
    """The kernel's own thread hears other messages while a step takes long."""

    async def story() -> list[str]:
        names: list[str] = []

        def work(monitor: Monitor) -> None:
            names.append(threading.current_thread().name)
            time.sleep(0.2)

        panel, beats = Live(work, line, ALT), 0
        panel.press()
        while panel.state == "running":
            await asyncio.sleep(0.01)
            beats += 1
        assert beats > 5
        return names

    assert run(story) != [threading.current_thread().name]


def test_figures_are_drawn_by_the_kernels_thread():
    drawn = set()

    def draw(table: pd.DataFrame) -> Figure:
        drawn.add(threading.current_thread())
        return line(table)

    async def story() -> None:
        panel = Live(steps(3), draw, ALT)
        panel.press()
        await until(panel, "done")

    run(story)
    assert drawn == {threading.current_thread()}


def fails(monitor: Monitor) -> None:
    monitor.report(0.5, loss=1.0)
    raise ZeroDivisionError("no <loss> today")


def test_an_error_in_the_training_is_shown_and_kept():
    async def story() -> None:
        panel = Live(fails, line, ALT)
        panel.start.click()
        await until(panel, "failed")
        assert isinstance(panel.failures[0], ZeroDivisionError)
        assert "no &lt;loss&gt; today" in panel.line.value and "in fails" in panel.line.value
        assert panel.picture.value  # what was reported before is there
        assert not panel.start.disabled and panel.stop.disabled

    run(story)


def test_an_error_in_the_figure_is_shown_and_ends_the_training():
    def draw(table: pd.DataFrame) -> Figure:
        raise KeyError("accuracy")

    async def story() -> None:
        panel = Live(steps(10_000), draw, ALT)
        panel.start.click()
        await until(panel, "failed")
        assert isinstance(panel.failures[0], KeyError) and "accuracy" in panel.line.value
        rows = len(panel.monitor.rows)
        await asyncio.sleep(0.05)
        assert len(panel.monitor.rows) <= rows + 1

    run(story)


def test_an_error_of_an_earlier_run_does_not_fail_the_next():
    async def story() -> None:
        control = choice("what", [0, 1], 1)

        def work(monitor: Monitor, bad: int) -> None:
            monitor.report(1.0, loss=0.0)
            if bad:
                raise ValueError("bad")

        panel = Live(work, line, ALT, bad=control)
        panel.press()
        await until(panel, "failed")
        control.value = 0
        panel.press()
        await until(panel, "done")

    run(story)


def test_controls_are_passed_on_and_cannot_be_moved_meanwhile():
    got: list[dict[str, Any]] = []

    def work(monitor: Monitor, **values: Any) -> None:
        got.append(values)
        monitor.report(1.0, loss=0.0)

    async def story() -> None:
        panel = Live(work, line, ALT, weight=choice("weight", [0.0, 1.0], 1.0))
        panel.press()
        assert panel.controls["weight"].disabled
        await until(panel, "done")
        assert not panel.controls["weight"].disabled

    run(story)
    assert got == [{"weight": 1.0}]


def test_at_most_four_controls():
    many = {f"c{i}": choice(str(i), [1], 1) for i in range(5)}
    with pytest.raises(ValueError, match="got 5 controls"):
        Live(steps(1), line, ALT, **many)


def test_without_a_running_loop_it_says_so_and_stays_ready():
    panel = Live(steps(1), line, ALT)
    with pytest.raises(RuntimeError, match="no running event loop"):
        panel.press()
    assert panel.state == "ready"


# --- drive --------------------------------------------------------------------------------------


def test_drive_presses_stops_and_puts_the_controls_back():
    got: list[int] = []

    def work(monitor: Monitor, n: int) -> None:
        got.append(n)
        steps(n)(monitor)

    async def story() -> None:
        panel = Live(work, line, ALT, n=choice("n", [5, 10_000], 5))
        assert await drive(panel, n=10_000) < 1000
        assert panel.state == "stopped" and panel.controls["n"].value == 5

    run(story)
    assert got == [10_000]


@pytest.mark.parametrize("cause", ["work", "draw"])
def test_drive_raises_what_the_panel_shows(cause: str):
    def draw(table: pd.DataFrame) -> Figure:
        raise ZeroDivisionError

    panel = Live(fails, line, ALT) if cause == "work" else Live(steps(100), draw, ALT)

    async def story() -> None:
        with pytest.raises(RuntimeError, match="the training is 'failed'") as caught:
            await drive(panel)
        assert isinstance(caught.value.__cause__, ZeroDivisionError)

    run(story)


def test_drive_does_not_wait_for_ever():
    def deaf(monitor: Monitor) -> None:
        time.sleep(0.5)

    async def story() -> None:
        with pytest.raises(RuntimeError, match="'stopping', not stopped"):
            await drive(Live(deaf, line, ALT), patience=0.1)
        await asyncio.sleep(0.6)

    run(story)


# --- a real training ----------------------------------------------------------------------------


@pytest.mark.parametrize("make", [DML, DMLInTurn])
def test_a_fit_ends_within_one_forward_pass(data: Data, make: type[DML]):
    """No callback is needed: even a long epoch is left at once."""
    method = make([build("cnn2", 10, seed=seed) for seed in (0, 1)])
    counted: list[int] = []
    method.peers[0].register_forward_hook(lambda *_: counted.append(1))

    def work(monitor: Monitor) -> None:
        fit(monitor.watch(method), data, Recipe(epochs=1000, batch=5), device="cpu")

    async def story() -> int:
        torch.set_num_threads(1)
        panel = Live(work, line, ALT)
        panel.press()
        while len(counted) < 5:
            await asyncio.sleep(0.001)
        panel.halt()
        passes = len(counted)
        await until(panel, "stopped")
        return len(counted) - passes

    assert run(story) <= 2


def test_stopped_is_raised_at_the_next_report_and_pass():
    monitor = Monitor()
    monitor.report(0.1, loss=1.0)
    monitor.stopped.set()
    with pytest.raises(StoppedError):
        monitor.report(0.2, loss=1.0)
    with pytest.raises(StoppedError):
        monitor.watch(torch.nn.Linear(2, 2))(torch.zeros(1, 2))


def test_the_panel_is_made_of_widgets_a_keyboard_reaches():
    panel = Live(steps(1), line, ALT, weight=choice("weight", [0.0, 1.0], 1.0))
    row, buttons, *_ = panel.children
    assert [w.description for w in buttons.children] == ["Train", "Stop", "progress"]
    assert row.children == (panel.controls["weight"],)
    assert all(isinstance(w, widgets.Button) for w in buttons.children[:2])
