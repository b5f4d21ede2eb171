"""The claims table that ends every notebook: for eyes, for screen readers and for the runner."""

import hashlib
import html
import math
from collections.abc import Sequence
from typing import Any

import pandas as pd
from IPython.display import display

from kdlab.show.claims import Claim, interval, judge

MIME = "application/vnd.kdlab.claims+json"  # what `kdlab.tools.notebooks` collects
NARROW = 0.02  # width of an interval that two decimals would show as one number
HEADS = ("claim", "paper", "here: mean [95 % interval], seeds", "verdict")
CELL = "text-align: left; vertical-align: top; white-space: normal; max-width: 26em"


def report(claims: Sequence[Claim], runs: pd.DataFrame, notebook: str) -> pd.DataFrame:
    """Judge `claims` by the table `runs`, display the verdicts and return them.

    The output carries an HTML table, the same as text, and the rows as JSON under `MIME`.

    Args:
        claims: at least one, each with its own id.
        runs: what `kdlab.runs.compare.compare` returned.
        notebook: stem of the notebook, e.g. "00_kd".

    Raises:
        ValueError: no claims, or two with the same id.
    """
    ids = [claim.id for claim in claims]
    if not ids or len(set(ids)) < len(ids):
        raise ValueError(f"report got the claims {ids}; give at least one, each with its own id.")
    judged = judge(claims, runs, notebook)
    known = judged.replace([math.inf, -math.inf], math.nan).astype(object)
    rows = known.where(known.notna(), None).to_dict(orient="records")  # JSON knows null, not NaN
    cells = [(row["claim"], row["paper"], found(row), row["verdict"]) for row in rows]
    plain = "\n".join(f"{verdict}: {claim} Here {here}." for claim, _, here, verdict in cells)
    content = {"text/html": as_html(cells, notebook), "text/plain": plain, MIME: rows}
    display(content, raw=True)
    return judged


def found(row: dict[str, Any]) -> str:
    """Return our number in words, e.g. "2.31 [1.62, 3.00] points, n = 5", or a dash.

    Two decimals; one where the interval is wider than 10 or the mean is 100 or more, unless that
    would hide on which side of 0 an end lies; four where it is narrower than 0.02.
    """
    mean, low, high = (row[key] for key in ("ours", "low", "high"))
    if mean is None:
        return "–"
    known = low is not None and high is not None
    digits = decimals(low, high) if known else 2
    wide = abs(mean) >= 100 or (known and high - low > 10)
    if digits == 2 and wide and not (known and min(abs(low), abs(high)) < 0.05):
        digits = 1
    shown = f"{mean:z.{digits}f}"
    if known:
        shown += f" [{low:z.{digits}f}, {high:z.{digits}f}]"
    return f"{shown} {row['unit']}".strip() + f", n = {row['n']}"


def decimals(low: float, high: float) -> int:
    """Return how many decimals an interval needs: two, or four where two show one number."""
    return 4 if 0 < high - low < NARROW else 2


def as_html(cells: Sequence[tuple[str, ...]], notebook: str) -> str:
    """Return the table with a caption, and with headers that say which cells they speak for."""

    def cell(tag: str, text: str, scope: str = "") -> str:
        return f'<{tag}{scope} style="{CELL}">{html.escape(text)}</{tag}>'

    head = "".join(cell("th", name, ' scope="col"') for name in HEADS)
    body = "".join(
        "<tr>" + cell("th", first, ' scope="row"') + "".join(cell("td", c) for c in rest) + "</tr>"
        for first, *rest in cells
    )
    caption = html.escape(f"Claims of {notebook} and their verdicts")
    return (
        f'<table class="dataframe"><caption>{caption}</caption>'
        f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
    )


def table(frame: pd.DataFrame, caption: str, digits: int = 2) -> None:
    """Display `frame` with `caption`, numbers rounded to `digits`, missing ones as a dash."""
    styled = (
        frame.style.format(precision=digits, na_rep="–")
        .set_caption(caption)
        .hide(axis="index")
        .set_table_attributes('class="dataframe"')
        .set_table_styles([{"selector": "th, td", "props": "text-align: left"}])
        .set_uuid(hashlib.sha256(caption.encode()).hexdigest()[:8])  # the same in every run
    )
    plain = frame.round(digits).to_string(index=False)
    display({"text/html": styled.to_html(), "text/plain": plain}, raw=True)


def summary(runs: pd.DataFrame, metrics: Sequence[str], by: str = "arm") -> pd.DataFrame:
    """Return one row per arm: each metric as "mean ± half-width of its 95 % interval", and n."""
    rows = []
    for name, group in runs.groupby(by, sort=False):
        row: dict[str, Any] = {by: name, "n": len(group)}
        for metric in metrics:
            mean, low, high = interval(group[metric].to_numpy())
            row[metric] = f"{mean:.2f} ± {(high - low) / 2:.2f}" if high == high else f"{mean:.2f}"
        rows.append(row)
    return pd.DataFrame(rows)


def say(text: str) -> None:
    """Display Markdown whose numbers come from variables, so that they cannot go stale."""
    display({"text/markdown": text, "text/plain": text}, raw=True)


def gain(x: Sequence[float], unit: str = "points") -> str:
    """Return differences over seeds in words: mean, 95 % interval, and where it lies.

    >>> gain([1.0, 2.0, 3.0])
    '**+2.00** points [-0.48, +4.48], n = 3: the interval includes 0'
    """
    mean, low, high = interval(x)
    if low != low:
        return f"**{mean:+z.2f}** {unit}, n = {len(x)}: too few seeds for an interval"
    where = "lies above" if low > 0 else "lies below" if high < 0 else "includes"
    digits = decimals(low, high)
    shown, *ends = (f"{number:+z.{digits}f}" for number in (mean, low, high))
    return f"**{shown}** {unit} [{', '.join(ends)}], n = {len(x)}: the interval {where} 0"
