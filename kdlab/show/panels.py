"""Widgets: a pure ``draw(...) -> Figure`` behind at most four controls, that fails loudly."""

from collections.abc import Callable, Sequence
from typing import Any

import ipywidgets as widgets
from matplotlib.figure import Figure

from kdlab.show.plots import bundle, show

Draw = Callable[..., Figure]
ROW = {"flex_flow": "wrap", "align_items": "flex-end", "grid_gap": "4px 16px"}  # of controls


def slider(label: str, options: Sequence[Any], value: Any) -> widgets.SelectionSlider:
    """Return a slider over `options`, that redraws when it is let go and listens to arrow keys."""
    return widgets.SelectionSlider(
        options=options,
        value=value,
        description=label,
        continuous_update=False,
        style={"description_width": "130px"},
        layout=widgets.Layout(width="400px"),
    )


def choice(label: str, options: Sequence[Any], value: Any) -> widgets.ToggleButtons:
    """Return a row of buttons, one for each of `options`: a value or a pair (text, value).

    Tab reaches a button and Space presses it. In a drop-down list JupyterLab takes the arrow keys
    and letters for itself: they would choose cells, or add one.
    """
    return widgets.ToggleButtons(
        options=options,
        value=value,
        description=label,
        style={"description_width": "130px", "button_width": "auto"},
    )


def panel(draw: Draw, alt: str, **controls: widgets.ValueWidget) -> widgets.VBox:
    """Return `controls`, a reset button and the figure that `draw` makes of their values.

    `draw` looks results up and draws; it never trains. It is called once before any widget exists,
    because an error inside a widget's output would pass unseen where a notebook runs without eyes.

    Args:
        draw: takes the controls' values by name, returns a figure.
        alt: what the figure shows, for those who cannot see it; may name controls in braces.
        controls: at most four, by the name of the argument they set.

    Raises:
        ValueError: more than four controls.
    """
    if not 1 <= len(controls) <= 4:
        raise ValueError(f"a panel got {len(controls)} controls; one to four stay readable.")
    start = {name: control.value for name, control in controls.items()}
    bundle(draw(**start), alt.format(**start))
    failures: list[Exception] = []
    moves: list[dict[str, Any]] = []

    def view(**now: Any) -> None:
        moves.append(now)
        try:
            show(draw(**now), alt.format(**now))
        except Exception as error:
            failures.append(error)  # exercised by `drive`; the traceback stays visible here
            raise

    def reset(_: widgets.Button) -> None:
        for name, control in controls.items():
            control.value = start[name]

    button = widgets.Button(description="Reset", tooltip="Back to the start")
    button.on_click(reset)
    output = widgets.interactive_output(view, controls)
    row = widgets.HBox([*controls.values(), button], layout=ROW)
    box = widgets.VBox([row, output])
    box.controls, box.failures, box.moves = controls, failures, moves
    return box


def drive(box: widgets.VBox) -> int:
    """Move every control of a panel to both ends and back; return the number of moves.

    Raises:
        RuntimeError: a move failed, with the control and the value.
    """
    moves = 0
    for name, control in box.controls.items():
        start = control.value
        for value in ends(control):
            try:
                control.value = value
            except Exception as error:  # outside a notebook nothing holds it back
                box.failures.append(error)
            moves += 1
            if box.failures:
                raise RuntimeError(f"the panel fails at {name} = {value!r}") from box.failures[0]
        control.value = start
    return moves


def ends(control: widgets.ValueWidget) -> list[Any]:
    """Return the first and the last value that a control can take.

    Raises:
        TypeError: a kind of control whose ends are not known here.
    """
    if hasattr(control, "options"):
        values = control._options_values  # what `options` means: values, pairs or a dict
        return [values[0], values[-1]]
    if isinstance(control.value, bool):
        return [True, False]
    if isinstance(control, widgets.IntSlider | widgets.FloatSlider):
        return [control.min, control.max]
    raise TypeError(f"a {type(control).__name__} has no known ends; use a slider or a choice.")
