from dataclasses import replace

import pandas as pd
import pytest

from kdlab.show import falling
from kdlab.train.recipe import Recipe
from kdlab.train.worlds import WORLDS, Replicate

QUICK = replace(
    WORLDS["mnist5k"],
    teacher_net="cnn2",
    student_net="cnn2",
    recipe=Recipe(steps=1),
    teacher_recipe=Recipe(steps=1),
)
KNOWN = pd.DataFrame(
    {"world": "mnist5k", "arm": ["a", "a", "b"], "seed": [0, 1, 0], "accuracy": [90.0, 92, 95]}
).assign(seconds=7.0)


def constant(value: float):
    return lambda r: {"accuracy": value + r.r / 1000}


@pytest.fixture(autouse=True)
def own_cache(monkeypatch, tmp_path):
    monkeypatch.setenv("KDLAB_CACHE", str(tmp_path))


def test_new_replicates_are_trained_once_each_and_kept(capsys):
    made = []

    def arm(r: Replicate):
        made.append(r.r)
        return {"accuracy": 91.0}

    runs = falling.live({"a": arm}, QUICK, 2, seed=3, known=KNOWN, n_jobs=1)
    assert list(runs["seed"]) == [1006, 1007] and set(runs["arm"]) == {"a"}
    falling.live({"a": constant(1.0)}, QUICK, 2, seed=3, n_jobs=1)
    told = capsys.readouterr().out
    assert "2 teachers and 2 students" in told and "nobody has timed" in told


def test_readers_of_other_numbers_draw_other_replicates():
    drawn = [
        set(falling.live({"a": constant(1.0)}, QUICK, 2, seed=s, n_jobs=1)["seed"]) for s in (0, 1)
    ]
    assert not drawn[0] & drawn[1]
    assert min(drawn[0]) >= falling.FIRST > max(max(w.least) for w in WORLDS.values())


def test_dots_of_evidence_and_of_new_runs_stand_in_the_rows_of_their_arms():
    runs = pd.DataFrame({"arm": ["b"], "seed": [1000], "accuracy": [94.0]})
    fig, said = falling.rows_of_dots(["a", "b"], KNOWN, runs)
    ax = fig.axes[0]
    assert [label.get_text() for label in ax.get_yticklabels()] == ["a", "b"] and said == ""
    rows = {
        round(float(y))
        for line in ax.lines
        for x, y in zip(*line.get_data(), strict=True)
        if x == 94.0
    }
    assert rows == {1}
    small = [line for line in ax.lines if line.get_marker() == "."]
    assert sorted(len(line.get_xdata()) for line in small) == [1, 2]


def test_guesses_are_drawn_and_told():
    def draw(ax, arms):
        ax.barh([0], [2], left=[90])
        return "Light boxes are guesses."

    bundle = falling._picture({"a": constant(1.0)}, KNOWN, falling.NOTHING, draw)
    assert "Light boxes are guesses." in bundle["text/html"]
    assert bundle["text/html"].startswith("<details open>") and "image/png" not in bundle


def test_the_time_is_told_beforehand(capsys):
    falling.live({"a": constant(1.0)}, QUICK, 3, known=KNOWN, n_jobs=1)
    assert "about 40 s" in capsys.readouterr().out  # 3 x (a student + a teacher) of 7 s
