"""The arms of notebook 01: which teacher they ask, for how long, and what they measure."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
import torch

from kdlab.data import Batch
from kdlab.measure import logits_of, softness
from kdlab.models import build
from kdlab.papers.efficacy import arms, experiment
from kdlab.papers.efficacy.arms import school, stopped, taught, teacher_alone, widened
from kdlab.papers.kd.arms import kd, labels
from kdlab.papers.kd.method import KD
from kdlab.train.recipe import Recipe
from kdlab.train.worlds import Replicate, replicate
from tests import oracles
from tests.papers.cases import tiny

TINY = tiny(teacher_net="cnn6", teacher_recipe=Recipe(steps=40))


@pytest.fixture(scope="module")
def r() -> Iterator[Replicate]:
    yield replicate(TINY, 3)


@pytest.fixture(scope="module")
def rows(r: Replicate) -> dict[str, dict[str, Any]]:
    """The runs that several tests look at, each trained once."""
    own = {"middle": taught(r), "largest": taught(r, None), "equal": taught(r, None, equal=True)}
    return own | {"kd": kd(r), "labels": labels(r)}


def parameters(net: torch.nn.Module) -> int:
    return sum(p.numel() for p in net.parameters())


@pytest.mark.parametrize(
    ("net", "times", "wider"),
    [
        ("cnn4", 2, "cnn8"),
        ("cnn16", 1, "cnn16"),
        ("wrn_16_2", 2, "wrn_16_2"),
        ("mlp30", 2, "mlp30"),
    ],
)
def test_a_wider_net_of_the_family(net: str, times: int, wider: str):
    assert widened(net, times) == wider


def test_the_middle_teacher_is_twice_as_wide_and_the_largest_is_the_worlds_own(r: Replicate):
    middle = build("cnn4", 10, r.data.in_shape, seed=0)
    assert parameters(school(r).net) == parameters(middle)
    assert torch.equal(school(r, None).stored(), r.teacher.stored())
    assert not torch.equal(school(r).stored(), r.teacher.stored())


def test_another_age_is_a_training_of_its_own(monkeypatch: pytest.MonkeyPatch):
    asked = []
    monkeypatch.setattr(Replicate, "teacher_of", lambda r, net, recipe: asked.append((net, recipe)))
    school(replicate(TINY, 0), age=2.5)
    school(replicate(replace(TINY, teacher_recipe=Recipe(epochs=20)), 0), None, age=0.25)
    school(replicate(replace(TINY, teacher_recipe=Recipe(epochs=2)), 0), 1, age=0.01)
    assert asked == [
        ("cnn4", Recipe(steps=100)),
        ("cnn6", Recipe(epochs=5)),
        ("cnn2", Recipe(epochs=1)),
    ]


def test_taught_by_the_largest_is_kd_of_notebook_00(rows):
    for metric in ("accuracy", "nll", "ece"):
        assert rows["largest"][metric] == pytest.approx(rows["kd"][metric], rel=1e-5)
    assert rows["middle"]["nll"] != pytest.approx(rows["kd"]["nll"], rel=1e-5)


def test_what_it_measures_of_student_and_teacher(r: Replicate, rows):
    row, method = rows["middle"], KD(r.student(), school(r))
    r.train(method)
    asked, x = school(r)(Batch(*r.data.train)), r.data.test.x[: arms.SEEN]
    pairs = {
        "KL train": (logits_of(method, r.data.train.x), asked),
        "KL test": (logits_of(method, x), logits_of(school(r).net, x)),
    }
    for name, tables in pairs.items():
        z_s, z_t = (oracles.rows(z) for z in tables)
        each = [oracles.kl(*map(oracles.softmax, pair)) for pair in zip(z_t, z_s, strict=True)]
        assert row[name] == pytest.approx(sum(each) / len(each), rel=1e-3), name
    z_s, z_t = (z.argmax(dim=1) for z in pairs["KL test"])
    assert row["agreement"] == pytest.approx(100 * (z_s == z_t).double().mean().item())
    right = (z_t == r.data.test.y[: arms.SEEN]).double().mean().item()
    assert row["teacher accuracy"] == pytest.approx(100 * right)
    assert row["teacher entropy"] == pytest.approx(softness(asked, 4.0))


def test_equal_entropy_is_that_of_the_middle_teacher(rows):
    own, equal, middle = rows["largest"], rows["equal"], rows["middle"]
    assert equal["teacher entropy"] == pytest.approx(middle["teacher entropy"], rel=1e-5)
    assert abs(own["teacher entropy"] - middle["teacher entropy"]) > 1e-3
    assert equal["teacher accuracy"] == own["teacher accuracy"]
    assert equal["nll"] != own["nll"]


def test_the_first_test_images_hold_every_class_alike(r: Replicate):
    counts = torch.bincount(r.data.test.y[: arms.SEEN])
    assert counts.max() - counts.min() <= 1 and len(counts) == 10


def test_the_ends_of_kd_stop_are_arms_of_notebook_00(r: Replicate, rows):
    halfway = stopped(r)["nll"]
    for stop, same in ((1.0, "kd"), (0.0, "labels")):
        assert stopped(r, stop)["nll"] == pytest.approx(rows[same]["nll"], rel=1e-5)
        assert halfway != pytest.approx(rows[same]["nll"], rel=1e-5)


def test_a_wider_student_and_a_shorter_training(r: Replicate, monkeypatch: pytest.MonkeyPatch):
    asked = []

    def train(r: Replicate, method: KD, longer: float) -> dict[str, Any]:
        asked.append((parameters(method.student), longer, method.alpha))
        return {}

    monkeypatch.setattr(Replicate, "train", train)
    taught(r, wide=2, longer=0.5, alpha=0.45)
    assert asked == [(parameters(build("cnn4", 10, r.data.in_shape, seed=0)), 0.5, 0.45)]


def test_a_teacher_alone(r: Replicate):
    row, teacher = teacher_alone(r), school(r)
    right = logits_of(teacher.net, r.data.test.x).argmax(dim=1) == r.data.test.y
    assert row["accuracy"] == pytest.approx(100 * right.double().mean().item())
    assert row["target entropy"] == pytest.approx(softness(teacher(Batch(*r.data.train)), 4.0))


def test_the_control_has_the_mean_weights_of_kd_stop():
    more = {c.name: c for c in experiment.COMPARISONS}["more"].arms
    assert more[experiment.SPREAD].keywords == {"times": None, "alpha": 0.45}
    assert more[next(iter(experiment.STOPS))].keywords == {"stop": 0.5}


def test_an_arm_in_two_comparisons_is_written_alike():
    """Only then is it trained once."""
    sets = {c.name: c.arms for c in experiment.COMPARISONS}
    assert sets["students"]["small, middle"] is sets["sizes"][experiment.MIDDLE] is taught
    one = sets["students"]["small, largest, equal entropy"]
    two = sets["remedies"][experiment.EQUAL]
    assert (one.func, one.keywords) == (two.func, two.keywords)
    one, two = (sets[name][experiment.LONG] for name in ("remedies", "more"))
    assert (one.func, one.keywords) == (two.func, two.keywords)
