"""What the evidence of notebook 01 shows. Each function says so where nothing is measured yet."""

from collections.abc import Mapping, Sequence

import pandas as pd

from kdlab.papers.efficacy import experiment as of
from kdlab.papers.kd.measured import panels
from kdlab.runs.differences import Interval, difference, interval
from kdlab.show.plots import dots, figure, show
from kdlab.show.report import nothing, say, summary, table
from kdlab.show.words import in_words

Tables = Mapping[str, pd.DataFrame]
COLUMNS = ["world", "arm", "seed", "accuracy", "seconds"]  # that the live figure asks for
KINDS = {  # arm -> its teacher in words; a colour for each age, a marker for each size
    "small, middle": ("middle teacher", "#0072B2", "s"),
    "small, between": ("between", "#0072B2", "D"),
    "small, largest": ("largest", "#0072B2", "^"),
    of.MIDDLE_LONG: ("middle, 2.5 times as long", "#D55E00", "s"),
    of.LONG: ("largest, 2.5 times as long", "#D55E00", "^"),
    of.SHORT: ("largest, a quarter as long", "#009E73", "^"),
}
ACCURACY = "test accuracy in % (axis cut)"


def headline(tables: Tables, world: str | None = None) -> pd.DataFrame:
    """Return the rows of labels, middle and large teacher, of one world or of all."""
    runs = pd.concat([tables[name] for name in ("sizes", "photographs")])
    here = runs["world"].isin([world] if world else list(runs["world"]))
    runs = runs[here & runs["arm"].isin(["labels", of.MIDDLE, of.LARGE])]
    return runs if len(runs) else pd.DataFrame(columns=COLUMNS)


def rows_of_dots(
    runs: pd.DataFrame, what: str, metric: str = "accuracy", label: str = ACCURACY
) -> None:
    """Draw a row an arm and a panel a world, in a fold: replicates, means, intervals."""
    if nothing(runs, what):
        return
    names = list(dict.fromkeys(runs["arm"]))
    fig, pairs = panels(runs, 0.9 + 0.55 * len(names))
    told = []
    for place, (world, ax) in enumerate(pairs):
        here = runs[runs["world"] == world]
        if metric == "points":
            ax.axvline(0, color="#333333", linewidth=1)
        dots(ax, here, metric, label=label, digits=2 if metric == "points" else 1)
        if place and list(here["arm"].unique()) == names:
            ax.set_yticklabels([])
        each = here.groupby("arm", sort=False)[metric]
        told += [f"{in_words(str(world))}, {name}: {interval(x)}" for name, x in each]
    show(fig, f"Mean and interval of each row. {'; '.join(told)}.", what.capitalize())


def contrasts(found: Mapping[str, pd.Series], what: str, label: str) -> None:
    """Draw paired differences, {words: numbers by world and seed}, as `rows_of_dots` does."""
    rows = [(*key, name, value) for name, x in found.items() for key, value in x.items()]
    runs = pd.DataFrame(rows, columns=["world", "seed", "arm", "points"])
    rows_of_dots(runs, what, "points", label)


def regimes(tables: Tables) -> None:
    """Draw what the largest teacher is worth after 250 and after 2,000 updates."""
    found = {
        f"large − {words}, {updates} updates": of.everywhere(tables, of.LARGE + end, other + end).x
        for words, other in (("middle teacher", of.MIDDLE), ("labels", "labels"))
        for updates, end in (("250", ", early"), ("2,000", ""))
    }
    contrasts(found, "the large teacher early and late", "points of accuracy")


def remedies(tables: Tables) -> None:
    """Draw, on digits, students of teachers of all ages, and students that leave theirs."""
    runs = pd.concat([headline(tables, "mnist5k"), tables["remedies"], tables["more"]])
    rows_of_dots(runs.drop_duplicates(["arm", "seed"]), "stopping and leaving")


def facts(runs: pd.DataFrame, what: str, metrics: Sequence[str]) -> None:
    """Show the means of `metrics` with half-widths of their 95 % intervals, in a fold."""
    if not nothing(runs, what):
        told = f"{what.capitalize()}: mean ± half-width. KL and entropy in nats, the others in %."
        named = [f"{in_words(w)}: {a}" for w, a in zip(runs["world"], runs["arm"], strict=True)]
        table(summary(runs.assign(arm=named), metrics), told, fold=what.capitalize())


def too_complex(tables: Tables) -> None:
    """Draw the contrasts of the reader's note and say which explanation they support."""
    remedies, students = tables["remedies"], tables["students"]
    raw = difference(remedies, of.MIDDLE, of.LARGE).x
    small = difference(remedies, of.MIDDLE, of.EQUAL).x
    due = difference(remedies, of.EQUAL, of.LARGE).x
    wide = difference(students, "large, middle", "large, largest").x
    large = difference(students, "large, middle", "large, largest, equal entropy").x
    found = {
        "small student, as trained": raw,
        "small student, equal entropy": small,
        "small student, due to confidence": due,
        "large student, as trained": wide,
        "large student, equal entropy": large,
    }
    contrasts(found, "teachers too complex", "points by which the largest teacher is worse")
    far = difference(students, "small, largest, equal entropy", "small, middle", "KL train").x
    if all(len(x) for x in (raw, due, small, large, far)):
        say(f"**{explain(*map(interval, (raw, due, small, large, far)))}**")


def explain(raw: Interval, due: Interval, small: Interval, large: Interval, far: Interval) -> str:
    """Return what the intervals of five contrasts say of the reader's note.

    Args:
        raw: by how much the largest teacher is worse for the small student, as trained.
        due: the part that goes when it is made as unsure as the middle one.
        small, large: what stays then, for the small and for the large student.
        far: how much farther, in KL on training images, the small student then stays from it.
    """
    if raw.low <= 0:
        better = "the largest teacher is the better one" if raw.high < 0 else "no deficit is shown"
        return f"As trained, {better}: there is nothing to explain."
    if small.low > 0 and large.low > 0:
        return "It stays for both students: the quality of the answers."
    if small.low > 0 and large.high < small.mean and far.low > 0:
        return "It stays for the small student alone, which follows less: capacity."
    if small.low <= 0 < due.low:
        return "It goes with equal entropy: confidence."
    return "Open: the intervals cannot tell why."


def schools(tables: Tables) -> None:
    """Draw each kind of teacher's own accuracy beside that of its small students, on digits."""
    runs = pd.concat([tables[name] for name in ("students", "remedies", "more")])
    runs = runs[runs["arm"].isin(list(KINDS))].drop_duplicates(["arm", "seed"])
    if nothing(runs, "teachers beside their students"):
        return
    runs = runs[runs["seed"].isin(tables["students"]["seed"])]  # some arms have more replicates
    fig, ax = figure(size=(9, 4.6))
    told = []
    for arm, rows in runs.groupby("arm", sort=False):
        words, colour, marker = KINDS[str(arm)]
        x, y = interval(rows["teacher accuracy"]), interval(rows["accuracy"])
        style = {"color": colour, "marker": marker, "linestyle": "none", "markersize": 9}
        ax.errorbar(x.mean, y.mean, y.half, x.half, label=words, **style)
        told.append(f"{words}: teacher {x.mean:.1f}, student {y.mean:.1f}")
    ax.set(xlabel="test accuracy of the teacher in %", ylabel="of its student in % (axes cut)")
    ax.legend(loc="center left", bbox_to_anchor=(1, 0.5))
    show(fig, f"Accuracy in %. {'; '.join(told)}.", fold="Better teachers, better students?")
