"""The tables of claims: in the README from notebooks, on the page of the evidence from its rows."""

import types
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from kdlab.runs import evidence
from kdlab.runs.claims import Claim, difference, judge
from kdlab.runs.evidence import Comparison
from kdlab.runs.rows import read
from kdlab.tools import gather, readme, standings
from kdlab.tools.cli import main
from tests.notebooks import small_notebook
from tests.runs.test_claims import GAIN, GOOD, series

ROOT = Path(__file__).parent.parent.parent


def rows_of(table: str) -> list[list[str]]:
    """Return the cells of a Markdown table, without the line below its head."""
    lines = [line.strip("| ").split(" | ") for line in table.splitlines() if line.startswith("|")]
    return [line for line in lines if set("".join(line)) - set("-|")]


def judged(*claims: Claim) -> list[dict]:
    return judge(claims, "00_kd", "mnist5k").to_dict("records")


def test_a_line_per_primary_claim_with_the_worlds_side_by_side() -> None:
    both = pd.concat([series(np.negative(GOOD), "natural"), series(GOOD, "mnist5k")])
    rows = judged(
        replace(GAIN, id="two", x=both, text="A | b"),
        replace(GAIN, id="seen", primary=False),
        replace(GAIN, id="one"),
        replace(GAIN, id="none", x=None, paper="Table 2"),
    )
    head, two, one, none = rows_of(readme.table(rows))
    assert head == ["notebook", "claim", "paper", "digits", "photographs"]
    assert two[:3] == ["[00_kd](notebooks/00_kd.ipynb)", r"A \| b", "Table 1: 3.1"]
    for cell, row in zip(two[3:], rows[:2][::-1], strict=True):
        assert cell.endswith(f"n = 5: {row['outcome']}")
    assert two[3].startswith("+2.14 [") and two[4].endswith("contradicted")
    assert one[3].endswith("reproduced") and one[4] == "–"
    assert none[2:] == ["Table 2", "not tested here", "–"]


def test_claims_of_a_notebook_have_the_keys_of_the_runner_and_no_more() -> None:
    (row,) = readme.claims(small_notebook.committed())
    assert tuple(row) == readme.KEYS and row["outcome"] == "reproduced"


# --- the page of the evidence


def measured(folder: Path, replicates: int) -> types.SimpleNamespace:
    """Write made-up evidence of two worlds; return the experiment that it belongs to."""
    draw, rows = np.random.default_rng(0), []
    for world in ("mnist5k", "natural"):
        for seed in range(replicates):
            for arm, better in (("KD", 3.0), ("labels", 0.0)):
                accuracy = 80 + better + draw.normal(0, 0.1)
                rows.append({"world": world, "arm": arm, "seed": seed, "accuracy": accuracy})
    table = pd.DataFrame(rows).assign(
        val_accuracy=80.0, seconds=1.0, stamp="x", torch="2", date="2026-01-01"
    )
    table.attrs["name"] = "soft"
    evidence.write("00_x", table, "a command", folder)

    def claims(runs):
        gain = difference(runs["soft"], "KD", "labels")
        seen = Claim("seen", "It is seen.", "2", gain, primary=False)
        return [Claim("gain", "KD is better.", "1", gain), seen, Claim("none", "Not tried.", "3")]

    return types.SimpleNamespace(
        COMPARISONS=[Comparison("soft", {}), Comparison("later", {})], claims=claims
    )


def test_the_page_shows_all_measured_claims_and_how_halves_compare(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(readme, "SPLITS", 8)
    page = readme.measured({"00_x": measured(tmp_path, 10)}, tmp_path)
    assert "## [00_x](../notebooks/00_x.ipynb)" in page and "Not tried" not in page
    table, halves = page.split("Split halves")
    head, gain, seen = rows_of(table)
    assert head[2:] == ["digits", "photographs"] and gain[1] == "0.5 points"
    assert all(cell.endswith("n = 10: reproduced") for cell in gain[2:])
    assert seen[1] == "also seen" and all(cell.endswith("n = 10") for cell in seen[2:])
    head, digits, photographs, totals = rows_of(halves)
    assert head[3:] == ["agree", "one undecided", "both undecided", "contradict"]
    assert digits[1:] == ["digits", "10", "8", "0", "0", "0"]
    assert photographs[1:] == ["photographs", "10", "8", "0", "0", "0"]
    assert totals[-4:] == ["16", "0", "0", "0"] and "agree 100.0 %" in halves


def test_few_replicates_have_no_halves_and_no_evidence_has_no_page(tmp_path) -> None:
    paper = measured(tmp_path, 9)
    assert "10 replicates" in readme.measured({"00_x": paper}, tmp_path)
    assert readme.measured({"00_x": paper}, tmp_path / "no").startswith("Nothing")


def test_evidence_that_carries_no_claim_has_no_part(tmp_path) -> None:
    paper = measured(tmp_path, 10)
    paper.claims = lambda runs: [Claim("none", "Not tried.", "3")]
    assert readme.measured({"00_x": paper}, tmp_path).startswith("Nothing")


def test_the_page_of_the_evidence_is_that_of_the_evidence() -> None:
    page = (ROOT / "evidence" / "README.md").read_text(encoding="utf-8")
    for stem, paper in gather.experiments().items():
        tables = evidence.tables(stem, paper.COMPARISONS)
        found = judge(paper.claims(tables), stem)
        if found["n"].any():
            assert readme.side_by_side(found) in page, "run python -m kdlab claims --write"


def test_lengths_stand_side_by_side_and_the_last_step_is_told() -> None:
    rows = [
        {"world": "mnist5k", "arm": f"{name}, {n} updates", "seed": seed, "accuracy": mean + seed}
        for name, means in {"labels": (90, 91, 91.5), "KD": (92, 93, 92.75)}.items()
        for n, mean in zip((500, 1000, 2000), means, strict=True)
        for seed in (-1, 0, 1)
    ]
    page = readme.lengths(pd.DataFrame(rows))
    heads, labels, kd = rows_of(page)
    assert heads == ["images", "student", "500", "1,000", "2,000"]
    assert labels == ["digits", "labels", "90.0", "91.0", "91.5"]
    assert kd == ["digits", "KD", "92.0", "93.0", "92.8"]
    assert "digits: labels by +0.50, KD by -0.25; spread 1.00" in page


def test_the_page_of_the_data_shows_the_lengths_of_the_evidence() -> None:
    page = (ROOT / "data" / "README.md").read_text(encoding="utf-8")
    assert readme.lengths(read("00_kd", "regime")) in page, "run python -m kdlab claims --write"


# --- between marks

MAP = """
[[paper]]
id = "x"
stem = "00_x"
name = "X"
who = "A"
title = "First"
column = 2015
rows = [1, 2]

[[paper]]
id = "y"
stem = "00_x"
name = "Y"
who = "B"
title = "Second"
column = 2019
rows = [1, 1]

[[edge]]
from = "y"
to = "x"
word = "builds on"
says = "It adds a term."
"""
NOTES = """
[00_x]
title = "A and B 2015"

[[00_x.notes]]
note = "KD is better."
section = "Claims"
claims = ["gain"]
"""


def test_the_command_fills_both_pages_between_their_marks(tmp_path, capsys, monkeypatch) -> None:
    page, other = tmp_path / "README.md", tmp_path / "evidence" / "README.md"
    data, docs = tmp_path / "data" / "README.md", tmp_path / "docs"
    for folder in ("notebooks", "data", "docs"):
        (tmp_path / folder).mkdir()
    (docs / "map.toml").write_text(MAP)
    (docs / "notes.toml").write_text(NOTES)
    page_of = [(docs / "map.md", name) for name in ("words", "relations", "outcomes", "notes")]
    paper = measured(other.parent, 4)
    monkeypatch.setattr(gather, "experiments", lambda: {"00_x": paper})
    small_notebook.write(tmp_path / "notebooks", small_notebook.committed())
    pages = ((page, "claims"), (page, "shootout"), (other, "evidence"), (data, "regime"))
    for file, name in (*pages, *page_of):
        start, end = readme.marks(name)
        with file.open("a") as text:
            text.write(f"above\n{start}\nold\n{end}\nbelow\n")
    where = ["--notebooks", str(tmp_path / "notebooks")]
    assert main(["claims", *where]) == 0
    assert "old" in page.read_text()
    table = capsys.readouterr().out.strip()
    assert main(["claims", "--write", *where]) == 0
    start, end = readme.marks("claims")
    assert page.read_text().startswith(f"above\n{start}\n{table}\n{end}\nbelow\n")
    assert "Nothing has been measured" in readme.between(page, "shootout")
    assert rows_of(table)[1][-1] == "+2.50 [+2.00, +3.00] points, n = 5: reproduced"
    assert "KD is better." in readme.between(other, "evidence")
    assert "Nothing has been measured" in readme.between(data, "regime")
    assert "| builds on |" in readme.between(docs / "map.md", "relations")
    assert "undecided on digits (+" in readme.between(docs / "map.md", "notes")
    assert "\nold\n" not in (docs / "map.md").read_text()
    assert "First" in (docs / "map.svg").read_text()
    page.write_text(f"{end} in the wrong order {start}")
    assert main(["claims", "--write", *where]) == 2
    assert "lacks" in capsys.readouterr().err


def test_the_shoot_out_on_the_readme_is_that_of_the_evidence(tmp_path) -> None:
    page = standings.page(tmp_path, ROOT / "evidence")
    assert readme.between(ROOT / "README.md", "shootout").strip() == page
    assert (tmp_path / standings.PICTURE).stat().st_size > 10_000


def test_a_page_without_marks_is_refused(tmp_path) -> None:
    (tmp_path / "a.md").write_text("nothing")
    with pytest.raises(ValueError, match="lacks"):
        readme.write(tmp_path / "a.md", "claims", "x")
