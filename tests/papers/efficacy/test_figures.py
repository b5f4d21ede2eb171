"""The figures of notebook 01 draw the values that they are given."""

import math

import numpy as np
import pandas as pd
import pytest
import torch
from matplotlib.axes import Axes

from kdlab.measure import scores, softness
from kdlab.papers.efficacy import explorer as efficacy_explorer
from kdlab.papers.efficacy import figures as efficacy
from kdlab.papers.efficacy.explorer import Shelf
from kdlab.show.plots import bundle

PARAMS = {"cnn4": 1702, "cnn8": 6274, "cnn32": 94186}
PUPILS = ("small", "large")


def grid(temperatures: tuple[float, ...] = (1.0, 4.0)) -> pd.DataFrame:
    """Two seeds of each student, teacher and temperature; the mean is 80 + a digit for each."""
    rows = [
        {"pupil": pupil, "teacher": net, "T": T, "seed": seed}
        | {"accuracy": 80 + place + 5 * (pupil == "large") + 0.1 * T + seed - 0.5}
        | {"KL train": 0.1 * place + 0.01 * seed, "KL test": 0.2 * place, "disagreement": 3 * place}
        for pupil in PUPILS
        for place, net in enumerate(PARAMS)
        for T in temperatures
        for seed in (0, 1)
    ]
    return pd.DataFrame(rows)


def line(ax: Axes, name: str) -> tuple[list[float], list[float]]:
    """Return x and y of the line with this label."""
    (found,) = [one for one in ax.lines if one.get_label() == name]
    return list(found.get_xdata()), list(found.get_ydata())


def test_sizes_draws_fixed_and_chosen_temperature_beside_no_teacher():
    runs = grid()
    alone = pd.DataFrame({"pupil": PUPILS * 2, "accuracy": [70.0, 75.0, 72.0, 77.0]})
    fig = efficacy.sizes(runs, runs[runs["T"] == 1.0], alone, PARAMS)
    for ax, more, level in zip(fig.axes, (0, 5), (71, 76), strict=True):
        x, y = line(ax, "T = 4")
        assert x == list(PARAMS.values())
        assert y == pytest.approx([80.4 + more, 81.4 + more, 82.4 + more])
        assert line(ax, "T chosen on validation")[1] == pytest.approx(
            [80.1 + more, 81.1 + more, 82.1 + more]
        )
        assert line(ax, "no teacher")[1] == [level, level]
        assert ax.get_xticklabels()[0].get_text() == "cnn4\n1.7k"
    assert "sizes" in bundle(fig, "Accuracy against the sizes of teachers.")["text/plain"]


def test_mimicry_draws_one_line_for_each_student():
    fig = efficacy.mimicry(grid(), PARAMS)
    steps = {"KL train": 0.1, "KL test": 0.2, "disagreement": 3.0}
    for ax, (metric, step) in zip(fig.axes, steps.items(), strict=True):
        start = 0.005 if metric == "KL train" else 0
        for pupil in PUPILS:
            y = line(ax, f"{pupil} student")[1]
            assert y == pytest.approx([start, start + step, start + 2 * step])
        assert ax.get_ylim()[0] == 0


def test_curves_draw_the_mean_over_seeds_and_the_share_of_training():
    runs = pd.DataFrame(
        {
            "arm": ["KD", "KD", "hard labels"],
            "seed": [0, 1, 0],
            "val accuracies": list(
                np.array([[50.0, 80, 90, 92], [60, 82, 94, 94], [40, 70, 85, 88]])
            ),
            "val nlls": [np.array([1.0, 0.5, 0.3, 0.2])] * 3,
        }
    )
    fig = efficacy.curves({"clean": runs, "noisy": runs})
    top = fig.axes[0]
    assert line(top, "KD") == ([0.25, 0.5, 0.75, 1.0], [55, 81, 92, 93])
    assert line(top, "hard labels")[1] == [40, 70, 85, 88]
    assert line(fig.axes[2], "KD")[1] == pytest.approx([1.0, 0.5, 0.3, 0.2])
    assert top.get_ylim()[1] > 94 and [ax.get_title("left") for ax in fig.axes[:2]] == [
        "clean (axes cut)",
        "noisy (axes cut)",
    ]


def test_early_draws_teachers_and_students_of_both_ways():
    rows = [
        {"way": way, "epochs": epochs, "seed": seed, "accuracy": 10 * epochs + seed}
        for way in ("snapshot", "annealed")
        for epochs in (4, 8)
        for seed in (0, 2)
    ]
    teachers = pd.DataFrame(rows)
    end = [{"way": "to the end", "epochs": 16, "seed": s, "accuracy": 90.0 + s} for s in (0, 2)]
    teachers = pd.concat([teachers, pd.DataFrame(end)])
    other = pd.DataFrame([{"way": "no teacher", "epochs": 0, "seed": 0, "accuracy": 1.0}])
    students = pd.concat([teachers.assign(accuracy=teachers.accuracy + 5), other])
    (ax,) = efficacy.early({"clean": (teachers, students, [30.0, 32.0])}).axes
    for way in ("snapshot", "annealed"):
        assert line(ax, f"teacher, {way}") == ([4, 8, 16], [41, 81, 91])
        assert line(ax, f"student, {way}")[1] == [46, 86, 96]
    assert line(ax, "student, no teacher")[1] == [31, 31]
    assert list(ax.get_xticks()) == [4, 8, 16]


# --- the explorer


@pytest.fixture
def shelf() -> Shelf:
    """Three sizes, two ages; a larger teacher is the same one with larger logits."""
    gen = torch.Generator().manual_seed(0)
    z, y = torch.randn(60, 4, generator=gen), torch.arange(60) % 4
    stored = {
        (net, epoch): (place + 1.0) * epoch * z
        for place, net in enumerate(PARAMS)
        for epoch in (1, 2)
    }
    runs = grid((1.0, 4.0)).assign(epoch=2)
    return Shelf(
        [*"abcd"], torch.rand(1, 8, 8, generator=gen), 7, y, stored, stored, runs,
        {"small": 70.0, "large": 75.0},
    )  # fmt: skip


def star(ax: Axes) -> tuple[float, float]:
    (found,) = [one for one in ax.lines if one.get_marker() == "*"]
    return float(found.get_xdata()[0]), float(found.get_ydata()[0])


def test_the_explorer_draws_the_chosen_teacher(shelf: Shelf):
    fig = efficacy_explorer.explorer(shelf, "cnn8", 2, 4.0, "")
    answer, reliable, entropy, taught = fig.axes[:4]
    z = shelf.z_test["cnn8", 2]
    heights = [bar.get_height() for bar in answer.containers[0]]
    assert np.allclose(heights, torch.softmax(z[7] / 4, 0))
    found = scores(z / 4, shelf.y)
    (said,) = [text.get_text() for text in reliable.texts]
    assert said == f"accuracy {found['accuracy']:.1f} %\nECE {found['ece']:.1f} %"
    assert star(entropy) == pytest.approx((4.0, softness(z, 4.0)))
    assert {line.get_label() for line in entropy.lines} >= set(PARAMS)
    numbers = {text.get_text() for text in taught.texts}
    assert numbers == {"81.1", "81.4", "86.1", "86.4"}
    assert "cnn8 after 2 epochs, T = 4" in fig.get_suptitle()


def test_equal_entropy_changes_the_temperature_alone(shelf: Shelf):
    fig = efficacy_explorer.explorer(shelf, "cnn32", 2, 4.0, "cnn4")
    T, entropy = star(fig.axes[2])
    assert math.isclose(T, 12, rel_tol=1e-5)  # its logits are three times those of cnn4
    assert entropy == pytest.approx(softness(shelf.z_train["cnn4", 2], 4.0))
    same = efficacy_explorer.explorer(shelf, "cnn4", 2, 4.0, "")
    heights = [[bar.get_height() for bar in f.axes[0].containers[0]] for f in (fig, same)]
    assert np.allclose(*heights, atol=1e-6)


def test_a_teacher_that_taught_nobody_leaves_the_panel_empty(shelf: Shelf):
    fig = efficacy_explorer.explorer(shelf, "cnn8", 1, 1.0, "")
    assert [text.get_text() for text in fig.axes[3].texts] == ["no student had this teacher"]


def test_reliability_places_a_dot_for_each_full_bin():
    fig, ax = efficacy_explorer.figure(1, 1)
    sure = torch.tensor([[math.log(9.0), 0.0]]).repeat(10, 1)  # confidence 0.9
    y = torch.tensor([0] * 7 + [1] * 3)
    efficacy_explorer.reliability(ax, sure, y)
    (dots,) = ax.collections
    assert np.allclose(dots.get_offsets(), [[0.9, 0.7]])
    assert dots.get_sizes().tolist() == pytest.approx([320.0])
    assert fig.axes[0].texts[0].get_text() == "accuracy 70.0 %\nECE 20.0 %"
