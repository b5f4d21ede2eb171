"""Explorers: what Python gives them, the texts they are made of, their colours, their still."""

import json
import math
import re
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from kdlab.data import load
from kdlab.papers.kd import explorers as of_kd
from kdlab.runs.differences import interval
from kdlab.show.explorers import base
from kdlab.show.explorers.bars import ALPHAS, TEMPERATURES, bars
from kdlab.show.explorers.runs import INK, MEASURES, runs
from kdlab.show.looks import LOOKS, SPARE
from kdlab.show.plots import bundle, figure
from kdlab.tools import pages
from kdlab.train.recipe import Recipe
from kdlab.train.worlds import WORLDS, replicate

GROUNDS = ("#FFFFFF", "#111111", "#212121")  # JupyterLab's, light and dark
KINDS = ("bars", "points", "runs")


def luminance(colour: str) -> float:
    """Relative luminance, WCAG 2.2."""
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return float(np.dot([0.2126, 0.7152, 0.0722], linear))


def contrast(one: str, two: str) -> float:
    low, high = sorted([luminance(one), luminance(two)])
    return (high + 0.05) / (low + 0.05)


def table(**columns: list[float]) -> pd.DataFrame:
    """Two arms in two worlds, three replicates each."""
    keys = [(w, a, s) for w in ("mnist5k", "own") for a in ("KD", "other") for s in range(3)]
    frame = pd.DataFrame(keys, columns=["world", "arm", "seed"])
    return frame.assign(accuracy=np.arange(12) + 80.0, **columns)


def arms_of(explorer: base.Explorer, world: int = 0, measure: int = 0) -> dict[str, dict]:
    found = explorer.data["comparisons"][0]["worlds"][world]["measures"][measure]["arms"]
    return {arm["name"]: arm for arm in found}


@pytest.mark.parametrize("kind", KINDS)
def test_a_module_is_one_text_that_a_page_can_hold(kind):
    text = base.module(kind)
    assert not re.search(r"^\s*import\b", text, re.MULTILINE) and "</" not in text
    assert text.count("export default") == 1
    assert "https://" not in text and text.count("http://") == text.count("http://www.w3.org/")


@pytest.mark.parametrize("colour", [INK.get(c, c) for c, _ in [*LOOKS.values(), *SPARE]])
def test_an_arm_stands_out_on_every_ground(colour):
    if colour != "var(--ink)":
        assert min(contrast(colour, ground) for ground in GROUNDS) >= 3


def test_the_colours_of_the_marks_stand_out_on_every_ground():
    css = (base.FOLDER / "explorer.css").read_text()
    marks = re.findall(r"--(?:mark|line|chosen): (#[0-9a-f]{6})", css)
    assert len(marks) >= 6
    assert min(contrast(mark, ground) for mark in marks for ground in GROUNDS) >= 3
    assert contrast("#ffffff", re.findall(r"--chosen: (#\w+)", css)[0]) >= 4.5  # its white text


def test_runs_give_every_number_and_the_interval_of_the_course():
    explorer = runs({"what": table()}, {"mnist5k": "digits"})
    comparison = explorer.data["comparisons"][0]
    assert [world["name"] for world in comparison["worlds"]] == ["digits", "own"]
    assert comparison["name"] == "what"
    arm = arms_of(explorer, world=1)["other"]
    assert arm["dots"] == [(0, 89.0), (1, 90.0), (2, 91.0)]
    expected = interval([89, 90, 91], unit="%")
    assert (arm["mean"], arm["low"], arm["high"]) == (expected.mean, expected.low, expected.high)
    assert arm["text"] == str(expected)
    json.dumps(explorer.data, allow_nan=False)


def test_runs_leave_out_what_is_no_number():
    broken = [math.nan, 1.0, 2.0, *[math.nan] * 9]
    explorer = runs({"what": table(nll=broken), "empty": table()[:0]}, {}, MEASURES)
    assert len(explorer.data["comparisons"]) == 1
    measures = [world["measures"] for world in explorer.data["comparisons"][0]["worlds"]]
    assert [[m["name"] for m in each] for each in measures] == [
        ["test accuracy in %", "negative log-likelihood in nats"],
        ["test accuracy in %"],
    ]
    assert list(arms_of(explorer, measure=1)) == ["KD"]
    assert arms_of(explorer, measure=1)["KD"]["dots"] == [(1, 1.0), (2, 2.0)]


def test_one_run_has_a_mean_and_no_interval():
    arm = arms_of(runs({"what": table()[:1]}, {}))["KD"]
    assert arm["low"] == arm["high"] == arm["mean"] == 80.0
    assert arm["text"] == str(interval([80.0], unit="%"))


def test_no_run_at_all_is_an_error():
    with pytest.raises(ValueError, match="make evidence"):
        runs({"what": table()[:0]}, {})


def test_bars_begin_with_the_first_image():
    case = {"name": "a", "label": 0, "image": "", "teacher": [1, 2], "students": {"new": [0, 1]}}
    explorer = bars([{"name": "w", "classes": ["x", "y"], "cases": [case]}], "new", T=4, alpha=0.9)
    assert explorer.setting == {"world": "w", "image": "a", "stage": "new", "T": 4, "alpha": 0.9}
    assert 4 in TEMPERATURES and 0.9 in ALPHAS and list(TEMPERATURES) == sorted(TEMPERATURES)


def test_the_still_keeps_its_picture_and_tells_how_to_wake_it():
    fig, ax = figure()
    ax.plot([1, 2])
    shown = bundle(fig, "A line that rises from one to two.")
    still = base.as_still(shown)
    assert still["image/png"] == shown["image/png"] and still["text/plain"] == shown["text/plain"]
    assert shown["text/html"] in still["text/html"] and "Run this cell" in still["text/html"]


def test_show_displays_the_explorer_and_then_its_still(monkeypatch):
    displayed: list[dict] = []
    monkeypatch.setattr(base, "display", lambda data, raw: displayed.append(data))
    explorer = runs({"what": table()}, {})

    def still() -> dict[str, str]:
        assert len(displayed) == 1  # it is alive before anything slow is imported
        return {"text/html": "<img>", "text/plain": "a picture"}

    explorer.show(still)
    assert displayed[0][base.VIEW]["model_id"] == explorer.model_id
    assert base.VIEW not in displayed[1] and "<img>" in displayed[1]["text/html"]


def test_a_page_holds_data_that_looks_like_the_end_of_a_script():
    name = "</script><b>@module@"
    explorer = runs({name: table()}, {})
    page = pages.alive(json.loads(json.dumps(explorer.get_state())), "x")
    assert page.count("</script>") == 1 and page.count("const explorer =") == 1


@pytest.mark.parametrize("name", ["bars", "runs"])
def test_nothing_slow_is_imported_before_the_explorer_is_displayed(name):
    code = (
        "import sys\nfrom kdlab.papers.kd import explorers\nfrom kdlab.show.explorers import base\n"
        "base.display = lambda *_, **__: sys.exit('torch' in sys.modules or "
        f"'matplotlib' in sys.modules)\nexplorers.{name}()"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_a_reader_can_see_a_replicate_of_their_own(tmp_path, monkeypatch):
    monkeypatch.setenv("KDLAB_CACHE", str(tmp_path))
    tiny = replace(WORLDS["mnist5k"], teacher_net="cnn4", teacher_recipe=Recipe(steps=60))
    displayed: list[dict] = []
    monkeypatch.setattr(base, "display", lambda data, raw: displayed.append(data))
    of_kd.bars(replicate(tiny, 3))
    assert [base.VIEW in data for data in displayed] == [True, False]
    assert re.search("At T = 4 the teacher answers [0-9] 0[.][0-9]+", displayed[1]["text/plain"])


# --- the images that notebook 00 brings along -----------------------------------------------------


def test_the_kept_images_are_small_and_hold_no_photograph():
    assert of_kd.CASES.stat().st_size <= 60_000
    worlds = of_kd.kept()
    assert list(worlds) == ["mnist5k", "fashion5k", "natural"]
    assert not any(case["image"] for case in worlds["natural"]["cases"])
    assert all(case["image"] for name in ("mnist5k", "fashion5k") for case in worlds[name]["cases"])


@pytest.mark.parametrize("name", ["mnist5k", "fashion5k"])
def test_the_kept_images_are_those_of_the_data(name):
    data, kept = load(name, seed=of_kd.REPLICATE), of_kd.kept()[name]
    assert kept["classes"] == list(data.classes)
    images = data.images(data.test.x)
    for case in kept["cases"]:
        assert int(data.test.y[case["row"]]) == case["label"]
        assert of_kd._as_png(images[case["row"]]) == case["image"]
        found = of_kd._as_image(case["image"])
        np.testing.assert_allclose(found, images[case["row"]], atol=1e-6)


def test_the_kept_teacher_is_right_with_a_slight_doubt():
    for world in of_kd.kept().values():
        labels = [case["label"] for case in world["cases"]]
        assert len(set(labels)) == len(labels) == 6
        for case in world["cases"]:
            z = np.array(case["teacher"])
            first, second = np.argsort(-z)[:2]
            assert first == case["label"]
            assert case["name"] == f"{world['classes'][first]}, a little {world['classes'][second]}"
            assert list(case["students"]) == ["untrained", "after one epoch", "trained"]
            assert all(len(s) == len(world["classes"]) for s in case["students"].values())
