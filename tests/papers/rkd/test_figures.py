"""The figures of notebook 05 draw the values that they are given."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from torch import Tensor

from kdlab.papers.rkd import figures as rkd
from kdlab.papers.rkd import runs_figures as rkd_runs
from kdlab.papers.rkd.embedding import aligned, principal
from kdlab.papers.rkd.method import rkd_angle, rkd_distance
from kdlab.runs.claims import interval
from kdlab.show.looks import look
from kdlab.show.plots import bundle

ROOT = Path(__file__).parents[3]
LINE = ((-1.5, 0.0), (0.0, 0.0), (1.5, 0.0))
TRIANGLE = ((-1.5, -1.5), (0.75, -1.5), (-1.5, 1.5))  # 3-4-5, three quarters of it


def bars(ax: Axes) -> list[list[float]]:
    """Return the heights of each group of bars."""
    return [[bar.get_height() for bar in group] for group in ax.containers]


def texts(ax: Axes) -> list[str]:
    legend = ax.get_legend()
    return [text.get_text() for text in legend.get_texts()] if legend else []


# --- three points


def test_the_toy_case_is_drawn_as_by_hand():
    fig = rkd.triangles(LINE, TRIANGLE, "none")
    teacher, student, sides, cosines = fig.axes
    assert texts(student) == ["$L_D$ = 0.0556", "$L_A$ = 0.1200"]
    fig.draw_without_rendering()
    legend = student.get_legend().get_window_extent()
    assert legend.y1 < student.get_window_extent().y0  # below: no point can lie under it
    assert np.allclose(bars(sides), [[0.75, 1.5, 0.75], [0.75, 1, 1.25]])
    assert np.allclose(bars(cosines), [[1, -1, 1], [0, 0.6, 0.8]], atol=1e-9)
    ring = np.array(TRIANGLE)[[0, 1, 2, 0]]
    assert np.allclose(student.lines[0].get_xydata(), ring)
    assert np.allclose(teacher.lines[0].get_xydata(), np.array(LINE)[[0, 1, 2, 0]])
    assert "triangle" in bundle(fig, "A triangle beside the teacher's line.")["text/plain"]


@pytest.mark.parametrize("change", ["turned by 60°", "mirrored", "half as large"])
def test_what_keeps_the_shape_keeps_losses_and_potentials(change: str):
    before, after = (rkd.triangles(LINE, TRIANGLE, c).axes for c in ("none", change))
    assert texts(before[1]) == texts(after[1])
    for one, two in zip(before[2:], after[2:], strict=True):
        assert np.allclose(bars(one), bars(two), atol=1e-9)
    moved = after[1].lines[0].get_xydata()
    assert not np.allclose(moved, before[1].lines[0].get_xydata())


@pytest.mark.parametrize("change", rkd.CHANGES)
def test_every_change_draws_finite_arrows(change: str):
    student = rkd.triangles(LINE, TRIANGLE, change).axes[1]
    arrows = student.collections
    lengths = [np.hypot(a.U, a.V).max() for a in arrows]
    assert len(arrows) == 2 and np.isfinite(lengths).all()
    note = student.get_xlabel()
    if change == "all in one point":
        assert max(lengths) == 0 and note == "no gradient"
    else:
        assert max(lengths) == pytest.approx(0.9) and note.startswith("longest arrow: a gradient")


def test_arrows_point_down_the_loss():
    s, t = (torch.tensor(p, dtype=torch.float64) for p in (TRIANGLE, LINE))
    found = rkd.pulls(s, t)
    for name, loss in (("distance", rkd_distance), ("angle", rkd_angle)):
        assert found[name].value == pytest.approx(loss(s, t).item())
        assert loss(s + 0.1 * found[name].way, t) < loss(s, t)


def test_on_the_circle_the_pull_runs_along_it():
    s = rkd.CHANGES["on the unit circle"](torch.tensor(TRIANGLE, dtype=torch.float64))
    assert torch.allclose(s.norm(dim=1), torch.ones(3).double())
    for pull in rkd.pulls(s, torch.tensor(LINE, dtype=torch.float64), circle=True).values():
        assert (pull.way * s).sum(dim=1).abs().max() < 1e-12 < pull.way.abs().max()


def test_the_gradient_of_each_loss_is_drawn_at_each_gap():
    gaps = [0.1, 0.01]
    fig = rkd.coinciding({"a": lambda f: f[3, 0] * 5, "b": lambda f: (2 * f).sum()}, gaps)
    first, second = fig.axes[0].lines
    assert np.allclose(first.get_xydata(), [[0.1, 5], [0.01, 5]])
    assert np.allclose(second.get_ydata(), 2)
    assert (rkd.near(0.25)[3] - rkd.near(0.25)[2]).norm() == 0.25


# --- two numbers an image


def test_embeddings_are_drawn_turned_onto_the_teacher_s():
    gen = torch.Generator().manual_seed(0)
    f_t, f = torch.randn(30, 5, generator=gen), torch.randn(30, 2, generator=gen)
    y = torch.arange(30) % 3
    fig = rkd.views(f_t, {"with RKD": f}, y.tolist(), ("zero", "one", "two"))

    def drawn(ax: Axes) -> Tensor:
        return torch.from_numpy(np.concatenate([line.get_xydata() for line in ax.lines]))

    order = y.argsort(stable=True)
    flat = principal(f_t, 2)
    torch.testing.assert_close(drawn(fig.axes[0]), flat[order])
    torch.testing.assert_close(drawn(fig.axes[1]), aligned(f, flat)[order])
    for ax in fig.axes:
        assert [text.get_text() for text in ax.texts] == ["zero", "one", "two"]
    assert fig.axes[0].get_title(loc="left").startswith("teacher, 2 of 5 axes: ")


def test_names_stand_apart_and_near_their_medians():
    spots = np.array([[0.0, 0.0], [0.01, 0.0], [0.0, 0.02], [5.0, 5.0], [5.0, 5.0]])
    moved = rkd.apart(spots, room=1.0)
    gaps = np.linalg.norm(moved[:, None] - moved, axis=2)[~np.eye(5, dtype=bool)]
    assert gaps.min() >= 1 - 1e-9 and np.linalg.norm(moved - spots, axis=1).max() < 1.5
    far = np.array([[0.0, 0.0], [3.0, 0.0]])
    assert np.array_equal(rkd.apart(far, room=1.0), far)


def test_no_class_hides_the_name_of_another():
    f = torch.randn(40, 2, generator=torch.Generator().manual_seed(0))
    f = torch.cat([f, f])  # two classes at the same places
    fig = rkd.views(f, {"same": f}, [0] * 40 + [1] * 40, ("zero", "one"))
    for ax in fig.axes:
        one, two = (np.array(name.get_position()) for name in ax.texts)
        assert np.linalg.norm(one - two) > 0.08 * np.ptp(f.numpy(), axis=0).max()
        assert np.allclose(*(name.xy for name in ax.texts))  # each leads back to its median
        assert all(name.get_fontsize() >= 10 for name in ax.texts)


# --- runs


def style(line: Line2D) -> dict[str, Any]:
    return {"color": line.get_color(), "marker": line.get_marker()}


def runs(arms: dict[str, list[float]], metric: str = "accuracy") -> pd.DataFrame:
    return pd.DataFrame(
        {"arm": arm, "seed": seed, metric: x}
        for arm, values in arms.items()
        for seed, x in enumerate(values)
    )


def test_the_slope_of_a_line_is_what_relations_add():
    four = {"hard labels": [80, 82], "KD": [88, 90], "RKD": [85, 87], "RKD + KD": [89, 91]}
    few = {f"{arm}, few": [x - 10 for x in values] for arm, values in four.items()}
    fig = rkd_runs.two_by_two({"all": (runs(four), ""), "few": (runs(few), ", few")})
    for ax, less in zip(fig.axes, (0, 10), strict=True):
        drawn = [line.get_xydata().tolist() for line in ax.lines]
        one, two = [[0, 81 - less], [1, 86 - less]], [[0, 89 - less], [1, 90 - less]]
        assert drawn == [one, one[:1], one[1:], two, two[:1], two[1:]]
        assert len(ax.collections) == 2  # the bands
        assert [style(line) for line in ax.lines if len(line.get_xdata()) == 1] == [
            look(arm) for arm in ("hard labels", "RKD", "KD", "RKD + KD")
        ]
    legend = [text.get_text() for text in fig.legends[0].get_texts()]
    assert legend == ["hard labels", "RKD", "KD", "RKD + KD"]


def test_orders_are_drawn_in_the_order_asked_for():
    table = runs({"b": [1, 3], "a": [5, 5]}).assign(correlation=0.5, degrees=9.0)
    fig = rkd_runs.orders(table, ["a", "b"])
    assert [label.get_text() for label in fig.axes[0].get_yticklabels()] == ["a", "b"]
    means = [[float(note.get_text()) for note in ax.texts] for ax in fig.axes]
    assert means == [[5.0, 2.0], [50.0, 50.0], [9.0, 9.0]]


def test_a_control_far_away_is_told_at_the_edge_and_does_not_squeeze_the_others():
    arms = {"a": [90, 92], "b": [91, 93], "control: low": [40, 50], "control: near": [91, 91]}
    table = runs(arms).assign(correlation=0.5, degrees=9.0)
    table.loc[table["arm"] == "control: low", "degrees"] = 30.0
    accuracy, same, angles = rkd_runs.orders(table, list(arms)).axes
    low, high = accuracy.get_xlim()
    near = [interval(x) for arm, x in arms.items() if not arm.startswith("control")]
    ends = [(found.low, found.high) for found in near]
    span = max(map(max, ends)) - min(map(min, ends))
    assert low < min(map(min, ends)) and max(map(max, ends)) < high and high - low < 1.3 * span
    told = {
        ax: [t for t in ax.texts if "off the axis" in t.get_text()] for ax in (accuracy, angles)
    }
    assert [t.get_text() for t in told[accuracy]] == ["← 45.0, off the axis"]
    assert [t.get_text() for t in told[angles]] == ["off the axis, 30.0 →"]
    assert all(texts[0].get_position()[1] == 2 for texts in told.values())  # in its own row
    assert not any("off the axis" in text.get_text() for text in same.texts)
    assert all("(axis cut)" in ax.get_xlabel() for ax in (accuracy, same, angles))


CLASSIFIERS = ["hard labels", "hint (first order)", "RKD-D (second)", "RKD-A (third)", "RKD", "KD"]
CLASSIFIERS += ["RKD + KD", "control: shuffled"]


def test_no_two_methods_of_a_figure_look_alike():
    """The rows of the notebook's figure of orders; the names are read from the notebook below."""
    table = runs({arm: [1, 2] for arm in CLASSIFIERS}).assign(correlation=0.5, degrees=9.0)
    for ax in rkd_runs.orders(table, CLASSIFIERS).axes:
        means = [style(line) for line in ax.lines if line.get_markersize() == 8]
        assert len({(s["color"], s["marker"]) for s in means}) == len(CLASSIFIERS)
    arms = ["triplets, 2 numbers", "RKD, 2 numbers", "RKD-D, 8", "RKD-A, 8", "control: shuffled, 8"]
    assert len({tuple(look(arm, 0).values()) for arm in arms}) == len(arms)
    source = (ROOT / "notebooks" / "05_rkd.ipynb").read_text(encoding="utf-8")
    assert all(f'\\"{arm}\\"' in source for arm in [*CLASSIFIERS, *arms])


def test_a_method_looks_the_same_in_any_row():
    table = runs({arm: [50, 60] for arm in ("x", "RKD, 8", "triplets, 8")}, "recall@1")
    fig = rkd_runs.retrieval(table, {"teacher": 96.0})
    means = [style(line) for line in fig.axes[0].lines if line.get_markersize() == 8]
    assert means[1:] == [look("RKD"), look("triplets")]
    assert "(axis cut)" in fig.axes[0].get_xlabel()


def test_marks_stand_where_they_are():
    fig = rkd_runs.retrieval(runs({"a": [50, 60]}, "recall@1"), {"teacher": 96.0, "pixels": 95.4})
    lines = [line for line in fig.axes[0].lines if line.get_label().startswith(("teach", "pix"))]
    assert [line.get_xdata()[0] for line in lines] == [96.0, 95.4]
    assert texts(fig.axes[0]) == ["teacher: 96.0", "pixels: 95.4"]


def test_leaving_home_draws_paths_and_pairs():
    table = runs({"A": [70, 80], "D": [60, 60], "S": [75, 85]}, "recall@1")
    table["path"] = [np.array(p) for p in ([10, 20], [30, 40], [1, 2], [3, 4], [0, 0], [0, 0])]
    table["inverted"] = [0, 0, 0, 0, 50, 55]
    fig = rkd_runs.leaving_home(table, ["D", "A"], "S", (96.0, 90.0))
    left, right = fig.axes
    assert [line.get_xydata().tolist() for line in left.lines] == [
        [[1, 2], [2, 3]],
        [[1, 20], [2, 30]],
    ]
    for band, arm in zip(left.collections, ([1, 3], [10, 30]), strict=True):
        found = interval(arm)
        ends = [y for x, y in band.get_paths()[0].vertices if x == 1]
        assert min(ends) == pytest.approx(found.low) and max(ends) == pytest.approx(found.high)
    drawn = [list(line.get_ydata()) for line in right.lines]
    assert drawn == [[96.0, 90.0], [75, 50], [85, 55]]
    assert texts(right) == ["teacher", "S, each seed"]
    assert all("(axis cut)" in ax.get_ylabel() for ax in fig.axes)
    assert not math.isnan(left.get_ylim()[1])
