"""The figures of notebook 09 draw the numbers of the groups, and those of the evidence."""

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from matplotlib.figure import Figure

from kdlab.measure import members
from kdlab.models import build, size, tap
from kdlab.papers.okddip import arms, experiment, figures, measured, slowly
from kdlab.papers.okddip.arms import MOMENTS, STORY, answers, attention_of, look, peers_of, watched
from kdlab.papers.okddip.diversity import distances, error_correlation, mean_of_pairs
from kdlab.papers.okddip.experiment import apart, claims
from kdlab.papers.okddip.method import ONE, OKDDip
from kdlab.papers.okddip.mutual import Mutual
from kdlab.papers.okddip.nets import Group
from kdlab.runs import evidence
from kdlab.runs.claims import judge
from kdlab.seeds import generator
from kdlab.show.plots import png
from kdlab.train.recipe import Recipe
from kdlab.train.worlds import Replicate, world
from tests import oracles
from tests.mutants import assert_caught

TINY = replace(world("mnist5k"), recipe=Recipe(steps=6), teacher_recipe=Recipe(steps=6))
X = torch.randn(4, 1, 28, 28, generator=torch.Generator().manual_seed(0))


@pytest.fixture(scope="module")
def r() -> Replicate:
    return Replicate(TINY, 3)


# --- groups -------------------------------------------------------------------------------------


@pytest.mark.parametrize("net", ["cnn2", "resnet8", "wrn_10_1"])
@pytest.mark.parametrize("shared", [0, 1, 2])
def test_members_are_plain_networks_on_one_trunk(net: str, shared: int):
    students = [build(net, 10, seed=k) for k in range(3)]
    group = Group(students, shared).eval()
    z, f, h = group(X)
    assert z.shape == (3, 4, 10) and f.shape == (3, 4, group.width)
    assert h.shape[1] == group.channels
    plain = size(students[0]).params
    for k in range(3):
        member = group.member(k)
        own, found = tap(member, X, "pool")
        torch.testing.assert_close(own, z[k])
        torch.testing.assert_close(found["pool"], f[k])
        assert size(member).params == plain
        assert torch.equal(member.linear.weight, students[k].linear.weight)
    first, last = group.member(0), group.member(2)
    assert (first.block1 is last.block1) == (shared > 0) and first.block3 is not last.block3
    trunk = sum(p.numel() for p in group.trunk.parameters())
    assert sum(p.numel() for p in group.parameters()) == 3 * plain - 2 * trunk


@pytest.mark.parametrize(
    ("nets", "shared", "said"),
    [
        (["cnn2"], 2, "two or more"),
        (["cnn2", "cnn2"], 3, "blocks"),
        (["mlp30", "mlp30"], 0, "blocks"),
        (["cnn2", "resnet8"], 1, "family"),
    ],
)
def test_what_makes_no_group_gets_a_sentence(nets: list[str], shared: int, said: str):
    with pytest.raises(ValueError, match=said):
        Group([build(net, 10, seed=k) for k, net in enumerate(nets)], shared)
    with pytest.raises(ValueError, match="equal"):
        Group([build("cnn2", 10, seed=0) for _ in range(2)])


# --- diversity ----------------------------------------------------------------------------------


def test_distances_equal_the_slow_oracle():
    z = 2 * torch.randn(3, 7, 4, generator=generator(0, "far"), dtype=torch.float64)
    found = distances(z)
    for a in range(3):
        for b in range(3):
            pairs = [
                (oracles.softmax(z[a, i].tolist()), oracles.softmax(z[b, i].tolist()))
                for i in range(7)
            ]
            each = [sum((p - q) ** 2 for p, q in zip(*pair, strict=True)) ** 0.5 for pair in pairs]
            assert found[a, b].item() == pytest.approx(100 * sum(each) / 7, abs=1e-6)
    expected = (found[0, 1] + found[0, 2] + found[1, 2]) / 3
    assert mean_of_pairs(found) == pytest.approx(expected.item())


def test_errors_that_go_together_and_errors_that_do_not():
    y = torch.zeros(4).long()
    right, wrong = [1.0, 0.0], [0.0, 1.0]
    one = torch.tensor([right, wrong, right, wrong])
    other = torch.tensor([wrong, right, wrong, right])
    assert error_correlation(torch.stack([one, one]), y) == pytest.approx(1)
    assert error_correlation(torch.stack([one, other]), y) == pytest.approx(-1)
    assert error_correlation(torch.stack([one, one, other]), y) == pytest.approx(-1 / 3)
    assert np.isnan(error_correlation(torch.stack([one, torch.tensor([right] * 4)]), y))


# --- arms ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [OKDDip, ONE, Mutual])
def test_a_look_says_what_validation_images_show(r: Replicate, kind: Any):
    method = kind.of(r)
    tables, numbers = look(method, r)
    z, f = answers(method, r.data.val.x)
    own = slice(1, None) if kind is OKDDip else slice(0, None)
    assert peers_of(method) == own and list(numbers) == list(STORY[1:])
    found = members(z[own], r.data.val.y)
    assert numbers["peer"] == pytest.approx(found["accuracy"])
    assert numbers["ensemble"] == pytest.approx(found["ensemble"])
    right = z[0].argmax(dim=1) == r.data.val.y
    assert numbers["leader"] == pytest.approx(100 * right.double().mean().item())
    assert numbers["distance"] == pytest.approx(mean_of_pairs(distances(z[own])))
    assert tables["distances"].shape == (4, 4)
    if kind is OKDDip:
        A = attention_of(method, f)
        assert tables["attention"].sum(axis=1) == pytest.approx(1)
        assert numbers["self-weight"] == pytest.approx(
            float(tables["attention"].trace()) / 3, rel=1e-5
        )
        assert numbers["entropy"] == pytest.approx(
            float(np.mean([oracles.entropy(row) for part in A.tolist() for row in part])), rel=1e-4
        )
    else:
        assert np.isnan(numbers["self-weight"]) and np.isnan(tables["attention"]).all()


def test_a_row_says_what_the_group_knows(r: Replicate):
    row = arms.okddip(r, first="uniform")
    names = {"accuracy", "val_accuracy", "peer", "ensemble", "gain", "distance", "correlation"}
    assert names <= set(row)
    assert row["gain"] == pytest.approx(row["ensemble"] - row["peer"])
    assert row["story"].shape[1] == len(STORY)
    assert row["story"][0, 0] == 0 and row["story"][-1, 0] == 1
    assert row["story"].dtype == np.float32


def test_a_training_is_looked_at_in_moments(r: Replicate):
    long = Replicate(replace(TINY, recipe=Recipe(epochs=2 * MOMENTS, batch=500)), 3)
    story = watched(ONE.of(long), long)
    assert [m.done for m in story] == pytest.approx([k / MOMENTS for k in range(MOMENTS + 1)])
    assert story[0].numbers["distance"] == pytest.approx(look(ONE.of(long), long)[1]["distance"])
    assert story[0].numbers["distance"] != story[-1].numbers["distance"]


# --- the explorer -------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def stories(r: Replicate) -> figures.Stories:
    return figures.stories_of(r, longer=0.5)


@pytest.mark.parametrize("way", figures.WAYS)
@pytest.mark.parametrize("done", [0.0, 1.0])
def test_the_explorer_draws_a_moment(stories: figures.Stories, way: str, done: float):
    now = figures.at(stories, way, done)
    assert now.done == done and now in stories[way]
    fig = figures.explorer(stories, way, done)
    heard, far, line = fig.axes
    numbers = [float(text.get_text()) for text in far.texts]
    assert numbers == pytest.approx(now.tables["distances"].flatten().tolist(), abs=0.51)
    if way == "ONE":
        assert "one target" in heard.texts[0].get_text()
    else:
        shown = [float(text.get_text()) for text in heard.texts]
        assert shown == pytest.approx(now.tables["attention"].flatten().tolist(), abs=0.006)
    for drawn, column in zip(line.lines, figures.LINES, strict=False):
        assert drawn.get_ydata() == pytest.approx([m.numbers[column] for m in stories[way]])
    assert line.lines[-1].get_xdata()[0] == done
    assert png(fig) == png(figures.explorer(stories, way, done))


# --- what was measured --------------------------------------------------------------------------


@pytest.fixture(scope="module")
def tables() -> dict[str, pd.DataFrame]:
    """Rows of some replicates of every arm, with numbers of no meaning."""
    found = {}
    for c in experiment.COMPARISONS:
        rows: list[dict[str, Any]] = []
        for w in c.worlds:
            for arm in c.arms:
                for seed in range(5):
                    rows.append(
                        {"world": w, "arm": arm, "seed": seed, "seconds": 1.0} | made(arm, seed)
                    )
        found[c.name] = pd.DataFrame(rows)
        found[c.name].attrs["name"] = c.name
    return found


def made(arm: str, seed: int) -> dict[str, Any]:
    source = np.random.default_rng([seed, sum(map(ord, arm))])
    right = source.random(60) < 0.8
    row = {"correct": right, "accuracy": 100 * right.mean(), "val_accuracy": 80.0}
    row |= {"rows": np.arange(60), "nll": 0.5, "ece": 4.0, "entropy": 0.5}
    if arm in experiment.ALONE:
        return row | {"distance": np.nan, "peer": np.nan, "ensemble": np.nan, "story": None}
    far = 3 + 8 * source.random() + (4 if arm.startswith("indep") else 0)
    numbers = {"peer": 80 + 5 * source.random(), "gain": source.random(), "distance": far}
    numbers |= {"ensemble": 84 + source.random(), "disagreement": far / 2, "correlation": 0.5}
    line = np.stack([np.linspace(0, 1, 11), far * np.linspace(2, 1, 11)], axis=1)
    rest = np.tile(source.random(5), (11, 1))
    rest[:, :2] = (
        np.linspace(0.3, 0.9, 11)[:, None] if arm in ("OKDDip", "not detached") else np.nan
    )
    return row | numbers | {"story": np.concatenate([line, rest], axis=1).astype(np.float32)}


@pytest.mark.parametrize("name", list(slowly.ARMS))
def test_a_slow_arm_halves_the_learning_rate_and_nothing_else(r, name, monkeypatch):
    given = []
    monkeypatch.setitem(slowly.ARMS, name, lambda r: given.append(r) or {})
    slowly.slowly(r, name)
    (slow,) = given
    half = replace(r.world.recipe, lr=r.world.recipe.lr / 2)
    assert (slow.r, slow.world) == (r.r, replace(r.world, recipe=half))


def test_claims_name_arms_that_are_measured(tables):
    found = claims(tables)
    assert [c.id for c in found if c.primary] == [
        "plain",
        "one",
        "dml",
        "target",
        "kept",
        "two-level",
    ]
    arms_of = {c.name: set(c.arms) for c in experiment.COMPARISONS}
    for claim in found[:-1]:
        assert len(claim.numbers) and claim.text.endswith(".")
        if hasattr(claim.x, "arms"):
            assert all(arm in arms_of[name] for name, arm in claim.x.arms)
    assert set(found[0].by_world()) == {"mnist5k", "fashion5k", "natural"}


def test_how_much_farther_apart(tables):
    table = tables["targets"]
    far = {
        arm: table[table["arm"] == arm].set_index("seed")["distance"] for arm in set(table["arm"])
    }
    expected = 100 * (far["OKDDip"] - far["ONE"]) / far["independent"]
    assert apart(table, "OKDDip", "ONE").to_numpy() == pytest.approx(expected.to_numpy())
    assert apart(table, "independent", "independent").to_numpy() == pytest.approx(0)
    assert apart(table, "OKDDip", "no such arm").empty


@pytest.fixture
def shown(monkeypatch) -> list[tuple[Any, str]]:
    """What `measured` shows, and the words beside it."""
    found: list[tuple[Any, str]] = []
    monkeypatch.setattr(measured, "show", lambda fig, alt, fold: found.append((fig, alt)))
    monkeypatch.setattr(measured, "table", lambda rows, told, fold: found.append((rows, told)))
    return found


def draw(runs: dict[str, pd.DataFrame]) -> None:
    """Ask for everything that the notebook asks for."""
    measured.over_time(runs["targets"], ["distance", "self-weight"], "Distance and self-weight")
    measured.fair(runs["targets"], "Accuracy against distance")
    measured.groups(runs["targets"], "Targets of the first level")
    measured.groups(runs["networks"], "Branches and networks")
    measured.breaks({"fast": runs["rivals"], "slow": runs["slowly"]}, "mnist5k")


def test_everything_is_drawn_with_a_text(tables, shown):
    draw(tables)
    assert len(shown) == 5
    assert all(isinstance(fig, Figure) and len(told) > 40 for fig, told in shown[:2])
    assert list(shown[2][0]["arm"]) == list(experiment.TARGETS)


def test_a_group_broke_if_its_members_or_who_is_deployed_know_little():
    runs = pd.DataFrame(
        {
            "world": ["mnist5k"] * 4 + ["fashion5k"] * 2,
            "peer": [92.0, 56.0, 68.0, 91.0, 76.0, 60.0],
            "accuracy": [92.0, 87.0, 47.0, 91.0, 77.0, 77.0],
        }
    )
    assert list(measured.broken(runs)) == [False, True, True, False, False, True]


def test_broken_groups_stand_out_in_the_lines(tables, shown):
    runs = tables["rivals"].copy()
    ours = runs.index[(runs["arm"] == "OKDDip") & (runs["world"] == "mnist5k")]
    runs["peer"] = runs["accuracy"] = 90.0
    runs.loc[ours[0], "peer"] = 40.0
    measured.breaks({"fast": runs, "slow": runs[:0]}, "mnist5k")
    ((fig, told),) = shown
    (ax,) = fig.axes
    colours = [line.get_color() for line in ax.lines]
    assert len(colours) == len(ours)
    assert colours.count(measured.LOST) == 1 and colours[0] == measured.LOST
    assert f"1 of {len(ours)}" in told


def test_lines_over_time_are_means_of_the_stories(tables, shown):
    runs = tables["targets"]
    measured.over_time(runs, ["distance", "self-weight"], "Distance")
    distance, own = shown[0][0].axes
    for line, arm in zip(distance.lines, experiment.TARGETS, strict=True):
        stories = np.stack(list(runs.loc[runs["arm"] == arm, "story"]))
        assert line.get_ydata() == pytest.approx(stories[:, :, 1].mean(axis=0), rel=1e-5)
        assert line.get_xdata() == pytest.approx(np.linspace(0, 1, 11), abs=1e-6)
    assert len(own.lines) == 2  # only where there is attention


def test_the_fair_line_joins_one_of_growing_weight(tables, shown):
    runs = tables["targets"]
    measured.fair(runs, "Accuracy")
    bad = measured.broken(runs)
    assert f"broke: {bad.sum()} of {len(runs)}" in shown[0][1]
    means = runs[~bad].groupby("arm")[["distance", "peer"]].mean().loc[list(measured.LADDER)]
    dotted = shown[0][0].axes[0].lines[-1]
    assert dotted.get_xdata() == pytest.approx(means["distance"].to_numpy())
    assert dotted.get_ydata() == pytest.approx(means["peer"].to_numpy())
    colours = {str(measured.style(arm)) for arm in ("independent", "ONE", "OKDDip", "mean target")}
    assert len(colours) == 4


@pytest.mark.parametrize("kept", [None, ["labels"], ["OKDDip"], ["OKDDip", "ONE"]])
def test_tables_may_be_empty_or_partial(tables, shown, kept, tmp_path, capsys):
    runs = evidence.tables("09_okddip", experiment.COMPARISONS, tmp_path)
    if kept:
        runs = {name: table[table["arm"].isin(kept)] for name, table in tables.items()}
    draw(runs)
    said = capsys.readouterr().out
    assert ("There is no evidence for accuracy" in said) == (kept in (None, ["labels"]))
    judged = judge(claims(runs), "09_okddip")
    assert len(set(judged["id"])) == len(claims(tables))


far = test_distances_equal_the_slow_oracle
MUTANTS = {
    "distance squared": (distances, ".norm(dim=3)", ".square().sum(dim=3)", [far]),
    "of logits": (distances, "z.double().softmax(dim=2)", "z.double()", [far]),
    "with oneself": (mean_of_pairs, "combinations(", "combinations_with_replacement(", [far]),
    "not in hundredths": (distances, "100 * ", "", [far]),
}


@pytest.mark.parametrize("name", MUTANTS)
def test_a_wrong_measure_is_caught(name: str):
    target, old, new, by = MUTANTS[name]
    assert_caught(target, old, new, by)
