import os
import signal
import subprocess
import sys
import time
import warnings
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from kdlab.data import load
from kdlab.data.loading import test_rows as rows_of_test
from kdlab.runs import evidence
from kdlab.runs.claims import Claim
from kdlab.runs.compare import compare
from kdlab.runs.differences import difference
from kdlab.runs.evidence import Comparison, InWorld, measure, spot_check, stale
from kdlab.runs.rows import FOLDER, KEYS, read, write
from kdlab.tools.cli import main
from kdlab.tools.gather import confirm, gather
from kdlab.train import worlds
from kdlab.train.gate import Suspicion
from kdlab.train.recipe import Recipe
from tests.faults import fault
from tests.runs import evidence_arms as arms

QUICK = replace(
    worlds.WORLDS["mnist5k"],
    teacher_net="cnn2",
    student_net="cnn2",
    recipe=Recipe(steps=2),
    teacher_recipe=Recipe(steps=2),
    least=(5, 8, 12),
)
PAIR = Comparison("pair", {"good": arms.good, "plain": arms.plain}, replicates=3)


@pytest.fixture(autouse=True)
def small(monkeypatch, tmp_path):
    monkeypatch.setenv("KDLAB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("EVIDENCE_LOG", str(tmp_path / "log"))
    monkeypatch.setitem(worlds.WORLDS, "mnist5k", QUICK)


def run(comparison, tmp_path, n=None, name="mnist5k", **options):
    options = {"folder": tmp_path, "n_jobs": 1, "command": "make evidence"} | options
    return measure("00_x", comparison, name, n or comparison.replicates, **options)


def made(tmp_path) -> list[str]:
    log = tmp_path / "log"
    return log.read_text().split("\n")[:-1] if log.exists() else []


def test_a_table_comes_back_as_it_was_written(tmp_path):
    table = run(PAIR, tmp_path)
    again = read("00_x", "pair", tmp_path)
    assert list(again["arm"]) == ["good"] * 3 + ["plain"] * 3
    assert list(again["seed"]) == [0, 1, 2] * 2
    for one, two in zip(table.to_dict("records"), again.to_dict("records"), strict=True):
        assert one["accuracy"] == pytest.approx(two["accuracy"])
        assert np.array_equal(one["correct"], two["correct"])
        assert np.array_equal(one["rows"], rows_of_test("mnist5k", one["seed"]))
    text = (tmp_path / "00_x" / "pair.csv").read_text()
    assert text.startswith("# make evidence\n")
    assert not list(tmp_path.rglob("*.pkl"))


def test_an_unknown_world_is_named_before_anything_is_trained(tmp_path):
    with pytest.raises(ValueError, match="mnist5k"):
        run(PAIR, tmp_path, name="mnist")
    assert made(tmp_path) == []


def test_other_arrays_are_kept(tmp_path):
    run(Comparison("curves", {"curve": arms.curve}, replicates=2), tmp_path)
    found = read("00_x", "curves", tmp_path)["curve"]
    assert [list(curve) for curve in found] == [[0, 1, 2], [1, 2, 3]]


def test_nothing_is_made_twice(tmp_path):
    run(PAIR, tmp_path)
    assert len(made(tmp_path)) == 6
    (tmp_path / "cache").rename(tmp_path / "elsewhere")  # on another machine: the file is enough
    run(PAIR, tmp_path)
    assert len(made(tmp_path)) == 6
    run(PAIR, tmp_path, n=4)
    assert made(tmp_path)[6:] == ["good 3", "plain 3"]


def test_a_run_that_another_comparison_holds_is_not_made_again(tmp_path):
    run(PAIR, tmp_path)
    (tmp_path / "cache").rename(tmp_path / "elsewhere")
    arms_of = {"first": arms.good, "other": partial(arms.good, shift=2.0)}
    table = run(Comparison("more", arms_of, replicates=5), tmp_path)
    assert made(tmp_path)[6:] == ["good 3", "good 4"] + [f"good {r}" for r in range(5)]
    kept = read("00_x", "pair", tmp_path)
    shared = table[(table["arm"] == "first") & (table["seed"] < 3)]
    assert list(shared["accuracy"]) == list(kept.loc[kept["arm"] == "good", "accuracy"])
    assert (shared["date"].values == kept.loc[kept["arm"] == "good", "date"].values).all()
    again = run(Comparison("same", {"again": arms.good}, replicates=2), tmp_path)
    assert len(made(tmp_path)) == 13 and len(again) == len(read("00_x", "same", tmp_path)) == 2
    assert all(len(a) == len(b) for a, b in zip(again["correct"], shared["correct"], strict=False))


def test_changed_code_makes_its_own_rows_stale_and_only_those(tmp_path, monkeypatch):
    run(PAIR, tmp_path)
    assert stale("00_x", [PAIR], tmp_path).empty
    changed = Comparison(
        "pair", {"good": partial(arms.good, shift=2.0), "plain": arms.plain}, replicates=3
    )
    told = stale("00_x", [changed], tmp_path)
    assert told[["arm", "runs"]].to_numpy().tolist() == [["good", 3]]
    table = run(changed, tmp_path)
    assert made(tmp_path)[6:] == ["good 0", "good 1", "good 2"]
    assert list(table[table["arm"] == "good"]["accuracy"]) == [82.0, 83.0, 84.0]


def test_another_setting_of_the_world_makes_its_rows_stale(tmp_path, monkeypatch):
    run(PAIR, tmp_path)
    monkeypatch.setitem(worlds.WORLDS, "mnist5k", replace(QUICK, recipe=Recipe(steps=3)))
    assert stale("00_x", [PAIR], tmp_path)["runs"].sum() == 6
    monkeypatch.setitem(worlds.WORLDS, "mnist5k", replace(QUICK, words="numbers", least=(3,)))
    assert stale("00_x", [PAIR], tmp_path).empty


def test_stale_rows_that_repeat_are_confirmed(tmp_path):
    table = run(PAIR, tmp_path)
    for arm, value in {"good": 81.0, "plain": 70.0}.items():  # plain no longer repeats
        rows = (table["arm"] == arm) & (table["seed"] == 0)
        table.loc[rows, "accuracy"] = value
    table["stamp"] = "0" * 12
    write("00_x", table, "make evidence", tmp_path)
    said = []
    confirm("00_x", PAIR, folder=tmp_path, n_jobs=1, say=said.append)
    assert stale("00_x", [PAIR], tmp_path)["arm"].tolist() == ["plain"]
    assert any("confirmed" in line for line in said) and any("changed" in line for line in said)


def test_an_arm_that_measures_less_than_others_is_confirmed_too(tmp_path):
    pair = replace(PAIR, arms=dict(PAIR.arms) | {"curve": arms.curve})
    table = run(pair, tmp_path)
    assert table["val_accuracy"].isna().sum() == 3  # `curve` has none
    table["stamp"] = "0" * 12
    write("00_x", table, "make evidence", tmp_path)
    confirm("00_x", pair, folder=tmp_path, n_jobs=1, say=lambda _: None)
    assert stale("00_x", [pair], tmp_path).empty


def test_the_stamp_is_free_of_the_version_of_python(monkeypatch):
    job = InWorld(partial(arms.good, shift=2.0), QUICK)
    before = job.stamp
    monkeypatch.setattr("kdlab.fingerprint.origin.PYTHON", "python 9.9")
    monkeypatch.setattr("kdlab.fingerprint.code.PYTHON", "python 9.9")
    from kdlab.papers.kd import experiment

    kd = InWorld(experiment.COMPARISONS[0].arms["KD"], QUICK)
    first = kd.stamp
    monkeypatch.setattr("kdlab.fingerprint.origin.PYTHON", "python 8.8")
    assert kd.stamp == first
    assert before != InWorld(partial(arms.good, shift=3.0), QUICK).stamp


def test_two_commands_at_once_lose_nothing(tmp_path, monkeypatch):
    monkeypatch.setitem(worlds.WORLDS, "fashion5k", replace(QUICK, name="fashion5k"))
    pair = replace(PAIR, worlds=("mnist5k", "fashion5k"))
    slow, asked = evidence.compare, []

    def meanwhile(*args, **options):
        asked.append(0)
        if len(asked) == 1:  # while the one measures clothes, another measures digits
            run(pair, tmp_path)
        return slow(*args, **options)

    monkeypatch.setattr(evidence, "compare", meanwhile)
    run(pair, tmp_path, name="fashion5k")
    assert read("00_x", "pair", tmp_path)["world"].value_counts().to_dict() == {
        "mnist5k": 6,
        "fashion5k": 6,
    }


def test_a_world_that_is_unknown_or_not_asked_is_told(tmp_path, capsys):
    assert main(["evidence", "--world", "digits"]) == 2
    assert "'digits'" in capsys.readouterr().err
    said = []
    gather("00_x", [PAIR], claims_of("plain"), worlds=["natural"], folder=tmp_path, say=said.append)
    assert "natural" in said[0] and not made(tmp_path)


def brightness(r):
    return {"accuracy": float(r.data.images(r.data.test.x).mean())}


def test_other_images_at_the_same_path_are_other_runs(tmp_path):
    path, found = tmp_path / "mine.npz", []
    for top in (255, 50):  # the reader mends the file, and runs the notebook again
        x = np.random.default_rng(0).integers(0, top, (60, 8, 8), dtype=np.uint8)
        np.savez(path, x=x, y=np.arange(60) % 3)
        runs = compare({"own": InWorld(brightness, worlds.world(str(path)))}, [0], n_jobs=1)
        found.append(runs["accuracy"].item())
    assert found[0] > 2 * found[1]


def claims_of(arm: str):
    def claims(tables):
        return [Claim("c", "A claim.", "no number", difference(tables["grow"], arm, "plain"))]

    return claims


@pytest.mark.parametrize(("arm", "n"), [("good", 5), ("noisy", 12)])
def test_replicates_grow_until_the_interval_is_narrow_enough(tmp_path, arm, n):
    grow = Comparison(
        "grow", {arm: getattr(arms, arm), "plain": arms.plain, "idle": arms.curve}, replicates=None
    )
    options = {"folder": tmp_path, "n_jobs": 1, "say": lambda _: None}
    gather("00_x", [grow], claims_of(arm), **options)
    counts = read("00_x", "grow", tmp_path)["arm"].value_counts()
    assert counts[arm] == counts["plain"] == n
    assert counts["idle"] == 5  # no claim needs more of it


@fault(
    "`make evidence` is killed at any stage",
    "It goes on with the runs that are missing.",
)
def test_a_killed_process_loses_no_finished_run(tmp_path):
    code = f"""
from dataclasses import replace
from pathlib import Path
from kdlab.train import worlds
from kdlab.train.recipe import Recipe
from kdlab.runs.evidence import Comparison, measure
from tests.runs import evidence_arms as arms
worlds.WORLDS["mnist5k"] = replace(worlds.WORLDS["mnist5k"], teacher_net="cnn2", student_net="cnn2",
    recipe=Recipe(steps=2), teacher_recipe=Recipe(steps=2))
pair = Comparison("pair", {{"slow": arms.slow, "plain": arms.plain}}, replicates=6)
measure("00_x", pair, "mnist5k", 6, folder=Path({str(tmp_path)!r}), n_jobs=1)
"""
    kills = 0
    for lines, held in ((2, 1), (5, 3), (9, 5)):  # the replicate that waits for the kill
        env = os.environ | {"HELD": str(held)}
        process = subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.DEVNULL, env=env)
        while len(made(tmp_path)) < lines and process.poll() is None:
            time.sleep(0.02)
        if process.poll() is None:
            os.kill(process.pid, signal.SIGKILL)
            kills += 1
        process.wait()
    assert kills == 3
    subprocess.run([sys.executable, "-c", code], check=True, stderr=subprocess.DEVNULL)
    table = read("00_x", "pair", tmp_path)
    assert len(table) == 12 and not table.duplicated(["arm", "seed"]).any()
    assert len(made(tmp_path)) <= 12 + kills  # at most the run in hand was lost, each time


def test_a_spot_check_trains_again(tmp_path):
    run(PAIR, tmp_path)
    found = spot_check("00_x", [PAIR], 7, folder=tmp_path, n_jobs=1)
    assert len(found) == 2 and (found["gap"] == 0).all()
    again = spot_check("00_x", [PAIR], 7, folder=tmp_path, n_jobs=1)
    assert found.equals(again)
    table = read("00_x", "pair", tmp_path)
    for row in found.itertuples():
        assert row.spread == round(table[table["arm"] == row.arm]["accuracy"].std(), 2)


def test_a_spot_check_is_silent_about_a_teacher_that_knows_nothing_on_purpose(tmp_path):
    control = Comparison("control", {"doubtful": arms.doubtful}, replicates=2)
    with pytest.warns(Suspicion):
        run(control, tmp_path)
    with warnings.catch_warnings():
        warnings.simplefilter("error", Suspicion)
        found = spot_check("00_x", [control], 7, folder=tmp_path, n_jobs=1)
    assert len(found) == 2


def test_a_replicate_redraws_everything():
    one, two = (worlds.replicate(QUICK, r) for r in (0, 1))
    same = worlds.replicate(QUICK, 0)
    assert one.data.key == same.data.key != two.data.key
    assert set(one.data.test.x[:, 0, 10, 10].tolist()) != set()
    weights = [next(r.student().parameters()) for r in (one, two, same)]
    assert bool((weights[0] == weights[2]).all()) and not bool((weights[0] == weights[1]).all())
    peers = [next(one.student(peer=k).parameters()) for k in (0, 1)]
    assert not bool((peers[0] == peers[1]).all())
    answers = [r.teacher.stored() for r in (one, two)]
    assert not bool((answers[0] == answers[1]).all())


@pytest.mark.parametrize("name", ["mnist5k", "fashion5k", "rot40"])
def test_rows_of_the_test_part_are_those_of_the_split(name):
    from kdlab.data import sources

    raw, data = sources.read(name), load(name, seed=3)
    rows = rows_of_test(name, 3)
    labels = data.test.y // 4 if name == "rot40" else data.test.y
    assert np.array_equal(raw.y[rows], labels.numpy())
    assert len(set(rows.tolist())) == (2000 if name == "rot40" else len(rows))


def test_unknown_worlds_are_named():
    with pytest.raises(ValueError, match="mnist5k"):
        worlds.replicate("mnist6k", 0)


def test_the_evidence_of_the_course_can_be_read():
    for path in Path(FOLDER).glob("*/*.csv"):
        table = read(path.parent.name, path.stem)
        assert isinstance(table, pd.DataFrame) and not table.duplicated(KEYS).any()
