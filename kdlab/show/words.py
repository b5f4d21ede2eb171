"""Judged claims in words: the same in the table, in the README and in figures."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from kdlab.runs.claims import FEWEST, MOST, Interval
from kdlab.train.worlds import WORLDS

ON = {
    "reproduced": "holds on",
    "contradicted": "contradicted on",
    "no effect that matters": "no effect that matters on",
    "undecided": "undecided on",
    "not tested here": "not tested on",
}

Row = Mapping[str, Any]  # one claim in one world, see `kdlab.runs.claims.judge`


def told(row: Row) -> str:
    """Return one claim in one world in words: interval, outcome, what would decide.

    E.g. "digits: +1.47 [+0.95, +1.99] points, n = 10: reproduced".
    """
    outcome = row["outcome"]
    if outcome == "not tested here":
        return f"{outcome}: {row.get('why') or 'it has not been measured yet'}"
    line = f"{in_words(row['world'])}: {found(row)}" if row["world"] else str(found(row))
    if not outcome:
        return line
    return f"{line}: {outcome}" + (f"; {_what_would(row)}" if outcome == "undecided" else "")


def _what_would(row: Row) -> str:
    """Say what would decide an undecided claim."""
    if row["n"] < FEWEST:
        return f"fewer than {FEWEST} replicates decide nothing"
    if row["decides"] >= MOST:
        return f"{MOST:,} replicates would not decide"
    if row["decides"]:
        return f"about {row['decides']} replicates would decide"
    lost = math.isnan(found(row).mean)
    return "a run gave no number" if lost else "other test images could turn it"


def found(row: Row) -> Interval:
    """Return the interval of a judged row; its text is the wording of the whole course."""
    mean, low, high = (math.nan if row[k] is None else row[k] for k in ("ours", "low", "high"))
    return Interval(mean, low, high, row["n"], row["unit"])


def in_words(world: str) -> str:
    """Return what the images of a world show: "digits" for "mnist5k"; else its own name."""
    return WORLDS[world].words if world in WORLDS else world


def where_it_holds(rows: pd.DataFrame | Sequence[Row]) -> str:
    """Return in one line where a claim holds: "holds on digits, undecided on photographs".

    Args:
        rows: of one primary claim, one a world, from `kdlab.runs.claims.judge`.
    """
    if isinstance(rows, pd.DataFrame):
        rows = rows.to_dict(orient="records")
    parts = []
    for outcome, words in ON.items():
        names = [in_words(row["world"]) for row in rows if row["outcome"] == outcome]
        if names:
            last = f" and {names[-1]}" if names[1:] else names[-1]
            parts.append(f"{words} " + ", ".join(names[:-1]) + last)
    return ", ".join(parts)
