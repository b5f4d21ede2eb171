"""Every run of a notebook's comparisons: a row an arm, a dot a run, mean and interval."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from kdlab.runs.differences import interval
from kdlab.show.explorers.base import Explorer
from kdlab.show.looks import look

MEASURES = {  # column: what it is, and its unit
    "accuracy": ("test accuracy", "%"),
    "nll": ("negative log-likelihood", "nats"),
    "ece": ("expected calibration error", "%"),
    "entropy": ("entropy of the answers", "nats"),
    "seconds": ("time of a run", "s"),
}
INK = {"#333333": "var(--ink)"}  # black would not be seen on a dark ground


def runs(
    tables: Mapping[str, pd.DataFrame],
    worlds: Mapping[str, str],
    measures: Mapping[str, tuple[str, str]] = MEASURES,
    fold: str = "",
) -> Explorer:
    """Return the explorer of evidence.

    Args:
        tables: {what the arms differ in: rows of `kdlab.runs.rows.read`}; those without rows are
            left out.
        worlds: {name of a world: what its images show}.
        measures: {column: (what it is, unit)}, of which a table shows those that it has.
        fold: a title under which it lies, closed, where it answers a guess.

    Raises:
        ValueError: no table has a row.
    """
    comparisons = [
        {
            "name": name,
            "worlds": [
                {"name": worlds.get(world, world), "measures": _measured(rows, measures)}
                for world, rows in table.groupby("world", sort=False)
            ],
        }
        for name, table in tables.items()
        if len(table)
    ]
    if not comparisons:
        raise ValueError("no comparison has a run: `make evidence` makes them.")
    return Explorer("runs", {"comparisons": comparisons}, {"order": "as given"}, fold)


def _measured(rows: pd.DataFrame, measures: Mapping[str, tuple[str, str]]) -> list[dict[str, Any]]:
    """Return what was measured in one world: a list of measures, each with its arms."""
    found = []
    for column, (words, unit) in measures.items():
        if column in rows and len(have := rows[np.isfinite(rows[column])]):
            arms = [
                _arm(str(arm), part, column, unit, place)
                for place, (arm, part) in enumerate(have.groupby("arm", sort=False))
            ]
            found.append({"name": f"{words} in {unit}", "arms": arms})
    return found


def _arm(name: str, rows: pd.DataFrame, column: str, unit: str, place: int) -> dict[str, Any]:
    """Return one arm: its interval in words and numbers, and a dot for each run."""
    colour = look(name, place)["color"]
    mean = interval(rows[column], unit=unit)
    ends = (mean.low, mean.high) if mean.n > 1 else (mean.mean, mean.mean)
    dots = zip(rows["seed"].tolist(), rows[column].tolist(), strict=True)
    where = {"mean": mean.mean, "low": ends[0], "high": ends[1], "text": str(mean)}
    return {"name": name, "colour": INK.get(colour, colour), "dots": list(dots), **where}
