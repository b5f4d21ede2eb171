"""The claims of notebook 01 subtract what they say, and its figures stand without evidence."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from kdlab.papers.efficacy import experiment, measured
from kdlab.papers.efficacy.told import TOLD
from kdlab.runs.claims import judge
from kdlab.runs.differences import Interval
from kdlab.runs.evidence import tables
from kdlab.train.worlds import WORLDS

OF = {c.name: c for c in experiment.COMPARISONS}
BOOST = {  # points above 80
    experiment.MIDDLE: 2.0,
    experiment.LARGE: 3.0,
    experiment.EQUAL: 4.5,
    experiment.LONG: 1.0,
    experiment.MIDDLE_LONG: 1.25,
    "kd_stop at 50%": 3.5,
    "kd_stop at 75%": 5.5,
    experiment.SPREAD: 0.25,
    f"{experiment.MIDDLE}, early": -5.0,
    f"{experiment.LARGE}, early": -3.0,
    "labels, early": -10.0,
    "large, middle": 6.0,
    "large, largest": 6.5,
    "large, largest, equal entropy": 5.0,
}


def made(name: str, replicates: int = 6) -> pd.DataFrame:
    """Return rows of a comparison in which every arm has a known mean over labels alone."""
    comparison, rows = OF[name], []
    for world in comparison.worlds:
        for place, arm in enumerate(comparison.arms):
            for seed in range(replicates):
                row = {"world": world, "arm": arm, "seed": seed, "seconds": 1.0}
                jitter = 0.01 * ((7 * seed + place) % 5 - 2)
                row |= {"accuracy": 80 + BOOST.get(arm, 0) + seed + jitter}
                row |= {"val_accuracy": row["accuracy"], "nll": 0.3, "ece": 1.0, "entropy": 0.2}
                row |= {"KL train": 0.1 * place + jitter, "KL test": 0.2, "agreement": 90.0}
                row |= {"teacher accuracy": 93.0 + jitter, "teacher entropy": 1.5}
                rows.append(row | {"target entropy": 1.6})
    table = pd.DataFrame(rows)
    table.attrs["name"] = name
    return table


@pytest.fixture(scope="module")
def full() -> dict[str, pd.DataFrame]:
    return {name: made(name) for name in OF}


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Figure, str, str]]:
    """Catch the figures, their texts and the titles of their folds."""
    kept: list[tuple[Figure, str, str]] = []
    monkeypatch.setattr(measured, "show", lambda fig, alt, fold: kept.append((fig, alt, fold)))
    return kept


def found(runs: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    return judge(experiment.claims(runs), "01_efficacy").set_index(["id", "world"])


# --- claims -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "points"),
    [
        ("bad-teacher", -1.0),
        ("early-teacher", 2.0),
        ("too-complex", -2.5),
        ("kd-stop", 2.5),  # validation chooses the stop at 75 %
        ("es-teacher", 2.0),
        ("below-scratch", -3.0),
        ("fading", 7.0 - 3.0),
        ("confidence", 1.5),
        ("timing", 3.25),
        ("long-teachers", 0.25),
        ("mimic", 0.2),
        ("capacity", 0.2 - 0.1),
        ("wide-student", -0.5),
    ],
)
def test_each_claim_subtracts_what_it_says(full, name: str, points: float):
    rows = found(full).loc[name]
    assert (abs(rows["ours"] - points) < 0.05).all()
    worlds = ["mnist5k", "fashion5k", "natural"]
    everywhere = {"bad-teacher", "early-teacher", "below-scratch", "fading"}
    assert list(rows.index) == (worlds if name in everywhere else worlds[:1])


def test_which_claims_are_judged_and_by_which_margins(full):
    claims = experiment.claims(full)
    assert [c.id for c in claims] == list(TOLD)
    margins = {c.id: c.margin for c in claims if c.primary}
    assert margins == {
        "bad-teacher": 0.5,
        "early-teacher": 0.8,
        "too-complex": 0.5,
        "kd-stop": 0.53,
        "es-teacher": 0.5,
    }
    assert all(c.why for c in claims if not len(c.numbers))


def test_what_is_known_of_notebook_00_is_not_judged(full):
    """Labels and KD from the large teacher are its arms, measured before this page."""
    known = {"labels", experiment.LARGE}
    for claim in experiment.claims(full):
        if claim.primary:
            assert not {arm for _, arm in claim.x.arms} <= known, claim.id


def test_a_claim_in_several_worlds_knows_all_its_arms(full):
    gap = experiment.everywhere(full, experiment.MIDDLE, experiment.LARGE)
    names = {name for name, _ in gap.arms}
    assert names == {"sizes", "photographs"} and len(gap.arms) == 4


def test_worlds_and_replicates_are_those_of_the_plan():
    assert {world for c in experiment.COMPARISONS for world in c.worlds} <= set(WORLDS)
    assert all(c.replicates for c in experiment.COMPARISONS), "its cost must be known"
    assert OF["sizes"].replicates == OF["remedies"].replicates == 10
    assert OF["photographs"].replicates == 6


def test_the_early_regime_is_250_updates():
    for world in ("mnist5k", "natural"):
        assert (WORLDS[world].recipe.steps or 0) * experiment.EARLY == 250


# --- without evidence ---------------------------------------------------------------------------


def without(tmp_path) -> dict[str, pd.DataFrame]:
    return tables("01_efficacy", experiment.COMPARISONS, tmp_path)


def draw_all(runs: Mapping[str, pd.DataFrame]) -> None:
    measured.rows_of_dots(measured.headline(runs), "two teachers")
    measured.rows_of_dots(runs["students"], "sizes")
    measured.regimes(runs)
    measured.remedies(runs)
    measured.facts(runs["students"], "following", ["accuracy", "KL train"])
    measured.facts(runs["teachers"], "teachers", ["accuracy", "target entropy"])
    measured.too_complex(runs)
    measured.schools(runs)


def test_nothing_is_drawn_without_evidence(tmp_path, shown, capsys):
    runs = without(tmp_path)
    draw_all(runs)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 8 and all("no evidence" in line for line in lines)
    assert not shown
    assert (found(runs)["outcome"] == "not tested here").all()
    assert list(measured.headline(runs, "mnist5k")) == measured.COLUMNS


@pytest.mark.parametrize("lost", list(OF))
def test_partial_evidence_is_no_obstacle(tmp_path, shown, capsys, full, lost: str):
    draw_all(full | {lost: without(tmp_path)[lost]})


def test_an_arm_that_is_missing_is_no_obstacle(shown, capsys, full):
    runs = full | {"remedies": full["remedies"][full["remedies"]["arm"] == experiment.LONG]}
    runs["remedies"].attrs["name"] = "remedies"
    draw_all(runs)


# --- figures ------------------------------------------------------------------------------------


def means(ax) -> list[float]:
    """Return the x of the markers of means, from top to bottom."""
    marks = [line for line in ax.lines if line.get_marker() not in (".", "None", None)]
    return [float(np.ravel(line.get_xdata())[0]) for line in marks]


def test_everything_is_drawn_with_its_numbers(full, shown):
    measured.rows_of_dots(measured.headline(full), "students of two teachers")
    ((fig, alt, fold),) = shown
    assert fold == "Students of two teachers"
    assert [ax.get_title(loc="left") for ax in fig.axes] == ["digits", "clothes", "photographs"]
    for ax in fig.axes:
        assert means(ax) == pytest.approx([82.5, 84.5, 85.5], abs=0.1)
    assert "digits, labels: +82.5" in alt and "photographs" in alt


def test_regimes_draw_differences_in_points(full, shown):
    measured.regimes(full)
    ((fig, _, _),) = shown
    names = [tick.get_text() for tick in fig.axes[0].get_yticklabels()]
    assert len(names) == 4 and names[0] == "large − middle teacher, 250 updates"
    for ax in fig.axes:
        assert means(ax) == pytest.approx([2.0, 1.0, 7.0, 3.0], abs=0.05)


def test_remedies_draw_each_arm_once(full, shown):
    measured.remedies(full)
    ((fig, _, _),) = shown
    names = [tick.get_text() for tick in fig.axes[0].get_yticklabels()]
    assert len(set(names)) == len(names) == 10


def test_the_readers_note_is_drawn_and_answered(full, shown, capsys):
    measured.too_complex(full)
    ((fig, _, _),) = shown
    assert means(fig.axes[0]) == pytest.approx([-1.0, -2.5, 1.5, -0.5, 1.0], abs=0.05)
    assert "nothing to explain" in capsys.readouterr().out


def test_schools_put_teachers_beside_students(full, shown):
    measured.schools(full)
    ((fig, alt, _),) = shown
    texts = [text.get_text() for text in fig.axes[0].get_legend().get_texts()]
    assert sorted(texts) == sorted(words for words, _, _ in measured.KINDS.values())
    assert "teacher 93.0" in alt


# --- the verdict on the reader's note -----------------------------------------------------------

ENDS = [(2, 1, 3), (-2, -3, -1), (0, -1, 1)]
YES, NO, NEITHER = (Interval(*three, n=5) for three in ENDS)


@pytest.mark.parametrize(
    ("raw", "due", "small", "large", "far", "told"),
    [
        (YES, YES, NEITHER, NEITHER, NEITHER, "confidence"),
        (YES, NEITHER, YES, NEITHER, YES, "capacity"),
        (YES, NEITHER, YES, YES, YES, "quality"),
        (YES, NEITHER, NEITHER, NEITHER, YES, "Open"),
        (YES, NEITHER, YES, NEITHER, NEITHER, "Open"),
        (NO, YES, YES, YES, YES, "is the better one"),
        (NEITHER, YES, YES, YES, YES, "no deficit is shown"),
    ],
)
def test_the_verdict_follows_from_the_intervals(raw, due, small, large, far, told: str):
    assert told in measured.explain(raw, due, small, large, far)
