"""Outcomes on a page: as a grid, as parts of a sentence, whatever has been measured so far."""

import math
import types
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from kdlab.runs.claims import OUTCOMES, Claim, judge
from kdlab.tools import outcomes
from tests.runs.test_claims import GOOD, series
from tests.tools.test_readme import measured, rows_of

KD = Claim("kd", "KD beats labels.", "Table 1")


def of(*parts: tuple[str, list[float]]) -> pd.Series:
    """Return numbers of several worlds."""
    return pd.concat([series(x, world) for world, x in parts])


def told(*claims: Claim) -> list[dict]:
    return judge(claims, "00_kd").to_dict("records")


DOUBT = [3.0, -3.0, 2.0, -2.5, 1.0]
BOTH = replace(KD, x=of(("mnist5k", GOOD), ("natural", DOUBT)))
FULL = replace(
    KD, x=of(("mnist5k", GOOD), ("fashion5k", list(np.negative(GOOD))), ("natural", DOUBT))
)


def test_every_outcome_has_a_symbol_beside_its_word() -> None:
    assert set(outcomes.MARKS) == set(OUTCOMES)
    assert len({mark[0] for mark in outcomes.MARKS.values()}) == len(OUTCOMES)
    assert all(mark[2:] == word for word, mark in outcomes.MARKS.items())


def test_a_sentence_of_no_evidence_of_some_and_of_all() -> None:
    assert outcomes.sentence(told(KD)) == "“KD beats labels”: not tested here yet"
    some = outcomes.sentence(told(BOTH))
    assert some == (
        "“KD beats labels”: reproduced on digits (+2.14 points), undecided on photographs "
        "(+0.10 points), not tested on clothes"
    )
    full = outcomes.sentence(told(FULL))
    assert "contradicted on clothes (-2.14 points)" in full and "not tested" not in full


def test_a_claim_that_cannot_be_tested_says_why() -> None:
    row = told(replace(KD, why="it needs ImageNet"))
    assert outcomes.sentence(row).endswith("not tested here, it needs ImageNet")


def test_what_is_also_seen_tells_a_side_and_no_outcome() -> None:
    found = outcomes.sentence(told(replace(FULL, primary=False)))
    assert found.startswith("also seen, “KD beats labels”: above 0 on digits (+2.14 points), ")
    assert "below 0 on clothes (-2.14 points), on both sides of 0 on photographs" in found
    assert not any(word in found for word in OUTCOMES)


def test_a_run_that_gave_no_number_is_told() -> None:
    broken = told(replace(KD, x=of(("mnist5k", [*GOOD[:4], math.nan]))))
    assert "undecided on digits (a run gave no number)" in outcomes.sentence(broken)


def test_a_world_of_its_own_asks_for_no_other() -> None:
    made = outcomes.sentence(told(replace(KD, x=of(("made data", GOOD)))))
    assert made == "“KD beats labels”: reproduced on made data (+2.14 points)"


def test_the_grid_has_a_line_a_primary_claim_and_says_what_is_not_tested() -> None:
    made = replace(KD, id="made", text="It holds | there.", x=of(("made data", GOOD)))
    seen = replace(FULL, id="seen", primary=False)
    grid = outcomes.grid({"00_kd": told(FULL, seen, replace(KD, id="none"), made)})
    heads, full, none, other = rows_of(grid)
    assert heads == ["where", "claim", "digits", "clothes", "photographs", "other images"]
    assert full[2:5] == ["✓ reproduced", "✗ contradicted", "? undecided"]
    assert none[2:5] == ["– not tested here"] * 3
    assert other[1] == r"It holds \| there." and other[5] == "✓ reproduced (made data)"
    assert full[0] == "[00, *Claims*](../notebooks/00_kd.ipynb#claims)"
    assert "3 primary claims, 4 outcomes: 2 reproduced, 1 contradicted, 1 undecided." in grid


def test_the_grid_without_evidence_counts_no_outcome() -> None:
    grid = outcomes.grid({"00_kd": told(KD)})
    assert grid.startswith("1 primary claims, 0 outcomes.")
    assert rows_of(grid)[0][-1] == "photographs"


def test_a_claim_that_is_not_there_is_refused_with_those_that_are() -> None:
    with pytest.raises(ValueError, match="no claim 'kdd'; there are kd"):
        outcomes.rows_of(told(KD), "kdd")


def test_judged_reads_the_evidence_of_a_folder(tmp_path: Path) -> None:
    paper: types.SimpleNamespace = measured(tmp_path, 6)
    found = outcomes.judged({"00_x": paper}, tmp_path)["00_x"]
    assert {row["world"] for row in outcomes.rows_of(found, "gain")} == {"mnist5k", "natural"}
    empty = outcomes.judged({"00_x": paper}, tmp_path / "no")["00_x"]
    assert [row["outcome"] for row in outcomes.rows_of(empty, "gain")] == ["not tested here"]
