"""The rules and pictures of notebook 11: on no evidence, on a part, and on made-up rows."""

import itertools
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from kdlab.data import Data
from kdlab.papers.data_free import experiment, figures, gallery, measured
from kdlab.papers.data_free.experiment import COMPARISONS, MINUS, TOLD
from kdlab.papers.kd import arms as standing
from kdlab.runs import evidence
from kdlab.runs.claims import judge
from kdlab.show import arms as drawn
from kdlab.show.explorers.panels import drive, panel, slider
from kdlab.train.worlds import WORLDS

STEM = "11_data_free"
TERMS = {"real": {"one_hot": 0.5, "batch_norm": 1.0}, "noise": {"one_hot": 0.1, "batch_norm": 9.0}}


def empty() -> dict[str, pd.DataFrame]:
    return evidence.tables(STEM, COMPARISONS, folder=Path("no such folder"))


def made_up(gain: float = 0.0) -> dict[str, pd.DataFrame]:
    """Return tables in which the first arm of each claim is `gain` better in its measure."""
    draw, found = np.random.default_rng(0), {}
    for c in COMPARISONS:
        rows = [
            {"world": w, "arm": arm, "seed": seed, "seconds": 1.0, "making": 1.0, "bytes": 0.0}
            | {"val_accuracy": 80.0, "classes": 9.0, "diversity": 90.0, "agreement": 80.0}
            | {"auc": 51.0, "accuracy": 80 + draw.normal(0, 0.1)}
            | {way: 1 + draw.normal(0, 0.1) for way in ("records", "batch norm", "weights")}
            for w, arm, seed in itertools.product(c.worlds, c.arms, range(c.replicates or 10))
        ]
        found[c.name] = pd.DataFrame(rows)
        found[c.name].attrs["name"] = c.name
    for name in TOLD:
        table, one, _, metric, _ = MINUS[name]
        found[table].loc[found[table]["arm"] == one, metric] += gain
    return found


# --- the rules ------------------------------------------------------------------------------------


def test_the_rules_work_without_evidence_and_on_a_part_of_it():
    rows = judge(experiment.claims(empty()), STEM, "mnist5k")
    assert set(rows["outcome"]) == {"not tested here"} and rows["primary"].sum() == 6
    for name, table in made_up().items():
        assert len(judge(experiment.claims(empty() | {name: table}), STEM, "mnist5k")) >= len(TOLD)


def test_every_claim_subtracts_arms_that_there_are():
    arms = {c.name: c.arms for c in COMPARISONS}
    for name, (table, one, two, _, margin) in MINUS.items():
        assert {one, two} <= set(arms[table]), name
        assert margin >= 0.5
    assert list(MINUS) == list(TOLD)


def test_a_gain_is_reproduced_and_none_is_not():
    rows = judge(experiment.claims(made_up(6.0)), STEM).set_index("id")
    for name in ("records", "statistics", "leak"):
        assert rows.loc[name, "outcome"] == "reproduced", name
    nothing = judge(experiment.claims(made_up(0.0)), STEM)
    assert "reproduced" not in set(nothing[nothing["margin"] > 1]["outcome"])


def test_runs_that_several_tables_need_are_the_same_runs():
    stamp = {
        (c.name, name): evidence.InWorld(arm, WORLDS["mnist5k"]).stamp
        for c in COMPARISONS
        for name, arm in c.arms.items()
    }
    for same in (
        [
            ("headline", "DAFL"),
            ("sources", "DAFL"),
            ("terms", "all three"),
            ("images", "DAFL, 500"),
        ],
        [("headline", "DeepInversion"), ("inversion", "DeepInversion")],
        [("sources", "records, all"), ("records", "all, covariances")],
    ):
        assert len({stamp[key] for key in same}) == 1, same
    assert experiment.STANDING["labels"] is standing.labels
    assert experiment.STANDING["KD"] is standing.kd
    assert len(set(stamp.values())) == len(stamp) - 11  # of which so many are shared


# --- what is shown --------------------------------------------------------------------------------


@pytest.fixture
def shown(monkeypatch):
    found = []
    for module in (measured, drawn):
        monkeypatch.setattr(module, "show", lambda fig, alt, fold="": found.append((fig, alt)))
    monkeypatch.setattr(measured, "table", lambda frame, told, **_: found.append((frame, told)))
    return found


def test_without_evidence_everything_says_so(shown, capsys, tmp_path):
    tables = empty()
    measured.prices(tables["sources"], "sources")
    drawn.show_arms(tables["terms"], "terms", accuracy="%")
    measured.pictures(gallery.kept("terms", tmp_path / "none.npz"), "terms")
    told = capsys.readouterr().out
    assert not shown and told.count("There is no evidence") == 2 and "gallery" in told


def test_prices_count_what_collapsed(shown):
    rows = made_up()["sources"]
    rows.loc[(rows["arm"] == "DAFL") & (rows["seed"] < 3), "classes"] = 1.0
    measured.prices(rows, "sources")
    frame = shown[0][0].set_index("arm")
    assert frame.loc["DAFL", "collapsed"] == "3 of 10"
    assert frame.loc["ADI", "collapsed"] == "0 of 10" and frame.loc["ADI", "needs"] == "batch norm"
    assert frame.loc["records, top", "needs"] == "records of the data"


def test_arms_are_drawn_with_their_means(shown):
    drawn.show_arms(made_up()["privacy"], "leak", records="dB", weights="dB")
    ((fig, alt),) = shown
    assert len(fig.axes) == 2 and all(name in alt for name in experiment.PRIVACY)


def test_the_gallery_reads_what_it_wrote(tmp_path, shown, monkeypatch):
    file = tmp_path / "gallery.npz"
    x = torch.linspace(0, 1, 3 * 784).view(3, 1, 28, 28)
    np.savez_compressed(file, **{"terms|none": (255 * x).round().byte().numpy()})
    found = gallery.kept("terms", file)
    torch.testing.assert_close(found["none"], x, atol=1 / 500, rtol=0)
    assert not gallery.kept("sources", file)
    measured.pictures(found, "terms")
    assert "none" in shown[0][1]


def test_the_gallery_has_every_kind(tmp_path, monkeypatch):
    def fake(r, size, **_):
        return dict.fromkeys(gallery.WAYS, (torch.rand(4, 1, 28, 28),) * 3)

    monkeypatch.setattr(gallery, "inverted", fake)
    monkeypatch.setattr(gallery, "KINDS", {"sources": {"noise": experiment.NOISE, "no": len}})
    gallery.write("mnist5k", tmp_path / "gallery.npz")
    assert gallery.kept("sources", tmp_path / "gallery.npz")["noise"].shape == (5, 1, 28, 28)
    assert len(gallery.kept("privacy", tmp_path / "gallery.npz")) == 10


def test_weights_stand_before_terms():
    found = figures.weighed(TERMS, one_hot=2.0, batch_norm=0.5)
    assert found == {
        "real": {"one_hot": 1.0, "batch_norm": 0.5},
        "noise": {"one_hot": 0.2, "batch_norm": 4.5},
    }
    fig = figures.bars(TERMS, one_hot=2.0, batch_norm=0.5)
    heights = [bar.get_height() for bar in fig.axes[0].patches]
    assert heights == pytest.approx([1.0, 0.2, 0.5, 4.5, 1.5, 4.7])


def test_the_explorers_move_to_all_their_ends():
    box = panel(
        lambda **at: figures.bars(TERMS, **at),
        alt="Weighted terms at one-hot {one_hot} and batch norm {batch_norm}.",
        one_hot=slider("one-hot", [0.0, 1.0], 1.0),
        batch_norm=slider("batch norm", [0.0, 1.0], 0.0),
    )
    assert drive(box) == 4
    f = {3: torch.randn(50, 6, generator=torch.Generator().manual_seed(0))}
    records = panel(
        lambda n: figures.exposed(f, 3, n),
        alt="Distances to a record of {n} images of class 3.",
        n=slider("n", [1, 40], 1),
    )
    assert drive(records) == 2


def test_a_row_of_images_a_name(data: Data):
    x = data.images(data.test.x[:3])
    fig = figures.gallery({"one": x, "two": x[:2]})
    assert len(fig.axes) == 10 and sum(bool(ax.images) for ax in fig.axes) == 5
