"""Anchors are those of GitHub and MyST, and every link to a heading leads to one."""

import re
from pathlib import Path

import nbformat
import pytest

from kdlab.tools.anchors import headings, link, slug

ROOT = Path(__file__).parent.parent.parent
DOCS = ROOT / "docs"
LINK = re.compile(r"\[((?:[^\[\]]|\\.)*)\]\(([^)#\s]*)#([^)\s]+)\)")


@pytest.mark.parametrize(
    ("title", "anchor"),
    [
        ("The loss", "the-loss"),
        ("What the schedule of `kd_stop` does", "what-the-schedule-of-kd_stop-does"),
        ("Isn't DeepInversion better?", "isnt-deepinversion-better"),
        ("3. Ablate · difficulty 3", "3-ablate--difficulty-3"),
    ],
)
def test_an_anchor_is_that_of_github(title, anchor):
    assert slug(title) == anchor


def test_headings_of_a_page_and_of_a_notebook(tmp_path):
    text = "# One\n\n```sh\n# a comment\n```\n\n## Two [parts](x.md)\n\n#no heading\n\n## One\n"
    (tmp_path / "a.md").write_text(text)
    found = {"one": "One", "two-parts": "Two parts", "one-1": "One"}
    assert headings(tmp_path / "a.md") == found
    cells = [nbformat.v4.new_markdown_cell(text), nbformat.v4.new_code_cell("# no heading")]
    nbformat.write(nbformat.v4.new_notebook(cells=cells), tmp_path / "a.ipynb")
    assert headings(tmp_path / "a.ipynb") == found


def test_a_link_names_its_heading():
    assert link("05_rkd", "Play") == "[05, *Play*](../notebooks/05_rkd.ipynb#play)"


@pytest.mark.parametrize("name", ["map.md", "questions.md"])
def test_links_lead_to_headings_and_name_them(name):
    text = (DOCS / name).read_text(encoding="utf-8")
    found, pages = LINK.findall(text), dict[str, dict[str, str]]()
    assert len(found) > 20
    for words, page, anchor in found:
        known = pages.setdefault(page, headings(DOCS / page))
        assert anchor in known, f"{page} has no heading #{anchor}"
        if named := re.search(r"\*(.+)\*", words):  # of an exercise without its minutes
            assert known[anchor].split(" · ")[0] == named[1]


def test_every_question_is_asked_once_and_answered_by_a_link():
    text = (DOCS / "questions.md").read_text(encoding="utf-8")
    lines = [line for line in text.splitlines() if line.startswith("- ")]
    assert 60 <= len(lines) <= 90
    asked = [re.fullmatch(r"- ([^\[]+\?) \[.+\]\(\S+\)", line) for line in lines]
    assert [line for line, hit in zip(lines, asked, strict=True) if hit is None] == []
    assert len({hit[1] for hit in asked if hit}) == len(lines)


def test_the_questions_lead_into_every_notebook():
    text = (DOCS / "questions.md").read_text(encoding="utf-8")
    books = {path.name for path in (ROOT / "notebooks").glob("[01][0-9]_*.ipynb")}
    assert {name for name in books if f"/{name}#" not in text} - {"12_lab.ipynb"} == set()
