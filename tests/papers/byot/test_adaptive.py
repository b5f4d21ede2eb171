"""Leaving early: who leaves where, what it costs, and the rows that the arms return."""

import itertools
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch

from kdlab.measure import scores
from kdlab.models import size
from kdlab.papers.byot import arms, exercises, experiment
from kdlab.papers.byot.adaptive import THRESHOLDS, adaptive, leaving, sweep, votes, within
from kdlab.papers.byot.experiment import ADAPTIVE, ENSEMBLE, at_exit, claims
from kdlab.papers.byot.nets import Exits, costs
from kdlab.runs import evidence
from kdlab.seeds import generator
from kdlab.train.recipe import Recipe
from kdlab.train.worlds import Replicate, world
from tests import oracles
from tests.mutants import assert_caught

K, N, C = 3, 40, 5
Z = 3 * torch.randn(K, N, C, generator=generator(0, "adaptive"), dtype=torch.float64)
Y = torch.arange(N) % C
COSTS = (0.3, 0.7, 1.1, 1.2)
TINY = replace(world("mnist5k"), recipe=Recipe(steps=6), teacher_recipe=Recipe(steps=6))


@pytest.fixture(scope="module")
def r() -> Replicate:
    return Replicate(TINY, 3)


def slow(thresholds: tuple[float, ...]) -> tuple[float, float, list[int]]:
    """One image after the other, one exit after the other."""
    right, paid, places = 0, 0.0, []
    for i in range(N):
        rows = [oracles.softmax(Z[k, i].tolist()) for k in range(K)]
        at = next((k for k in range(K) if max(rows[k]) > thresholds[k]), K)
        told = rows[at] if at < K else [sum(Z[k, i, c].item() for k in range(K)) for c in range(C)]
        right += told.index(max(told)) == Y[i]
        paid += COSTS[at]
        places.append(at)
    return 100 * right / N, paid / N, places


@pytest.mark.parametrize(
    "thresholds", [(0.5, 0.7, 0.9), (0.9, 0.9, 0.9), (0.0, 1.0, 1.0), (1.0, 1.0, 1.0), (1, 1, -1)]
)
def test_leaving_equals_the_slow_oracle(thresholds: tuple[float, ...]):
    left, (accuracy, cost, places) = adaptive(Z, Y, thresholds, COSTS), slow(thresholds)
    assert left.accuracy == pytest.approx(accuracy) and left.cost == pytest.approx(cost)
    assert left.at.tolist() == places


def test_the_table_of_the_exercise():
    top = exercises.TABLE.amax(dim=2)
    at = leaving(top, exercises.THRESHOLDS)
    assert torch.bincount(at, minlength=5).tolist() == [1, 2, 1, 1, 1]
    accuracy, cost = exercises.right(
        exercises.TABLE, exercises.LABELS, exercises.THRESHOLDS, exercises.COSTS
    )
    assert accuracy == pytest.approx(5 / 6)
    assert 1 / cost == pytest.approx(1.425, abs=5e-4)


def test_at_the_threshold_exactly_an_image_stays():
    assert leaving(torch.tensor([[0.5], [0.6]]), (0.5, 0.5)).tolist() == [1]


def test_a_higher_threshold_never_lets_an_image_leave_earlier():
    lines = [left.at for left in sweep(Z, Y, COSTS)]
    assert all((a <= b).all() for a, b in itertools.pairwise(lines))
    assert (lines[0] == 0).all() and (lines[-1] == K).all()
    assert THRESHOLDS[0] == 0 and THRESHOLDS[-1] == 1


def test_the_ensemble_is_the_mean_logit():
    expected = torch.stack([*Z.argmax(dim=2), Z.mean(dim=0).argmax(dim=1)])
    assert torch.equal(votes(Z), expected)
    shifted = Z + torch.randn(K, N, 1, generator=generator(1, "adaptive"), dtype=torch.float64)
    assert torch.equal(votes(shifted), expected)  # and the mean log-probability


@pytest.mark.parametrize("most", [0.35, 0.8, 1.2])
def test_the_threshold_keeps_to_the_price(most: float):
    t = within(Z, Y, COSTS, most)
    assert adaptive(Z, Y, [t] * K, COSTS).cost <= most
    above = THRESHOLDS[t < THRESHOLDS]
    assert all(adaptive(Z, Y, [u] * K, COSTS).cost > most for u in above)
    assert within(Z, Y, COSTS, 0.1) == 0


# --- what the arms return -----------------------------------------------------------------------


def test_a_row_says_what_every_exit_knows(r: Replicate):
    row = arms.byot(r)
    method = arms.BYOT.of(r)
    z, y = arms.logits(method.exits, r.data.test.x), r.data.test.y  # before training
    untrained = arms.of_exits(method.exits, r)
    bits = np.unpackbits(untrained["answers"], axis=1)[:, : len(y)].astype(bool)
    for k in range(3):
        found = scores(z[k], y)
        assert untrained[f"exit {k + 1}"] == pytest.approx(found["accuracy"])
        assert untrained[f"ece {k + 1}"] == pytest.approx(found["ece"], abs=1e-3)
        assert np.array_equal(bits[k], found["correct"])
    assert untrained["oracle"] == pytest.approx(100 * bits[:3].any(axis=0).mean())
    assert untrained["overthinking"] == pytest.approx(untrained["oracle"] - untrained["exit 3"])
    for name, place in (("ensemble", ENSEMBLE), ("adaptive", ADAPTIVE)):
        assert untrained[name] == pytest.approx(100 * bits[place].mean())
    assert row["exit 3"] == pytest.approx(row["accuracy"])
    assert row["sweep"].shape == (2, len(THRESHOLDS))
    assert untrained["adaptive cost"] < 1.2
    shape = r.data.in_shape
    share = costs(method.exits, shape)[0] / size(r.student(), shape).macs
    assert row["cost 1"] == row["alone 1"] == pytest.approx(share)


def test_the_separate_teacher_costs_what_the_exits_cost(r: Replicate, monkeypatch):
    spent = []
    fit_teacher, train = arms.teacher, Replicate.train

    def teacher(data, net, recipe, seed):
        spent.append(recipe.steps * size(r.student(net), data.in_shape).macs)
        assert seed != r.r and recipe.shift == 0
        return fit_teacher(data, net, recipe, seed)

    def counted(self, method, longer=1):
        steps = self.recipe(longer).steps
        spent.append(steps * size(method.student, self.data.in_shape).macs)
        return train(self, method, longer=longer)

    monkeypatch.setattr(arms, "teacher", teacher)
    monkeypatch.setattr(Replicate, "train", counted)
    long = Replicate(replace(TINY, recipe=Recipe(steps=40)), 3)
    whole = 40 * costs(Exits(long.student()), long.data.in_shape)[-1]
    for net in (None, "cnn8"):
        spent.clear()
        arms.separate(long, net)
        assert sum(spent) == pytest.approx(whole, rel=0.05)


def test_the_control_keeps_the_certainty_of_the_targets(r: Replicate, monkeypatch):
    seen = []
    monkeypatch.setattr(Replicate, "train", lambda self, method: seen.append(method) or {})
    monkeypatch.setattr(arms, "of_exits", lambda *_: {})
    arms.byot(r, permute=True)
    z = torch.randn(9, 10, generator=generator(2, "adaptive"))
    changed = seen[0].settings["change"](z)
    assert torch.equal(changed.sort(dim=1).values, z.sort(dim=1).values)
    assert torch.equal(changed.argmax(dim=1), z.argmax(dim=1)) and not torch.equal(changed, z)


# --- claims -------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def tables(tmp_path_factory) -> dict[str, pd.DataFrame]:
    """Rows of two replicates of the arms that the claims name, with numbers of no meaning."""
    found = {}
    for c in experiment.COMPARISONS:
        rows = []
        for w, (arm, seed) in itertools.product(c.worlds, itertools.product(c.arms, (0, 1))):
            source = np.random.default_rng([seed, len(arm), sum(map(ord, arm))])
            right = source.random((5, 60)) < 0.8
            row = {"world": w, "arm": arm, "seed": seed, "seconds": 1.0, "val_accuracy": 80.0}
            row |= {"correct": right[2], "accuracy": 100 * right[2].mean(), "rows": np.arange(60)}
            if arm not in (
                "labels",
                "KD",
                "cnn2",
                "cnn3",
                *experiment.SMOOTH,
                *experiment.SEPARATE,
            ):
                row["answers"] = np.packbits(right, axis=1)
                names = ("exit 1", "exit 2", "exit 3", "ensemble", "adaptive")
                row |= {n: 100 * part.mean() for n, part in zip(names, right, strict=True)}
                row |= {f"alone {k}": k / 3 for k in (1, 2, 3)}
                row["sweep"] = np.stack([np.linspace(0.3, 1.1, 42), np.linspace(70, 90, 42)])
            rows.append(row)
        found[c.name] = pd.DataFrame(rows).assign(answers=lambda t: t.get("answers"))
        found[c.name]["answers"] = found[c.name]["answers"].where(
            found[c.name]["answers"].notna(), None
        )
        found[c.name].attrs["name"] = c.name
    return found


def test_another_answer_is_judged_in_the_place_of_the_deepest(tables):
    table = tables["exits"]
    other = at_exit(table, ENSEMBLE, "ensemble")
    for (_, old), (_, new) in zip(table.iterrows(), other.iterrows(), strict=True):
        if old["arm"] == "BYOT":
            assert new["accuracy"] == old["ensemble"] == pytest.approx(100 * new["correct"].mean())
        else:
            assert new["accuracy"] == old["accuracy"] and new["correct"] is old["correct"]
    assert other.attrs == table.attrs and table["accuracy"].iloc[-1] != other["accuracy"].iloc[-1]


def test_claims_name_arms_that_are_measured(tables):
    found = claims(tables)
    assert 3 <= sum(claim.primary for claim in found) <= 6
    arms_of = {c.name: set(c.arms) for c in experiment.COMPARISONS}
    for claim in found[:-1]:
        assert len(claim.numbers) and claim.margin >= 0.5
        assert all(arm in arms_of[name] for name, arm in claim.x.arms)
        assert claim.x.images
    assert found[0].numbers.to_dict() != found[1].numbers.to_dict()
    assert all(claim.text.endswith(".") for claim in found)


@pytest.mark.parametrize("kept", [[], ["labels"], ["labels", "BYOT"]])
def test_claims_work_while_tables_are_empty_or_partial(tables, kept, tmp_path):
    nothing = evidence.tables("07_byot", experiment.COMPARISONS, tmp_path)
    some = {name: table[table["arm"].isin(kept)] for name, table in tables.items()}
    for runs in (nothing, some):
        found = claims(runs)
        assert len(found) == len(claims(tables))
        assert bool(len(found[1].numbers)) == (runs is some and len(kept) == 2)


MUTANTS = {
    "at or above": (
        leaving,
        "top > torch",
        "top >= torch",
        [test_at_the_threshold_exactly_an_image_stays],
    ),
    "the last exit": (
        leaving,
        ".int().argmax(dim=0)",
        ".flip(0).int().argmax(dim=0)",
        [lambda: test_leaving_equals_the_slow_oracle((0.5, 0.7, 0.9))],
    ),
    "the deepest for all": (
        votes,
        "z.mean(dim=0, keepdim=True)",
        "z[-1:]",
        [test_the_ensemble_is_the_mean_logit],
    ),
    "the lowest": (within, "max(", "min(", [lambda: test_the_threshold_keeps_to_the_price(0.8)]),
}


@pytest.mark.parametrize("name", MUTANTS)
def test_a_wrong_rule_is_caught(name: str):
    target, old, new, by = MUTANTS[name]
    assert_caught(target, old, new, by)
