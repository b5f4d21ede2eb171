"""The sentences and numbers of the results, against numbers worked out by hand."""

import base64
import io

import numpy as np
import pytest
from PIL import Image

from kdlab.lab import results


def row(accuracy: float, **more):
    return {"accuracy": accuracy, "ece": 2.0, "seconds": 3.0, **more}


def rows(*accuracies: float):
    return {1000 + i: row(a) for i, a in enumerate(accuracies)}


def test_dots_and_interval():
    found = results.dots(rows(90, 91, 92))
    assert found["dots"] == [[1000, 90], [1001, 91], [1002, 92]]
    assert found["text"] == "91.0 % [88.5, 93.5], n = 3"
    assert (
        results.dots(rows(90))["low"] is None and results.dots(rows(90))["text"] == "90.0 %, n = 1"
    )
    assert results.dots({}) == {"dots": [], "text": "", "mean": None, "low": None, "high": None}


@pytest.mark.parametrize(
    ("first", "second", "said"),
    [
        ((91, 92, 93), (90, 90, 90), "+2.00 [-0.48, +4.48] points, n = 3: undecided; about 5 rep"),
        ((92, 92, 92.5, 92, 92), (90, 90, 90, 90, 90), "n = 5: the first is better."),
        ((90, 90, 90, 90, 90), (92, 92, 92.5, 92, 92), "n = 5: the second is better."),
        ((90, 90.1, 90, 90, 90), (90, 90, 90, 90, 90), "no difference of 0.5 points or more."),
        ((), (90,), "there is no replicate that both have finished."),
        ((91,), (90,), "n = 1: undecided; more replicates would tell."),
    ],
)
def test_a_difference_in_one_sentence(first, second, said):
    assert said in results.difference(rows(*first), rows(*second))


def test_only_common_replicates_are_paired():
    one, two = rows(90, 91, 92), {1001: row(90.0), 1002: row(90.0), 1007: row(10.0)}
    assert results.difference(one, two).startswith("+1.5 ")


def test_calibration_bins():
    sure, right = np.array([0.95, 0.99, 0.55, 0.51]), np.array([True, True, True, False])
    found = results.calibration({0: row(75, sure=sure, correct=right)})
    assert [n for *_, n in found["bins"]] == [2, 2]
    assert found["bins"][0][:2] == pytest.approx([53, 50])
    assert found["bins"][1][:2] == pytest.approx([97, 100])
    assert found["text"].startswith("0.0 points")
    assert results.calibration({}) == {"bins": [], "text": ""}


def test_a_curve_is_the_mean_over_replicates():
    found = {
        r: row(1, updates=np.array([10, 20]), curve=np.array(c))
        for r, c in enumerate([[50.0, 60.0], [52.0, 70.0]])
    }
    assert results.curve(found) == [[10, 51.0], [20, 65.0]]


def test_an_image_comes_as_a_picture():
    for shape, mode in (((1, 3, 4), "L"), ((3, 3, 4), "RGB")):
        url = results.as_url(np.full(shape, 0.5))
        picture = Image.open(io.BytesIO(base64.b64decode(url.partition(",")[2])))
        assert picture.mode == mode and picture.size == (4, 3)
