"""The map of the papers: a picture and tables that agree with the file, and with the evidence."""

import functools
import re
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from kdlab.papers import folders
from kdlab.tools import atlas, drawing, gather, outcomes, readme
from tests.tools.test_notes import YES
from tests.tools.test_outcomes import KD, told

ROOT = Path(__file__).parent.parent.parent
DOCS = ROOT / "docs"
SVG = "{http://www.w3.org/2000/svg}"
SMALLEST = 12  # pixels of a letter where the picture is 1280 wide
TWO = """
[[paper]]
id = "one"
stem = "00_kd"
name = "One"
who = "A"
title = "First & <best>"
column = 2015
rows = [1, 1]

[[paper]]
id = "two"
stem = "05_rkd"
name = "Two"
who = "B"
title = "Second"
column = 2019
rows = [1, 2]

[[edge]]
from = "two"
to = "one"
word = "builds on"
says = "It adds a term."
"""


@functools.cache
def judged() -> dict:
    return outcomes.judged(gather.experiments(), ROOT / "evidence")


@pytest.fixture
def two(tmp_path):
    (tmp_path / atlas.FILE).write_text(TWO)
    return tmp_path


def test_the_page_is_that_of_the_evidence_and_every_note_names_claims_that_exist():
    parts = atlas.parts(DOCS, judged())
    stale = [n for n, p in parts.items() if readme.between(DOCS / "map.md", n).strip() != p.strip()]
    assert stale == [], "run python -m kdlab claims --write"


def test_the_picture_is_that_of_the_file():
    committed = (DOCS / "map.svg").read_text(encoding="utf-8")
    assert committed == drawing.picture(DOCS), "run python -m kdlab claims --write"


def test_every_notebook_stands_on_the_map_and_every_paper_in_words():
    papers, edges = atlas.read(DOCS)
    assert {paper["stem"] for paper in papers.values()} == set(folders())
    linked = {end for edge in edges for end in (edge["from"], edge["to"])}
    assert linked == set(papers), "a paper without an arrow"
    years = {name: paper["column"] for name, paper in papers.items()}
    assert all(years[edge["from"]] >= years[edge["to"]] for edge in edges)


def test_each_box_leads_to_its_notebook_and_each_arrow_has_its_word(two):
    svg = ET.fromstring(drawing.picture(two))
    boxes = svg.findall(f"{SVG}a")
    assert [a.get("href") for a in boxes] == [
        "../notebooks/00_kd.ipynb",
        "../notebooks/05_rkd.ipynb",
    ]
    assert boxes[0].findtext(f"{SVG}title") == "A 2015, First & <best>"
    words = [text.text for text in svg.iter(f"{SVG}text") if text.get("class") == "word"]
    assert words == ["builds on"]
    assert svg.findtext(f"{SVG}desc") == "Two builds on One."
    (edge,) = svg.findall(f"{SVG}polyline[@class='edge']")
    start, end = ([float(x) for x in point.split(",")] for point in edge.get("points").split())
    right = drawing.COLUMNS[2015] + drawing.BOX
    assert (start[0], end[0]) == (drawing.COLUMNS[2019], right)  # from box to box


def test_letters_are_large_enough_and_follow_light_and_dark():
    svg = drawing.picture(DOCS)
    sizes = [float(size) for size in re.findall(r"font-size: (\d+)px", svg)]
    assert sizes and min(sizes) >= SMALLEST and 'viewBox="0 0 1280 720"' in svg
    assert "prefers-color-scheme: dark" in svg
    assert {text.get("class") for text in ET.fromstring(svg).iter(f"{SVG}text")} <= set(
        re.findall(r"\.(\w+) \{[^}]*font-size", svg)
    )


@pytest.mark.parametrize(
    ("old", "new", "word"),
    [('to = "one"', 'to = "three"', "three"), ("builds on", "likes", "builds on, adds to")],
)
def test_an_edge_that_leads_nowhere_or_says_nothing_is_refused(two, old, new, word):
    (two / atlas.FILE).write_text(TWO.replace(old, new))
    with pytest.raises(ValueError, match=word):
        atlas.read(two)


def test_relations_tell_what_was_found_here(two):
    none = atlas.relations(two, {"00_kd": [], "05_rkd": told(KD)})
    assert none.endswith("| It adds a term. | no claim |")
    (two / atlas.FILE).write_text(TWO + 'claims = ["kd"]\n')
    some = atlas.relations(two, {"00_kd": [], "05_rkd": told(YES)})
    assert "[Two, B 2019 (05)](../notebooks/05_rkd.ipynb) | builds on | [One, A 2015 (00)]" in some
    assert some.endswith(
        "“KD beats labels”: reproduced on digits (+2.14 points), not tested on "
        "clothes and photographs |"
    )


def test_in_the_browser_no_word_leaves_its_place(chrome):
    page = chrome.new_page(viewport={"width": 1280, "height": 720}, color_scheme="dark")
    page.goto((DOCS / "map.svg").as_uri())
    boxes = page.evaluate(
        """() => [...document.querySelectorAll('a')].map(a => {
          const box = a.querySelector('rect').getBoundingClientRect();
          return [...a.querySelectorAll('text')].every(t => {
            const r = t.getBoundingClientRect();
            return r.left >= box.left && r.right <= box.right && r.bottom <= box.bottom;
          }) ? '' : a.textContent;
        }).filter(Boolean)"""
    )
    assert boxes == []
    crossed = page.evaluate(
        """() => {
          const of = n => [...document.querySelectorAll(n)].map(e => e.getBoundingClientRect());
          const hit = (a, b) => Math.min(a.right, b.right) - Math.max(a.left, b.left) > 1
            && Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top) > 1;
          const words = of('.word'), boxes = of('.box');
          return words.filter((w, i) => boxes.some(b => hit(w, b))
            || words.some((v, j) => j > i && hit(w, v))).length;
        }"""
    )
    assert crossed == 0
    page.close()
