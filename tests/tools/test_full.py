"""Comparisons at full size, rehearsed on small nets and data, and mixed precision."""

from contextlib import nullcontext
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from kdlab.budget import BUDGETS
from kdlab.data import Batch, load
from kdlab.lab.methods import from_papers
from kdlab.measure import logits_of
from kdlab.models import build, tap
from kdlab.runs import compare as comparing
from kdlab.runs import evidence
from kdlab.runs.rows import FOLDER, read
from kdlab.store import cache_dir
from kdlab.tools import full, places
from kdlab.tools.cli import main
from kdlab.tools.gather import experiments
from kdlab.tools.mixed import mixed
from kdlab.train.fit import fit
from kdlab.train.method import CE
from kdlab.train.recipe import Recipe
from kdlab.train.teachers import teacher
from kdlab.train.worlds import Replicate
from tests.notebooks.rehearsal import shrink, write_data
from tests.papers.cases import tiny

CLOSE = 0.01  # share by which a loss term in mixed precision may be off


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A cache that the tests of a module share, so that the teacher is trained once."""
    return tmp_path_factory.mktemp("home")


@pytest.fixture
def small(home, monkeypatch):
    """Budget full with small nets, on small data in the format of a file of one's own."""
    monkeypatch.setenv("KDLAB_CACHE", str(home / "cache"))
    monkeypatch.setitem(BUDGETS, "full", BUDGETS["full"])  # so that it is put back
    path = home / "small.npz"
    shrunk = shrink(str(path if path.exists() else write_data(path)))
    recipe = replace(shrunk.changes["recipe"], epochs=1)
    short = {"recipe": recipe, "teacher_recipe": recipe}
    nets = {"teacher_net": "resnet14", "student_net": "resnet8"}
    BUDGETS["full"] = replace(shrunk, changes=dict(shrunk.changes) | short | nets)
    return path


@pytest.fixture
def made(monkeypatch):
    """Return (arm, replicate, file) of each run that is trained from here on.

    The file tells a replicate's teacher, which is trained first, from the arm that measures it.
    """
    found, run_one = [], comparing.run_one

    def noted(arm, seed, name, path):
        found.append((name, seed, path.name))
        return run_one(arm, seed, name, path)

    monkeypatch.setattr(comparing, "run_one", noted)
    return found


def ask(data, folder, *more):
    given = ["--data", str(data), "--folder", str(folder), "--jobs", "1", *more]
    return main(["full", *given])


@pytest.mark.parametrize(
    ("stem", "arms", "precision"),
    [
        ("04_fitnets", "joint", "float32"),
        ("05_rkd", "RKD", "mixed"),
        ("06_sskd", "SSKD", "float32"),
        ("07_byot", "BYOT", "float32"),
        ("08_dml", "DML", "float32"),
        ("09_okddip", "OKDDip", "float32"),
    ],
)
def test_a_papers_arm_runs_at_full_size_and_is_found_again(
    stem, arms, precision, small, tmp_path, made, capsys
):
    given = ("--only", stem, "--arms", arms, "--precision", precision)
    assert ask(small, tmp_path, *given) == 0
    assert (arms, 0) in {run[:2] for run in made}
    shown = capsys.readouterr().out
    assert "There is no GPU here" in shown and arms in shown
    (path,) = tmp_path.rglob("*.csv")
    assert path.parent.parent.name == f"small-resnet14-resnet8-benchmark-{precision}"
    before = path.read_bytes(), len(made)
    assert ask(small, tmp_path, *given) == 0
    assert (path.read_bytes(), len(made)) == before


def test_a_call_that_was_killed_goes_on_where_it_was(small, tmp_path, made, monkeypatch, capsys):
    monkeypatch.setenv("KDLAB_CACHE", str(tmp_path / "cache"))  # other tests have made these runs
    given = ("--only", "05_rkd", "--arms", "labels,KD", "--replicates", "2")
    noted = comparing.run_one

    def dies(arm, seed, name, path):
        if len(made) == 4:  # two teachers, and both arms that were first
            raise KeyboardInterrupt
        return noted(arm, seed, name, path)

    monkeypatch.setattr(comparing, "run_one", dies)
    with pytest.raises(KeyboardInterrupt):
        ask(small, tmp_path, *given)
    assert not list(tmp_path.rglob("*.csv"))
    before = list(made)
    monkeypatch.setattr(comparing, "run_one", noted)
    made.clear()
    assert ask(small, tmp_path, *given) == 0
    assert made and not set(before) & set(made)
    rows = read("05_rkd", "digits", tmp_path / "small-resnet14-resnet8-benchmark-float32")
    assert sorted(zip(rows["arm"], rows["seed"], strict=True)) == [
        (arm, r) for arm in ("KD", "labels", "teacher") for r in (0, 1)
    ]
    told = capsys.readouterr().out
    assert "n = 2" in told and "[" in told, "intervals from two replicates on"


def test_rows_of_two_precisions_are_kept_apart_and_shown_together(small, tmp_path, made, capsys):
    given = ("--only", "05_rkd", "--arms", "labels,KD")
    for precision in full.PRECISIONS:
        before = set((cache_dir() / "teachers").glob("*"))
        assert ask(small, tmp_path, *given, "--precision", precision) == 0
    assert set((cache_dir() / "teachers").glob("*")) == before, "one teacher for both"
    tables = {
        precision: read(
            "05_rkd", "digits", tmp_path / f"small-resnet14-resnet8-benchmark-{precision}"
        )
        for precision in full.PRECISIONS
    }
    one, other = tables.values()
    assert not set(one["stamp"]) & set(other["stamp"])
    assert (one["nll"] != other["nll"]).any()
    lines = capsys.readouterr().out.splitlines()
    kd = [line.split() for line in lines if line.strip().startswith("KD")]
    assert [words[1] for words in kd[-2:]] == list(full.PRECISIONS)
    here = full.place(str(small))
    whole, _ = full.chosen("05_rkd", experiments(["05_rkd"])["05_rkd"], "", "labels,KD")
    shown = full.table(here, whole, "05_rkd", tmp_path).set_index(["arm", "precision"])
    gap = float(shown.loc[("KD", "mixed"), "- float32"].split(",")[0])
    mine, theirs = (float(shown.loc[("KD", p), "accuracy"]) for p in full.PRECISIONS)
    assert gap == pytest.approx(theirs - mine, abs=0.02)


def test_other_images_under_the_same_path_are_other_runs(small):
    world = full.place(str(small)).world
    arms = [places.Precise(teacher, "float32", key) for key in ("one", "other")]
    assert len({evidence.InWorld(arm, world).stamp for arm in arms}) == 2


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--only", "05_rdk"], "there is no evidence for '05_rdk'; there is for ['00_kd'"),
        ([], "give one paper, --only 05_rkd"),
        (["--only", "05_rkd", "--arms", "labels,RDK"], "no comparison of 05_rkd has 'labels,RDK'"),
        (["--only", "05_rkd", "--arms", "RDK"], "orders: labels, first order: features"),
        (["--only", "05_rkd", "--comparison", "order"], "no 'order' in 05_rkd; there are digits"),
        (["--only", "05_rkd", "--replicates", "0"], "one replicate or more"),
        (["--only", "10_three_mysteries"], "nothing of full size: its arms train on made data"),
        (["--only", "05_rkd", "--data", "no/such.npz"], "There is no file or folder no/such.npz"),
        (["--only", "05_rkd", "--data", "cifar101"], "did you mean 'cifar10"),
        (["--only", "05_rkd", "--nets", "wrn_16_2"], "give TEACHER:STUDENT"),
        (["--only", "05_rkd", "--nets", "resnet56:resent20"], "There is no network 'resent20'"),
        (["--only", "05_rkd", "--folder", str(FOLDER)], "holds the evidence"),
    ],
)
def test_bad_input_gets_one_sentence_before_any_training(
    words, said, small, tmp_path, made, capsys
):
    given = ["full", "--folder", str(tmp_path)]
    given += [] if "--data" in words else ["--data", str(small)]
    assert main([*given, *words]) == 2
    told = capsys.readouterr().err
    assert said in told and told.startswith("kdlab: ") and not made


def test_no_network_is_told_in_one_sentence(monkeypatch, tmp_path, capsys):
    def offline(*_):
        raise ConnectionError("cifar100 cannot be fetched")

    monkeypatch.setattr("kdlab.data.sources.read_torchvision", offline)
    monkeypatch.setenv("KDLAB_CACHE", str(tmp_path))
    assert ask("cifar100", tmp_path, "--only", "05_rkd") == 2
    assert capsys.readouterr().err == "kdlab: cifar100 cannot be fetched\n"


def test_the_page_says_of_each_paper_what_it_trained(capsys):
    assert main(["full", "--list"]) == 0
    parts = capsys.readouterr().out
    page = full.PAGE.read_text("utf-8")
    for stem, paper in experiments().items():
        told = full.listed(stem, paper)
        assert told in parts
        assert "| the paper |" in told, f"docs/full.md has no table of {stem}"
    for found in full.FACTS["measured"]:
        for number in found["accuracy"].values():
            assert f"{number:.2f}" in page, f"{number} of full.toml is not on the page"


def test_public_numbers_stand_beside_the_arms_they_are_of(small):
    place = full.place(str(small))
    nets = {"teacher_net": "wrn_40_2", "student_net": "wrn_16_2"}
    there = replace(place, world=replace(place.world, name="cifar100", **nets))
    papers = experiments(["04_fitnets", "05_rkd", "06_sskd"])
    digits, joint = papers["05_rkd"].COMPARISONS[0], papers["04_fitnets"].JOINT
    found = {arm: full.public(there, function)[0] for arm, function in digits.arms.items()}
    assert (found["labels"], found["KD"], found["RKD"]) == ("73.26", "74.92", "73.35")
    assert found["RKD + KD"] == "" == full.public(there, papers["04_fitnets"].BOTH["KD"])[0]
    assert full.public(there, joint["hint alone"])[0] == "73.58"
    number, source = full.public(there, papers["06_sskd"].BOTH["SSKD"])
    assert number == "76.04" and "SSKD" in source
    for other in (place, replace(there, recipe="paper")):
        assert full.public(other, digits.arms["KD"]) == ("", "")


@pytest.mark.parametrize("stem", full.FACTS["recipe"])
def test_a_papers_own_recipe_can_be_trained(stem, small):
    own = full.FACTS["recipe"][stem]
    place = full.place(str(small), paper=stem)
    for key, value in own.get("recipe", {}).items():
        assert getattr(place.world.recipe, key) == (tuple(value) if key == "drops" else value)
    if "nets" in own:
        assert own["nets"] == f"{place.world.teacher_net}:{place.world.student_net}"
    assert place.recipe == ("paper" if "recipe" in own else "benchmark")
    assert hash(place.world), "a replicate is kept by its world"


# --- mixed precision ------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def r(home):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KDLAB_CACHE", str(home / "tiny"))
        yield Replicate(tiny(), 0)


def method_of(choice, r):
    if choice.kind == "of":
        return choice.source.of(r)
    if choice.kind == "alone":
        return choice.source(r.student())
    return choice.source(r.student(), r.teacher_of(taps=choice.tap or ()))


def terms_of(method, batch):
    parts = method.updates(batch) if hasattr(method, "updates") else [method(batch)]
    return {name: term for terms in parts for name, term in terms.items()}


METHODS = {n: c for n, c in from_papers().items() if not c.fault and n != "DataFree"}
# DataFree dreams for a minute before it learns; its only term is notebook 00's soft one


@pytest.mark.parametrize("name", METHODS)
def test_loss_terms_of_every_method_agree_between_precisions(name, r):
    rows, found = r.data.train, {}
    batch = Batch(rows.x[:32], rows.y[:32], rows.index[:32], True, 0.5)
    for precision in full.PRECISIONS:
        method = method_of(METHODS[name], r).train()
        with mixed("cpu") if precision == "mixed" else nullcontext():
            terms = terms_of(method, batch)
        sum(terms.values()).backward()
        assert {term.dtype for term in terms.values()} == {torch.float32}
        grads = [p.grad for p in method.parameters() if p.grad is not None]
        assert grads and {grad.dtype for grad in grads} == {torch.float32}
        found[precision] = {name: term.item() for name, term in terms.items()}
    exact, near = found.values()
    assert near == pytest.approx(exact, rel=CLOSE, abs=1e-4)
    assert near != exact, "nothing was computed in another precision"


def test_what_learns_learns_in_mixed_precision_and_what_is_measured_is_exact(r, monkeypatch):
    net, kept, plain = r.student(), [], Recipe.optimiser_of
    keep = lambda recipe, weights: kept.append(plain(recipe, weights)) or kept[-1]  # noqa: E731
    monkeypatch.setattr(Recipe, "optimiser_of", keep)
    with mixed("cpu"):
        rows = fit(CE(net), r.data, Recipe(epochs=8, batch=20))
        inside = logits_of(net, r.data.test.x[:50])
    assert rows["hard"].iloc[-1] < rows["hard"].iloc[0] - 0.3, "the loss falls"
    states = [v for state in kept[0].state.values() for v in state.values()]
    assert states and {v.dtype for v in (*states, *net.parameters())} == {torch.float32}
    assert torch.equal(inside, logits_of(net, r.data.test.x[:50]))


def test_each_update_sees_the_weights_of_the_last_one():
    net = nn.Sequential(nn.Linear(3, 3)).train()
    x = torch.ones(1, 3)
    with torch.autocast("cpu", enabled=False), mixed("cpu"):
        before = net(x)
        with torch.no_grad():
            net[0].weight += 1
        assert (net(x) - before).abs().min() > 2


def test_teachers_are_trained_in_full_precision(tmp_path, monkeypatch):
    data, recipe = load("mnist5k", n_labelled=100), Recipe(steps=3)
    weights = []
    for place, within in {"plain": nullcontext(), "mixed": mixed("cpu")}.items():
        monkeypatch.setenv("KDLAB_CACHE", str(tmp_path / place))
        with within:
            weights.append(teacher(data, "cnn2", recipe).net.state_dict())
    assert all(torch.equal(a, b) for a, b in zip(*map(dict.values, weights), strict=True))
    names = [sorted(f.name for f in (tmp_path / p).rglob("cnn2*")) for p in ("plain", "mixed")]
    assert names[0] == names[1], "the same teacher, under the same name"


def test_answers_and_tapped_features_leave_a_network_in_float32():
    net, x = build("cnn2", 10, seed=0).train(), torch.rand(4, 1, 28, 28)
    with mixed("cpu"):
        z, found = tap(net, x, ["block2", "pool"])
    assert {z.dtype, *(f.dtype for f in found.values())} == {torch.float32}
    assert z.to(torch.bfloat16).float().equal(z), "it was computed in bfloat16"


def test_an_error_leaves_nothing_behind():
    net, x = nn.Sequential(nn.Linear(3, 2)).train(), torch.rand(2, 3)
    with mixed("cpu"):
        with pytest.raises(RuntimeError):
            net(torch.rand(2, 4))
        assert not torch.is_autocast_enabled("cpu")
        z = net(x)
    assert not net(x).equal(z) and np.isfinite(z.detach().numpy()).all()
