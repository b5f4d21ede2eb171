"""The shoot-out on the README: its table, its picture, and how other tables rank."""

from pathlib import Path

from kdlab.runs.evidence import tables
from kdlab.shootout import figures, report
from kdlab.shootout.experiment import COMPARISONS
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
    runs = report.measured(found)
    figures.leads(runs).savefig(docs / PICTURE, dpi=110, metadata={"Software": None})
    body = [[name, *row] for name, row in zip(table.index, table.to_numpy(), strict=True)]
    parts = [markdown(["method", *table.columns], body)]
    parts.append(f"![{figures.leads_alt(runs)}](docs/{PICTURE})")
    parts.append(f"Rankings, {in_words(next(iter(runs)))} and public tables:")
    return "\n\n".join([*parts, "\n".join(f"- {line}" for line in report.agreements(runs))])
