"""The table of the shoot-out: accuracy and cost of every method, in words for a page."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from kdlab.runs.rows import FOLDER
from kdlab.shootout import figures
from kdlab.shootout.experiment import WORLDS, prices
from kdlab.shootout.ranking import Agreement, agreement, public, table, worlds_alike
from kdlab.shootout.tuning import WAYS, chosen, told
from kdlab.show import report as page
from kdlab.show.plots import show
from kdlab.show.words import in_words

CAPTIONS = "Accuracy in % (beats, is beaten by)", "Its row in the lab, and what it costs"
EQUAL, OTHER = "equal-operations", "other-teacher"
BESIDE = {OTHER: "digits, another teacher", EQUAL: "digits, equal operations"}


def standing(tables: Mapping[str, pd.DataFrame], folder: Path = FOLDER) -> dict[str, pd.DataFrame]:
    """Return {caption: table}: a row a method, the best on the first world first.

    Args:
        tables: {comparison: rows}, of `kdlab.runs.evidence.tables`; what has no rows is left out.
        folder: where they, the tries and the costs were read.

    Returns:
        In the first a column a comparison. A cell is "93.8 (11, 0)": mean accuracy in %, how many
        of the others it beats, by how many it is beaten, see `kdlab.shootout.ranking.table`. In
        the second the row of the lab that it is, with the knobs chosen on the first world, and
        what a training costs there. None, where nothing was measured.
    """
    heads = {world: in_words(world) for world in WORLDS} | BESIDE
    known = [name for name in heads if len(tables[name])]
    if not known:
        return {}
    columns = {heads[name]: _cells(tables[name]) for name in known}
    scores = pd.DataFrame(columns).reindex(table(tables[known[0]]).index)
    rest = _costs(tables, known[0], folder).reindex(scores.index)
    rest.insert(0, "in the lab", in_the_lab(scores.index, chosen(known[0], folder)))
    halves = zip(CAPTIONS, (scores, rest), strict=True)
    return {caption: half.fillna("–").rename_axis(None) for caption, half in halves}


def in_the_lab(names: Iterable[str], knobs: Mapping[str, dict[str, Any]]) -> list[str]:
    """Say which rows of the lab methods are with these knobs, e.g. "Joint, alpha 0, beta 10"."""
    parts = [[WAYS[x].method, told(dict(WAYS[x].fixed)), told(knobs.get(x, {}))] for x in names]
    return [", ".join(filter(None, each)) for each in parts]


def _cells(runs: pd.DataFrame) -> pd.Series:
    found = table(runs)
    numbers = zip(found["mean"], found["beats"], found["beaten by"], strict=True)
    return pd.Series([f"{m:.1f} ({b}, {w})" for m, b, w in numbers], found.index)


def _costs(tables: Mapping[str, pd.DataFrame], world: str, folder: Path) -> pd.DataFrame:
    price = prices(world, folder)
    if price.empty:
        return pd.DataFrame(index=list(WAYS))
    seconds = tables[world].groupby("arm")["seconds"].median()
    labels, student = price["total"]["labels"], 100 * (1 - price["fixed"] / price["total"])
    return pd.DataFrame(
        {
            "operations": [f"{x / labels:.1f}" for x in price["total"]],
            "of it the student": [f"{x:.0f} %" for x in student],
            "kept, MB": [f"{x / 1e6:.1f}" for x in price["kept"]],
            "extra weights": [f"{x:,.0f}" for x in price["extra"]],
            "seconds": [f"{seconds.get(name, float('nan')):.0f}" for name in price.index],
        },
        price.index,
    )


def ranked(runs: pd.DataFrame) -> list[tuple[str, Agreement]]:
    """Return how a ranking goes with each public table, and with all of them together."""
    each = [(one.name, agreement(runs, one)) for one in public()]
    return [*each, ("all of them", agreement(runs, *public()))]


def measured(tables: Mapping[str, pd.DataFrame]) -> dict[str, pd.DataFrame]:
    """Return {world: rows} of the worlds in which methods have been compared."""
    return {world: tables[world] for world in WORLDS if len(tables[world])}


def agreements(runs: Mapping[str, pd.DataFrame]) -> list[str]:
    """Say how the ranking in the first world goes with public tables, then the other worlds'."""
    (first, ours), *others = runs.items()
    lines = [in_a_sentence(name, found) for name, found in ranked(ours)]
    for other, theirs in others:
        words, tau = in_words(other), worlds_alike(ours, theirs)
        lines.append(in_a_sentence(f"{words} and all public tables", agreement(theirs, *public())))
        lines.append(f"{in_words(first)} and {words}, all methods: tau {tau:+.2f}")
    return lines


def in_a_sentence(name: str, found: Agreement) -> str:
    """Say an agreement, e.g. "all of them: 15 of 19 pairs alike, tau +0.58 [+0.37, +0.79]"."""
    pairs = f"{found.alike} of {found.pairs} pairs stand in the same order"
    return f"{name}: {pairs}, tau {found.tau:+.2f} [{found.low:+.2f}, {found.high:+.2f}]"


def show_standing(tables: Mapping[str, pd.DataFrame]) -> None:
    """Display the tables, the two pictures of what was measured, and agreements."""
    found = standing(tables)
    if page.nothing(found, "the methods on equal terms"):
        return
    for caption, half in found.items():
        page.table(half.reset_index(names="method"), caption)
    runs = measured(tables)
    show(figures.leads(runs), figures.leads_alt(runs))
    first = next(iter(runs.values()))
    show(figures.apart(first), figures.apart_alt(first))
    print("\n".join(agreements(runs)))
