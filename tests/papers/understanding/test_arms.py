"""The arms, the rules and the figures of notebook 03, on evidence made in seconds."""

import itertools

import numpy as np
import pandas as pd
import pytest
import torch

from kdlab.papers.understanding import arms, experiment, measured
from kdlab.papers.understanding.experiment import CELLS, claims, shares
from kdlab.runs.claims import judge
from kdlab.runs.differences import interval
from kdlab.runs.evidence import tables as read_all
from kdlab.runs.rows import read
from kdlab.train.worlds import WORLDS
from tests.papers.understanding.conftest import tiny


def nothing(tmp_path) -> dict[str, pd.DataFrame]:
    return read_all("03_understanding", experiment.COMPARISONS, tmp_path)


def test_every_arm_returns_what_its_comparison_shows(tables):
    for c in experiment.COMPARISONS:
        runs = tables[c.name]
        assert set(runs["arm"]) == set(c.arms) and set(c.worlds) <= set(WORLDS)
        assert runs[["accuracy", "nll"]].notna().all().all()
    assert tables["flipped"]["found"].between(0, 100).all()
    assert tables["geometry"]["likeness"].between(-100, 100).all()
    told = tables["teachers"][tables["teachers"]["seed"] == 0].dropna(subset="spread")
    assert set(told["arm"]) == set(experiment.TEACHERS)
    assert (told[["mass", "usual mass", "evenness", "usual evenness"]] <= 1 + 1e-6).all().all()
    assert (told[["spread", "own", "usual spread", "usual own"]] >= 0).all().all()


def test_the_whole_answer_as_a_part_trains_as_kd_does(folder):
    r = tiny("mnist5k", 0)
    one, two = arms.part(r, mass="image", shape="image"), experiment.ARMS["KD"](r)
    assert one["nll"] == pytest.approx(two["nll"], rel=1e-3)


def test_a_doubt_about_every_wrong_label_is_found(folder, monkeypatch):
    """omega of the true label's side: 100 where the teacher doubts wrong labels alone."""
    seen = {}
    monkeypatch.setattr(arms, "auroc", lambda score, hit: seen.update(hit=hit) or 50.0)
    row = arms.flipped(tiny("mnist5k", 0), mass="image", rate=0.2)
    assert row["found"] == 50.0 and row["curves"].shape == (len(arms.LOOKS), 2)
    assert seen["hit"].sum() == 100 and len(seen["hit"]) == 500


def test_auroc_counts_pairs():
    score, hit = torch.tensor([3.0, 1.0, 2.0, 2.0, 0.0]), np.array([1, 0, 1, 0, 0]) == 1
    pairs = [(a, b) for a in score[hit] for b in score[~hit]]
    slow = sum(1.0 * (a > b) + 0.5 * (a == b) for a, b in pairs) / len(pairs)
    assert arms.auroc(score, hit) == pytest.approx(100 * float(slow))


def test_likeness_is_a_rank_correlation_of_pairs():
    a = torch.rand(6, 6, generator=torch.Generator().manual_seed(0))
    assert arms.likeness(a, a.T) == pytest.approx(100)
    assert arms.likeness(a, -a) == pytest.approx(-100)
    assert arms.likeness(a, a.exp().fill_diagonal_(9.0)) < 100.0001


def test_planted_pairs_are_half_a_turn_apart(folder):
    classes = tiny("rot40", 0).data.classes
    pairs = arms.planted(40)
    assert len(pairs) == len(set(pairs)) == 10 and arms.planted(10) == []
    for i, j in pairs:
        (one, turn), (two, other) = (classes[c].split(" at ") for c in (i, j))
        assert {one, two} in ({"6", "9"}, {"0"}, {"1"}, {"8"})
        assert abs(int(turn[:-1]) - int(other[:-1])) == 180


# --- shares ---------------------------------------------------------------------------------------


def in_every_order(v: dict[str, float]) -> dict[str, float]:
    """Average over the orders in which class, image and confidence can come after smoothing."""
    score = {way: v[arm] for way, arm in CELLS.items()}
    gains: dict[str, list[float]] = {part: [] for part in ("class", "image", "confidence")}
    for order in itertools.permutations(gains):
        if order.index("image") < order.index("class"):
            continue
        mass, shape = "mean", "even"
        for part in order:
            before = score[mass, shape]
            mass, shape = ("image", shape) if part == "confidence" else (mass, part)
            gains[part].append(score[mass, shape] - before)
    return {part: sum(x) / len(x) for part, x in gains.items()}


def test_shares_are_averages_over_all_orders_and_add_up():
    numbers = np.random.default_rng(0).normal(size=7)
    v = dict(zip(("labels", *CELLS.values()), numbers, strict=True))
    found, slow = shares(v), in_every_order(v)
    assert list(found) == [
        "smoothing",
        "relations of the class",
        "relations of the image",
        "confidence",
    ]
    assert list(found.values())[1:] == pytest.approx(list(slow.values()))
    assert sum(found.values()) == pytest.approx(v["KD"] - v["labels"])


def test_where_parts_do_not_interact_a_share_is_what_a_part_adds():
    add = {"even": 0.0, "class": 2.0, "image": 5.0, "mean": 0.0}
    v = {
        arm: 91 + add[shape] + (7 if mass == "image" else 0) for (mass, shape), arm in CELLS.items()
    }
    found = shares({"labels": 90.0} | v)
    assert list(found.values()) == pytest.approx([1.0, 2.0, 3.0, 7.0])


# --- claims ---------------------------------------------------------------------------------------


def test_claims_stand_without_any_evidence(tmp_path):
    judged = judge(claims(nothing(tmp_path)), "03_understanding")
    assert set(judged["outcome"]) == {"not tested here"}


def test_claims_are_complete_and_judged(tables):
    found = claims(tables)
    primary = [c for c in found if c.primary]
    assert 3 <= len(primary) <= 6 and primary == found[: len(primary)]
    assert all(c.margin >= 0.5 for c in primary)
    assert {c.id for c in found} == set(experiment.TOLD)
    judged = judge(found, "03_understanding")
    where = judged[judged["primary"]].groupby("id")["world"].apply(set)
    assert where["relations"] == {"mnist5k", "fashion5k", "natural"}
    assert where["confidence"] == where["smoothing"] == {"mnist5k", "fashion5k"}
    assert where["order"] == where["flipped"] == {"mnist5k"} and where["geometry"] == {"rot40"}
    tested = judged[judged["id"] != "scale"]
    assert tested["ours"].notna().all() and (tested["n"] == 2).all()


def test_claims_subtract_what_they_say(tables):
    rows = tables["parts"].set_index(["arm", "seed"])["accuracy"]
    by_id = {c.id: c for c in claims(tables)}
    for name, first, second in [
        ("relations", "KD", "confidence"),
        ("confidence", "confidence", "smoothing at T"),
        ("smoothing", "smoothing at T", "labels"),
        ("order", "confidence", "relations"),
    ]:
        x = by_id[name].numbers
        for r in (0, 1):
            assert x["mnist5k", r] == pytest.approx(rows[first, r] - rows[second, r])
    found = tables["flipped"].set_index(["arm", "seed"])["found"]
    assert by_id["flipped"].numbers["mnist5k", 1] == pytest.approx(found["confidence", 1] - 50)


@pytest.mark.parametrize("lost", ["confidence", "labels"])
def test_claims_and_figures_stand_on_part_of_the_evidence(tables, lost, capsys):
    partial = {name: t[t["arm"] != lost].copy() for name, t in tables.items()}
    for name, table in partial.items():
        table.attrs["name"] = name
    assert len(judge(claims(partial), "03_understanding"))
    show_all(partial)
    assert "There is no evidence for" in capsys.readouterr().out


def show_all(tables) -> None:
    measured.numbers(tables["parts"], ["accuracy", "nll"], "A caption.", "The six parts")
    measured.divided(tables["parts"])
    measured.verdict(tables["parts"])
    measured.omegas(tables["flipped"])
    measured.maps(tables["geometry"])


def test_without_evidence_each_figure_says_so(tmp_path, capsys):
    show_all(nothing(tmp_path))
    assert capsys.readouterr().out.count("There is no evidence for") == 5


def test_figures_stand_in_folds_with_what_they_show(tables, monkeypatch):
    shown = []
    for name in ("show", "table"):
        monkeypatch.setattr(measured, name, lambda what, told, fold="": shown.append((told, fold)))
    show_all(tables)
    assert len(shown) == 5 and all(fold for _, fold in shown)
    gain = tables["parts"].pivot(index="seed", columns="arm", values="accuracy")
    whole = interval(gain["KD"] - gain["labels"], unit="points of accuracy")
    assert f"all together {whole}" in shown[1][0]


def test_the_verdict_names_effects_whose_two_intervals_agree(tables, monkeypatch):
    v = {"labels": 90, "smoothing at T": 89, "relations": 92, "image relations": 93}
    v |= {"confidence": 91, "confidence + relations": 92, "KD": 95, "weighted labels": 90}
    rows = [
        {"world": "mnist5k", "arm": arm, "seed": r, "accuracy": x + 0.01 * r, "nll": 1.0 + 0.1 * r}
        for arm, x in v.items()
        for r in range(3)
    ]
    said = []
    monkeypatch.setattr(measured, "table", lambda frame, caption, fold: said.append(caption))
    measured.verdict(pd.DataFrame(rows))
    assert "relations helps accuracy, confidence helps accuracy" in said[0]
    assert "smoothing" not in said[0] and "likelihood" not in said[0]


def test_evidence_survives_its_file(tables, folder):
    again = read("03_understanding", "geometry", folder)
    assert again["map"].iloc[0].shape == (40, 40)
