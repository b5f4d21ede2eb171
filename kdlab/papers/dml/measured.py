"""What the evidence of notebook 08 shows, one figure or table a question."""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd
from matplotlib.axes import Axes

from kdlab.papers.dml.arms import SIGMAS
from kdlab.papers.dml.experiment import FEATURES, INDEPENDENT, derived
from kdlab.runs.differences import interval
from kdlab.runs.rows import stacked
from kdlab.show.looks import look
from kdlab.show.plots import band, dots, figure, show
from kdlab.show.report import nothing, summary, table
from kdlab.show.words import in_words, told

Tables = Mapping[str, pd.DataFrame]
PAIRS = ("#999999", "#D55E00")  # the others, and the worst
LINES = ({"color": look("labels")["color"]}, {"color": look("DML")["color"], "linestyle": "--"})
BEFORE, AFTER = 25, 15  # updates around the highest loss
POINTS = {  # what the reader noted: the claims that answer it
    "Why: it converges to flatter minima": ("flat-raw", "flat-filter", "flat-accuracy"),
    "Why: it raises the posterior entropy": ("entropy",),
    "Why: the answers of peers become alike": ("alike",),
    "Note: the ensemble is the worse teacher": ("one-by-one",),
    "Note: aligning features costs diversity": ("features", "diversity"),
    "Note: it works semi-supervised": ("unlabelled",),
}


def headline(tables: Tables) -> pd.DataFrame:
    """Return the rows of the main arms in all worlds; without any, a table with columns."""
    return stacked(tables, "pair", "clothes", "photographs")


def measures(rows: pd.DataFrame, name: str) -> None:
    """Show accuracy, likelihood, calibration and entropy of every arm in one world."""
    here = rows[rows["world"] == name]
    if not nothing(here, in_words(name)):
        told_as = f"{in_words(name)}, mean member ± half-width."
        caption = f"{told_as} Accuracy, ECE in %, NLL, entropy in nats."
        columns = ["accuracy", "nll", "ece", "entropy"]
        table(summary(here, columns), caption, fold="What lies behind the mean")


def soft_and_flat(reader: pd.DataFrame) -> None:
    """Draw how soft the answers are, and how noise on the weights raises the training loss."""
    both = reader[reader["arm"].isin([INDEPENDENT, "DML"])]
    if nothing(both, "entropy and flatness"):
        return
    fig, axes = figure(1, 3, size=(11, 3.6))
    dots(axes[0], both, "entropy", label="entropy of a member in nats", digits=2)
    for ax, kind in zip(axes[1:], SIGMAS, strict=True):
        rises(ax, both, kind)
    axes[0].set_title("How soft?")
    axes[1].set(title="Raw noise", xlabel="standard deviation", ylabel="loss rises by, nats")
    axes[2].set(title="Noise by filter", xlabel="share of the filter's length")
    axes[1].legend()
    means = both.groupby("arm", sort=False)["entropy"]
    said = "; ".join(f"{arm} {interval(x, unit='nats')}" for arm, x in means)
    text = f"Entropy of answers: {said}. Beside it the rise of the training loss with two noises."
    show(fig, text, fold="How soft, and how flat?")


def rises(ax: Axes, rows: pd.DataFrame, kind: str) -> None:
    """Draw how the loss rises with one kind of noise: mean and 95 % band of each arm."""
    for place, (name, group) in enumerate(rows.groupby("arm", sort=False)):
        points = pd.DataFrame({"rise": group[f"rise {kind}"], "sigma": [SIGMAS[kind]] * len(group)})
        points = points.explode(["rise", "sigma"]).astype(float)
        band(ax, points, "sigma", "rise", str(name), linestyle=("-", "--")[place % 2])


def likeness(reader: pd.DataFrame) -> None:
    """Draw how alike two nets' features are against what both gain as one, a mark a replicate."""
    rows = derived(reader[reader["arm"].isin([INDEPENDENT, "DML", FEATURES])])
    if nothing(rows, "features"):
        return
    (fig, ax), said = figure(size=(8.4, 4)), []
    for place, (name, group) in enumerate(rows.groupby("arm", sort=False)):
        style: dict[str, Any] = look(str(name), place) | {"linestyle": "none"}
        x, y = group["cka"].to_numpy(float), group["gain of two"].to_numpy(float)
        ax.plot(x, y, alpha=0.4, markersize=5, **style)
        ax.plot(x.mean(), y.mean(), markersize=12, label=name, **style)
        said.append(f"{name}: CKA {x.mean():.2f}, gain {y.mean():.2f} points")
    ax.set(xlabel="linear CKA of the two nets' features (axis cut)")
    ax.set_ylabel("points gained by two as one")
    ax.legend()
    show(fig, f"Small marks: replicates; large ones: means. {'; '.join(said)}.", fold="Alike?")


def arms(rows: pd.DataFrame, what: str, names: Sequence[str] = ()) -> None:
    """Draw a row of dots for each arm of one comparison, or for those of `names`."""
    rows = rows[rows["arm"].isin(names)] if names else rows
    if nothing(rows, what):
        return
    fig, ax = figure(size=(9.2, 0.9 + 0.6 * rows["arm"].nunique()))
    dots(ax, rows, "accuracy", label="test accuracy of a member in % (axis cut)")
    found = rows.groupby("arm", sort=False)["accuracy"]
    said = "; ".join(f"{name} {interval(x, unit='%')}" for name, x in found)
    show(fig, f"A dot a replicate, with mean and interval. {said}.", fold=what)


def lost(slow: pd.DataFrame) -> None:
    """Draw the loss of every update of each pair, and of the worst one from near."""
    rows = slow[slow["arm"] == "DML"]
    if nothing(rows, "the loss of every update"):
        return
    fig, (far, near) = figure(1, 2, size=(11, 3.9))
    worst = rows.loc[rows["training loss"].idxmax()]
    for row in rows.to_dict("records"):
        smooth = pd.Series(row["costs"].sum(axis=0)).rolling(20, min_periods=1).mean()
        here = int(row["seed"] == worst["seed"])
        far.plot(smooth, color=PAIRS[here], linewidth=1 + here, zorder=2 + here)
    far.set(xlabel="update", ylabel="loss of a peer, nats", yscale="log")
    far.set_title(f"{len(rows)} pairs; orange: replicate {worst['seed']}")
    costs = worst["costs"]
    first = costs.shape[1] // 20  # the loss of the beginning is no accident
    at = first + int(costs.sum(axis=0)[first:].argmax())
    updates = range(max(0, at - BEFORE), min(costs.shape[1], at + AFTER))
    for cost, name, style in zip(costs, ("labels", "peers"), LINES, strict=True):
        near.plot(updates, cost[updates.start : updates.stop], label=name, **style)
    near.set(
        xlabel="update",
        ylabel="loss of a peer, nats",
        yscale="log",
        title=f"Replicate {worst['seed']} from near",
    )
    near.legend()
    end = rows.set_index("seed")["training loss"]
    told_as = f"Left: loss at each update, mean of 20. Right: where the loss is highest, {at}."
    best = end.drop(worst["seed"]).max()
    ends = f"Training loss at the end: {end.max():.3f} nats there; else at most {best:.3f}."
    show(fig, f"{told_as} {ends}", fold="Where did it lose its way?")


def points(judged: pd.DataFrame) -> None:
    """Show what the reader noted, the claims that answer it, and what came out."""
    lines = [
        {"the reader's point": point, "asked as": row["claim"], "here": told(row)}
        for point, ids in POINTS.items()
        for row in judged[judged["id"].isin(ids)].to_dict("records")
    ]
    caption = "Above 0 speaks for the point. Flatness, likeness and the last two: five replicates."
    table(pd.DataFrame(lines), caption, fold="The reader's six points")
