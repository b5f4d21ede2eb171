"""The still picture of notebook 05 draws the toy case; arrows point down the losses."""

import numpy as np
import pytest
import torch
from matplotlib.axes import Axes

from kdlab.papers.rkd import figures as rkd
from kdlab.papers.rkd.method import rkd_angle, rkd_distance
from kdlab.papers.rkd.toy import REACH, START

LINE, TRIANGLE = START["teacher"], START["student"]


def bars(ax: Axes) -> list[list[float]]:
    """Return the heights of each group of bars."""
    return [[bar.get_height() for bar in group] for group in ax.containers]


def test_the_toy_case_is_drawn_as_by_hand():
    fig = rkd.triangles(LINE, TRIANGLE)
    teacher, student, sides, cosines = fig.axes
    legend = student.get_legend()
    assert [text.get_text() for text in legend.get_texts()] == ["$L_D$ = 0.0556", "$L_A$ = 0.1200"]
    fig.draw_without_rendering()
    assert legend.get_window_extent().y1 < student.get_window_extent().y0  # no point lies there
    assert np.allclose(bars(sides), [[0.75, 1.5, 0.75], [0.75, 1, 1.25]])
    assert np.allclose(bars(cosines), [[1, -1, 1], [0, 0.6, 0.8]], atol=1e-9)
    for ax, points in ((teacher, LINE), (student, TRIANGLE)):
        assert np.allclose(ax.lines[0].get_xydata(), [*points, points[0]])
        assert [text.get_text() for text in ax.texts] == ["A", "B", "C"]
        assert all(text.get_fontsize() >= 9 for text in ax.texts)  # 12 px at 96 dpi


def test_the_start_lies_within_reach():
    assert all(np.hypot(x, y) <= REACH for points in START.values() for x, y in points)


def test_arrows_point_down_the_loss():
    s, t = (torch.tensor(p, dtype=torch.float64) for p in (TRIANGLE, LINE))
    found = rkd.pulls(TRIANGLE, LINE)
    for name, loss in (("distance", rkd_distance), ("angle", rkd_angle)):
        value, way = found[name]
        assert value == pytest.approx(loss(s, t).item())
        assert loss(s + 0.1 * way, t) < loss(s, t)
    drawn = rkd.triangles(LINE, TRIANGLE).axes[1].collections
    for arrows, (_, way) in zip(drawn, found.values(), strict=True):
        shown = np.stack([arrows.U, arrows.V], axis=1)
        assert np.linalg.norm(shown, axis=1).max() < 2
        assert np.allclose(np.arctan2(*shown.T), np.arctan2(*way.numpy().T))


def test_on_the_circle_the_pull_runs_along_it():
    s = torch.tensor(TRIANGLE, dtype=torch.float64)
    s = s / s.norm(dim=1, keepdim=True)
    for _, way in rkd.pulls(TRIANGLE, LINE, circle=True).values():
        assert (way * s).sum(dim=1).abs().max() < 1e-12 < way.abs().max()


def test_one_point_has_values_and_no_arrow():
    for value, way in rkd.pulls([[0.5, 0.5]] * 3, LINE).values():
        assert value > 0 and not way.any()
