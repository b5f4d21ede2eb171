"""Tables and sentences carry the numbers they were given."""

import json
import math
from dataclasses import replace
from html.parser import HTMLParser
from typing import Any

import numpy as np
import pandas as pd
import pytest

from kdlab.runs.claims import MOST, Claim, interval, judge
from kdlab.show import report, words
from tests.runs.test_claims import GAIN, GOOD, series

CLAIMS = "application/vnd.kdlab.claims+json"  # the key that `make course` collects


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """Collect what is displayed."""
    outputs: list[dict[str, Any]] = []
    monkeypatch.setattr(report, "display", lambda data, raw: outputs.append(data))
    return outputs


@pytest.fixture
def runs() -> pd.DataFrame:
    """Return three arms of five seeds."""
    draw = np.random.default_rng(0)
    names = [name for name in ("hard labels", "KD", "control") for _ in range(5)]
    values = {"accuracy": draw.normal(90, 1, 15), "nll": draw.normal(0.3, 0.05, 15)}
    return pd.DataFrame({"arm": names, "seed": list(range(5)) * 3} | values)


# --- the claims

UNCLEAR = [2.0, -2.5, 2.5, 1.6, -1.0]
WORLDS = pd.concat(
    [series(x, w) for x, w in ((GOOD, "mnist5k"), (GOOD, "fashion5k"), (UNCLEAR, "natural"))]
)
MANY = [
    replace(GAIN, id="three", x=WORLDS),
    Claim("long", "Text with | and <b> & more. " * 4, "5 > 4", series(GOOD), primary=False),
    Claim("none", "Not tried.", "Table 9", primary=False, why="no GPU"),
    replace(GAIN, id="lost", x=series([*GOOD, math.nan])),
]


class Page(HTMLParser):
    """Collect the tags of a page with their attributes, and its text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data


def test_report_displays_html_text_and_json(shown: list[dict[str, Any]]) -> None:
    judged = report.report(MANY, "00_kd", "rot40")
    pd.testing.assert_frame_equal(judged, judge(MANY, "00_kd", "rot40"))
    (bundle,) = shown
    rows = json.loads(json.dumps(bundle[CLAIMS], allow_nan=False))
    assert [list(row) for row in rows] == [list(judged.columns)] * 6
    for row, want in zip(rows, judged.to_dict("records"), strict=True):
        for key, value in want.items():
            missing = isinstance(value, float) and math.isnan(value)
            assert row[key] is None if missing else row[key] == value
            assert not isinstance(value, bool) or isinstance(row[key], bool)
    page = Page(bundle["text/html"]).text
    for row in rows:
        for part in (row["claim"], row["outcome"], words.told(row)):
            assert part in bundle["text/plain"] and part in page
    assert "natural" not in page and "photographs" in page


def test_the_html_table_has_a_caption_scopes_and_escaped_text(shown: list[dict[str, Any]]) -> None:
    report.report(MANY, "00_kd")
    source = shown[0]["text/html"]
    page = Page(source)
    scopes = [attrs.get("scope") for tag, attrs in page.tags if tag == "th"]
    assert None not in scopes and scopes.count("row") == len(MANY) and scopes.count("col") == 4
    assert scopes.count("rowgroup") == 1 and "00_kd" in source.split("</caption>")[0]
    assert "b" not in [tag for tag, _ in page.tags] and "and <b> & more" in page.text
    assert source.count("<tbody") == 2  # the second holds what is also seen
    assert page.text.index("Not tried") > page.text.index("Also seen")


def test_only_judged_claims_stand_alone(shown: list[dict[str, Any]]) -> None:
    report.report([GAIN], "00_kd")
    page = shown[0]["text/html"]
    assert page.count("<tbody") == 1 and report.ALSO not in page + shown[0]["text/plain"]
    assert "0.5 points" in page


@pytest.mark.parametrize("claims", [[], [GAIN, GAIN]])
def test_report_refuses_no_claims_and_the_same_id_twice(claims: list[Claim]) -> None:
    with pytest.raises(ValueError, match="own id"):
        report.report(claims, "00_kd")


def row(**changes: Any) -> dict[str, Any]:
    """Return a judged row."""
    (first,) = judge([GAIN], "00_kd", "mnist5k").to_dict("records")
    return first | changes


@pytest.mark.parametrize(
    ("changes", "end"),
    [
        ({}, "n = 5: reproduced"),
        ({"outcome": ""}, "n = 5"),
        ({"outcome": "undecided", "decides": 23}, "undecided; about 23 replicates would decide"),
        ({"outcome": "undecided", "decides": MOST}, "10,000 replicates would not decide"),
        ({"outcome": "undecided"}, "other test images could turn it"),
        ({"outcome": "undecided", "n": 3, "decides": 9}, "fewer than 5 replicates decide nothing"),
        ({"outcome": "undecided", "ours": None, "low": None, "high": None}, "gave no number"),
        ({"outcome": "not tested here", "n": 0, "why": "no GPU"}, "not tested here: no GPU"),
        ({"outcome": "not tested here", "n": 0}, "not tested here: it has not been measured yet"),
    ],
)
def test_a_row_in_words(changes: dict[str, Any], end: str) -> None:
    told = words.told(row(**changes))
    assert told.endswith(end)
    if changes.get("n") != 0:
        assert told.startswith(f"digits: {words.found(row(**changes))}")


def test_a_world_of_ones_own_keeps_its_name() -> None:
    assert words.told(row(world="photos/mine")).startswith("photos/mine: ")
    assert words.told(row(world="")).startswith("+2.14 ")


def test_where_a_claim_holds() -> None:
    judged = judge(MANY, "00_kd")
    told = words.where_it_holds(judged[judged.id == "three"])
    assert told == "holds on digits and clothes, undecided on photographs"
    outcomes = ("contradicted", "no effect that matters", "contradicted", "contradicted")
    worlds = ("mnist5k", "fashion5k", "natural", "rot40")
    rows = [row(world=w, outcome=o) for w, o in zip(worlds, outcomes, strict=True)]
    told = words.where_it_holds(rows)
    assert "contradicted on digits, photographs and turned digits" in told
    assert "no effect that matters on clothes" in told and "holds" not in told


# --- tables and sentences


def test_table_rounds_marks_what_is_missing_and_escapes(shown: list[dict[str, Any]]) -> None:
    frame = pd.DataFrame({"arm": ["KD", "hard"], "accuracy": [92.3456, np.nan], "n": [5, 3]})
    report.table(frame, "What was found", digits=1)
    page, text = shown[0]["text/html"], shown[0]["text/plain"]
    assert "<caption>What was found</caption>" in page
    assert "92.3" in page and "92.35" not in page and "–" in page and "nan" not in page
    assert "92.3" in text and "hard" in text
    assert ">5<" in page  # a whole number stays one
    assert "<style" not in page and page.count("text-align: left") == 3 + 6  # a cell has its own


def test_summary_gives_mean_half_width_and_n(runs: pd.DataFrame) -> None:
    found = report.summary(runs, ["accuracy", "nll"])
    assert list(found.arm) == list(dict.fromkeys(runs.arm))  # in the order of the runs
    assert list(found.columns) == ["arm", "n", "accuracy", "nll"] and set(found.n) == {5}
    ours = interval(runs.accuracy[5:10])
    assert found.accuracy[1] == f"{ours.mean:.2f} ± {ours.half:.2f}"


def test_a_summary_keeps_what_is_small(runs: pd.DataFrame) -> None:
    whole = report.summary(runs, ["nll"])
    small = report.summary(runs.assign(nll=runs.nll / 1000), ["nll"])
    for one, other in zip(whole.nll, small.nll, strict=True):
        mean, half = (float(part) for part in other.split(" ± "))
        expected = [float(part) / 1000 for part in one.split(" ± ")]
        assert [mean, half] == pytest.approx(expected, abs=1e-4)
        assert other.index(" ") == len("0.0001")


def test_summary_of_one_seed_claims_no_interval(runs: pd.DataFrame) -> None:
    found = report.summary(runs[runs.seed == 0], ["nll"])
    assert found.nll[0] == f"{runs.nll[0]:.2f}"


def test_say_shows_markdown_and_the_same_as_text(shown: list[dict[str, Any]]) -> None:
    report.say("**+1.20** points")
    assert shown == [{"text/markdown": "**+1.20** points", "text/plain": "**+1.20** points"}]


@pytest.mark.parametrize(
    ("values", "where"),
    [
        ([1.0, 1.2, 0.8, 1.1, 0.9], "lies above 0"),
        ([-1.0, -1.2, -0.8, -1.1, -0.9], "lies below 0"),
        ([1.0, -1.2, 0.8, -1.1, 0.9], "includes 0"),
        ([0.0] * 5, "includes 0"),
        ([-0.0021, -0.0023, -0.0019, -0.0022, -0.002], "lies below 0"),
        ([1.0, 1.2, 0.8, 1.1], "too few to tell"),  # although it lies above 0
        ([0.5], "too few to tell"),
        ([0.5, 0.6, 0.7, 0.5, math.nan], "no number"),
    ],
)
def test_gain_says_the_interval_and_where_it_lies(values: list[float], where: str) -> None:
    told = report.gain(values, "nats")
    assert told.replace("**", "").startswith(str(interval(values, unit="nats")))
    assert told.startswith("**") and told.endswith(where)
