"""The shoot-out: who enters, how knobs are chosen, what is counted, who is told apart."""

import re
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from kdlab.lab.methods import from_papers
from kdlab.runs.evidence import InWorld, measure
from kdlab.runs.rows import write
from kdlab.shootout import figures, ranking, report, tuning
from kdlab.shootout.entrant import Entrant, costs
from kdlab.shootout.experiment import COMPARISONS, Equal, longer, prices
from kdlab.shootout.ranking import Public
from kdlab.shootout.tuning import LONGER, TRIED, WAYS, Chosen, chosen, told, tries
from kdlab.train import worlds
from kdlab.train.recipe import Recipe
from kdlab.train.worlds import replicate

TINY = replace(
    worlds.WORLDS["mnist5k"],
    n_labelled=100,
    teacher_net="cnn4",
    student_net="cnn2",
    recipe=Recipe(steps=2),
    teacher_recipe=Recipe(steps=2),
)
WORLD = "mnist5k"


@pytest.fixture
def tiny(monkeypatch):
    monkeypatch.setitem(worlds.WORLDS, WORLD, TINY)
    return replicate(WORLD, 0)


def test_every_paper_with_a_rival_of_its_own_takes_part():
    papers = {way.paper[:2] for way in WAYS.values()}
    assert papers == {f"{n:02}" for n in range(10)}  # 10 has made data, 11 has none
    assert len({way.method for way in WAYS.values()} - set(from_papers())) == 0


def test_all_get_as_many_tries_or_none_and_the_usual_value_is_tried():
    assert {len(way.tries) for way in WAYS.values()} == {0, 3}
    known = from_papers()
    for name, way in WAYS.items():
        usual = {knob.name: knob.default for knob in known[way.method].knobs}
        for knobs in way.tries:
            assert set(knobs) <= {*usual, LONGER}, name


@pytest.mark.parametrize("name", WAYS)
def test_an_entrant_trains_in_any_replicate_and_returns_numbers(tiny, name):
    way = WAYS[name]
    row = way.entrant(way.tries[-1] if way.tries else {}, longer=1)(tiny)
    assert {"accuracy", "val_accuracy"} <= set(row)
    assert all(np.isfinite(value) for value in row.values())


@pytest.mark.parametrize("name", ["KD", "KD + hint", "RKD", "SSKD"])
def test_a_teacher_of_another_family_can_teach(tiny, name):
    way = WAYS[name]
    row = way.entrant({}, longer=0.5, teacher="resnet8")(tiny)
    assert 0 <= row["accuracy"] <= 100


def test_tries_have_replicates_of_their_own(tiny):
    here, there = Entrant("labels"), Entrant("labels", first=TRIED)
    assert here(tiny) != there(tiny)
    assert there(tiny) == here(replicate(WORLD, TRIED))
    assert {entrant.first for entrant in tries().values()} == {TRIED}


def test_what_changes_a_run_changes_its_stamp_and_a_teacher_nobody_asks_does_not():
    def stamp(*args, **options):
        return InWorld(Entrant(*args, **options), TINY).stamp

    assert len({stamp("KD"), stamp("KD", (("T", 2.0),)), stamp("KD", longer=2)}) == 3
    assert stamp("KD") != stamp("KD", teacher="resnet8")
    assert stamp("labels") == stamp("labels", teacher="resnet8")


def tuned(folder, best):
    """Evidence of all tries, in which validation prefers the try number `best`, testing another."""
    rows, how = [], {"stamp": "x", "torch": "2", "date": "2026-01-01", "seconds": 1.0}
    for name, way in WAYS.items():
        for i, knobs in enumerate(way.tries):
            arm, right = f"{name}: {told(knobs)}", i == best
            for seed in (0, 1):
                scores = {"val_accuracy": 90.0 + right + seed, "accuracy": 90.0 - right}
                row = {"world": WORLD, "arm": arm, "seed": seed} | scores
                rows.append(row | how)
    table = pd.DataFrame(rows)
    table.attrs["name"] = "tuning"
    write(tuning.NOTEBOOK, table, "make evidence", folder)


@pytest.mark.parametrize("best", [0, 2])
def test_validation_images_choose(tmp_path, best):
    tuned(tmp_path, best)
    found = chosen(WORLD, tmp_path)
    assert found == {n: way.tries[best] if way.tries else {} for n, way in WAYS.items()}
    assert chosen("natural", tmp_path) == {}


def test_a_missing_try_chooses_nothing(tmp_path):
    tuned(tmp_path, 1)
    path = tmp_path / tuning.NOTEBOOK / "tuning.csv"
    lines = path.read_text().split("\n")
    path.write_text("\n".join(line for line in lines if "KD: T 4" not in line))
    assert chosen(WORLD, tmp_path) == {}


def test_the_arms_follow_the_choice(tmp_path, monkeypatch):
    arms = Chosen(WORLD, leave=("DML",), teacher="resnet8")
    monkeypatch.setattr(tuning, "chosen", lambda world: chosen(world, tmp_path))
    assert dict(arms) == {}
    tuned(tmp_path, 0)
    assert set(arms) == set(WAYS) - {"DML"}
    assert arms["KD"] == Entrant("KD", (("T", 2.0),), teacher="resnet8")
    assert arms["labels, longer"].longer == 2


def test_counts_are_those_of_the_networks(tiny):
    labels, kd, dml = (costs(WAYS[name].entrant({}), tiny) for name in ("labels", "KD", "DML"))
    assert labels["teacher"] == labels["extra"] == 0
    assert kd["teacher"] > 5 * labels["update"]
    assert kd["update"] == labels["update"]
    assert dml["update"] == pytest.approx(2 * labels["update"])
    assert dml["extra"] == dml["deployed"] == labels["deployed"]
    first = 2 * 50 * 28 * 28 * 9 * 2  # block 1 forward: two operations a multiply-add
    assert 2 * first < labels["update"] < 20 * first
    assert labels["kept"] > 50 * 28 * 28 * 4


def test_equal_operations_cost_what_kd_costs(tiny, tmp_path, monkeypatch):
    monkeypatch.setattr(tuning, "chosen", lambda world: chosen(world, tmp_path))
    monkeypatch.setattr("kdlab.shootout.experiment.prices", lambda world: prices(world, tmp_path))
    assert dict(Equal(WORLD)) == {}
    tuned(tmp_path, 1)
    (counted,) = [c for c in COMPARISONS if c.name == "costs"]
    chosen_arms = ["labels", "KD", "DML"]
    measure("12_lab", counted, WORLD, 1, chosen_arms, folder=tmp_path, n_jobs=1, command="x")
    price = prices(WORLD, tmp_path)
    for name in chosen_arms:
        own = price.loc[name]
        spent = own["fixed"] + longer(name, price) * own["updates"] * own["update"]
        assert spent == pytest.approx(price.loc["KD", "total"])
    arms = dict(Equal(WORLD))
    assert set(arms) == set(chosen_arms)
    assert arms["KD"].longer == 1
    assert arms["labels"].longer == pytest.approx(2 * arms["DML"].longer, abs=0.02)


def test_every_teacher_is_paid_for_its_answers_and_longer_training_for_its_length(tiny, tmp_path):
    tuned(tmp_path, 1)
    (counted,) = [c for c in COMPARISONS if c.name == "costs"]
    names = ["labels", "labels, longer", "KD", "RKD"]
    measure("12_lab", counted, WORLD, 1, names, folder=tmp_path, n_jobs=1, command="x")
    price = prices(WORLD, tmp_path)
    assert price.loc["KD", "set-up"] == 0 < price.loc["RKD", "set-up"]
    assert price.loc["KD", "fixed"] == price.loc["RKD", "fixed"] > price.loc["KD", "teacher"]
    assert price.loc["labels", "fixed"] == 0
    assert price.loc["labels, longer", "total"] == 3 * price.loc["labels", "total"]


def table_of(leads: dict[str, float], spread: float = 0.3, n: int = 10, seed: int = 0):
    source = np.random.default_rng(seed)
    shared = source.normal(0, 3, n)  # the luck of a replicate, which all methods share
    rows = [
        {"arm": name, "seed": s, "accuracy": 90 + lead + shared[s] + source.normal(0, spread)}
        for name, lead in leads.items()
        for s in range(n)
    ]
    return pd.DataFrame(rows)


LEADS = {"labels": 0.0, "KD": 3.0, "RKD": 0.1, "DML": 1.5}


def test_methods_are_told_apart_within_replicates():
    found = ranking.table(table_of(LEADS))
    assert list(found.index)[:2] == ["KD", "DML"]
    assert found.loc["KD", "beats"] == 3
    assert found.loc["DML", "beaten by"] == 1
    close = ranking.pairs(table_of({"labels": 0.0, "RKD": 0.05}))
    assert not close["apart"].any()


def test_nobody_is_told_apart_by_chance():
    equal = dict.fromkeys("abcde", 0.0)
    wrong = [ranking.pairs(table_of(equal, seed=s))["apart"].any() for s in range(200)]
    assert np.mean(wrong) <= 0.08  # 5 %, and the luck of 200 draws


def test_a_replicate_that_a_method_lacks_counts_for_nobody():
    runs = table_of(LEADS).iloc[:-1]
    assert set(ranking.table(runs)["n"]) == {9}


def test_a_ranking_is_compared_pair_by_pair_within_a_table():
    same = Public("same", "", {"KD": 70.0, "DML": 69.0, "labels": 60.0, "unknown": 1.0})
    upside_down = Public("other", "", {"labels": 70.0, "KD": 60.0})
    found = ranking.agreement(table_of(LEADS), same)
    assert (found.tau, found.alike, found.pairs, found.methods) == (1.0, 3, 3, 3)
    both = ranking.agreement(table_of(LEADS), same, upside_down)
    assert (both.alike, both.pairs) == (3, 4)
    assert both.low <= both.tau <= both.high
    with pytest.raises(ValueError, match="two methods"):
        ranking.agreement(table_of(LEADS), Public("none", "", {"KD": 1.0}))


def test_public_tables_name_methods_that_take_part_and_their_source():
    for one in ranking.public():
        assert set(one.accuracy) <= set(WAYS), one.name
        assert len(one.accuracy) > 1
        assert "github.com" in one.source


def test_the_table_and_the_pictures_show_what_was_measured(tmp_path):
    nothing = pd.DataFrame(columns=["world", "arm", "seed", "accuracy"])
    tables = {c.name: nothing for c in COMPARISONS}
    assert not report.standing(tables)
    runs = table_of(dict.fromkeys(WAYS, 0.0) | LEADS)
    tables[WORLD] = runs.assign(world=WORLD, seconds=3.0)
    scores, rest = report.standing(tables).values()
    assert [*scores.index] == [*rest.index]
    assert scores.index[0] == "KD"
    assert set(scores.index) == set(WAYS)
    assert scores.loc["KD", "digits"].endswith("(15, 0)")
    assert rest.loc["KD", "in the lab"].startswith("KD")
    for picture, words in (
        (figures.leads({WORLD: runs}), figures.leads_alt({WORLD: runs})),
        (figures.apart(runs), figures.apart_alt(runs)),
    ):
        assert picture.axes
        assert "KD" in words
    for name, agreed in report.ranked(runs):
        assert f"{agreed.pairs} pairs" in report.in_a_sentence(name, agreed)


def test_every_world_is_ranked_beside_public_tables_and_beside_the_first():
    runs = table_of(dict.fromkeys(WAYS, 0.0) | LEADS)
    turned = runs.assign(accuracy=-runs["accuracy"])
    lines = report.agreements({WORLD: runs, "fashion5k": turned})
    ours, theirs = len(ranking.public()) + 1, [x for x in lines if "clothes" in x]
    assert len(lines) == ours + 2
    alike, pairs = re.search(r"(\d+) of (\d+) pairs", theirs[0]).groups()
    assert int(alike) + report.ranked(runs)[-1][1].alike == int(pairs)
    assert "tau -1.00" in theirs[1]
