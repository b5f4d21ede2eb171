"""Arms of notebook 05, rules that work on empty and on partial evidence, what is shown of it."""

import itertools
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from kdlab.data import Batch
from kdlab.measure import features_of
from kdlab.papers.kd import arms as standing
from kdlab.papers.rkd import arms, experiment, measured
from kdlab.papers.rkd.embedding import angle_gap, distance_correlation, recall_at
from kdlab.papers.rkd.experiment import COMPARISONS
from kdlab.papers.rkd.method import RKD
from kdlab.runs import evidence
from kdlab.runs.claims import judge
from kdlab.tools import notebooks
from kdlab.train.worlds import WORLDS, Replicate, replicate
from tests.mutants import assert_caught
from tests.papers.cases import tiny
from tests.papers.exercise_texts import namespace

STEM = "05_rkd"
PATH = Path(__file__).parents[3] / "notebooks" / f"{STEM}.ipynb"
TINY = tiny()


@pytest.fixture(scope="module")
def r() -> Replicate:
    return replicate(TINY, 3)


# --- the arms -------------------------------------------------------------------------------------


def test_every_arm_gives_a_row(r: Replicate):
    for name, arm in (experiment.ORDERS | experiment.UNSEEN | experiment.MARKS).items():
        row = arm(r)
        assert 0 <= row["accuracy"] <= 100, name
        found = {"correlation", "degrees"} if name in experiment.ORDERS else {"inverted"}
        assert all(np.isfinite(row[key]) for key in found), name


def test_without_relations_it_is_notebook_00(r: Replicate):
    for name, arm in (("labels", standing.labels), ("KD", standing.kd)):
        one, two = experiment.ORDERS[name](r), arm(r)
        assert one["nll"] == pytest.approx(two["nll"], rel=1e-4), name


def test_weights_and_teacher_of_the_arms(r: Replicate, monkeypatch: pytest.MonkeyPatch):
    seen: list[RKD] = []
    monkeypatch.setattr(Replicate, "train", lambda _, method: seen.append(method) or {})
    arms.rkd(r)
    arms.rkd(r, soft=0.9, beta_a=0.0)
    arms.rkd(r, dealt=True)
    own, both, dealt = seen
    assert own.weights == {"hard": 1.0, "soft": 0.0, "distance": 25.0, "angle": 50.0}
    assert both.weights["soft"] == 0.9 and both.weights["hard"] == pytest.approx(0.1)
    assert both.weights["angle"] == 0 and {m.unit for m in seen} == {"both"}
    batch = Batch(*r.data.train)
    told, moved = (m.teacher.answers(batch, ["pool"])[1]["pool"] for m in (own, dealt))
    assert not torch.equal(told, moved)
    whole = own.teacher.tables["pool"].nan_to_num().sum()
    assert dealt.teacher.tables["pool"].nan_to_num().sum() == pytest.approx(whole.item(), rel=1e-4)


def test_relations_are_measured_against_the_teacher(r: Replicate):
    net, x = r.student(), r.data.test.x[: arms.PROBES]
    f_s, f_t = (features_of(n, x, "pool") for n in (net, r.teacher.net))
    f_s, f_t = (f / f.norm(dim=1, keepdim=True).clamp(min=1e-12) for f in (f_s, f_t))
    row = arms.relations(net, r)
    assert row["correlation"] == pytest.approx(100 * distance_correlation(f_s, f_t), abs=1e-3)
    assert row["degrees"] == pytest.approx(angle_gap(f_s, f_t), abs=1e-3)
    same = arms.relations(r.teacher.net, r)
    assert same["correlation"] == pytest.approx(100) and same["degrees"] < 0.1


def test_the_hint_is_zero_where_the_directions_agree(r: Replicate):
    method = arms.Hint(r.teacher.net, r, beta=2.0).eval()
    size = len(method.regressor)
    assert method.regressor.shape == (size, size)
    with torch.no_grad():
        method.regressor.copy_(3 * torch.eye(size))
    batch = Batch(*(column[:20] for column in r.data.train))
    assert method(batch)["hint"] < 1e-9
    with torch.no_grad():
        method.regressor.neg_()
    f = features_of(r.teacher.net, batch.x, "pool")
    full = (f.norm(dim=1) > 0).float().mean().item()
    assert method(batch)["hint"].item() == pytest.approx(2 * 4 * full, rel=1e-5)  # |2 e|^2


def test_nobody_trains_on_the_classes_that_are_asked_for(r: Replicate):
    data, boundary = arms.known(r)
    assert boundary == 6 and set(data.train.y.tolist()) == set(range(6))
    assert len(data.train.y) > 1400 and torch.equal(data.test.x, r.data.test.x)
    asked: dict[str, Any] = {}

    def embed(x: torch.Tensor) -> torch.Tensor:
        asked[str(len(asked))] = x
        return x.flatten(1)

    row = arms.recalls(r, embed)
    new = r.data.test.y >= 6
    assert torch.equal(asked["0"], r.data.test.x[new])
    total = r.data.images(asked["0"]) + r.data.images(asked["1"])
    assert torch.allclose(total, torch.ones(()), atol=1e-5)
    expected = recall_at(r.data.test.x[new].flatten(1), r.data.test.y[new])
    assert row["accuracy"] == pytest.approx(expected) == row["inverted"]


def slow_triplet(f: np.ndarray, y: list[int], margin: float) -> float:
    """Return the mean of d(a, p) - d(a, n) + margin over all triples where it is above 0."""
    f = f / np.linalg.norm(f, axis=1, keepdims=True)
    late = []
    for a, p, n in itertools.product(range(len(y)), repeat=3):
        if a != p and y[a] == y[p] and y[a] != y[n]:
            gap = np.linalg.norm(f[a] - f[p]) - np.linalg.norm(f[a] - f[n]) + margin
            late += [gap] if gap > 0 else []
    return float(np.mean(late)) if late else 0.0


def test_triplets_equal_the_slow_loop():
    x = torch.randn(9, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    for y, margin in (([0, 1, 2] * 3, 0.2), ([0, 1, 2] * 3, 1.0), ([0] * 9, 1.0), (range(9), 1.0)):
        method = arms.Triplet(torch.nn.Identity(), margin)
        found = method(Batch(x, torch.tensor(y), torch.arange(9)))["triplet"]
        assert found.item() == pytest.approx(slow_triplet(x.numpy(), [*y], margin), abs=1e-9)


@pytest.mark.parametrize(
    ("target", "old", "new", "check"),
    [
        (arms.Triplet, "~torch.eye", "torch.ones_like(d).bool() | torch.eye", "triplets"),
        (arms.Triplet, "d[:, :, None] - d[:, None]", "d[:, None] - d[:, :, None]", "triplets"),
        (arms.recalls, "y >= boundary", "y < boundary", "asked"),
        (arms.relations, "100 * distance", "distance", "relations"),
        (arms.Hint, "square().sum(dim=1)", "square().mean(dim=1)", "hint"),
    ],
)
def test_a_wrong_arm_is_caught(r: Replicate, target: Any, old: str, new: str, check: str):
    checks = {
        "triplets": test_triplets_equal_the_slow_loop,
        "asked": partial(test_nobody_trains_on_the_classes_that_are_asked_for, r),
        "relations": partial(test_relations_are_measured_against_the_teacher, r),
        "hint": partial(test_the_hint_is_zero_where_the_directions_agree, r),
    }
    assert_caught(target, old, new, by=[checks[check]])


def test_an_arm_in_two_comparisons_is_trained_once():
    def stamp(arm: Any) -> str:
        return evidence.InWorld(arm, WORLDS["mnist5k"]).stamp

    for name in ("RKD", "RKD + KD"):
        assert stamp(experiment.FOUR[name]) == stamp(experiment.ORDERS[name])
    assert experiment.FOUR["labels"] is standing.labels and experiment.FOUR["KD"] is standing.kd
    stamps = {c.name: [stamp(arm) for arm in c.arms.values()] for c in COMPARISONS}
    assert all(len(set(each)) == len(each) for each in stamps.values())


# --- the rules ------------------------------------------------------------------------------------


def empty() -> dict[str, pd.DataFrame]:
    return evidence.tables(STEM, COMPARISONS, folder=Path("no such folder"))


def made_up(gain: float = 5.0) -> dict[str, pd.DataFrame]:
    """Return tables in which each arm with relations is `gain` better, KD twice that."""
    draw, found = np.random.default_rng(0), {}
    for c in COMPARISONS:
        lines = []
        for w, arm, seed in itertools.product(c.worlds, c.arms, range(c.replicates or 10)):
            better = gain * (("RKD" in arm) + 2 * ("KD" in arm.replace("RKD", "")))
            value = 70 + better + 0.5 * draw.normal()
            columns = ("accuracy", "val_accuracy", "correlation", "degrees", "inverted")
            lines.append({"world": w, "arm": arm, "seed": seed} | dict.fromkeys(columns, value))
        found[c.name] = pd.DataFrame(lines)
        found[c.name].attrs["name"] = c.name
    return found


def test_the_rules_work_on_no_evidence_and_on_a_part_of_it():
    rows = judge(experiment.claims(empty()), STEM, "mnist5k")
    assert set(rows["outcome"]) <= {"not tested here", ""} and rows["primary"].sum() == 6
    whole = made_up()
    for name in whole:
        part = judge(experiment.claims(empty() | {name: whole[name]}), STEM, "mnist5k")
        assert set(part["id"]) == set(experiment.TOLD)


def test_each_claim_subtracts_what_it_says():
    rows = judge(experiment.claims(made_up()), STEM).set_index(["id", "world"])
    for name in ("mnist5k", "fashion5k", "natural"):
        for claim in ("alone", "with-kd", "kd-ahead"):
            assert rows.loc[(claim, name), "outcome"] == "reproduced", claim
        assert rows.loc[("better-with-kd", name), "ours"] == pytest.approx(0, abs=1)
        assert rows.loc[("kd-on-top", name), "ours"] == pytest.approx(10, abs=1)
    for claim in ("unseen", "closer", "right-examples", "smoothing", "order", "beats-teacher"):
        assert rows.loc[(claim, "mnist5k"), "ours"] == pytest.approx(5, abs=1), claim
    for claim in ("angles", "free-length", "specialise"):
        assert rows.loc[(claim, "mnist5k"), "ours"] == pytest.approx(0, abs=1), claim


def test_specialising_is_to_fall_behind_by_more_than_at_home():
    tables = made_up(0.0)
    student = tables["unseen"]["arm"] == "RKD, no labels"
    tables["unseen"].loc[student, "inverted"] -= 7
    rows = judge(experiment.claims(tables), STEM).set_index("id")
    assert rows.loc["specialise", "ours"] == pytest.approx(7, abs=1)


def test_a_claim_names_the_runs_that_it_needs():
    claims = {claim.id: claim for claim in experiment.claims(made_up())}
    for name in experiment.HEADLINE:
        assert {(name, "RKD + KD"), (name, "KD")} <= claims["with-kd"].x.arms
    assert all(claim.margin >= 0.5 for claim in claims.values())
    assert [claim.id for claim in claims.values()] == list(experiment.TOLD)


# --- what is shown --------------------------------------------------------------------------------


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, str]]:
    """What the figures and tables would display: (figure or frame, text) pairs."""
    found: list[tuple[Any, str]] = []
    monkeypatch.setattr(measured, "show", lambda fig, alt, fold="": found.append((fig, alt)))
    monkeypatch.setattr(measured, "table", lambda frame, told, **_: found.append((frame, told)))
    return found


def show_all(tables: dict[str, pd.DataFrame]) -> None:
    measured.two_by_two(experiment.headline(tables))
    measured.fidelity(tables["orders"])
    measured.retrieval(tables["unseen"], tables["sphere"])


def test_without_evidence_everything_says_so(shown, capsys):
    show_all(empty())
    assert not shown and capsys.readouterr().out.count("There is no evidence for") == 3


def test_pictures_have_a_row_for_each_arm_and_tell_its_mean(shown):
    tables = made_up()
    show_all(tables)
    (four, told), (frame, _), (unseen, recall) = shown
    assert [ax.get_title(loc="left") for ax in four.axes] == ["digits", "clothes", "photographs"]
    for ax in four.axes:
        assert [t.get_text() for t in ax.get_yticklabels()] == list(measured.PAIRS)
    assert list(frame["arm"]) == list(experiment.ORDERS)
    arms_of = [*experiment.UNSEEN, *experiment.MARKS, "RKD, on the sphere"]
    assert [t.get_text() for t in unseen.axes[0].get_yticklabels()] == arms_of
    assert all(f"digits, {arm} " in told for arm in measured.PAIRS)
    assert all(f"inverted, {arm} " in recall for arm in arms_of)


def test_a_part_of_the_evidence_is_drawn(shown):
    tables = empty() | {name: made_up()[name] for name in ("clothes", "unseen")}
    show_all(tables)
    assert [ax.get_title(loc="left") for ax in shown[0][0].axes] == ["clothes"]


# --- the notebook ---------------------------------------------------------------------------------


def cell(text: str) -> str:
    """Return the cell that holds this text."""
    (found,) = [c.source for c in notebooks.read(PATH).cells if text in c.source]
    return found


def test_the_arms_in_sight_are_those_of_the_evidence(r: Replicate):
    found = namespace(notebooks.read(PATH))
    text = cell("headline = {")
    exec(text[: text.index("first = ")], found)
    for name, mine in found["headline"].items():
        one, two = mine(r), experiment.FOUR[name](r)
        assert one["nll"] == pytest.approx(two["nll"], rel=1e-4), name


def test_the_control_of_the_exercise_can_be_trained(r: Replicate):
    text = cell("def kin(r):")
    source = text[text.index("def kin(r):") : text.index("live({")]
    found = namespace(notebooks.read(PATH)) | {"within_class": lambda f, y, _: f}
    exec(source, found)
    assert found["kin"](r)["nll"] == pytest.approx(arms.rkd(r)["nll"], rel=1e-4)


def test_every_primary_claim_is_told_with_the_numbers_of_the_world():
    told, facts = cell("## Claims"), cell("## Paper facts")
    for claim in experiment.claims(empty()):
        assert f"**{claim.id}**" in told or not claim.primary, claim.id
    data = replicate("mnist5k", 0).data
    sizes = f"{data.pool_size:,} + {len(data.val.y):,} + {len(data.test.y):,} MNIST images"
    assert f"{sizes}; {len(data.train.y)} carry a label" in facts
    assert replace(WORLDS["mnist5k"]).teacher_net in facts
