"""What the evidence of notebook 03 shows, one figure or table a question of its section Deeper."""

from collections.abc import Iterable

import numpy as np
import pandas as pd

from kdlab.papers.understanding.arms import LOOKS, planted
from kdlab.papers.understanding.experiment import CELLS, shares
from kdlab.runs.differences import interval, paired
from kdlab.show.plots import band, dots, figure, show
from kdlab.show.report import summary, table

SCORES = {"accuracy": (1, "points of accuracy"), "nll": (-1, "nats of likelihood")}
EFFECTS = {  # what is added to a student without it; what is left of KD when it is taken away
    "smoothing": (("smoothing at T", "labels"), ("KD", "weighted labels")),
    "relations": (("relations", "smoothing at T"), ("KD", "confidence")),
    "confidence": (("confidence", "smoothing at T"), ("KD", "image relations")),
}


def lacking(runs: pd.DataFrame, arms: Iterable[str], what: str) -> bool:
    """Say so where `runs` hold fewer than two replicates of one of `arms`."""
    few = [arm for arm in arms if (runs["arm"] == arm).sum() < 2]
    if few:
        print(f"There is no evidence for {what} yet: {', '.join(few)}.")
    return bool(few)


def numbers(runs: pd.DataFrame, metrics: list[str], caption: str, fold: str) -> None:
    """Show the mean and interval of each of `metrics`, a row an arm."""
    if not lacking(runs, dict.fromkeys(runs["arm"]) or ["any arm"], fold.lower()):
        table(summary(runs, metrics), caption, fold=fold)


def divided(parts: pd.DataFrame) -> None:
    """Draw how KD's gain over labels is divided among its parts, in accuracy and in likelihood."""
    if lacking(parts, ["labels", *CELLS.values()], "the shares"):
        return
    fig, axes = figure(1, 2, size=(9.6, 3.2), sharey=True)
    said = []
    for ax, (metric, (sign, unit)) in zip(axes, SCORES.items(), strict=True):
        v = sign * parts.pivot(index="seed", columns="arm", values=metric)
        gains = pd.DataFrame({**shares(v), "all together": v["KD"] - v["labels"]}).dropna()
        dots(ax, gains.melt(), "value", "variable", f"{unit}, right is better", digits=2)
        said += [f"{part} {interval(gains[part], unit=unit)}" for part in gains]
    show(fig, f"KD's gain over labels, divided: {'; '.join(said)}.", fold="The shares")


def verdict(parts: pd.DataFrame) -> None:
    """Answer the reader: does each effect matter, both added alone and taken away from KD?"""
    arms = dict.fromkeys(arm for pairs in EFFECTS.values() for pair in pairs for arm in pair)
    if lacking(parts, arms, "the verdict"):
        return
    rows, told = [], []
    for effect, pairs in EFFECTS.items():
        rows.append({"effect": effect})
        for metric, (sign, unit) in SCORES.items():
            two = [interval(sign * paired(parts, *pair, metric)) for pair in pairs]
            for when, x in zip(("added", "taken away"), two, strict=True):
                rows[-1][f"{unit}, {when}"] = str(x).rpartition(",")[0]
            if side := "helps" * all(x.low > 0 for x in two) + "harms" * all(
                x.high < 0 for x in two
            ):
                told.append(f"{effect} {side} {unit.split()[-1]}")
    caption = f"Both intervals lie on one side of 0: {', '.join(told) or 'for no effect'}."
    table(pd.DataFrame(rows), caption, fold="Are all three important?")


def omegas(noise: pd.DataFrame) -> None:
    """Draw how well a low omega, and a high loss, find wrong labels while a student trains."""
    if lacking(noise, ["confidence"], "wrong labels"):
        return
    fig, ax = figure(size=(7.2, 3.4))
    runs = noise[noise["arm"] == "confidence"]
    names = ["low omega", "high loss"]
    curves = pd.concat([pd.DataFrame(c, LOOKS, names) for c in runs["curves"]]).rename_axis("look")
    for place, name in enumerate(names):
        band(ax, curves.reset_index(), "look", name, name, place)
    ax.axhline(50, color="#333333", linewidth=0.8)
    ax.set(xscale="log", xlabel="share of the training done", ylabel="AUROC in %, 50 is guessing")
    ax.set_xticks(LOOKS, [f"{100 * share:g} %" for share in LOOKS])
    ax.minorticks_off()
    ax.legend(loc="lower left")
    told = interval(runs["found"], unit="%")
    alt = f"A low omega finds wrong labels, after a tenth of the training, with an AUROC of {told}."
    show(fig, alt, fold="Wrong labels")


def maps(runs: pd.DataFrame) -> None:
    """Draw which classes lie near each other: the teacher's relations, and three students."""
    groups = dict(list(runs.groupby("arm", sort=False)))
    if lacking(runs, ("labels", "confidence", "KD"), "the geometry of classes"):
        return
    fig, axes = figure(1, 1 + len(groups), size=(12, 3.6), sharey=True)
    stacks = {"teacher's relations": groups["KD"]["relations"]}
    stacks |= {
        f"{arm}, likeness {g['likeness'].mean():.0f} %": g["map"] for arm, g in groups.items()
    }
    for ax, (name, stack) in zip(axes, stacks.items(), strict=True):
        near = np.stack(list(stack)).astype(float).mean(axis=0)
        near = near + near.T
        np.fill_diagonal(near, np.nan)
        ax.imshow(near, vmin=np.nanquantile(near, 0.05), vmax=np.nanquantile(near, 0.99))
        for i, j in planted(len(near)):
            ax.plot([i, j], [j, i], "o", mfc="none", mec="#D55E00", markersize=7)
        ax.set_xticks(range(0, len(near), 4), range(len(near) // 4))
        ax.set_yticks(range(0, len(near), 4), range(len(near) // 4))
        ax.set(title=name, xlabel="digit, four turns each")
        ax.grid(False)
    told = "; ".join(f"{arm} {interval(g['likeness'], unit='%')}" for arm, g in groups.items())
    alt = f"Maps of 40 classes; rings mark pairs that look alike. Likeness to the teacher: {told}."
    show(fig, alt, fold="Which classes lie near each other")
