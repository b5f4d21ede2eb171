"""Panels draw a picture for each setting, answer the page, and fail loudly."""

import asyncio
from collections.abc import Callable
from typing import Any

import matplotlib.pyplot as plt
import pytest
from matplotlib.figure import Figure

from kdlab.show.explorers import panels
from kdlab.show.explorers.panels import Control, choice, drive, panel, slider
from kdlab.show.plots import figure

ALT = "A line that rises to T = {T}, drawn for the method {method}."


def controls() -> dict[str, Control]:
    """Return two controls that start away from their ends."""
    return {
        "T": slider("temperature", [1, 2, 4, 8], 4),
        "method": choice("method", [("KD", "kd"), ("hard labels", "ce"), ("hints", "fit")], "ce"),
    }


def line(T: float, method: str) -> Figure:
    """Draw something that depends on both."""
    fig, ax = figure(size=(2, 1))
    ax.plot([0, T], [0, len(method)])
    return fig


def broken_at(name: str, value: Any) -> Callable[..., Figure]:
    """Return a `draw` that fails for one value of one control."""

    def draw(**now: Any) -> Figure:
        if now[name] == value:
            raise ZeroDivisionError(f"no {name} of {value}")
        return line(**now)

    return draw


class Page:
    """Stands for the page: what it got, in order, and what it says."""

    def __init__(self, box: panels.Panel, monkeypatch: pytest.MonkeyPatch) -> None:
        self.box, self.got = box, list[dict[str, Any]]()
        monkeypatch.setattr(type(box.explorer), "send", lambda _, told: self.got.append(told))

    def wants(self, name: str) -> None:
        async def asked() -> None:
            self.box._heard(None, {"want": name}, None)
            while self.box._drawing:
                await asyncio.sleep(0.01)

        asyncio.run(asked())


def test_a_draw_that_fails_at_the_start_fails_the_cell() -> None:
    with pytest.raises(ZeroDivisionError, match="no T of 4"):
        panel(broken_at("T", 4), ALT, **controls())


@pytest.mark.parametrize(
    ("alt", "error"), [("too short", ValueError), ("A line for the {nobody} method.", KeyError)]
)
def test_a_bad_alternative_text_fails_the_cell(alt: str, error: type[Exception]) -> None:
    with pytest.raises(error):
        panel(line, alt, **controls())


@pytest.mark.parametrize(
    ("name", "value"), [("T", 1), ("T", 8), ("method", "kd"), ("method", "fit")]
)
def test_drive_finds_what_fails_at_another_value(name: str, value: Any) -> None:
    box = panel(broken_at(name, value), ALT, **controls())
    with pytest.raises(RuntimeError, match=f"fails at {name} = {value!r}") as caught:
        drive(box)
    assert isinstance(caught.value.__cause__, ZeroDivisionError)


def test_drive_moves_each_control_to_both_ends() -> None:
    drawn: list[tuple[float, str]] = []

    def draw(T: float, method: str) -> Figure:
        drawn.append((T, method))
        return line(T, method)

    assert drive(panel(draw, ALT, **controls())) == 4
    assert drawn == [(4, "ce"), (1, "ce"), (8, "ce"), (4, "kd"), (4, "fit")]


def test_a_picture_is_drawn_when_the_page_wants_it_and_then_those_around(monkeypatch) -> None:
    page = Page(panel(line, ALT, **controls()), monkeypatch)
    page.wants("0,2")
    first, *rest = page.got
    assert first["name"] == "0,2" and first["picture"]["alt"] == ALT.format(T=1, method="fit")
    assert first["picture"]["src"].startswith("data:image/png;base64,")
    assert {told["name"] for told in rest} == {"1,2", "2,2", "3,2", "0,0", "0,1"}
    page.wants("0,1")
    again = page.got[6:]
    assert again[0]["name"] == "0,1" and len({told["name"] for told in again}) == len(again)


def test_pictures_are_drawn_once(monkeypatch) -> None:
    drawn: list[tuple[float, str]] = []

    def draw(T: float, method: str) -> Figure:
        drawn.append((T, method))
        return line(T, method)

    page = Page(panel(draw, ALT, **controls()), monkeypatch)
    for name in ("0,1", "3,1", "0,1", ""):
        page.wants(name)
    assert len(drawn) == len(set(drawn)) == 4 + 3 * 2  # one row, and a column at three places


def test_an_error_stands_where_the_picture_would_be(monkeypatch) -> None:
    page = Page(panel(broken_at("T", 8), ALT, **controls()), monkeypatch)
    page.wants("3,1")
    assert page.got[0]["picture"]["error"] == "ZeroDivisionError: no T of 8"


def test_a_page_without_a_kernel_gets_all_single_moves(monkeypatch) -> None:
    monkeypatch.setenv(panels.AHEAD, "1")
    data = panel(line, ALT, **controls()).explorer.data
    assert set(data["pictures"]) == {"2,1", "0,1", "1,1", "3,1", "2,0", "2,2"}
    assert data["start"] == {"T": 2, "method": 1}


@pytest.mark.parametrize("n", [0, 5])
def test_a_panel_has_one_to_four_controls(n: int) -> None:
    many = {f"c{i}": slider(str(i), [1, 2], 1) for i in range(n)}
    with pytest.raises(ValueError, match=f"got {n} controls"):
        panel(lambda **_: line(1, "kd"), "A line that rises to the right.", **many)


def test_a_figure_made_by_pyplot_does_not_stay_in_memory() -> None:
    def draw(T: int, method: str) -> Figure:
        fig, ax = plt.subplots(figsize=(2, 1))
        ax.plot([0, T])
        return fig

    plt.close("all")
    drive(panel(draw, ALT, **controls()))
    assert plt.get_fignums() == []


@pytest.mark.parametrize(
    ("options", "value", "texts", "values"),
    [
        ([0.5, 1.0, 2.0], 1.0, ("0.5", "1", "2"), (0.5, 1.0, 2.0)),
        ([("half", 0.5), ("one", 1)], 1, ("half", "one"), (0.5, 1)),
        (range(3), 2, ("0", "1", "2"), (0, 1, 2)),
        ([("off", False), ("on", True)], False, ("off", "on"), (False, True)),
    ],
)
def test_options_are_values_or_pairs(options, value, texts, values) -> None:
    for made in (slider("s", options, value), choice("s", options, value)):
        assert (made.texts, made.values) == (texts, values)
        assert made.values[made.start] == value


@pytest.mark.parametrize("options", [[], [1, 2]])
def test_a_start_that_is_no_option_is_refused(options: list[int]) -> None:
    with pytest.raises(ValueError, match="starts at 3"):
        slider("s", options, 3)
