"""Widgets: a pure ``draw(...) -> Figure`` behind at most four controls, that fails loudly."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import ipywidgets as widgets
import traitlets
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from kdlab.show.plots import bundle, figure, show

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


Places = tuple[tuple[float, float], ...]


class Points(widgets.HBox):
    """Several points in the plane as one control: choose a point, then move its x and its y.

    It counts as three controls of a panel. `value`: the places of all points, one (x, y) each.

    Args:
        names: of the points, each with its place at the start.
        grid: the numbers that x and y can take, in rising order; they hold all places.
    """

    value = traitlets.Tuple()

    def __init__(self, names: Mapping[str, tuple[float, float]], grid: Sequence[float]) -> None:
        self.names, self.grid = list(names), list(grid)
        self.chosen = choice("move the point", [(n, i) for i, n in enumerate(self.names)], 0)
        self.sliders = [slider(axis, self.grid, self.grid[0]) for axis in "xy"]
        super().__init__([self.chosen, *self.sliders], layout=ROW)
        self.chosen.observe(self._follow, "value")
        self.observe(self._follow, "value")
        for one in self.sliders:
            one.observe(self._move, "value")
        self.value = tuple(names.values())

    def _follow(self, _: object) -> None:
        """Set the sliders to the place of the chosen point; that moves nothing."""
        for one, at in zip(self.sliders, self.value[self.chosen.value], strict=True):
            one.unobserve(self._move, "value")
            one.value = at
            one.observe(self._move, "value")

    def _move(self, _: object) -> None:
        """Take the place of the chosen point from the sliders."""
        places = list(self.value)
        places[self.chosen.value] = tuple(one.value for one in self.sliders)
        self.value = tuple(places)

    def ends(self) -> list[Places]:
        """Return all points in one corner, and all spread along the diagonal from end to end."""
        last, n = len(self.grid) - 1, max(len(self.names) - 1, 1)
        spread = [self.grid[round(i * last / n)] for i in range(len(self.names))]
        return [((self.grid[0],) * 2,) * len(self.names), tuple((at, at) for at in spread)]


def panel(draw: Draw, alt: str, **controls: widgets.ValueWidget) -> widgets.VBox:
    """Return `controls`, a reset button and the figure that `draw` makes of their values.

    `draw` looks results up and draws; it never trains. It is called once before any widget exists,
    because an error inside a widget's output would pass unseen where a notebook runs without eyes.

    Args:
        draw: takes the controls' values by name, returns a figure.
        alt: what the figure shows, for those who cannot see it; may name controls in braces.
        controls: at most four, by the name of the argument they set; `Points` counts as three.

    Raises:
        ValueError: more than four controls.
    """
    count = sum(3 if isinstance(control, Points) else 1 for control in controls.values())
    if not 1 <= count <= 4:
        raise ValueError(f"a panel got {count} controls; one to four stay readable.")
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


def trail(box: widgets.VBox) -> Figure:
    """Draw what the reader tried in a panel: a strip a control, its values from move to move."""
    count = len(box.controls)
    fig, axes = figure(count, 1, (7.0, 0.6 + 1.2 * count), sharex=True, squeeze=False)
    for ax, (name, control) in zip(axes[:, 0], box.controls.items(), strict=True):
        tried = [move[name] for move in box.moves]
        order = list(getattr(control, "_options_values", dict.fromkeys(tried)))
        texts = getattr(control, "_options_labels", [f"setting {i}" for i in range(len(order))])
        places = [order.index(value) for value in tried]
        ax.step(range(len(tried)), places, where="mid", marker="o")
        ticks = sorted(set(places))
        ax.set_yticks(ticks, [str(texts[tick]) for tick in ticks], fontsize=9)
        ax.margins(y=0.3)
        ax.set_title(getattr(control, "description", name), fontsize=11)
    ax.set_xlim(-0.5, max(1, len(box.moves) - 1) + 0.5)
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    ax.set_xlabel("moves")
    return fig


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
    if isinstance(control, Points):
        return control.ends()
    if hasattr(control, "options"):
        values = control._options_values  # what `options` means: values, pairs or a dict
        return [values[0], values[-1]]
    if isinstance(control.value, bool):
        return [True, False]
    if isinstance(control, widgets.IntSlider | widgets.FloatSlider):
        return [control.min, control.max]
    raise TypeError(f"a {type(control).__name__} has no known ends; use a slider or a choice.")
