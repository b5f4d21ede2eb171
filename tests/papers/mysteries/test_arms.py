"""Made data, the net of the theory, the arms, and the rules by which they are judged."""

import itertools
import math
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from kdlab.papers.mysteries import arms, experiment, halves
from kdlab.papers.mysteries.made import Detectors, Setting, descend, made, within
from kdlab.runs.claims import judge
from kdlab.runs.evidence import InWorld
from kdlab.runs.rows import read, write
from kdlab.seeds import generator
from kdlab.show.arms import show_arms
from kdlab.tools import notebooks
from kdlab.tools.notebooks import code_cells
from kdlab.train.method import CE
from kdlab.train.recipe import Recipe
from kdlab.train.worlds import Replicate, world
from tests.papers.exercise_texts import namespace

NOTEBOOK = Path(__file__).parents[3] / "notebooks" / "10_three_mysteries.ipynb"
R = SimpleNamespace(r=7)
ONE = world("mnist5k", recipe=Recipe(steps=8))


@pytest.fixture
def short(monkeypatch):
    """Make every net learn for a few updates only, from large weights, so that views are known."""

    def few(method, batch, steps=1500, **how):
        return descend(method, batch, min(steps, 4), **how)

    monkeypatch.setattr(arms, "descend", few)
    grown = lambda r, name, **how: Detectors(  # noqa: E731
        generator(r, "net", name), **{"start": 0.6} | how
    )
    monkeypatch.setattr(arms, "fresh", grown)
    arms.alone.cache_clear()
    yield
    arms.alone.cache_clear()


# --- made data ------------------------------------------------------------------------------------


def strengths(x, views):
    return torch.einsum("npd,kvd->nkvp", x, views).amax(dim=3)


def test_views_are_perpendicular_and_of_length_one():
    flat = made(3).views.flatten(0, 1)
    torch.testing.assert_close(flat @ flat.T, torch.eye(20), rtol=0, atol=1e-5)


def test_samples_show_what_the_paper_says():
    data = made(3)
    for part, shown in ((data.train, 2), (data.both, 2), (data.single, 1)):
        seen = strengths(part.x, data.views)
        own = seen[torch.arange(len(part.y)), part.y]
        assert ((own > 0.9).sum(dim=1) == shown).all() and own.max() < 1.6
        others = seen.scatter(1, part.y[:, None, None].expand(-1, 1, 2), 0.0)
        assert others.max() < 0.5
        assert (others > 0.3).double().mean().item() == pytest.approx(0.09, abs=0.02)
    counts = torch.zeros(10, 2)
    own = strengths(data.single.x, data.views)[torch.arange(1000), data.single.y]
    counts.index_put_((data.single.y, own.argmax(dim=1)), torch.tensor(1.0), accumulate=True)
    assert (counts == 50).all()


def test_settings_change_what_they_name():
    bare, even = made(3, experiment.ALONE), made(3, experiment.EVEN)
    for data in (bare, even):
        seen = strengths(data.train.x, data.views)
        own = data.train.y[:, None, None].expand(-1, 1, 2)
        assert seen.scatter(1, own, 0.0).max() < 0.2
    own = strengths(even.train.x, even.views)[torch.arange(300), even.train.y]
    assert (own - 1.25).abs().max() < 0.15
    some = made(3, Setting(single=0.3))
    own = strengths(some.train.x, some.views)[torch.arange(300), some.train.y]
    assert ((own > 0.9).sum(dim=1) == 1).double().mean().item() == pytest.approx(0.3, abs=0.1)


def test_another_replicate_is_another_draw_and_the_same_one_is_equal():
    one, again = made(3), made.__wrapped__(3)
    assert torch.equal(one.train.x, again.train.x) and torch.equal(one.single.x, again.single.x)
    assert not torch.equal(one.views, made(4).views)


# --- the net --------------------------------------------------------------------------------------


def test_the_net_equals_a_slow_loop():
    net, x = Detectors(generator(0, "t"), start=1.0), made(3).train.x[:3]
    expected = [
        [
            sum(
                max(0.0, z) ** 3 / 3 if z < 1 else z - 2 / 3
                for r, p in itertools.product(range(10), range(6))
                for z in [(net.w[c, r] @ sample[p]).item()]
            )
            for c in range(10)
        ]
        for sample in x
    ]
    torch.testing.assert_close(net(x), torch.tensor(expected), rtol=1e-4, atol=1e-5)


def test_a_net_made_by_hand_knows_its_views_and_gets_half_right():
    data, net = made(3), Detectors(generator(0, "t"))
    net.w.data = torch.zeros(10, 10, 32)
    net.w.data[:, 0] = 4 * data.views[:, 0]
    assert net.known(data.views).tolist() == [[True, False]] * 10
    half = arms.measured([net], data)
    assert half["share"] == 50 and 45 < half["accuracy"] < 65 and half["both"] == 100
    other = Detectors(generator(0, "t"))
    other.w.data = torch.zeros(10, 10, 32)
    other.w.data[:, 3] = 4 * data.views[:, 1]
    pair = arms.measured([net, other], data)
    assert pair["share"] == 100 and pair["accuracy"] > 95
    assert pair["known"].shape == (2, 10, 2)
    weak = net(data.train.x) + other(data.train.x)
    for one in (net, other):  # the pair names a class whose weak view one of them cannot see
        assert (weak >= one(data.train.x) - 1e-5).all()


def test_descend_is_gradient_descent_and_stops():
    data = made(3)
    one, two = (Detectors(generator(0, "t"), start=0.3) for _ in range(2))
    assert descend(CE(one), data.train, 5) == 5
    for _ in range(5):
        loss = nn.functional.cross_entropy(two(data.train.x), data.train.y)
        two.w.data -= 4 * torch.autograd.grad(loss, two.w)[0]
    torch.testing.assert_close(one.w, two.w, rtol=1e-4, atol=1e-6)
    taken = descend(CE(one), data.train, 400, stop=0.3)
    assert taken < 400
    assert nn.functional.cross_entropy(one(data.train.x), data.train.y) < 0.3


def test_the_race_of_a_net_has_a_winner():
    """With tiny first weights one view of most classes stays behind, and training is perfect."""
    data, net = made(3), arms.fresh(3, "race")
    descend(CE(net), data.train, stop=0.05)
    row = arms.measured([net], data)
    assert row["both"] > 99 and row["accuracy"] < 85 and 45 <= row["share"] <= 80


# --- arms -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("of", ["VIEWS", "HINTS", "TICKETS", "CONDITIONS"])
def test_every_arm_on_made_data_measures_something(of, short):
    for name, arm in getattr(experiment, of).items():
        row = arm(R)
        assert 0 <= row["accuracy"] <= 100, name
        assert "correct" not in row, name  # made data has no rows of a data set of images


def test_equal_names_have_equal_weights_and_others_not():
    assert torch.equal(arms.fresh(3, 0).w, arms.fresh(3, 0).w)
    assert not torch.equal(arms.fresh(3, 0).w, arms.fresh(3, 1).w)
    assert not torch.equal(arms.fresh(3, 0).w, arms.fresh(4, 0).w)


def test_an_ensemble_is_the_union_of_its_members(short):
    nets, data = arms.team(7), made(7)
    row = arms.ensemble(R)
    assert (row["known"] == arms.known(nets, data).numpy()).all()
    assert row["share"] == pytest.approx(100 * row["known"].any(axis=0).mean())


def test_the_joint_net_begins_as_the_sum_of_the_five(monkeypatch):
    seen = []
    monkeypatch.setattr(arms, "descend", lambda method, *a, **k: seen.append(method))
    arms.joint(R)
    x = made(7).train.x[:5]
    parts = sum(arms.fresh(7, n)(x) for n in range(5))
    torch.testing.assert_close(seen[0].student(x), parts)


def test_answers_are_dealt_within_their_class():
    y = torch.arange(60) % 3
    order = within(y, torch.Generator().manual_seed(1))
    assert torch.equal(y[order], y) and sorted(order.tolist()) == list(range(60))
    assert (order != torch.arange(60)).all()
    assert within(torch.tensor([0, 1]), torch.Generator()).tolist() == [0, 1]


def test_views_are_inherited_kept_and_invented(short):
    row = arms.distilled(R, teachers=1)
    data, teacher = made(7), arms.team(7, 1)[0]
    own = arms.alone(7, "student").known(data.views)
    has, theirs = torch.from_numpy(row["known"][0]).bool(), teacher.known(data.views)
    for name, part in (("inherited", theirs & ~own), ("kept", own & ~theirs)):
        assert row[name] == pytest.approx(100 * has[part].double().mean().item(), nan_ok=True)
    assert row["specific"] == pytest.approx(row["inherited"] - row["invented"], nan_ok=True)


def test_the_arms_in_sight_are_those_of_the_evidence(short):
    nb = notebooks.read(NOTEBOOK)
    (text,) = [c.source for c in code_cells(nb) if "headline = {" in c.source]
    found = namespace(nb) | {"budget": "lesson", "descend": arms.descend}
    exec(text, found)
    for name, mine in found["headline"].items():
        one, two = mine(R), experiment.VIEWS[name](R)
        assert one["accuracy"] == pytest.approx(two["accuracy"], abs=0.2), name
        assert (one["known"] == two["known"]).all(), name


# --- real halves ----------------------------------------------------------------------------------


def test_pairs_are_two_images_of_one_class():
    r = Replicate(ONE, 3)
    data = halves.pairs(r)
    assert data.in_shape == (1, 28, 56) and len(data.train.y) == 2000
    left, right = data.test.x[..., :28], data.test.x[..., 28:]
    assert torch.equal(left, r.data.test.x)
    same = (left == right).flatten(1).all(dim=1)
    assert not same.any()
    table = {
        image.numpy().tobytes(): int(y)
        for image, y in zip(r.data.test.x, r.data.test.y, strict=True)
    }
    assert all(
        table[b.numpy().tobytes()] == int(y) for b, y in zip(right, data.test.y, strict=True)
    )


def test_half_an_image_is_blank_and_each_test_image_counts_once():
    r = Replicate(ONE, 3)

    class Left(nn.Module):
        """Right where the left half has an image: it looks its label up."""

        def forward(self, x):
            z = torch.zeros(len(x), 10)
            for i, image in enumerate(x[..., :28]):
                if image.abs().max() > 0:
                    z[i, answers[image.numpy().tobytes()]] = 1
            return z

    answers = {
        i.numpy().tobytes(): int(y) for i, y in zip(r.data.test.x, r.data.test.y, strict=True)
    }
    row = halves.measured(Left(), r)
    turn = torch.arange(2000) // 10 % 2 == 0
    guessed = (r.data.test.y[~turn] == 0).double().sum().item()  # no answer is class 0
    assert row["correct"].shape == (2000,)
    assert row["accuracy"] == pytest.approx((turn.sum().item() + guessed) / 20)
    assert row["lopsided"] == pytest.approx(90) and row["whole"] == 100


def test_every_arm_on_halves_runs():
    r = Replicate(ONE, 3)
    for name, arm in experiment.HALVES.items():
        row = arm(r)
        assert row["correct"].dtype == bool and 0 <= row["accuracy"] <= 100, name


# --- the rules ------------------------------------------------------------------------------------


def rows(arms_of, worlds, metrics, n=6):
    """Return rows as evidence has them: arm i has the accuracy 10 i plus noise of its replicate."""
    source = np.random.default_rng(0)
    noise = source.normal(size=n)
    return pd.DataFrame(
        {"world": w, "arm": arm, "seed": r, "seconds": 1.0, "stamp": "", "torch": "", "date": ""}
        | dict.fromkeys(metrics, 10.0 * i + noise[r])
        for w, (i, arm), r in itertools.product(worlds, enumerate(arms_of), range(n))
    )


def tables(folder, full=True):
    views = ("accuracy", "share", "inherited", "kept", "invented", "specific")
    metrics = {"views": views, "tickets": views[:-1], "hints": ("accuracy",)}
    metrics |= {"conditions": ("accuracy", "ensemble"), "halves": ("accuracy", "whole", "lopsided")}
    found = {}
    for c in experiment.COMPARISONS:
        if full:
            table = rows(c.arms, c.worlds, metrics[c.name])
            table.attrs["name"] = c.name
            write("10_three_mysteries", table, "test", folder)
        found[c.name] = read("10_three_mysteries", c.name, folder)
    return found


def test_claims_on_nothing_are_not_tested(tmp_path):
    judged = judge(experiment.claims(tables(tmp_path, full=False)), "10_three_mysteries")
    assert set(judged["outcome"]) == {"not tested here"}


def test_claims_subtract_what_they_say(tmp_path):
    found = tables(tmp_path)
    claims = {claim.id: claim for claim in experiment.claims(found)}
    views, hints = (list(getattr(experiment, name)) for name in ("VIEWS", "HINTS"))

    def apart(names, one, two):
        return 10 * (names.index(one) - names.index(two))

    expected = {
        "ensemble": apart(views, "ensemble of 5", "labels"),
        "joint": apart(views, "ensemble of 5", "trained jointly"),
        "kd": apart(views, "KD", "labels"),
        "hint": apart(views, "KD", "labels") - apart(hints, "KD", "labels"),
        "self": apart(views, "self-distilled", "labels"),
        "tickets": apart(views, "self-distilled", "self-distilled, dealt"),
    }
    for name, value in expected.items():
        assert claims[name].numbers.mean() == pytest.approx(value), name
        assert claims[name].numbers.index.get_level_values("world").unique().tolist() == [
            "made data"
        ]
    worlds = claims["halves"].numbers.index.get_level_values("world").unique()
    assert list(worlds) == ["mnist5k", "fashion5k"]
    primary = [claim for claim in claims.values() if claim.primary]
    assert len(primary) == 6 and all(claim.margin >= 0.5 for claim in primary)


def test_tables_are_named_once_and_for_all(tmp_path):
    once = experiment.named(tables(tmp_path))
    twice = experiment.named(once)
    assert all(once[name].equals(twice[name]) for name in once)
    assert set(once["views"]["world"]) == {"made data"}
    assert once["views"].attrs["name"] == "views"
    assert "accuracy" in experiment.named(tables(tmp_path / "no", full=False))["views"]


def test_a_replicate_in_which_nothing_was_left_to_invent_is_left_out(tmp_path):
    found = tables(tmp_path)
    twin = (found["views"]["arm"] == "self-distilled") & (found["views"]["seed"] == 2)
    found["views"].loc[twin, "specific"] = math.nan
    (claim,) = [c for c in experiment.claims(found) if c.id == "tickets"]
    assert len(claim.numbers) == 5 and claim.numbers.notna().all()


def test_every_arm_has_a_stamp_of_its_own():
    for c in experiment.COMPARISONS:
        stamps = [InWorld(arm, ONE).stamp for arm in c.arms.values()]
        assert len(set(stamps)) == len(stamps), c.name


def test_what_was_measured_is_drawn_and_what_was_not_is_said(tmp_path, capsys):
    found = experiment.named(tables(tmp_path))
    show_arms(found["halves"], "Two halves", accuracy="right", lopsided="lopsided")
    show_arms(found["views"][:0], "Nothing", accuracy="right")
    told = capsys.readouterr().out
    assert "Two halves: digits" in told and "Two halves: clothes" in told
    assert "no evidence for 'Nothing' yet" in told
