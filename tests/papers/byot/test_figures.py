"""The figures of notebook 07 draw the numbers of the rule of leaving, and those of the evidence."""

import copy
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from matplotlib.figure import Figure

from kdlab.papers.byot import experiment, figures, measured
from kdlab.papers.byot.adaptive import THRESHOLDS, sweep
from kdlab.papers.byot.figures import REST, SHOWN, Case
from kdlab.runs.evidence import tables as read_tables
from kdlab.seeds import generator
from kdlab.show.plots import png
from kdlab.train.worlds import replicate
from tests.papers.byot.test_adaptive import TINY, tables

__all__ = ["tables"]  # a fixture
N, CLASSES = 60, tuple("abcde")


@pytest.fixture
def case() -> Case:
    z = 2 * torch.randn(3, N, 5, generator=generator(0, "exits"))
    y, images = torch.arange(N) % 5, torch.rand(N, 1, 8, 8, generator=generator(1, "exits"))
    z[1:] += 3 * torch.nn.functional.one_hot(y, 5)  # deeper exits know more
    costs = [0.3, 0.7, 1.1, 1.1]
    return Case(z, y, images, CLASSES, costs, sweep(z, y, costs))


SETTINGS = [(0.5, 0.5, REST[0]), (0.8, 0.9, REST[1]), (1.0, 1.0, REST[0]), (0.0, 0.0, REST[1])]


@pytest.mark.parametrize("at", SETTINGS)
def test_the_explorer_draws_what_comes_of_the_thresholds(case: Case, at):
    before, left = copy.deepcopy(case), figures.leave(case, *at)
    fig = figures.explorer(case, *at)
    *pictures, price, shares = fig.axes
    (grey,), star = price.lines[:1], price.lines[1]
    assert grey.get_xdata() == pytest.approx([s.cost for s in case.line])
    assert (star.get_xdata()[0], star.get_ydata()[0]) == pytest.approx((left.cost, left.accuracy))
    assert f"{left.accuracy:.1f} % for {left.cost:.2f}" in price.get_title(loc="left")
    expected = [(left.at == place).double().mean().item() for place in range(4)]
    assert [bar.get_width() for bar in shares.patches] == pytest.approx(expected)
    assert len(shares.texts) == 4
    drawn = [ax for ax in pictures if ax.images]
    assert len(drawn) == sum(len(part) for part in figures.early_and_late(case, left))
    assert torch.equal(before.z, case.z) and torch.equal(before.images, case.images)


def test_who_answers_when_no_exit_is_sure(case: Case):
    assert set(figures.leave(case, 1.0, 1.0, REST[0]).at.tolist()) == {3}
    assert set(figures.leave(case, 1.0, 1.0, REST[1]).at.tolist()) == {2}


def test_early_images_are_sure_and_late_ones_are_not(case: Case):
    left = figures.leave(case, 0.7, 0.9, REST[0])
    early, late = figures.early_and_late(case, left)
    top = case.z[0].softmax(dim=1).amax(dim=1)
    assert len(early) == len(late) == SHOWN
    assert (left.at[early] == 0).all() and (left.at[late] == left.at.max()).all()
    first = top[left.at == 0].sort(descending=True).values[:SHOWN]
    last = top[left.at == left.at.max()].sort().values[:SHOWN]
    torch.testing.assert_close(top[early], first)
    torch.testing.assert_close(top[late], last)


@pytest.mark.parametrize("at", SETTINGS[2:])
def test_nobody_leaves_or_everybody(case: Case, at):
    early, late = figures.early_and_late(case, figures.leave(case, *at))
    assert (len(early), len(late)) == ((0, SHOWN) if at[0] == 1 else (SHOWN, 0))


def test_the_twin_shows_each_threshold(case: Case):
    fig = figures.twin(case, (0.5, 0.9))
    for ax, t in zip(fig.axes, (0.5, 0.9), strict=True):
        assert f"threshold {t:g}" in ax.get_title(loc="left")
        assert sum(bar.get_width() for bar in ax.patches) == pytest.approx(1)
    assert png(fig) == png(figures.twin(case, (0.5, 0.9)))


def test_a_case_of_a_replicate_has_all_test_images():
    r = replicate(TINY, 4)
    case = figures.case_of(r, longer=0.5)
    assert case.z.shape == (3, len(r.data.test.y), 10) and len(case.costs) == 4
    assert len(case.line) == len(THRESHOLDS) and case.images.max() <= 1
    assert case.costs[-1] == case.costs[-2] > 1


# --- what the evidence shows --------------------------------------------------------------------


@pytest.fixture
def shown(monkeypatch) -> list[tuple[Any, str]]:
    """What `measured` shows, and the words beside it."""
    found: list[tuple[Any, str]] = []
    monkeypatch.setattr(measured, "show", lambda fig, alt, fold: found.append((fig, alt)))
    monkeypatch.setattr(measured, "table", lambda rows, told, fold: found.append((rows, told)))
    return found


def draw(runs: dict[str, pd.DataFrame]) -> None:
    """Ask for everything that the notebook asks for."""
    measured.answers(runs["price"], ["exit 1", "exit 3", "ensemble"], "accuracy")
    measured.gains(runs["parts"], "deep supervision", ["+ KL", "BYOT"], "gains")
    measured.prices(runs["heads"], "heads")
    measured.prices(runs["rivals"], "rivals")


def test_everything_is_drawn_with_a_text(tables, shown):
    draw(tables)
    assert len(shown) == 4
    for thing, told in shown[1:4]:
        assert isinstance(thing, Figure) and len(told) > 40
    assert list(shown[0][0]["arm"]) == ["BYOT", "deep supervision"]


def test_gains_are_paired_differences(tables, shown):
    runs = tables["parts"]
    measured.gains(runs, "BYOT", ["permuted"], "gains")
    fig, told = shown[0]
    one, two = (runs[runs["arm"] == arm].set_index("seed") for arm in ("permuted", "BYOT"))
    means = [(one[name] - two[name]).mean() for name in measured.ANSWERS]
    (bars,) = fig.axes[0].containers
    assert bars.lines[0].get_ydata() == pytest.approx(means)
    assert f"permuted, exit 1: {means[0]:+.2f}"[:-3] in told


def test_prices_stand_at_their_costs(tables, shown):
    runs = tables["rivals"].assign(cost=lambda t: t["arm"].map({"cnn2": 0.3, "cnn3": 0.6}))
    measured.prices(runs, "rivals")
    at = {box.get_label(): box.lines[0].get_xdata() for box in shown[0][0].axes[0].containers}
    assert at["cnn2"] == pytest.approx([0.31])  # moved by 0.01, not to hide below an exit
    assert at["labels"] == pytest.approx([1.01])
    assert at["BYOT, exits"] == pytest.approx([1 / 3, 2 / 3, 1])


@pytest.mark.parametrize("kept", [None, ["labels"], ["BYOT"]])
def test_tables_may_be_empty_or_partial(tables, shown, kept, tmp_path, capsys):
    runs = read_tables("07_byot", experiment.COMPARISONS, tmp_path)
    if kept:
        runs = {name: table[table["arm"].isin(kept)] for name, table in tables.items()}
    draw(runs)
    assert "There is no evidence for gains yet" in capsys.readouterr().out
    known = measured.headline(runs, "mnist5k")
    assert {"arm", "accuracy", "seconds", "world"} <= set(known)
    assert set(known["arm"]) == set(kept or ())
    assert known.groupby("arm")["accuracy"].mean().notna().all()


def test_the_headline_takes_each_arm_once(tables):
    known = measured.headline(tables, "mnist5k")
    assert sorted(known["arm"]) == sorted(2 * ["BYOT", "deep supervision", "labels"])
    assert "deep supervision" not in set(measured.headline(tables, "natural")["arm"])
    assert np.isfinite(known["accuracy"]).all()
