"""The figures of notebook 08 draw the values they were given."""

import itertools
import math

import numpy as np
import pandas as pd
import pytest
import torch
from matplotlib.figure import Figure

from kdlab.data import Data
from kdlab.papers.dml import explorer as dml_explorer
from kdlab.papers.dml import figures as dml
from kdlab.papers.dml import pulls as dml_pulls
from kdlab.papers.dml.explorer import Case, Story
from kdlab.runs.claims import interval
from kdlab.show import plots
from tests import oracles

CLASSES = [str(c) for c in range(4)]


def posteriors(*shape: int, seed: int = 0) -> np.ndarray:
    draw = np.random.default_rng(seed).normal(size=(*shape, 4))
    q = np.exp(2 * draw)
    return q / q.sum(axis=-1, keepdims=True)


@pytest.fixture
def runs() -> pd.DataFrame:
    """Cohorts of 1 to 3 at two label counts, three seeds."""
    draw = np.random.default_rng(1)
    names = [(n, K, s) for n in (50, 100) for K in (1, 2, 3) for s in range(3)]
    table = pd.DataFrame(names, columns=["labels", "K", "seed"])
    return table.assign(accuracy=80 + draw.random(18), ensemble=85 + draw.random(18))


# --- the explorer -------------------------------------------------------------------------------


def test_divergences_equal_the_slow_oracle():
    q = posteriors(3)
    found = dml_pulls.divergences(q)
    for k in range(3):
        for other in range(3):
            assert found[k, other] == pytest.approx(oracles.kl(q[other], q[k]), abs=1e-12)
    many = dml_pulls.divergences(posteriors(2, 5))
    assert many.shape == (2, 2, 5) and (many[[0, 1], [0, 1]] == 0).all()


def test_a_probability_of_0_stays_finite():
    q = np.array([[1.0, 0.0], [0.0, 1.0]])
    assert np.isfinite(dml_pulls.divergences(q)).all()


def test_moments_are_the_nearest_epochs():
    story = posteriors(11, 2, 3)
    found = dml_explorer.moments(story, (0.0, 0.24, 1.0))
    assert found.shares == [0.0, 0.2, 1.0]
    assert (found.q == story[[0, 2, 10]]).all()
    assert dml_explorer.moments(story[:1], (0.0, 1.0)).shares == [0.0, 0.0]


def test_contested_images_come_first_and_one_a_label():
    q = np.full((2, 2, 6, 4), 0.25)
    y = torch.tensor([0, 0, 1, 1, 2, 3])
    for row, sure in [(1, 0.97), (3, 0.8), (2, 0.9), (5, 0.7)]:
        rest = (1 - sure) / 3
        q[1, 0, row] = [sure, rest, rest, rest]
        q[1, 1, row] = [rest, sure, rest, rest]
    found = dml_explorer.contested(q, y, CLASSES, count=3)
    assert found == {"a disputed 0": 1, "a disputed 1": 2, "a disputed 3": 5}


def test_cases_are_the_images_at_their_rows(data: Data):
    (case,) = dml_explorer.cases(data, {"a disputed 4": 7})
    assert (case.name, case.row, case.label) == ("a disputed 4", 7, int(data.val.y[7]))
    assert torch.equal(case.image, data.images(data.val.x[7]))


def draw(runs: pd.DataFrame, K: int, moment: int = 1, classes: list[str] = CLASSES) -> Figure:
    stories = {
        (labels, k): Story([0.0, 0.4, 1.0], posteriors(3, k, 5, seed=k))
        for labels in (50, 100)
        for k in (1, 2, 3)
    }
    cases = [Case("a disputed 2", torch.rand(1, 8, 8), 2, row) for row in (4, 1)]
    return dml_explorer.explorer(stories, runs, cases, classes, 1, moment, K, 100)


@pytest.mark.parametrize("K", [1, 2, 3])
def test_the_explorer_draws_each_peer_each_arrow_and_the_outcome(runs: pd.DataFrame, K: int):
    fig = draw(runs, K)
    image, bars, ring, outcome = fig.axes
    assert image.get_title(loc="center") == "label 2"
    q = posteriors(3, K, 5, seed=K)[1, :, 1]
    heights = [[bar.get_height() for bar in group] for group in bars.containers]
    np.testing.assert_allclose(heights, q)
    assert bars.get_title(loc="left") == "40% of the training"
    texts = [t.get_text() for t in ring.texts]
    for k in range(K):
        for other in range(K):
            assert k == other or f"{oracles.kl(q[other], q[k]):.2f}" in texts
    arrows = [t for t in ring.texts if getattr(t, "arrow_patch", None)]
    assert len(arrows) == K * (K - 1)
    member = runs[(runs.labels == 100) & (runs.K == K)]["accuracy"]
    line = next(one for one in outcome.lines if one.get_label() == "mean member")
    assert line.get_ydata()[K - 1] == pytest.approx(interval(member).mean)
    assert "100 labels" in outcome.get_title(loc="left")
    assert len(plots.png(fig)) < 60_000


def test_the_strip_draws_each_moment():
    story = Story([0.0, 0.4, 1.0], posteriors(3, 2, 5))
    fig = dml_explorer.strip(story, Case("x", torch.rand(1, 8, 8), 2, 3), CLASSES, (0, 2))
    image, *top, note = fig.axes[:4]
    bottom = fig.axes[4:]
    assert image.get_title(loc="center") == "label 2" and len(image.images) == 1
    assert "KL in nats" in note.texts[0].get_text()
    assert "one run" in top[0].get_ylabel()
    assert [ax.get_title(loc="left") for ax in top] == ["0% of training", "100% of training"]
    assert [bool(ax.get_legend()) for ax in top] == [True, False]
    for ax, ring, moment in zip(top, bottom, (0, 2), strict=True):
        q = story.q[moment, :, 3]
        np.testing.assert_allclose([[b.get_height() for b in c] for c in ax.containers], q)
        assert f"{oracles.kl(q[0], q[1]):.2f}" in [t.get_text() for t in ring.texts]


@pytest.mark.parametrize("K", [2, 3])
def test_the_numbers_on_the_arrows_lie_apart(K: int):
    story = Story([0.0, 0.4], posteriors(2, K, 5))
    fig = dml_explorer.strip(story, Case("x", torch.rand(1, 8, 8), 2, 3), CLASSES, (0, 1, 0, 1))
    fig.canvas.draw()
    numbers = [t.get_window_extent() for t in fig.axes[6].texts if "." in t.get_text()]
    assert len(numbers) == K * (K - 1)
    assert not any(a.overlaps(b) for a, b in itertools.combinations(numbers, 2))


def test_a_wider_arrow_is_a_larger_pull():
    _, ax = plots.figure()
    dml_pulls.pulls(ax, np.array([[0.0, 0.9], [0.1, 0.0]]))
    widths = [t.arrow_patch.get_linewidth() for t in ax.texts if getattr(t, "arrow_patch", None)]
    assert widths == pytest.approx([0.8 + 4.5, 0.8 + 0.5])
    _, ax = plots.figure()
    dml_pulls.pulls(ax, np.array([[0.0, 90.0], [0.1, 0.0]]))
    assert max(t.arrow_patch.get_linewidth() for t in ax.texts if hasattr(t, "arrow_patch")) < 6


def test_forty_classes_fit(runs: pd.DataFrame):
    cases = [Case("x", torch.rand(1, 8, 8), 2, 0)]
    stories = {(100, 2): Story([0.0], np.full((1, 2, 1, 40), 1 / 40))}
    names = [f"class {c}" for c in range(40)]
    fig = dml_explorer.explorer(stories, runs, cases, names, 0, 0, 2, 100)
    assert len(fig.axes[1].get_xticks()) == 10


# --- the others ---------------------------------------------------------------------------------


def test_tails_draw_the_first_ranks():
    fig, ax = plots.figure()
    p = np.array([0.8, 0.1, 0.05, 0.03, 0.01, 0.01])
    dml.tails(ax, {"DML": p, "label smoothing": p[::-1]}, last=3)
    assert [line.get_label() for line in ax.lines] == ["DML", "label smoothing"]
    assert ax.lines[0].get_ydata() == pytest.approx([0.8, 0.1, 0.05])
    assert list(ax.lines[0].get_xdata()) == [1, 2, 3] and ax.get_yscale() == "log"
    assert len(plots.png(fig)) < 60_000


def test_rises_draw_the_mean_of_each_arm_with_its_interval():
    tables = {"DML": [[1.0, 2.0], [3.0, 5.0]], "control": [[0.0, 1.0], [0.0, 2.0]]}
    rows = [{"arm": arm, "cost": np.array(row)} for arm, table in tables.items() for row in table]
    _, ax = plots.figure()
    dml.rises(ax, pd.DataFrame(rows), "cost", (0.1, 0.2))
    assert [list(line.get_ydata()) for line in ax.lines] == [[2.0, 3.5], [0.0, 1.5]]
    band = ax.collections[0].get_paths()[0].vertices[:, 1]
    one, two = interval([1.0, 3.0]), interval([2.0, 5.0])
    assert min(band) == pytest.approx(min(one.low, two.low))
    assert max(band) == pytest.approx(max(one.high, two.high))


def test_closeness_places_each_arm_at_its_means():
    frame = pd.DataFrame(
        {
            "arm": ["DML", "DML", "features too"],
            "cka": [0.8, 0.9, 0.95],
            "accuracy": [90.0, 91.0, 89.0],
            "ensemble of 2": [92.0, 92.0, 89.5],
        }
    )
    _, ax = plots.figure()
    dml.closeness(ax, frame)
    named = {line.get_label(): line for line in ax.lines if not line.get_label().startswith("_")}
    assert list(named) == ["DML", "features too"]
    found = [(*named[arm].get_xdata(), *named[arm].get_ydata()) for arm in named]
    assert found == [pytest.approx((0.85, 1.5)), pytest.approx((0.95, 0.5))]


def test_sizes_draw_a_line_a_label_count(runs: pd.DataFrame):
    _, ax = plots.figure()
    dml.sizes(ax, runs, "ensemble")
    assert [line.get_label() for line in ax.lines] == ["50 labels", "100 labels"]
    means = runs[runs.labels == 50].groupby("K")["ensemble"].mean()
    assert list(ax.lines[0].get_ydata()) == pytest.approx(list(means))
    assert list(ax.get_xticks()) == [1, 2, 3]
    assert len({line.get_linestyle() for line in ax.lines}) == len(ax.lines)
    for line in ax.lines:
        assert {"color": line.get_color(), "marker": line.get_marker()} == plots.look("DML")


def test_mutual_learning_looks_the_same_in_the_explorer(runs: pd.DataFrame):
    outcome = draw(runs, 2).axes[-1]
    looks = {one.get_label(): (one.get_color(), one.get_marker()) for one in outcome.lines}
    assert looks["mean member"] == tuple(plots.look("DML").values()) != looks["ensemble"]


@pytest.mark.parametrize("weight", [0, 1])
def test_curves_draw_two_peers_and_their_losses(weight: int):
    rows = [
        {"update": u, "hard 1": 2 - u / 9, "hard 2": 2.5 - u / 9, "accuracy 1": u, "accuracy 2": 3}
        | ({"peers 1": 0.1 * u, "peers 2": 0.2 * u} if weight else {})
        for u in range(5)
    ]
    fig = dml.curves(pd.DataFrame(rows))
    left, right = fig.axes
    assert [list(line.get_ydata()) for line in left.lines] == [[0, 1, 2, 3, 4], [3] * 5]
    assert [line.get_label() for line in right.lines] == (
        ["label, peer 1", "weighted KL, peer 1", "label, peer 2", "weighted KL, peer 2"]
        if weight
        else ["label, peer 1", "label, peer 2"]
    )
    assert "one run" in left.get_xlabel()
    assert math.isclose(right.lines[0].get_ydata()[2], 2 - 2 / 9)
    assert len(plots.png(fig)) < 60_000


def test_curves_of_one_report():
    row = {f"{name} {k}": 1.0 for name in ("accuracy", "hard", "peers") for k in (1, 2)}
    assert len(dml.curves(pd.DataFrame([row | {"update": 10}])).axes) == 2
