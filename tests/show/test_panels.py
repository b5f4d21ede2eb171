"""Panels fail loudly where widgets would fail silently. No kernel is needed."""

from collections.abc import Callable
from typing import Any

import ipywidgets as widgets
import matplotlib.pyplot as plt
import pytest
from matplotlib.figure import Figure

from kdlab.show import panels
from kdlab.show.panels import choice, drive, ends, panel, slider
from kdlab.show.plots import figure

ALT = "A line that rises to T = {T}, drawn for the method {method}."


@pytest.fixture(autouse=True)
def shown(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Collect the alternative texts of the figures that panels show."""
    texts: list[str] = []
    real = panels.bundle

    def show(fig: Figure, alt: str) -> None:
        texts.append(real(fig, alt)["text/plain"])

    monkeypatch.setattr(panels, "show", show)
    monkeypatch.setattr(widgets.widget_output, "get_ipython", lambda: None)
    return texts


@pytest.fixture
def in_notebook(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Make widgets believe that a kernel holds them: their output then swallows every error."""
    swallowed: list[Any] = []

    class Shell:
        def showtraceback(self, error: Any, **_: Any) -> None:
            swallowed.append(error)

    monkeypatch.setattr(widgets.widget_output, "get_ipython", lambda: Shell())
    return swallowed


def controls() -> dict[str, widgets.ValueWidget]:
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


def test_the_figure_is_drawn_before_any_widget_exists(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[str] = []
    for name in ("Button", "interactive_output", "VBox"):
        real = getattr(widgets, name)

        def noted(*args: Any, name: str = name, real: Any = real, **options: Any) -> Any:
            calls.append(name)
            return real(*args, **options)

        monkeypatch.setattr(widgets, name, noted)

    def draw(T: int, method: str) -> Figure:
        calls.append("draw")
        return line(T, method)

    panel(draw, ALT, **controls())
    assert calls == ["draw", "Button", "interactive_output", "draw", "VBox"]


@pytest.mark.parametrize("kernel", [False, True])
def test_a_draw_that_fails_at_the_start_fails_the_cell(
    kernel: bool, request: pytest.FixtureRequest
) -> None:
    swallowed = request.getfixturevalue("in_notebook") if kernel else []
    with pytest.raises(ZeroDivisionError, match="no T of 4"):
        panel(broken_at("T", 4), ALT, **controls())
    assert swallowed == []


@pytest.mark.parametrize(
    ("alt", "error"), [("too short", ValueError), ("A line for the {nobody} method.", KeyError)]
)
def test_a_bad_alternative_text_fails_the_cell(
    alt: str, error: type[Exception], in_notebook: list[Any]
) -> None:
    with pytest.raises(error):
        panel(line, alt, **controls())
    assert in_notebook == []


@pytest.mark.parametrize(
    ("name", "value"), [("T", 1), ("T", 8), ("method", "kd"), ("method", "fit")]
)
@pytest.mark.parametrize("kernel", [False, True])
def test_drive_finds_what_fails_at_another_value(
    name: str, value: Any, kernel: bool, request: pytest.FixtureRequest
) -> None:
    swallowed = request.getfixturevalue("in_notebook") if kernel else []
    box = panel(broken_at(name, value), ALT, **controls())
    with pytest.raises(RuntimeError, match=f"fails at {name} = {value!r}") as caught:
        drive(box)
    assert isinstance(caught.value.__cause__, ZeroDivisionError)
    assert len(swallowed) == int(kernel)  # the reader sees the traceback in the panel as well


def test_drive_moves_each_control_to_both_ends_and_back(shown: list[str]) -> None:
    box = panel(line, ALT, **controls())
    assert shown == [ALT.format(T=4, method="ce")]
    assert drive(box) == 4
    moves = [(1, "ce"), (8, "ce"), (4, "ce"), (4, "kd"), (4, "fit"), (4, "ce")]
    assert shown[1:] == [ALT.format(T=T, method=method) for T, method in moves]
    assert {name: c.value for name, c in box.controls.items()} == {"T": 4, "method": "ce"}


def test_reset_goes_back_to_the_start(shown: list[str]) -> None:
    box = panel(line, ALT, **controls())
    box.controls["T"].value, box.controls["method"].value = 1, "fit"
    (button,) = [w for w in box.children[0].children if isinstance(w, widgets.Button)]
    button.click()
    assert {name: c.value for name, c in box.controls.items()} == {"T": 4, "method": "ce"}
    assert shown[-1] == ALT.format(T=4, method="ce")


@pytest.mark.parametrize("n", [0, 5])
def test_a_panel_has_one_to_four_controls(n: int) -> None:
    many = {f"c{i}": slider(str(i), [1, 2], 1) for i in range(n)}
    with pytest.raises(ValueError, match=f"got {n} controls"):
        panel(lambda **_: line(1, "kd"), "A line that rises to the right.", **many)


def test_a_panel_shows_its_controls_a_reset_button_and_the_output() -> None:
    given = controls()
    box = panel(line, ALT, **given)
    row, output = box.children
    assert list(row.children[:2]) == list(given.values())
    assert row.children[2].tooltip == "Back to the start"
    assert row.children[2].description == "Reset" and isinstance(output, widgets.Output)


def test_a_figure_made_by_pyplot_does_not_stay_in_memory() -> None:
    def draw(T: int, method: str) -> Figure:
        fig, ax = plt.subplots(figsize=(2, 1))
        ax.plot([0, T])
        return fig

    plt.close("all")
    drive(panel(draw, ALT, **controls()))
    assert plt.get_fignums() == []


@pytest.mark.parametrize(
    ("control", "expected"),
    [
        (slider("s", [0.5, 1, 2], 1), [0.5, 2]),
        (slider("s", [("half", 0.5), ("one", 1)], 1), [0.5, 1]),
        (choice("d", ["a", "b", "c"], "b"), ["a", "c"]),
        (choice("d", {"one": 1, "two": 2}, 1), [1, 2]),
        (widgets.ToggleButtons(options=[("x", None), ("y", 3)]), [None, 3]),
        (widgets.IntSlider(min=-3, max=7), [-3, 7]),
        (widgets.Checkbox(), [True, False]),
    ],
)
def test_ends(control: widgets.ValueWidget, expected: list[Any]) -> None:
    assert ends(control) == expected
    for value in expected:
        control.value = value
        assert control.value == value


@pytest.mark.parametrize(
    "control", [widgets.FloatLogSlider(), widgets.IntRangeSlider(), widgets.Text()]
)
def test_a_control_without_known_ends_is_refused(control: widgets.ValueWidget) -> None:
    with pytest.raises(TypeError, match=f"a {type(control).__name__} has no known ends"):
        ends(control)


@pytest.mark.parametrize("make", [slider, choice])
def test_controls_start_where_they_are_told_and_say_what_they_are(make: Any) -> None:
    control = make("temperature", [1, 2, 4], 2)
    assert (control.value, control.description) == (2, "temperature")
    assert control.style.description_width == "130px"  # a long label is not cut
    assert getattr(control, "continuous_update", False) is False
