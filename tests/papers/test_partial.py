"""Evidence grows comparison by comparison: the rules of every paper bear what is not there yet."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from kdlab.runs.claims import judge
from kdlab.runs.evidence import tables
from kdlab.tools.gather import experiments


def parts() -> Iterator[Any]:
    """Yield (stem, which comparison is there alone) for all that have evidence."""
    for stem, paper in experiments().items():
        found = tables(stem, paper.COMPARISONS)
        for name in [name for name, table in found.items() if len(table)]:
            yield pytest.param(stem, name, id=f"{stem}, {name}")


@pytest.mark.parametrize(("stem", "name"), list(parts()))
def test_claims_are_judged_on_any_part_of_the_evidence(stem: str, name: str) -> None:
    paper = experiments([stem])[stem]
    whole = tables(stem, paper.COMPARISONS)
    alone = {other: table if other == name else table[:0] for other, table in whole.items()}
    for other, table in alone.items():
        table.attrs["name"] = other
    for runs in (alone, {other: first_world(table) for other, table in alone.items()}):
        judged = judge(paper.claims(runs), stem)
        told = getattr(paper, "named", dict)(runs)  # 10 calls made data by its own name
        assert len(judged) and set(judged.loc[judged["n"] > 0, "world"]) <= worlds(told)


@pytest.mark.parametrize("stem", list(experiments()))
def test_the_rules_work_without_evidence(stem: str, tmp_path: Path) -> None:
    paper = experiments([stem])[stem]
    rows = judge(paper.claims(tables(stem, paper.COMPARISONS, tmp_path)), stem, "mnist5k")
    assert set(rows["outcome"]) == {"not tested here"}
    assert 3 <= rows["primary"].sum() <= 6


@pytest.mark.parametrize("stem", list(experiments()))
def test_a_primary_claim_stands_on_enough_replicates(stem: str) -> None:
    """The table of outcomes says so: ten at least, in photographs six."""
    paper = experiments([stem])[stem]
    judged = judge(paper.claims(tables(stem, paper.COMPARISONS)), stem)
    few = judged[judged["primary"] & (judged["n"] > 0)].query(
        "n < 6 or n < 10 and world != 'natural'"
    )
    assert few[["claim", "world", "n"]].values.tolist() == []


def first_world(table: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of the first world."""
    return table[table["world"] == table["world"].iloc[0]] if len(table) else table


def worlds(runs: dict[str, pd.DataFrame]) -> set[str]:
    """Return the worlds of all tables."""
    return set().union(*(table["world"] for table in runs.values()))
