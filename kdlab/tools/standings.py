"""The shoot-out on the README: its tables, its picture, and how other tables rank."""

from pathlib import Path

from kdlab.runs.evidence import tables
from kdlab.shootout import figures, report
from kdlab.shootout.experiment import COMPARISONS
from kdlab.shootout.tuning import NOTEBOOK
from kdlab.show.words import in_words
from kdlab.tools.readme import NOTHING, markdown

PICTURE = "shootout.png"


def page(docs: Path, folder: Path) -> str:
    """Return what the evidence in `folder` says: tables, picture, agreements.

    The picture goes into the folder `docs`.
    """
    found = tables(NOTEBOOK, COMPARISONS, folder)
    halves = report.standing(found, folder)
    if not halves:
        return NOTHING
    runs = report.measured(found)
    figures.leads(runs).savefig(docs / PICTURE, dpi=110, metadata={"Software": None})
    parts = []
    for caption, half in halves.items():
        body = [[name, *row] for name, row in zip(half.index, half.to_numpy(), strict=True)]
        parts += [f"{caption}:", markdown(["method", *half.columns], body)]
    parts.append(f"![{figures.leads_alt(runs)}](docs/{PICTURE})")
    parts.append(f"Rankings, {in_words(next(iter(runs)))} and public tables:")
    return "\n\n".join([*parts, "\n".join(f"- {line}" for line in report.agreements(runs))])
