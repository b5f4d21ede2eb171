"""What the evidence of notebook 05 shows, one figure or table a question."""

from collections.abc import Mapping

import pandas as pd

from kdlab.runs.differences import interval
from kdlab.show.plots import dots, figure, show
from kdlab.show.report import nothing, summary, table
from kdlab.show.words import in_words

PAIRS = ("labels", "RKD", "KD", "RKD + KD")  # without and with relations, twice


def panels(parts: Mapping[str, tuple[pd.DataFrame, str]], label: str, fold: str) -> None:
    """Draw a panel of dots, a row an arm, for each {title: (runs, metric)}."""
    rows = max(runs["arm"].nunique() for runs, _ in parts.values())
    fig, axes = figure(1, len(parts), size=(9.6, 1.3 + 0.5 * rows), squeeze=False)
    told = []
    for ax, (title, (runs, metric)) in zip(axes[0], parts.items(), strict=True):
        dots(ax, runs, metric, label=label)
        ax.set_title(title)
        found = runs.groupby("arm", sort=False)[metric]
        told += [f"{title}, {arm} {interval(x, unit='%')}" for arm, x in found]
    show(fig, f"{fold}, one dot a replicate: {label}. {'; '.join(told)}.", fold=fold)


def two_by_two(four: pd.DataFrame) -> None:
    """Draw accuracy without and with relations, without and with KD, a panel a world."""
    rows = [four[four["arm"] == arm] for arm in PAIRS]
    if not nothing(runs := pd.concat(rows), "relations with and without KD"):
        worlds = {in_words(w): (here, "accuracy") for w, here in runs.groupby("world", sort=False)}
        panels(worlds, "test accuracy in % (axis cut)", "Relations, without KD and with it")


def fidelity(orders: pd.DataFrame) -> None:
    """Show accuracy and how far the relations are the teacher's, a row an arm."""
    if nothing(orders, "relations of the students"):
        return
    caption = (
        "Mean ± half-width of the 95 % interval. Accuracy in %; correlation of all distances with "
        "the teacher's, in %, 100 is perfect; mean difference of all angles in degrees, 0 is."
    )
    told = summary(orders, ["accuracy", "correlation", "degrees"])
    table(told, caption, fold="Whose relations?")


def retrieval(unseen: pd.DataFrame, sphere: pd.DataFrame) -> None:
    """Draw recall@1 on unseen classes, and on the same images inverted, a row an arm."""
    if not nothing(unseen, "classes never seen"):
        runs = pd.concat([part for part in (unseen, sphere) if len(part)])
        parts = {"as they are": (runs, "accuracy"), "inverted": (runs, "inverted")}
        panels(parts, "recall@1 in % (axis cut)", "Classes never seen")
