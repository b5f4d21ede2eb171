import copy
import json
from collections.abc import Callable, Iterator
from dataclasses import replace

import pandas as pd
import pytest
import torch

import bench
from bench import steps, timing, ways
from bench import summary as report
from bench.setting import Pictures, Setting, prepare
from bench.ways import BARE, BOX, KDLAB, PLAIN, WAYS, missing
from kdlab.data import load
from kdlab.models import build
from kdlab.train.fit import fit
from kdlab.train.method import CE
from kdlab.train.recipe import Recipe
from kdlab.train.teachers import Frozen
from tests.papers.test_knobs import methods

Doubled = Callable[..., Setting]  # images, epochs -> setting

needs_box = pytest.mark.skipif(BOX in missing(), reason=missing().get(BOX, ""))
each_way = pytest.mark.parametrize(
    "name", [pytest.param(name, marks=needs_box if name == BOX else ()) for name in WAYS]
)


@pytest.fixture(scope="module")
def net() -> torch.nn.Module:
    """A teacher of some use, trained in a second."""
    student = CE(build("cnn4", 10, seed=0))
    fit(student, load("mnist5k", n_labelled=500), Recipe(epochs=8), device="cpu")
    return student.student


def prepared(net: torch.nn.Module, images: int, epochs: int) -> Setting:
    data = load("mnist5k", n_labelled=images)
    return prepare(data, Frozen(net, data), Recipe(epochs=epochs))


@pytest.fixture
def setting(net: torch.nn.Module) -> Setting:
    return prepared(net, 500, epochs=6)


@each_way
def test_each_way_learns(name, setting):
    outcome = WAYS[name].distil(setting, 0)
    assert len(outcome.losses) == 6
    assert outcome.losses[-1] < 0.7 * outcome.losses[0]
    z = outcome.student.eval()(setting.data.test.x)
    assert (z.argmax(1) == setting.data.test.y).float().mean() > 0.5  # chance: 0.1


@each_way
def test_each_way_leaves_the_teacher_as_it_was(name, net):
    setting = prepared(net, 50, epochs=1)
    before = {key: value.clone() for key, value in net.state_dict().items()}
    WAYS[name].distil(setting, 0)
    assert all(torch.equal(value, before[key]) for key, value in net.state_dict().items())


@pytest.fixture
def doubled(net: torch.nn.Module, monkeypatch: pytest.MonkeyPatch) -> Iterator[Doubled]:
    """Return what `prepared` does, in float64.

    There the ways differ in the eighth digit on every processor. In float32 one maximum of two
    nearly equal numbers decides otherwise, and the fifth loss differs by as much as a forgotten
    weight decay.
    """
    monkeypatch.setattr(ways, "WORKERS", 0)  # a new process would not know the type of numbers
    data, exact = load("mnist5k", n_labelled=500), copy.deepcopy(net).double()
    parts = {name: getattr(data, name) for name in ("train", "unlabelled", "val", "test")}
    data = replace(data, **{name: p._replace(x=p.x.double()) for name, p in parts.items()})

    def make(images: int, epochs: int) -> Setting:
        part = data.take(images)
        return prepare(part, Frozen(exact, part), Recipe(epochs=epochs))

    torch.set_default_dtype(torch.float64)
    yield make
    torch.set_default_dtype(torch.float32)


@each_way
def test_one_batch_an_epoch_gives_all_ways_the_same_losses(name, doubled):
    # 50 images, batch 50: every loader holds the same rows, so order cannot hide a difference in
    # the loss, the learning rates, the weight decay or the pictures
    setting = doubled(50, epochs=5)
    expected = WAYS[BARE].distil(setting, 3).losses
    assert WAYS[name].distil(setting, 3).losses == pytest.approx(expected, rel=1e-6)


def test_a_recipe_without_weight_decay_would_be_noticed(doubled):
    setting = doubled(50, epochs=5)
    expected = WAYS[BARE].distil(setting, 3).losses
    forgetful = replace(setting, recipe=replace(setting.recipe, weight_decay=0.0))
    assert WAYS[PLAIN].distil(forgetful, 3).losses != pytest.approx(expected, rel=1e-5)


def test_kdlab_and_the_bare_step_visit_the_images_in_the_same_order(doubled):
    setting = doubled(500, epochs=6)
    ours, bare = (WAYS[name].distil(setting, 1) for name in (KDLAB, BARE))
    assert ours.losses == pytest.approx(bare.losses, rel=1e-6)
    for a, b in zip(ours.student.parameters(), bare.student.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-6)


def test_pictures_are_the_stored_images():
    data = load("mnist5k", n_labelled=50)
    for part in (data.train, data.test):
        pictures = Pictures(data, part)
        x = torch.stack([pictures[row][0] for row in range(len(pictures))])
        torch.testing.assert_close(x, part.x)
        assert [pictures[row][1] for row in range(len(x))] == part.y.tolist()


def test_a_setting_in_which_the_ways_would_differ_is_refused(net):
    data = load("mnist5k", n_labelled=200)
    teacher = Frozen(net, data)
    with pytest.raises(ValueError, match="give epochs only"):
        prepare(data, teacher, Recipe(shift=2))
    with pytest.raises(ValueError, match="multiple of the batch"):
        prepare(data.take(120), teacher, Recipe())


def test_interleaved_rotates_the_ways(monkeypatch, setting):
    calls = []
    row = {"seconds": 1.0, "accuracy": 90.0}
    monkeypatch.setattr(timing, "single", lambda n, _, *args: calls.append((n, *args)) or row)
    seconds = iter([9.0, 8.0, 7.0, 6.0])

    def comparison(_, seeds, new_workers):
        calls.append((seeds, new_workers))
        return pd.DataFrame({"seconds": [next(seconds)] * seeds})

    monkeypatch.setattr(timing, "comparison", comparison)
    table, whole = timing.interleaved({"a": 1, "b": 2, "c": 2}, setting, rounds=2)
    assert len(table) == 6 and whole.to_dict("list") == {"new": [9, 7], "warm": [8, 6]}
    both = [(2, True), (2, False)]
    first = [("a", 0, 1), ("b", 0, 2), ("c", 0, 2), *both]
    assert calls == [*first, ("b", 1, 2), ("c", 1, 2), ("a", 1, 1), *both]


@pytest.mark.parametrize(("one", "two", "chosen"), [(1.0, 9.0, 1), (9.0, 1.0, 2)])
def test_a_rival_computes_on_what_is_quicker_for_it(monkeypatch, setting, one, two, chosen):
    monkeypatch.setattr(timing.joblib, "cpu_count", lambda: 2)
    monkeypatch.setattr(timing, "single", lambda *args: {"seconds": {1: one, 2: two}[args[-1]]})
    assert timing.quickest_threads(PLAIN, setting) == chosen
    assert timing.quickest_threads(KDLAB, setting) == 1


def test_a_slow_moment_does_not_choose_the_threads(monkeypatch, setting):
    monkeypatch.setattr(timing.joblib, "cpu_count", lambda: 2)

    def single(name, _, seed, cores):
        tries.append(cores)
        return {"seconds": 9.0 if seed == 0 and cores == 1 else float(cores)}

    monkeypatch.setattr(timing, "single", single)
    tries: list[int] = []
    assert timing.quickest_threads(PLAIN, setting) == 1
    assert tries == [1, 2] * timing.TRIES


def test_single_restores_the_threads(setting):
    before = torch.get_num_threads()
    row = timing.single(BARE, setting, seed=2, cores=before + 1)
    assert torch.get_num_threads() == before
    assert row["seconds"] > row["test_seconds"] > 0 and row["seed"] == 2 and row["accuracy"] > 20


def test_every_way_is_tested_alike(net, setting):
    by_loader, in_memory = WAYS[PLAIN].test(setting, net), WAYS[KDLAB].test(setting, net)
    # of 2,000 images two may lie so close to a border that they fall to another side
    assert by_loader == pytest.approx(in_memory, abs=0.11) and 20 < by_loader < 100


def test_comparison_is_the_single_run_repeated(monkeypatch, setting, tmp_path):
    monkeypatch.setenv("KDLAB_CACHE", str(tmp_path))
    # one process here: two cold ones take longer than all other tests of this file
    compare = timing.compare
    monkeypatch.setattr(timing, "compare", lambda *a, **k: compare(*a, **k | {"n_jobs": 1}))
    table = timing.comparison(setting, seeds=2, new_workers=False)
    assert [timing.single(KDLAB, setting, s, 1)["accuracy"] for s in (0, 1)] == list(table.accuracy)
    assert not list(tmp_path.iterdir())  # the runs went to the empty cache, not to this one


def test_every_method_of_every_paper_has_its_line_among_the_steps():
    assert set(steps.METHODS) == set(methods())


def test_a_quick_run_times_a_step_of_every_method(net):
    times = steps.step_times(prepared(net, 100, epochs=1), repeats=2, steps=3)
    assert times.shape == (2, len(methods())) and (times > 0).all(axis=None)
    table = steps.over_ce(times)
    assert (table.ratio > 0).all() and table.at["CE", "ratio"] == 1


def test_the_repeats_of_the_steps_start_with_another_method_each(net, monkeypatch):
    seen = []

    def build(name):
        return lambda student, teacher, data: seen.append(name) or CE(student(0))

    pair = {CE: build("CE"), steps.KD: build("KD")}
    monkeypatch.setattr(steps, "METHODS", pair)
    table = steps.step_times(prepared(net, 50, epochs=1), repeats=2, steps=1)
    assert seen == ["CE", "KD"] * 2 + ["KD", "CE"]  # the first two warm up
    assert list(table) == ["CE", "KD"]


def test_steps_are_compared_by_their_medians():
    times = pd.DataFrame({"CE": [2.0, 2.0, 50.0], "KD": [3.0, 90.0, 1.0]})
    assert steps.over_ce(times).ratio.to_dict() == {"CE": 1, "KD": 1.5}


def runs(**seconds: list[float]) -> pd.DataFrame:
    names = {"ours": KDLAB, "plain": PLAIN, "box": BOX, "bare": BARE}
    return pd.DataFrame(
        {"way": names[way], "seed": seed, "seconds": time, "test_seconds": 0.0, "accuracy": 90.0}
        for way, times in seconds.items()
        for seed, time in enumerate(times)
    )


GOOD = {"ours": [5, 4, 9], "plain": [20, 15, 14], "box": [21, 10, 31], "bare": [4.5, 4, 3]}


def verdicts(
    times: dict[str, list[float]], new: float, accuracy: float = 90.0, warm: float = 8.0
) -> list:
    table = runs(**times)
    table.loc[table.way == KDLAB, "accuracy"] = accuracy
    return [bar.verdict for bar in report.bars(report.summary(table, new, warm, 1000), 3)]


def test_summary_takes_medians_and_sums():
    table = report.summary(runs(**GOOD).assign(test_seconds=0.5), 8.1, 7.9, images=1000)
    assert table.at[KDLAB, "seconds"] == 5 and table.at[KDLAB, "images_per_second"] == 200
    assert list(table.loc[KDLAB, ["new", "warm"]]) == [8.1, 7.9]
    assert list(table.loc[PLAIN, ["new", "warm"]]) == [50.5, 50.5]


def test_bars():
    assert verdicts(GOOD, 8.0) == ["PASS"] * 6
    assert verdicts(GOOD | {"plain": [14.9, 14.9, 20]}, 8.0)[0] == "FAIL"
    assert verdicts(GOOD | {"box": [14.9, 14.9, 20]}, 8.0)[1] == "FAIL"
    assert verdicts(GOOD, 8.0, warm=49 / 5.9)[2:4] == ["FAIL", "PASS"]
    assert verdicts(GOOD, 8.0, warm=62 / 5.9)[2:4] == ["FAIL", "FAIL"]
    assert verdicts(GOOD | {"bare": [3.9, 3.9, 5]}, 8.0)[4] == "FAIL"
    assert verdicts(GOOD, 8.0, accuracy=88.9)[5] == "FAIL"


def test_no_bar_asks_for_workers_that_must_start_first():
    assert verdicts(GOOD, 1000.0) == ["PASS"] * 6


def test_a_way_that_did_not_run_passes_no_bar():
    without = {way: times for way, times in GOOD.items() if way != "box"}
    assert verdicts(without, 8.0) == ["PASS", "SKIP"] * 2 + ["PASS", "PASS"]
    assert "not measured" in str(report.Bar("x", None, ">=", 3))


def test_markdown():
    table = report.summary(runs(**GOOD), 8.0, 7.0, images=1000)
    text = report.markdown(table, 3, "Three rounds.")
    rows = [line.split(" | ") for line in text.splitlines()[2:6]]
    assert rows[1] == [
        "| plain PyTorch loop",
        "67",
        "15.0 s (3×)",
        "49.0 s (7×)",
        "49.0 s (6.1×)",
        "90.0 % |",
    ]
    assert rows[3][3:5] == ["–", "–"]  # the limit is no way to compare seeds


@pytest.mark.parametrize(("plain", "status"), [(20.0, 0), (2.0, 1)])
def test_main_reports_what_was_measured(monkeypatch, tmp_path, capsys, net, plain, status):
    made_up = runs(**GOOD | {"plain": [plain] * 3})
    monkeypatch.setattr("kdlab.train.teachers.teacher", lambda data, device: Frozen(net, data))
    monkeypatch.setattr(timing, "quickest_threads", lambda *a: 1)
    whole = pd.DataFrame({"new": [9.0, 8.0, 1.0], "warm": [7.0, 7.0, 8.0]})
    monkeypatch.setattr(timing, "interleaved", lambda *a: (made_up, whole))
    monkeypatch.setattr(steps, "step_times", lambda *a: pd.DataFrame({"CE": [2.0], "KD": [3.0]}))
    readme, out = tmp_path / "README.md", tmp_path / "bench.json"
    readme.write_text("<!-- bench:start --><!-- bench:end -->")
    where = ["--images", "200", "--json", str(out), "--readme", str(readme), "--write-readme"]
    assert bench.main(["--rounds", "3", *where]) == status
    printed, written = capsys.readouterr().out, json.loads(out.read_text())
    assert len(written["runs"]) == 12 and written["comparisons"]["new"] == [9, 8, 1]
    assert written["steps"] == {"CE": [2], "KD": [3]} and "| KD | 3.00 ms | 1.50× |" in printed
    assert [bar["verdict"] for bar in written["bars"]].count("FAIL") == printed.count("FAIL")
    assert all(line in readme.read_text() for line in printed.splitlines() if line[:1] == "|")


@pytest.mark.parametrize(
    ("argv", "said"),
    [(["--rounds", "0"], "give 1 or more"), (["--epochs", "0"], "1 or more")],
)
def test_main_says_what_is_wrong_with_its_arguments(argv, said, capsys):
    assert bench.main(argv) == 2
    assert said in capsys.readouterr().out
