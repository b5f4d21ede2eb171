"""What the evidence of notebook 06 shows, one figure a question."""

from collections.abc import Mapping

import pandas as pd

from kdlab.runs.rows import stacked
from kdlab.show.plots import dots, figure, show
from kdlab.show.report import nothing
from kdlab.show.words import in_words


def headline(runs: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """Return the rows of the headline in all worlds; without any, a table with columns."""
    return stacked(runs, "ladder", "clothes", "photographs")


def arms(rows: pd.DataFrame, what: str) -> None:
    """Draw a row of dots for each arm of one comparison, a panel a world."""
    if nothing(rows, what):
        return
    worlds = list(dict.fromkeys(rows["world"]))
    most = max(part["arm"].nunique() for _, part in rows.groupby("world"))
    fig, axes = figure(len(worlds), 1, size=(9.2, len(worlds) * (0.9 + 0.5 * most)), squeeze=False)
    said = []
    for world, ax in zip(worlds, axes[:, 0], strict=True):
        here = rows[rows["world"] == world]
        dots(ax, here, "accuracy", label="test accuracy in % (axis cut)")
        ax.set_title(in_words(world))
        means = here.groupby("arm", sort=False)["accuracy"].mean()
        said += [f"{in_words(world)}: " + ", ".join(f"{n} {m:.1f} %" for n, m in means.items())]
    show(fig, f"A dot a replicate, mean and interval of each arm. {'; '.join(said)}.", fold=what)
