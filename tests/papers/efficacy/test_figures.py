"""The explorer of notebook 01 draws the numbers that its pure function gives."""

import matplotlib.pyplot as plt
import pytest
import torch

from kdlab.papers.efficacy import figures
from kdlab.papers.efficacy.figures import Desk
from kdlab.seeds import generator
from kdlab.show.explorers.panels import choice, drive, panel, slider
from kdlab.show.plots import bundle, png
from kdlab.train.recipe import Recipe
from kdlab.train.worlds import replicate, world
from tests import oracles

CLASSES = tuple("abcde")


@pytest.fixture
def desk() -> Desk:
    """Two teachers; for the students' images the largest one has three times the logits."""
    gen = generator(0, "desk")
    z, other, train = (2 * torch.randn(n, 5, generator=gen) for n in (2, 2, 40))
    images = [torch.rand(1, 8, 8, generator=gen) for _ in range(2)]
    names = ["a, a little b", "c, a little d"]
    answers = {"middle": z, "largest": other}
    return Desk(CLASSES, names, images, answers, {"middle": train, "largest": 3 * train})


def mean_entropy(z, T: float) -> float:
    each = [oracles.entropy(oracles.softmax(row, T)) for row in oracles.rows(z)]
    return sum(each) / len(each)


@pytest.mark.parametrize("T", [0.5, 1.0, 4.0, 32.0])
@pytest.mark.parametrize("match", [False, True])
def test_the_numbers_are_those_of_the_equations(desk: Desk, T: float, match: bool):
    shown = figures.numbers(desk, 1, T, match)
    at = {"middle": T, "largest": 3 * T if match else T}
    gaps = []
    for name, t in at.items():
        assert shown["T"][name] == pytest.approx(t, rel=1e-5)
        expected = oracles.softmax(desk.z[name][1].tolist(), t)
        assert shown["p"][name].tolist() == pytest.approx(expected, abs=1e-5)
        assert shown["entropy"][name] == pytest.approx(
            mean_entropy(desk.z_train[name], t), rel=1e-5
        )
    for m, la in zip(*(oracles.rows(desk.z_train[name]) for name in at), strict=True):
        p, q = oracles.softmax(m, at["middle"]), oracles.softmax(la, at["largest"])
        gaps.append(oracles.kl(p, q))
    assert shown["gap"] == pytest.approx(sum(gaps) / len(gaps), rel=1e-4, abs=1e-7)


def test_equal_entropy_closes_a_gap_that_is_all_confidence(desk: Desk):
    apart, close = (figures.numbers(desk, 0, 4.0, match)["gap"] for match in (False, True))
    assert apart > 0.01 and close == pytest.approx(0, abs=1e-7)


def heights(ax: plt.Axes, name: str) -> list[float]:
    (bars,) = [group for group in ax.containers if group.get_label() == name]
    return [bar.get_height() for bar in bars]


@pytest.mark.parametrize("match", [False, True])
def test_the_explorer_draws_its_numbers(desk: Desk, match: bool):
    shown = figures.numbers(desk, 0, 4.0, match)
    picture, left, right = figures.explorer(desk, 0, 4.0, match).axes
    assert picture.get_title(loc="center") == "a,\na little b"
    for name in ("middle", "largest"):
        assert heights(left, f"{name} teacher") == pytest.approx(shown["p"][name].tolist())
        told = f"{name}: T = {shown['T'][name]:.3g}, {shown['entropy'][name]:.2f} nats"
        (dot,) = [line for line in right.lines if line.get_label() == told]
        assert dot.get_xdata()[0] == pytest.approx(shown["T"][name])
        assert dot.get_ydata()[0] == pytest.approx(shown["entropy"][name])
    assert f"{shown['gap']:.3f} nats" in right.get_title(loc="left")


def test_the_teachers_differ_in_more_than_colour(desk: Desk):
    _, left, right = figures.explorer(desk, 0, 4.0, False).axes
    hatches = {bar.get_hatch() for group in left.containers for bar in group}
    assert len(hatches) == 2
    assert {line.get_linestyle() for line in right.lines} >= {"-", "--"}


def test_no_bar_hides_the_legend(desk: Desk):
    sure = {name: 50 * torch.eye(5)[:2] for name in desk.z}
    fig = figures.explorer(desk._replace(z=sure), 1, 0.5, False)
    fig.draw_without_rendering()
    ax = fig.axes[1]
    box = ax.get_legend().get_window_extent()
    bars = [bar.get_window_extent() for group in ax.containers for bar in group]
    assert not any(box.overlaps(bar) for bar in bars)


def test_the_twin_shows_each_setting(desk: Desk):
    settings = [(1.0, False), (4.0, True)]
    _, *axes = figures.twin(desk, settings).axes
    for ax, (T, match) in zip(axes, settings, strict=True):
        shown = figures.numbers(desk, 0, T, match)
        assert heights(ax, "largest teacher") == pytest.approx(shown["p"]["largest"].tolist())
        assert ax.get_xlabel() == ("equal entropy" if match else "equal temperature")
    assert axes[1].get_title(loc="left") == "T = 4 and 12"
    assert "picture" in bundle(figures.twin(desk, settings), "a picture of answers")["text/plain"]


def test_the_same_settings_give_the_same_picture(desk: Desk):
    one, two, other = (png(figures.explorer(desk, 0, 4.0, match)) for match in (True, True, False))
    assert one == two != other


def test_a_desk_of_a_replicate_and_an_explorer_that_moves():
    nets = {"teacher_net": "cnn6", "student_net": "cnn2", "teacher_recipe": Recipe(steps=80)}
    r = replicate(world("mnist5k", n_labelled=100, **nets), 0)
    desk = figures.desk_of(r)
    assert len(desk.names) == len(desk.images) == len(desk.z["middle"]) > 1
    assert desk.z_train["middle"].shape == desk.z_train["largest"].shape == (100, 10)
    assert not torch.equal(desk.z["middle"], desk.z["largest"])
    explorer = panel(
        lambda **at: figures.explorer(desk, **at),
        alt="Answers of a middle and a large teacher at T = {T:g}, and their entropy at every T.",
        image=choice("image", [(name, i) for i, name in enumerate(desk.names)], 0),
        T=slider("temperature T", [0.5, 4.0, 32.0], 4.0),
        match=choice("large teacher", [("same T", False), ("equal entropy", True)], False),
    )
    assert drive(explorer) == 6
