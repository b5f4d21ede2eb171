"""Arms that share their starts, rules that work on empty and on partial evidence, its pictures."""

import itertools
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from torch import Tensor

from kdlab.data import Batch
from kdlab.measure import evaluate
from kdlab.models import tap
from kdlab.papers.dml import arms, experiment, lost, measured
from kdlab.papers.dml.arms import BETA, SIGMAS, FeaturesToo, ShuffledPeer
from kdlab.papers.dml.experiment import COMPARISONS, EACH, FEATURES, INDEPENDENT, MEAN, SHUFFLED
from kdlab.papers.dml.method import DML, mimicry_loss
from kdlab.papers.kd import arms as standing
from kdlab.runs import evidence
from kdlab.runs.claims import judge
from kdlab.train.fit import fit
from kdlab.train.method import hard_loss
from kdlab.train.recipe import Recipe
from kdlab.train.worlds import WORLDS, Replicate, replicate
from tests.mutants import assert_caught
from tests.papers.cases import tiny

STEM = "08_dml"
TINY = tiny(recipe=Recipe(steps=12))


@pytest.fixture(scope="module")
def r() -> Replicate:
    return replicate(TINY, 1)


def batch_of(r: Replicate, n: int = 8) -> Batch:
    return Batch(*(column[:n] for column in r.data.train))


def empty() -> dict[str, pd.DataFrame]:
    return evidence.tables(STEM, COMPARISONS, folder=Path("no such folder"))


def spike(lost: bool, at: int = 120, updates: int = 200) -> np.ndarray:
    """Return costs (2, updates) of a pair: high at first, then low, with one peak if it is lost."""
    costs = np.where(np.arange(updates) < 5, 20.0, 0.05) * np.ones((2, 1))
    costs[:, at] = np.where(lost, 10.0, 0.05)
    return costs.astype(np.float32)


def made_up(gain: float = 5.0, replicates: int | None = None) -> dict[str, pd.DataFrame]:
    """Return tables in which an arm "DML" is `gain` points better, give or take noise."""
    draw, found = np.random.default_rng(0), {}
    for c in COMPARISONS:
        lines = []
        for w, arm, seed in itertools.product(c.worlds, c.arms, range(replicates or c.replicates)):
            line = {"world": w, "arm": arm, "seed": seed, "seconds": 1.0, "val_accuracy": 80.0}
            line["accuracy"] = 70 + gain * (arm == "DML") + draw.normal()
            line |= {"nll": 1.0, "ece": 1.0, "entropy": 0.2 * (1 + 2 * (arm == "DML"))}
            line |= {"ensemble of 2": line["accuracy"] + 1, "cka": 0.8, "apart": 0.2}
            line |= {"training loss": 0.01 + 0.3 * (seed == 2), "costs": spike(seed == 2)}
            for kind, sigmas in SIGMAS.items():
                line |= {f"loss, {kind}": 0.5, f"accuracy, {kind}": 5.0}
                line[f"rise {kind}"] = np.array(sigmas) * (1 + draw.random())
            lines.append(line)
        found[c.name] = pd.DataFrame(lines)
        found[c.name].attrs["name"] = c.name
    return found


# --- the arms -------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", list(experiment.READER))
def test_a_short_run_gives_a_row(r: Replicate, name: str):
    row = experiment.READER[name](r)
    assert 0 <= row["accuracy"] <= 100 and 0 <= row["val_accuracy"] <= 100
    assert row["accuracy"] == pytest.approx(row["accuracies"].mean())
    assert 0 <= row["cka"] <= 1 + 1e-9 and row["apart"] > 0
    for kind, sigmas in SIGMAS.items():
        assert row[f"rise {kind}"].shape == (len(sigmas),)
        assert row[f"loss, {kind}"] == row[f"rise {kind}"][arms.MIDDLE]


def test_a_row_keeps_which_images_each_member_has_right(r: Replicate):
    row = arms.pair(r)
    n = len(r.data.test.y)
    assert row["correct"].dtype == bool and row["correct"].shape == (n,)
    bits = np.unpackbits(row["answers"], axis=1)[:, :n]
    assert (bits[0] == row["correct"]).all()
    assert 100 * bits.mean(axis=1) == pytest.approx(row["accuracies"])


def test_without_weight_the_first_net_is_the_one_of_labels_alone(r: Replicate):
    """So the pair is compared with the net that it is without its peer."""
    alone, two = standing.labels(r), arms.pair(r, weight=0.0)
    assert (alone["correct"] == two["correct"]).all()


def test_cohorts_have_three_peers_and_shorter_training(r: Replicate, monkeypatch):
    seen = []

    def keep(method, data, recipe, seed):
        seen.append((len(method.peers), recipe.steps, method.target))

    monkeypatch.setattr(arms, "fit", keep)
    for target in ("each", "mean"):
        arms.cohort(r, target)
    assert seen == [(3, 3, "each"), (3, 3, "mean")]


def test_half_of_a_batch_has_no_label(r: Replicate, monkeypatch):
    seen = []
    monkeypatch.setattr(arms, "fit", lambda method, data, *_: seen.append(data))
    arms.unlabelled(r)
    (data,) = seen
    share = (data.train.y >= 0).double().mean().item()
    assert 0.4 < share < 0.6
    own = {tuple(x.flatten().tolist()) for x in r.data.train.x}
    labelled = data.train.x[data.train.y >= 0]
    assert {tuple(x.flatten().tolist()) for x in labelled} == own


def test_a_watched_pair_is_the_pair_and_keeps_what_each_update_cost(r: Replicate):
    plain, seen = arms.pair(r), lost.watched(r)
    assert (plain["answers"] == seen["answers"]).all()
    assert seen["costs"].shape == (2, 12) and (seen["costs"] > 0).all()
    method = DML.of(r).train()
    history = fit(method, r.data, r.recipe(), r.r)
    for cost, kind in zip(seen["costs"], ("hard", "peers"), strict=True):
        both = history[[f"{kind} 1", f"{kind} 2"]].mean(axis=1)
        assert cost[: len(cost) // len(both)].mean() == pytest.approx(both[0], rel=1e-3)


@pytest.mark.parametrize("name", list(lost.ARMS))
def test_half_the_rate_and_nothing_else(r: Replicate, name: str, monkeypatch):
    given = []
    monkeypatch.setitem(lost.ARMS, name, given.append)
    lost.slowly(r, name)
    (slow,) = given
    assert slow.recipe() == replace(r.recipe(), lr=r.recipe().lr / 2)
    assert slow.r == r.r and slow.world.teacher_recipe == r.world.teacher_recipe


def logits_in_train(method: DML, batch: Batch) -> list[Tensor]:
    return [peer.train()(batch.x) for peer in method.peers]


def test_the_shuffled_peer_answers_for_the_next_image(r: Replicate):
    method, batch = ShuffledPeer.of(r, weight=0.5), batch_of(r)
    terms, z = method.train()(batch), logits_in_train(method, batch)
    for k in (0, 1):
        other = torch.stack([z[1 - k][i - 1] for i in range(len(batch.y))])
        expected = 0.5 * mimicry_loss(z[k], [other])
        torch.testing.assert_close(terms[f"peers {k + 1}"], expected)
        torch.testing.assert_close(terms[f"hard {k + 1}"], hard_loss(z[k], batch.y))


def test_matching_features_adds_one_term_that_moves_both(r: Replicate):
    method, batch = FeaturesToo.of(r).train(), batch_of(r)
    terms = method(batch)
    f = [tap(peer, batch.x, "pool")[1]["pool"].detach() for peer in method.peers]
    apart = sum(
        (a - b) ** 2
        for x, y in zip(*(g.tolist() for g in f), strict=True)
        for a, b in zip(x, y, strict=True)
    )
    assert terms["features"].item() == pytest.approx(BETA * apart / len(batch.y), rel=1e-4)
    plain = DML(method.peers).train()(batch)
    for name, term in plain.items():
        torch.testing.assert_close(terms[name], term)
    terms["features"].backward()
    for peer in method.peers:
        assert next(peer.parameters()).grad.abs().max() > 0


def test_flatness_is_the_mean_over_nets(r: Replicate):
    nets = [r.student(peer=k) for k in (0, 1)]
    seen = r.data.val._replace(**{k: getattr(r.data.val, k)[:40] for k in ("x", "y", "index")})
    both, each = arms.flatness(nets, seen), [arms.flatness([net], seen) for net in nets]
    for name, value in both.items():
        np.testing.assert_allclose(value, np.mean([one[name] for one in each], axis=0), atol=1e-9)
    losses = [evaluate(net, seen)["nll"] for net in nets]
    assert both["training loss"] == pytest.approx(np.mean(losses))


def test_standing_arms_are_those_of_notebook_00():
    head = experiment.HEAD
    assert head["labels"] is standing.labels and head["KD"] is standing.kd
    assert head["label smoothing 0.1"].keywords == {"smoothing": 0.1}
    stamps = {
        (c.name, name): evidence.InWorld(arm, WORLDS["mnist5k"]).stamp
        for c in COMPARISONS
        for name, arm in c.arms.items()
    }
    assert stamps["pair", "DML"] == stamps["reader", "DML"] == stamps["clothes", "DML"]
    assert stamps["ensemble", EACH] != stamps["ensemble", MEAN]
    assert len({stamps["slowly", name] for name in experiment.SLOWLY}) == 3


# --- the rules ------------------------------------------------------------------------------------


def test_the_rules_work_on_a_part_of_the_evidence():
    whole = made_up()
    for name in whole:
        rows = judge(experiment.claims(empty() | {name: whole[name]}), STEM, "mnist5k")
        assert len(rows) >= len(experiment.TOLD)


def test_each_claim_subtracts_what_it_says():
    rows = judge(experiment.claims(made_up(5.0)), STEM).set_index(["id", "world"])
    for name, world in itertools.product(("pair", "beats-kd"), ("mnist5k", "fashion5k", "natural")):
        assert rows.loc[(name, world), "outcome"] == "reproduced"
        assert rows.loc[(name, world), "ours"] == pytest.approx(5, abs=1.5)
        assert rows.loc[("entropy", world), "ours"] == pytest.approx(np.log(3))
    for name in ("equal-cost", "own-image", "together", "features"):
        assert rows.loc[(name, "mnist5k"), "ours"] == pytest.approx(5, abs=1.5)
    assert rows.loc[("unlabelled", "mnist5k"), "ours"] == pytest.approx(-5, abs=1.5)
    assert rows.loc[("one-by-one", "mnist5k"), "outcome"] in ("undecided", "no effect that matters")
    assert rows.loc[("diversity", "mnist5k"), "ours"] == pytest.approx(0)


def test_claims_on_noise_ask_what_the_independent_nets_lose_more():
    tables = made_up()
    arm = tables["reader"]["arm"] == INDEPENDENT
    for place, column in enumerate(("loss, raw", "loss, filter", "accuracy, filter", "apart")):
        tables["reader"].loc[arm, column] += place + 1.0
    rows = judge(experiment.claims(tables), STEM).set_index("id")
    found = [rows.loc[i, "ours"] for i in ("flat-raw", "flat-filter", "flat-accuracy", "alike")]
    assert found == pytest.approx([1, 2, 3, 4])


def test_an_interval_over_images_sees_all_members():
    answers = np.packbits([[True, False, True], [True, True, False]], axis=1)
    correct = np.array([True, False, True])
    rows = pd.DataFrame({"accuracy": [200 / 3], "entropy": [1.0]})
    rows["answers"], rows["correct"] = [answers], [correct]
    found = experiment.derived(rows)
    np.testing.assert_allclose(found["correct"][0], [1, 0.5, 0.5])
    assert rows["correct"][0] is correct, "the table that was given stays as it is"


def test_no_effect_reproduces_nothing():
    rows = judge(experiment.claims(made_up(0.0, replicates=40)), STEM)
    accuracy = rows["primary"] & (rows["unit"] == "points")
    assert not rows[accuracy]["outcome"].isin(["reproduced", "contradicted"]).any()


def test_margins_and_worlds():
    claims = experiment.claims(made_up())
    assert all(claim.margin >= 0.5 for claim in claims if claim.primary)
    assert claims[0].id == "pair" and [claim.id for claim in claims] == list(experiment.TOLD)
    asked = {i for ids in measured.POINTS.values() for i in ids}
    assert len(measured.POINTS) == 6 and asked <= set(experiment.TOLD)


# --- what is shown --------------------------------------------------------------------------------


@pytest.fixture
def shown(monkeypatch):
    """What the figures and tables would display: (figure or frame, text) pairs."""
    found = []
    monkeypatch.setattr(measured, "show", lambda fig, alt, fold="": found.append((fig, alt)))
    monkeypatch.setattr(measured, "table", lambda frame, text, **_: found.append((frame, text)))
    return found


def test_without_evidence_everything_says_so(shown, capsys):
    tables = empty()
    measured.measures(measured.headline(tables), "mnist5k")
    measured.soft_and_flat(tables["reader"])
    measured.likeness(tables["reader"])
    measured.arms(tables["ensemble"], "the ensemble teacher")
    measured.lost(tables["slowly"])
    assert not shown
    assert capsys.readouterr().out.count("There is no evidence for") == 5
    assert {"world", "arm", "seed", "seconds", "accuracy"} <= set(measured.headline(tables))


def test_the_headline_has_all_worlds():
    found = measured.headline(made_up())
    assert set(found["world"]) == {"mnist5k", "fashion5k", "natural"}
    assert {"labels", "DML", "KD", SHUFFLED} <= set(found["arm"])


def test_entropy_and_flatness_stand_in_one_figure(shown):
    reader = made_up()["reader"]
    measured.soft_and_flat(reader)
    ((fig, alt),) = shown
    soft, raw, by_filter = fig.axes
    assert "0.60" in alt and [t.get_text() for t in soft.get_yticklabels()] == [INDEPENDENT, "DML"]
    for ax, kind in ((raw, "raw"), (by_filter, "filter")):
        for line, arm in zip(ax.lines, (INDEPENDENT, "DML"), strict=True):
            rows = reader.loc[reader["arm"] == arm, f"rise {kind}"]
            np.testing.assert_allclose(line.get_ydata(), np.mean(list(rows), axis=0))
            assert list(line.get_xdata()) == list(SIGMAS[kind])
    assert len({line.get_linestyle() for line in raw.lines}) == 2


def test_likeness_places_each_arm_at_its_means(shown):
    reader = made_up()["reader"]
    reader.loc[reader["arm"] == FEATURES, ["cka", "ensemble of 2"]] = 0.95, 90.0
    measured.likeness(reader)
    ((fig, alt),) = shown
    lines = {line.get_label(): line for line in fig.axes[0].lines if line.get_label()[0] != "_"}
    assert list(lines) == [INDEPENDENT, "DML", FEATURES]
    gain = 90 - reader.loc[reader["arm"] == FEATURES, "accuracy"].mean()
    (x,), (y,) = lines[FEATURES].get_data()
    assert (x, y) == pytest.approx((0.95, gain)) and f"{gain:.2f}" in alt
    assert len({line.get_color() for line in lines.values()}) == 3


def test_the_lost_pair_stands_out_and_is_seen_from_near(shown):
    measured.lost(made_up()["slowly"])
    ((fig, alt),) = shown
    far, near = fig.axes
    orange = [line for line in far.lines if line.get_color() == measured.PAIRS[1]]
    assert len(far.lines) == 10 and len(orange) == 1
    assert orange[0].get_ydata()[120] == pytest.approx((20 + 19 * 0.1) / 20)
    assert (
        "120" in alt
        and "0.310" in alt
        and "0.010" in alt
        and "replicate 2" in far.get_title("left")
    )
    for line in near.lines:
        x, y = line.get_data()
        assert x[y.argmax()] == 120 and y.max() == 10 and len(x) == 40


def test_dots_of_some_arms(shown):
    measured.arms(made_up()["reader"], "unlabelled images", ["DML", experiment.WITHOUT])
    ((fig, alt),) = shown
    names = [tick.get_text() for tick in fig.axes[0].get_yticklabels()]
    assert names == ["DML", experiment.WITHOUT] and INDEPENDENT not in alt


def test_each_of_the_readers_points_has_its_answer(shown):
    measured.points(judge(experiment.claims(made_up()), STEM))
    ((frame, _),) = shown
    assert set(frame["the reader's point"]) == set(measured.POINTS)
    measured.points(judge(experiment.claims(empty()), STEM, "mnist5k"))
    assert set(shown[1][0]["the reader's point"]) == set(measured.POINTS)
    assert all("not tested here" in text for text in shown[1][0]["here"])


# --- mutants --------------------------------------------------------------------------------------

MUTANTS = {
    "the image before": (
        ShuffledPeer,
        "roll(1, dims=0)",
        "roll(-1, dims=0)",
        test_the_shuffled_peer_answers_for_the_next_image,
    ),
    "its own answers move, too": (
        ShuffledPeer,
        "z_l if place == k else z_l.roll",
        "z_l.roll",
        test_the_shuffled_peer_answers_for_the_next_image,
    ),
    "features not squared": (
        FeaturesToo,
        ".square()",
        ".abs()",
        test_matching_features_adds_one_term_that_moves_both,
    ),
    "one peer's labels only": (
        FeaturesToo,
        "self.terms(1, [z_1, z_2], batch.y)",
        "self.terms(1, [z_1, z_2], batch.y * 0)",
        test_matching_features_adds_one_term_that_moves_both,
    ),
    "the first net for all": (
        arms.flatness,
        "for net in nets]",
        "for net in nets[:1]]",
        test_flatness_is_the_mean_over_nets,
    ),
}


@pytest.mark.parametrize("name", MUTANTS)
def test_a_wrong_arm_is_caught(name: str, r: Replicate):
    target, old, new, check = MUTANTS[name]
    assert_caught(target, old, new, by=[partial(check, r)])
