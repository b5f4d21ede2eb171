"""What the arms of a comparison measured: a row of dots an arm, a figure a world."""

import pandas as pd

from kdlab.show.plots import dots, figure, show
from kdlab.show.report import nothing
from kdlab.show.words import in_words


def show_arms(rows: pd.DataFrame, what: str, **metrics: str) -> None:
    """Draw a row an arm, a panel for each of `metrics`, column = words, a figure a world.

    `what` names the question, on the fold and where nothing has been measured yet.
    """
    if nothing(rows, repr(what)):
        return
    for world, here in rows.groupby("world", sort=False):
        groups, title = here.groupby("arm", sort=False), f"{what}: {in_words(str(world))}"
        size = (10.5, 1 + 0.42 * len(groups))
        fig, axes = figure(1, len(metrics), size=size, sharey=True, squeeze=False)
        for ax, (metric, words) in zip(axes[0], metrics.items(), strict=True):
            dots(ax, here, metric, label=words)
        means = groups[list(metrics)].mean().round(1).to_dict()
        show(fig, f"{title}. Means of {', '.join(metrics.values())}, by arm: {means}", fold=title)
