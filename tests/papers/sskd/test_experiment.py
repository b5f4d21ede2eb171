"""Arms of equal cost, rules that work on empty and on partial evidence, what is shown of it."""

import itertools
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from kdlab.papers.kd import arms as standing
from kdlab.papers.sskd import arms, experiment, measured
from kdlab.papers.sskd.experiment import COMPARISONS, CONTROL, MOVES, ROWS
from kdlab.runs import evidence
from kdlab.runs.claims import judge
from kdlab.train.recipe import Recipe
from kdlab.train.worlds import WORLDS, replicate
from tests.papers.cases import tiny

TINY = tiny(recipe=Recipe(steps=12))
STEM = "06_sskd"


@pytest.fixture(scope="module")
def r():
    return replicate(TINY, 1)


def empty() -> dict[str, pd.DataFrame]:
    return evidence.tables(STEM, COMPARISONS, folder=Path("no such folder"))


def made_up(gain: float, replicates: int | None = None) -> dict[str, pd.DataFrame]:
    """Return tables in which SSKD itself is `gain` points above all other arms, but for noise."""
    draw, found = np.random.default_rng(0), {}
    for c in COMPARISONS:
        lines = [
            {"world": w, "arm": arm, "seed": seed, "seconds": 1.0, "val_accuracy": 80.0}
            | {"accuracy": 80 + gain * arm.startswith("SSKD") + 0.5 * draw.normal()}
            for w, arm, seed in itertools.product(c.worlds, c.arms, range(replicates or 10))
        ]
        found[c.name] = pd.DataFrame(lines)
        found[c.name].attrs["name"] = c.name
    return found


def test_every_arm_makes_as_many_updates_of_as_many_rows(r, monkeypatch):
    seen = []

    def count(method, data, recipe, seed, **options):
        rows = recipe.batch * (1 + getattr(method, "views_a_step", 0))
        seen.append((recipe.total_steps(len(data.train.y)), rows))
        return {}

    monkeypatch.setattr(arms, "run", count)
    arms.sskd(r)
    arms.same_rows(r)
    arms.kd_told(r)
    assert seen == [(12, 50)] * 3
    arms.sskd(r, views_a_step=3)
    assert seen[-1] == (12, 48)


@pytest.mark.parametrize(
    "options",
    [{"shuffled": True}, {"pool": "moves"}, {"share": 0.25}, {"noise": 0.5}, {"net": "mlp30"}],
    ids=str,
)
def test_a_short_run_of_every_kind_gives_a_row(r, options):
    row = arms.sskd(r, **options)
    assert 0 <= row["accuracy"] <= 100 and np.isfinite(row["nll"])


def test_a_quarter_of_the_images_and_half_of_the_labels_wrong(r):
    few, wrong = arms.told(r, share=0.25), arms.told(r, noise=0.5)
    assert len(few.train.y) == 25 and len(wrong.train.y) == 100
    assert (wrong.train.y != r.data.train.y).sum() == 50
    assert arms.told(r) is r.data


def test_the_control_deals_similarities_only(r, monkeypatch):
    kept = []
    monkeypatch.setattr(arms, "run", lambda method, *_, **__: kept.append(method) or {})
    arms.sskd(r)
    arms.sskd(r, shuffled=True)
    one, two = (method.views for method in kept)
    assert one.z.nan_to_num().equal(two.z.nan_to_num())
    assert not one.f.nan_to_num().equal(two.f.nan_to_num())


def test_standing_arms_are_those_of_notebook_00():
    ladder = experiment.LADDER
    assert ladder["labels"] is standing.labels and ladder["KD"] is standing.kd
    smooth = ladder[experiment.SMOOTH]
    assert isinstance(smooth, partial) and smooth.func is standing.labels


def test_runs_that_several_tables_need_are_the_same_runs():
    stamp = {
        (c.name, name): evidence.InWorld(arm, WORLDS["mnist5k"]).stamp
        for c in COMPARISONS
        for name, arm in c.arms.items()
    }
    assert len({stamp[c, "SSKD"] for c in ("ladder", "clothes", "photographs", "parts")}) == 1
    assert stamp["photographs", MOVES] == stamp["parts", MOVES]
    assert len({stamp["ladder", arm] for arm in experiment.LADDER}) == len(experiment.LADDER)


def test_the_rules_work_without_and_on_a_part_of_the_evidence():
    rows = judge(experiment.claims(empty()), STEM, "mnist5k")
    assert set(rows["outcome"]) == {"not tested here"} and rows["primary"].sum() == 5
    whole = made_up(1.0)
    for name in whole:
        rows = judge(experiment.claims(empty() | {name: whole[name]}), STEM, "mnist5k")
        assert len(rows) >= len(experiment.TOLD)


@pytest.mark.parametrize(
    ("gain", "told"), [(3.0, "reproduced"), (-3.0, "contradicted"), (0.0, "no effect that matters")]
)
def test_each_claim_can_come_out_on_either_side(gain: float, told: str):
    rows = judge(experiment.claims(made_up(gain, replicates=40)), STEM).set_index(["id", "world"])
    for world in ("mnist5k", "fashion5k", "natural"):
        assert rows.loc[("better", world), "outcome"] == told
    assert rows.loc[("same-rows", "natural"), "outcome"] == told
    for name in ("similarities", "who-is-alike", "other-student"):
        assert rows.loc[(name, "mnist5k"), "outcome"] == told
    assert rows.loc[("noise", "mnist5k"), "ours"] == pytest.approx(0, abs=0.5)
    for name in ("few-images", "selection", "turns", "smoothing"):
        assert rows.loc[(name, "mnist5k"), "ours"] == pytest.approx(gain, abs=0.5)


def test_margins_order_and_worlds():
    claims = experiment.claims(made_up(1.0))
    assert all(claim.margin >= 0.5 for claim in claims)
    assert [claim.id for claim in claims] == list(experiment.TOLD)
    assert {w for c in COMPARISONS for w in c.worlds} <= set(WORLDS)
    assert {ROWS, CONTROL} < set(experiment.LADDER)


def test_dots_say_every_mean_or_that_there_is_none(monkeypatch, capsys):
    found = []
    monkeypatch.setattr(measured, "show", lambda fig, alt, fold="": found.append((fig, alt)))
    measured.arms(empty()["ladder"], "the ladder")
    assert not found and "There is no evidence for the ladder" in capsys.readouterr().out
    tables = made_up(1.0)
    measured.arms(measured.headline(tables), "everything")
    ((fig, alt),) = found
    assert [ax.get_title(loc="left") for ax in fig.axes] == ["digits", "clothes", "photographs"]
    assert all(name in alt for name in experiment.LADDER)
    assert {"world", "arm", "seed", "seconds", "accuracy"} <= set(measured.headline(empty()))
