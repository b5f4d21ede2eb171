"""Points that a reader moves in the plane."""

from collections.abc import Mapping, Sequence

import ipywidgets as widgets
import traitlets

from kdlab.show.panels import ROW, choice, slider

Places = tuple[tuple[float, float], ...]


class Points(widgets.HBox):
    """Several points in the plane as one control: choose a point, then move its x and its y.

    It counts as three controls of a panel. `value`: the places of all points, one (x, y) each.

    Args:
        names: of the points, each with its place at the start.
        grid: the numbers that x and y can take, in rising order; they hold all places.
    """

    value = traitlets.Tuple()
    counts = 3

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
