"""Tables and sentences carry the numbers they were given."""

from typing import Any

import numpy as np
import pandas as pd
import pytest

from kdlab.show import report
from kdlab.show.claims import interval


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


def test_table_rounds_marks_what_is_missing_and_escapes(shown: list[dict[str, Any]]) -> None:
    frame = pd.DataFrame({"arm": ["KD", "hard"], "accuracy": [92.3456, np.nan], "n": [5, 3]})
    report.table(frame, "What was found", digits=1)
    page, text = shown[0]["text/html"], shown[0]["text/plain"]
    assert "<caption>What was found</caption>" in page
    assert "92.3" in page and "92.35" not in page and "–" in page and "nan" not in page
    assert "92.3" in text and "hard" in text
    assert ">5<" in page  # a whole number stays one


def test_summary_gives_mean_half_width_and_n(runs: pd.DataFrame) -> None:
    found = report.summary(runs, ["accuracy", "nll"])
    assert list(found.arm) == list(dict.fromkeys(runs.arm))  # in the order of the runs
    assert list(found.columns) == ["arm", "n", "accuracy", "nll"] and set(found.n) == {5}
    mean, low, high = interval(runs.accuracy[5:10])
    assert found.accuracy[1] == f"{mean:.2f} ± {high - mean:.2f}"
    assert high - mean == pytest.approx(mean - low)


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
        ([0.0, 0.0, 0.0], "includes 0"),
    ],
)
def test_gain_says_mean_interval_n_and_where_it_lies(values: list[float], where: str) -> None:
    mean, low, high = interval(values)
    numbers = f"**{mean:+.2f}** points [{low:+.2f}, {high:+.2f}], n = {len(values)}"
    assert report.gain(values) == f"{numbers}: the interval {where}"


def test_gain_shows_a_narrow_interval_as_one() -> None:
    told = report.gain([-0.0021, -0.0023, -0.0019], "nats")
    assert told == "**-0.0021** nats [-0.0026, -0.0016], n = 3: the interval lies below 0"


def test_gain_of_one_seed_claims_no_interval_and_names_its_unit() -> None:
    assert (
        report.gain([0.5], "% recall") == "**+0.50** % recall, n = 1: too few seeds for an interval"
    )
