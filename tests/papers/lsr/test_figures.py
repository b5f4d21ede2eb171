"""The explorer's numbers, and figures that draw the numbers they are given."""

import itertools

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import torch

from kdlab.papers.lsr import explorer as numbers
from kdlab.papers.lsr import figures as pictures
from kdlab.papers.lsr import measured
from kdlab.papers.lsr.arms import BINS
from kdlab.papers.lsr.experiment import COMPARISONS, EPSILON, HALF, claims
from kdlab.papers.lsr.explorer import best_gaps, pulls, targets
from kdlab.papers.lsr.method import FORMS, reg_term
from kdlab.runs.claims import judge
from kdlab.runs.rows import KEYS, NOTES
from kdlab.show.explorers.panels import drive, panel, slider
from kdlab.show.plots import png
from kdlab.train.method import hard_loss
from tests import oracles

SETTINGS = [(0.5, 20.0, 0.99, 10), (0.3, 5.0, 0.9, 10), (0.95, 1.0, 0.9, 100), (1.0, 2.0, 1.0, 2)]
ENDS = list(itertools.product((0.0, 1.0), (1.0, 40.0), (0.5, 1.0), (2, 100)))


@pytest.mark.parametrize("setting", [*SETTINGS, *ENDS])
def test_targets_are_distributions_with_the_label_in_front(setting):
    alpha, T, a_c, C = setting
    found = targets(*setting)
    assert list(found) == ["label", "label smoothing", "virtual teacher", "teacher"]
    for p in found.values():
        assert p.shape == (C,) and (p >= 0).all() and p.sum() == pytest.approx(1)
    p_d = [a_c] + [(1 - a_c) / (C - 1)] * (C - 1)
    assert found["virtual teacher"] == pytest.approx(oracles.softmax(p_d, T))
    made_up = oracles.softmax(numbers.made_up(C).tolist(), T)
    assert found["teacher"] == pytest.approx(made_up) and found["teacher"].argmax() == 0
    mixed = (1 - alpha) * found["label"] + alpha * found["virtual teacher"]
    assert found["label smoothing"] == pytest.approx(mixed)


@pytest.mark.parametrize("setting", SETTINGS)
def test_pulls_are_minus_the_slope_of_each_loss(setting):
    alpha, T, a_c, C = setting
    y = torch.tensor([0])
    found = pulls(alpha, T, a_c, C, np.array([-2.0, 0.0, 3.0, 7.0]))
    for place, gap in enumerate((-2.0, 0.0, 3.0, 7.0)):
        g = torch.tensor(gap, dtype=torch.float64, requires_grad=True)
        z = torch.cat([g[None], torch.zeros(C - 1, dtype=torch.float64)])[None]
        losses = {
            f: (1 - alpha) * hard_loss(z, y) + alpha * reg_term(z, y, T, a_c, f) for f in FORMS
        }
        losses |= {"labels": hard_loss(z, y), "label smoothing": losses["untempered"]}
        for name, loss in losses.items():
            (slope,) = torch.autograd.grad(loss, g, retain_graph=True)
            assert found[name][place] == pytest.approx(-slope.item(), abs=1e-9), name


def test_best_gaps_of_the_card():
    best = best_gaps(0.5, 20.0, 0.99, 10)
    for name, gap in {"label smoothing": 2.40, "squared": 3.38, "literal": 8.4}.items():
        assert best[name] == pytest.approx(gap, abs=0.015)
    assert best["untempered"] == pytest.approx(best["label smoothing"])
    assert best["labels"] == np.inf
    assert len({round(gap, 6) for gap in best_gaps(0.5, 1.0, 0.99, 10).values()}) == 2


@pytest.mark.parametrize("setting", [*SETTINGS, *ENDS])
def test_the_pull_is_zero_at_the_best_gap(setting):
    for name, gap in best_gaps(*setting).items():
        if np.isfinite(gap):
            assert abs(pulls(*setting, np.array(gap))[name]) < 1e-9


def bars(ax: plt.Axes, name: str) -> list[float]:
    (found,) = [group for group in ax.containers if group.get_label() == name]
    return [bar.get_height() for bar in found]


@pytest.mark.parametrize("setting", SETTINGS)
def test_the_explorer_draws_targets_and_pulls(setting):
    fig = pictures.explorer(*setting)
    left, right = fig.axes
    for name, p in targets(*setting).items():
        assert bars(left, name) == pytest.approx(p[: pictures.SHOWN])
    named = {str(line.get_label()).rpartition(":")[0]: line for line in right.lines}
    for name, pull in pulls(*setting, numbers.GAPS).items():
        np.testing.assert_allclose(named[pictures.LINES[name][0]].get_ydata(), pull)
    assert ("more are not drawn" in left.get_xlabel()) == (setting[3] > 10)
    fig.draw_without_rendering()
    legend = right.get_legend().get_window_extent()
    heights = [right.transData.transform((0, max(line.get_ydata())))[1] for line in named.values()]
    assert max(heights) < legend.y0
    assert png(pictures.explorer(*setting)) == png(pictures.explorer(*setting))


def test_the_explorer_moves_to_all_its_ends():
    box = panel(
        pictures.explorer,
        alt="Targets and pulls at alpha = {alpha:g}, T = {T:g}, a_c = {a_c:g} and {C} classes.",
        alpha=slider("alpha", [0.0, 0.5, 1.0], 0.5),
        T=slider("T", [1.0, 20.0, 40.0], 20.0),
        a_c=slider("a_c", [0.5, 0.99, 1.0], 0.99),
        C=slider("C", [2, 10, 100], 10),
    )
    assert drive(box) == 8


def test_the_twin_draws_each_temperature():
    fig = pictures.twin(0.5, 0.99, 10, (1.0, 20.0))
    for ax, T in zip(fig.axes, (1.0, 20.0), strict=True):
        assert ax.get_title(loc="left") == f"T = {T:g}"
        np.testing.assert_allclose(
            ax.lines[0].get_ydata(), pulls(0.5, T, 0.99, 10, numbers.GAPS)["labels"]
        )
    assert fig.legends[0].texts[0].get_text() == "labels"


# --- what the evidence shows ----------------------------------------------------------------------


def rows(name: str, seeds: int = 6, **columns) -> pd.DataFrame:
    """Return made-up rows of a comparison: accuracy 80 + place of the arm + a little per seed."""
    (comparison,) = [c for c in COMPARISONS if c.name == name]
    found = [
        {"world": "mnist5k", "arm": arm, "seed": seed, "accuracy": 80 + place + 0.01 * seed}
        | {"val_accuracy": 70.0 + place, "nll": 1.0, "ece": 2.0, "entropy": 3.0}
        | {key: value(arm, place, seed) for key, value in columns.items()}
        for place, arm in enumerate(comparison.arms)
        for seed in range(seeds)
    ]
    table = pd.DataFrame(found)
    table.attrs["name"] = name
    return table


def nothing() -> dict[str, pd.DataFrame]:
    return {c.name: pd.DataFrame(columns=[*KEYS, *NOTES]) for c in COMPARISONS}


@pytest.fixture
def shown(monkeypatch):
    """What the figures would display, [(figure, alternative text)]."""
    found = []
    monkeypatch.setattr(measured, "show", lambda fig, alt, fold="": found.append((fig, alt)))
    return found


def test_without_evidence_everything_says_so(capsys, shown):
    tables = nothing()
    assert measured.known(tables).empty and "accuracy" in measured.known(tables)
    measured.teachers(measured.known(tables), "mnist5k")
    measured.override_map(tables["map"])
    measured.gap_histograms(tables["gaps"])
    assert capsys.readouterr().out.count("There is no evidence for") == 3 and not shown
    assert set(judge(claims(tables), "02")["outcome"]) <= {"not tested here", ""}


def test_claims_subtract_what_they_say():
    tables = nothing() | {name: rows(name) for name in ("badly-trained", "other-teachers")}
    judged = judge(claims(tables), "02").set_index("id")["ours"]
    place = list(COMPARISONS[1].arms).index
    expected = {
        "badly-trained": place("De-KD") - place("labels"),
        "no-knowledge": place("De-KD") - place("Tf-KD_reg"),
        "released": place("De-KD, released") - place("5 % of the labels"),
        "smaller": place("Re-KD") - place("labels"),
        "itself": place("Tf-KD_self") - place("labels"),
        "virtual": place("Tf-KD_reg, alpha 0.5") - place("label smoothing 0.3"),
        "weight": place("5 % of the labels") - place("labels"),
    }
    for name, gap in expected.items():
        assert judged[name] == pytest.approx(gap), name
    primary = [claim for claim in claims(tables) if claim.primary]
    assert len(primary) == 6 and all(claim.margin >= 0.5 for claim in primary)


def test_known_rows_stand_there_once():
    tables = nothing() | {name: rows(name) for name in ("badly-trained", "other-teachers")}
    found = measured.known(tables)
    assert not found.duplicated(["world", "arm", "seed"]).any()
    assert set(found["arm"]) == set(COMPARISONS[1].arms)


def test_the_table_of_teachers_leaves_out_who_has_none(capsys, monkeypatch):
    found = []
    monkeypatch.setattr(measured, "table", lambda frame, told, fold: found.append(frame))
    teacher = {"teacher on test": lambda a, p, s: 30.0 if "De-KD" in a else None}
    runs = rows("other-teachers", **teacher, overruled=lambda a, p, s: 1.0)
    measured.teachers(runs.assign(**{"teacher on train": 31.0}), "mnist5k")
    assert list(found[0]["arm"]) == ["De-KD", "De-KD, released"]
    assert list(found[0].columns[2:]) == list(measured.KNOWS.values())


def test_the_map_draws_means_and_frames_what_is_overruled(shown):
    def overruled(arm: str, place: int, seed: int) -> float:
        return 50.0 if "batchmean, alpha 0.99, 1 " in arm else 1.0

    runs = rows("map", overruled=overruled)
    measured.override_map(runs)
    fig, alt = shown[0]
    left, right = fig.axes
    assert [len(ax.texts) for ax in fig.axes] == [12, 12]
    means = runs.groupby("arm")["accuracy"].mean()
    (text,) = [t for t in left.texts if t.get_position() == (0, 2)]
    mean = means["batchmean, alpha 0.99, 1 epochs"]
    assert text.get_text() == f"{mean:.1f} %\n50.0 % overruled"
    framed, free = left.collections[0], right.collections
    box = framed.get_paths()[0].get_extents()
    assert [box.x0, box.x1, box.y0, box.y1] == pytest.approx([-0.5, 0.5, 1.5, 2.5], abs=0.03)
    assert not len(free) and "lowest at alpha 0.3, 1 epochs" in alt
    fig.draw_without_rendering()
    ends = [text.get_window_extent() for text in left.texts]
    assert not any(a.overlaps(b) for a, b in itertools.combinations(ends, 2))


def test_the_gaps_are_drawn_as_shares(shown):
    def gaps(arm: str, place: int, seed: int) -> np.ndarray:
        return np.eye(len(BINS) - 1, dtype=np.int16)[20 + place] * 100

    measured.gap_histograms(rows("gaps", gaps=gaps, gap=lambda a, p, s: float(p)))
    (ax,), alt = shown[0][0].axes, shown[0][1]
    steps = [line for line in ax.lines if len(line.get_xdata()) > 2]
    for place, line in enumerate(steps):
        assert line.get_ydata().sum() == pytest.approx(1)
        assert line.get_xdata()[line.get_ydata().argmax()] == BINS[20 + place]
    upright = sorted(line.get_xdata()[0] for line in ax.lines if len(line.get_xdata()) == 2)
    best = best_gaps(HALF, 20.0, 0.99, 10)
    assert upright == pytest.approx(sorted(gap for gap in best.values() if np.isfinite(gap)))
    assert "literal 4.0" in alt


def test_the_smoothing_of_the_gaps_is_that_of_the_untempered_form():
    z, y = (
        torch.linspace(-2, 3, 40, dtype=torch.float64).reshape(4, 10).requires_grad_(),
        torch.arange(4),
    )
    mine = HALF * hard_loss(z, y) + HALF * reg_term(z, y, 20.0, 0.99, "untempered")
    one, two = (torch.autograd.grad(loss, z)[0] for loss in (mine, hard_loss(z, y, EPSILON)))
    torch.testing.assert_close(one, two)
