"""The shoot-out on the README: its table, its picture, and how other tables rank."""

from pathlib import Path

from kdlab.runs.evidence import tables
from kdlab.shootout import figures, report
from kdlab.shootout.experiment import COMPARISONS, WORLDS
from kdlab.shootout.ranking import worlds_alike
from kdlab.shootout.tuning import NOTEBOOK
from kdlab.show.words import in_words
from kdlab.tools.readme import NOTHING, markdown

PICTURE = "shootout.png"


def page(docs: Path, folder: Path) -> str:
    """Return what the evidence in `folder` says: table, picture, agreements.

    The picture goes into the folder `docs`.
    """
    found = tables(NOTEBOOK, COMPARISONS, folder)
    table = report.standing(found, folder)
    if table.empty:
        return NOTHING
    runs = {world: found[world] for world in WORLDS if len(found[world])}
    figures.leads(runs).savefig(docs / PICTURE, dpi=110, metadata={"Software": None})
    first, *others = runs
    lines = [report.in_a_sentence(name, x) for name, x in report.ranked(runs[first])]
    for other in others:
        tau = worlds_alike(runs[first], runs[other])
        lines.append(f"{in_words(first)} and {in_words(other)}: tau {tau:+.2f}")
    body = [[name, *row] for name, row in zip(table.index, table.to_numpy(), strict=True)]
    parts = [markdown(["method", *table.columns], body)]
    parts.append(f"![{figures.leads_alt(runs)}](docs/{PICTURE})")
    parts.append(f"Rankings, {in_words(first)} and public tables:")
    return "\n\n".join([*parts, "\n".join(f"- {line}" for line in lines)])
