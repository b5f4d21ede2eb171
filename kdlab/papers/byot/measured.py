"""What the evidence of notebook 07 shows, one figure or table a question."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from kdlab.runs.differences import interval, paired
from kdlab.show.looks import look
from kdlab.show.plots import figure, show
from kdlab.show.report import nothing, summary, table

ANSWERS = ("exit 1", "exit 2", "exit 3", "ensemble")


def headline(tables: Mapping[str, pd.DataFrame], world: str) -> pd.DataFrame:
    """Return the rows of labels, deep supervision and BYOT in one world."""
    both, supervised = tables["exits"], tables["price"]
    runs = [both[both["arm"].isin(["labels", "BYOT"])]]
    runs.append(supervised[supervised["arm"] == "deep supervision"])
    found = pd.concat([part[part["world"] == world] for part in runs if len(part)] or runs[:1])
    return found if len(found) else pd.DataFrame(columns=["world", "arm", "accuracy", "seconds"])


def with_exits(runs: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of arms that have exits."""
    return runs[runs["ensemble"].notna()] if "ensemble" in runs else runs[:0]


def answers(runs: pd.DataFrame, columns: Sequence[str], what: str) -> None:
    """Show the mean of some columns for each arm that has exits, with its interval."""
    if not nothing(here := with_exits(runs), what):
        told = f"{what}: mean ± half-width of the 95 % interval."
        table(summary(here, columns), told, fold=what)


def gains(runs: pd.DataFrame, base: str, arms: Sequence[str], what: str) -> None:
    """Draw for each answer what every one of `arms` gains over `base`, paired by replicate."""
    if nothing(runs if {base, *arms} <= set(with_exits(runs)["arm"]) else runs[:0], what):
        return
    (fig, ax), told = figure(size=(9.6, 3.6)), []
    for place, arm in enumerate(arms):
        found = [interval(paired(runs, arm, base, metric)) for metric in ANSWERS]
        at = np.arange(len(ANSWERS)) + 0.2 * (place - (len(arms) - 1) / 2)
        options = look(arm, place) | {"label": arm, "linestyle": "none", "linewidth": 3}
        ax.errorbar(at, [f.mean for f in found], [f.half for f in found], **options)
        told += [f"{arm}, {m}: {f}" for m, f in zip(ANSWERS, found, strict=True)]
    ax.axhline(0, color="#333333", linewidth=1)
    ax.set_xticks(range(len(ANSWERS)), ["exit 1", "exit 2", "exit 3, the deepest", "ensemble"])
    ax.set_ylabel(f"accuracy minus that of\n{base}, in points")
    fig.legend(ncols=len(arms), loc="outside upper center")
    show(fig, f"Points gained over {base}. {'; '.join(told)}.", fold=what)


def prices(runs: pd.DataFrame, what: str) -> None:
    """Draw accuracy against cost: exits built in alone, nets without exits, leaving early."""
    if nothing(runs, what):
        return
    (fig, ax), told = figure(size=(9.6, 4)), []
    for place, (arm, rows) in enumerate(runs.groupby("arm", sort=False)):
        has = len(with_exits(rows)) > 0
        pairs = [(f"alone {k}", f"exit {k}") for k in (1, 2, 3)] if has else [("cost", "accuracy")]
        found = [interval(rows[metric]) for _, metric in pairs]
        at = [rows.get(cost, pd.Series(1.0)).fillna(1.0).mean() for cost, _ in pairs]
        drawn = at if has else [x + 0.01 for x in at]  # beside an exit of equal price, not under it
        options = look(str(arm), place) | {"label": f"{arm}{', exits' * has}", "linestyle": ":"}
        ax.errorbar(drawn, [f.mean for f in found], [f.half for f in found], **options)
        told += [f"{arm} at {x:.2f}: {f}" for x, f in zip(at, found, strict=True)]
        if has:
            line = np.stack(list(rows["sweep"])).mean(axis=0)
            ax.plot(*line, color=options["color"], label=f"{arm}, leaving early")
    ax.set(xlabel="multiply-adds of an image, plain net = 1", ylabel="test accuracy in %")
    fig.legend(loc="outside right upper")
    show(fig, f"Accuracy against cost. {'; '.join(told)}.", fold=what)
