"""The claims table that ends every notebook: for eyes, for screen readers and for the runner."""

import math
from collections.abc import Iterable, Mapping, Sequence, Sized
from typing import Any

import jinja2
import pandas as pd
from IPython.display import display

from kdlab.runs.claims import FEWEST, Claim, interval, judge
from kdlab.show.folds import folded
from kdlab.show.words import Row, told, where_it_holds

MIME = "application/vnd.kdlab.claims+json"  # what `kdlab.tools.notebooks` collects
PAGES = jinja2.Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
PAGE = PAGES.from_string("""
{% set cell = "text-align: left; vertical-align: top; white-space: normal; max-width: " %}
<table class="dataframe">
<caption>{{ caption }}</caption>
<thead><tr>
{% for head in heads %}
<th scope="col" style="{{ cell }}{{ loop.first and 18 or 44 }}em">{{ head }}</th>
{% endfor %}
</tr></thead>
{% for title, claims in parts if claims %}
<tbody{% if title %} style="font-size: 90%"{% endif %}>
{% if title %}
<tr><th scope="rowgroup" colspan="{{ heads | length }}" style="{{ cell }}none">{{ title }}</th></tr>
{% endif %}
{% for claim in claims %}
<tr><th scope="row" style="{{ cell }}18em; font-weight: normal">
<em>{{ claim.id }}</em>: {{ claim.text }}</th>
<td style="{{ cell }}14em">{{ claim.paper }}</td><td style="{{ cell }}44em">
{% if claim.where %}
<div><strong>{{ claim.where }}</strong></div>
{% endif %}
{% for line in claim.lines %}
<div>{{ line }}</div>
{% endfor %}
</td><td style="{{ cell }}8em">{{ claim.margin }}</td></tr>
{% endfor %}
</tbody>
{% endfor %}
</table>
""")
TABLE = PAGES.from_string("""
<table class="dataframe"><caption>{{ caption }}</caption>
<thead><tr>
{% for head in heads %}
<th scope="col" style="text-align: left">{{ head }}</th>
{% endfor %}
</tr></thead>
<tbody>
{% for row in rows %}
<tr>
{% for cell in row %}
<td style="text-align: left">{{ cell }}</td>
{% endfor %}
</tr>
{% endfor %}
</tbody></table>
""")
HEADS = (
    "claim",
    "paper",
    "here: mean [interval], replicates: outcome",
    "smallest effect that matters",
)
CAPTION = (
    "Claims of {}. Intervals of judged claims are widened so that, with a probability of 95 %, no "
    "outcome is false; those of claims also seen have 95 % each."
)
ALSO = "Also seen, without an outcome"


def report(
    claims: Sequence[Claim], notebook: str, world: str = "mnist5k", fold: str = ""
) -> pd.DataFrame:
    """Judge `claims`, display what came out and return it.

    The output carries an HTML table, the same as text, and the rows as JSON under `MIME`.

    Args:
        claims: at least one, each with its own id.
        notebook: stem of the notebook, e.g. "00_kd".
        world: of claims whose numbers do not name their worlds.
        fold: claims that answer a guess lie in a fold of this title.

    Raises:
        ValueError: no claims, or two with the same id.
    """
    ids = [claim.id for claim in claims]
    if not ids or len(set(ids)) < len(ids):
        raise ValueError(f"report got the claims {ids}; give at least one, each with its own id.")
    judged = judge(claims, notebook, world)
    known = judged.replace([math.inf, -math.inf], math.nan).astype(object)
    rows = known.where(known.notna(), None).to_dict(orient="records")  # JSON knows null, not NaN
    shown = [_shown([row for row in rows if row["id"] == name]) for name in ids]
    parts = [
        ("", [s for s in shown if s["primary"]]),
        (ALSO, [s for s in shown if not s["primary"]]),
    ]
    page = PAGE.render(heads=HEADS, parts=parts, caption=CAPTION.format(notebook))
    plain = "\n".join(line for title, part in parts if part for line in _plain(title, part))
    if fold:
        page, plain = folded(page, fold), fold
    display({"text/html": page, "text/plain": plain, MIME: rows}, raw=True)
    return judged


def _shown(rows: Sequence[Row]) -> dict[str, Any]:
    """Return what the table shows of one claim."""
    first, several = rows[0], len(rows) > 1
    return {
        "id": first["id"],
        "text": first["claim"],
        "paper": first["paper"],
        "lines": [told(row) for row in rows],
        "where": where_it_holds(rows) if several and first["primary"] else "",
        "margin": f"{first['margin']:.3g} {first['unit']}" if first["primary"] else "–",
        "primary": first["primary"],
    }


def _plain(title: str, part: Iterable[Mapping[str, Any]]) -> list[str]:
    lines = [f"{title}:"] if title else []
    for claim in part:
        lines.append(f"{claim['id']}: {claim['text']} ({claim['paper']})")
        lines += [f"    {line}" for line in (claim["where"], *claim["lines"]) if line]
    return lines


def table(frame: pd.DataFrame, caption: str, digits: int = 2, fold: str = "") -> None:
    """Display `frame` with `caption`, numbers rounded to `digits`, missing ones as a dash.

    `fold`: a table that answers a guess lies in a fold of this title. The style stands in each
    cell: JupyterLab takes a style sheet out of a notebook that it has not run itself.
    """
    plain = fold or frame.round(digits).to_string(index=False)
    rows = [[_cell(x, digits) for x in row] for row in frame.itertuples(index=False)]
    page = TABLE.render(heads=frame.columns, rows=rows, caption=caption)
    page = folded(page, fold) if fold else page
    display({"text/html": page, "text/plain": plain}, raw=True)


def _cell(x: Any, digits: int) -> str:
    if pd.isna(x):
        return "–"
    return f"{x:z.{digits}f}" if isinstance(x, float) else str(x)


def summary(runs: pd.DataFrame, metrics: Sequence[str], by: str = "arm") -> pd.DataFrame:
    """Return one row per arm: each metric as "mean ± half-width of its 95 % interval", and n.

    A metric has two decimals, or up to four where two would leave nothing of its half-widths.
    """
    groups = dict(iter(runs.groupby(by, sort=False)))
    shown = pd.DataFrame({by: list(groups), "n": [len(group) for group in groups.values()]})
    for metric in metrics:
        found = [interval(group[metric]) for group in groups.values()]
        widest = max((x.half for x in found if x.half > 0), default=1.0)
        digits = min(4, max(2, 1 - math.floor(math.log10(widest))))
        shown[metric] = [
            f"{x.mean:z.{digits}f}" + (f" ± {x.half:.{digits}f}" if x.half == x.half else "")
            for x in found
        ]
    return shown


def nothing(rows: Sized, what: str) -> bool:
    """Tell whether there are no `rows`, and say so in the words of every notebook."""
    if not len(rows):
        print(f"There is no evidence for {what} yet: make evidence measures it.")
    return not len(rows)


def say(text: str) -> None:
    """Display Markdown whose numbers come from variables, so that they cannot go stale."""
    display({"text/markdown": text, "text/plain": text}, raw=True)


def gain(x: Iterable[float], unit: str = "points") -> str:
    """Return differences over seeds in words: mean, 95 % interval, and where it lies.

    >>> gain([1.0, 1.5, 2.0, 2.5, 3.0])
    '**+2.00** [+1.02, +2.98] points, n = 5: the interval lies above 0'
    """
    ours = interval(x, unit=unit)
    mean, space, rest = str(ours).partition(" ")
    where = "lies above" if ours.low > 0 else "lies below" if ours.high < 0 else "includes"
    where = f"the interval {where} 0"
    if ours.n < FEWEST:
        where = "too few to tell"
    elif ours.mean != ours.mean:
        where = "a run gave no number"
    return f"**{mean}**{space}{rest}: {where}"
