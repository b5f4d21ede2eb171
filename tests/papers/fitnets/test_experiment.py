"""Arms of equal cost, rules that work on empty and on partial evidence, pictures of it."""

import itertools
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from kdlab.data import Batch
from kdlab.measure import features_of
from kdlab.papers.fitnets import arms, experiment, measured
from kdlab.papers.fitnets.experiment import COMPARISONS, CONTROL, HT, LABEL
from kdlab.papers.kd import arms as standing
from kdlab.runs import evidence
from kdlab.runs.claims import judge
from kdlab.train.recipe import Recipe
from kdlab.train.worlds import WORLDS, replicate
from tests.papers.cases import tiny

TINY = tiny(recipe=Recipe(steps=24))
STEM = "04_fitnets"


@pytest.fixture(scope="module")
def r():
    return replicate(TINY, 1)


def empty() -> dict[str, pd.DataFrame]:
    return evidence.tables(STEM, COMPARISONS, folder=Path("no such folder"))


def made_up(gain: float = 5.0, replicates: int | None = None) -> dict[str, pd.DataFrame]:
    """Return tables in which each arm with hints is `gain` points better, give or take noise."""
    draw, found = np.random.default_rng(0), {}
    for c in COMPARISONS:
        n = replicates or c.replicates or 10
        lines = [
            {
                "world": w,
                "arm": arm,
                "seed": seed,
                "seconds": 1.0,
                "val_accuracy": 80.0,
                "accuracy": 70
                + gain * (HT in arm or arm in ("joint", "hint alone"))
                + draw.normal(),
            }
            for w, arm, seed in itertools.product(c.worlds, c.arms, range(n))
        ]
        found[c.name] = pd.DataFrame(lines)
        found[c.name].attrs["name"] = c.name
    return found


# --- the arms -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "arm",
    [arms.labels, arms.kd, arms.hints_first, arms.label_hint, arms.untrained_hint],
    ids=lambda arm: arm.__name__,
)
def test_every_arm_of_thin_nets_makes_the_same_number_of_updates(r, arm, monkeypatch):
    steps = []

    def count(method, data, recipe, seed, **options):
        steps.append(recipe.total_steps(len(data.train.y)))
        assert recipe.optimiser == "adam"
        return {}

    monkeypatch.setattr(arms, "fit", count)
    monkeypatch.setattr(arms, "run", count)
    arm(r)
    assert sum(steps) == 12 and (len(steps) == 1 or steps == [4, 8])


@pytest.mark.parametrize("name", [HT, LABEL, CONTROL])
def test_a_short_run_of_two_stages_gives_a_row(r, name):
    row = experiment.DEEP[name](r)
    assert 0 <= row["accuracy"] <= 100 and np.isfinite(row["nll"])


def test_a_short_run_of_the_joint_form_and_of_the_teacher(r):
    for arm in (
        arms.teacher,
        *(a for n, a in experiment.JOINT.items() if n in ("joint", "hint alone")),
    ):
        assert 0 <= arm(r)["accuracy"] <= 100


def test_every_pair_of_layers_and_every_kind_can_train(r):
    for name, arm in experiment.LAYERS.items():
        assert np.isfinite(arm(r)["nll"]), name
    for kind in ("he", "bn", "skips"):
        assert np.isfinite(experiment.GRID[f"{kind}, 5: {HT}"](r)["nll"]), kind


def test_the_label_hint_moves_the_lower_half_alone_in_stage_one(r, monkeypatch):
    seen = {}

    def keep(one, net, *_):
        one(batch_of(r))["hard"].backward()
        seen.update({name: p.grad is not None for name, p in net.named_parameters()})
        return {}

    monkeypatch.setattr(arms, "then_soft", keep)
    arms.label_hint(r)
    lower = {name for name, learns in seen.items() if learns}
    assert lower == {n for n in seen if n.split(".")[0] in {f"layer{i}" for i in range(1, 10)}}


def batch_of(r):
    return Batch(*(column[:6] for column in r.data.train))


def test_the_untrained_teacher_has_first_weights_and_maps_of_the_usual_scale(r):
    net, fresh = arms.untrained(r), r.teacher_of().net
    names = [name for name, _ in net.named_parameters()]
    assert all(
        not torch.equal(p, q)
        for n, p, q in zip(names, net.parameters(), fresh.parameters(), strict=True)
        if "0.weight" in n
    )
    one, two = (features_of(f, r.data.test.x[:50], "block2") for f in (net, fresh))
    assert 0.3 < (one.std() / two.std()).item() < 3


def test_standing_arms_are_those_of_notebook_00():
    assert experiment.JOINT["labels"] is standing.labels and experiment.JOINT["KD"] is standing.kd
    smooth = experiment.JOINT["label smoothing 0.1"]
    assert isinstance(smooth, partial) and smooth.func is standing.labels
    assert smooth.keywords == {"smoothing": 0.1}


def test_runs_that_several_tables_need_are_the_same_runs():
    stamp = {
        (c.name, name): evidence.InWorld(arm, WORLDS["mnist5k"]).stamp
        for c in COMPARISONS
        for name, arm in c.arms.items()
    }
    assert stamp["deep", "KD"] == stamp["grid", "plain, 17: KD"] == stamp["clothes", "KD"]
    assert (
        stamp["deep", HT]
        == stamp["grid", f"plain, 17: {HT}"]
        == stamp["layers", "layer 9 from block 2"]
    )
    assert stamp["skips", HT] == stamp["grid", f"skips, 17: {HT}"]
    assert stamp["joint", "joint"] == stamp["beta", "beta = 10"]
    assert stamp["patience", HT] != stamp["deep", HT]


# --- the rules ------------------------------------------------------------------------------------


def test_the_rules_work_on_a_part_of_the_evidence():
    whole = made_up()
    for name in whole:
        rows = judge(experiment.claims(empty() | {name: whole[name]}), STEM, "mnist5k")
        assert len(rows) >= len(experiment.TOLD)


def test_each_claim_subtracts_what_it_says():
    rows = judge(experiment.claims(made_up(5.0)), STEM).set_index(["id", "world"])
    for world in ("mnist5k", "fashion5k", "natural"):
        assert rows.loc[("deep", world), "outcome"] == "reproduced"
    for name in ("label-hint", "trained-hint"):  # these controls have hints in their names only
        assert rows.loc[(name, "mnist5k"), "n"] == 10
    for name in ("joint", "benchmark"):
        assert rows.loc[(name, "mnist5k"), "ours"] == pytest.approx(5, abs=1.5)
        assert rows.loc[(name, "mnist5k"), "outcome"] == "reproduced"
    assert rows.loc[("after-resnet", "mnist5k"), "outcome"] == "contradicted"
    assert rows.loc[("fade", "mnist5k"), "ours"] == pytest.approx(0, abs=1.5)


def test_no_effect_reproduces_the_equality_alone():
    tables = made_up(0.0, replicates=40)
    rows = judge(experiment.claims(tables), STEM)
    equality = rows["id"] == "after-resnet"
    assert list(rows[equality]["outcome"]) == ["reproduced"]
    judged = rows[rows["primary"] & ~equality]
    assert not judged["outcome"].isin(["reproduced", "contradicted"]).any()


def test_margins_and_worlds():
    claims = experiment.claims(made_up())
    assert all(claim.margin >= 0.5 for claim in claims if claim.primary)
    assert {w for c in COMPARISONS for w in c.worlds} <= set(WORLDS)
    assert claims[0].id == "deep" and [claim.id for claim in claims] == list(experiment.TOLD)


# --- what is shown --------------------------------------------------------------------------------


@pytest.fixture
def shown(monkeypatch):
    """What the figures and tables would display: (figure or frame, text) pairs."""
    found = []
    monkeypatch.setattr(measured, "show", lambda fig, alt, fold="": found.append((fig, alt)))
    monkeypatch.setattr(measured, "table", lambda frame, told, **_: found.append((frame, told)))
    return found


def test_without_evidence_everything_says_so(shown, capsys):
    tables = empty()
    measured.depths(tables["grid"])
    measured.chance(tables["grid"])
    measured.arms(tables["layers"], "pairs of layers")
    assert not shown
    assert capsys.readouterr().out.count("There is no evidence for") == 3
    assert {"world", "arm", "seed", "seconds", "accuracy"} <= set(measured.headline(tables))


def test_the_headline_has_all_worlds():
    found = measured.headline(made_up())
    assert set(found["world"]) == {"mnist5k", "fashion5k", "natural"}
    assert {"KD", HT, "labels"} <= set(found["arm"])


def test_depths_are_drawn_with_their_medians(shown):
    grid = made_up()["grid"]
    measured.depths(grid)
    ((fig, alt),) = shown
    assert [ax.get_title(loc="left") for ax in fig.axes] == ["plain", "he", "bn", "skips"]
    medians = fig.axes[2].lines[0]
    here = grid[grid["arm"].isin([f"bn, {depth}: KD" for depth in (5, 11, 17)])]
    expected = [here[here["arm"] == f"bn, {d}: KD"]["accuracy"].median() for d in (5, 11, 17)]
    np.testing.assert_allclose(medians.get_ydata(), expected)
    assert len(alt) > 20


def test_who_leaves_chance_is_counted(shown):
    grid = made_up()["grid"]
    stuck = (grid["arm"] == "plain, 17: KD") & (grid["seed"] < 3)
    grid.loc[stuck, "accuracy"] = 10.0
    measured.chance(grid[grid["arm"] != f"he, 5: {HT}"])
    frame = shown[0][0].set_index(["net", "layers"])
    line = frame.loc[("plain", 17)]
    assert line["KD: left chance"] == "2 of 5" and line["KD: median"] == "10.0"
    assert line[f"{HT}: left chance"] == "5 of 5" and "n = 5" in line["hints gain"]
    assert frame.loc[("he", 5), "hints gain"] == "–"


def test_dots_name_every_arm_with_its_mean(shown):
    measured.arms(made_up()["layers"], "pairs of layers")
    ((fig, alt),) = shown
    assert all(name in alt for name in experiment.LAYERS)
    assert [t.get_text() for t in fig.axes[0].get_yticklabels()] == list(experiment.LAYERS)
