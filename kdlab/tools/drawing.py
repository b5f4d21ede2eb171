"""The map of the papers as a picture: a box a paper, an arrow an edge, a column a year.

It has its own background, light or dark as the reader's system is, because a page that shows it may
be either.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

from kdlab.tools.atlas import Edge, Paper, read

WIDE, HIGH = 1280, 720
COLUMNS = {2015: 16, 2017: 320, 2018: 470, 2019: 668, 2020: 946, 2023: 1112}  # left ends
TOP, STEP, BOX, TALL = 92, 51, 154, 42  # of rows; of a box, its width and height
AGAINST = ("asks back", "contradicts")
DASHES = {  # of lines whose word is not a kind of building
    "claims to beat": "10 4",
    "explains": "2 4",
    "asks back": "5 4",
    "contradicts": "14 4 3 4",
}
STYLE = """
svg { --page: #ffffff; --ink: #1f2328; --line: #57606a; --box: #eaf2fb; --edge: #1f5f99;
  --against: #a8321a; font-family: "DejaVu Sans", Verdana, Arial, sans-serif; }
@media (prefers-color-scheme: dark) { svg { --page: #14181d; --ink: #e6edf3; --line: #9aa5b1;
  --box: #1d2f42; --edge: #6cb2f0; --against: #ff9580; } }
.page { fill: var(--page); } .year { fill: var(--ink); font-size: 18px; font-weight: bold; }
.rule { stroke: var(--line); opacity: 0.35; } text { fill: var(--ink); }
.box { fill: var(--box); stroke: var(--edge); stroke-width: 1.5; }
.name { font-size: 17px; font-weight: bold; } .who { font-size: 16px; }
.edge { fill: none; stroke: var(--edge); stroke-width: 1.8; } .tip { fill: var(--edge); }
.against { stroke: var(--against); } .tip.against { fill: var(--against); stroke: none; }
.word { font-size: 16px; font-style: italic; paint-order: stroke; stroke: var(--page);
  stroke-width: 5px; }
a:hover .box, a:focus .box { stroke-width: 3.5; } a:focus { outline: none; }
"""


def picture(docs: Path) -> str:
    """Return the map as SVG: a box a paper, which links to its notebook, and an arrow an edge."""
    papers, edges = read(docs)
    svg = ET.Element("svg", xmlns="http://www.w3.org/2000/svg", role="group")
    svg.set("viewBox", f"0 0 {WIDE} {HIGH}")
    svg.set("aria-labelledby", "map-title map-text")
    _text(svg, "title", "A map of the papers", id="map-title")
    told = "; ".join(
        f"{papers[e['from']]['name']} {e['word']} {papers[e['to']]['name']}" for e in edges
    )
    _text(svg, "desc", f"{told}.", id="map-text")
    _text(svg, "style", STYLE)
    _add(svg, "rect", "page", width=WIDE, height=HIGH)
    for year, left in COLUMNS.items():
        _text(svg, "text", str(year), "year", x=left, y=32)
    _line(svg, [(16, 46), (WIDE - 16, 46)], "rule")
    words = [_arrow(svg, papers, edge) for edge in edges]
    for paper in papers.values():
        _box(svg, paper)
    for word, x, y in words:  # last, so that no line crosses a word
        _text(svg, "text", word, "word", x=x, y=y, **{"text-anchor": "middle"})
    _legend(svg)
    ET.indent(svg, " ")
    return ET.tostring(svg, encoding="unicode") + "\n"


def _y(row: float) -> float:
    return TOP + (row - 1) * STEP


def _sides(paper: Paper) -> tuple[float, float, float, float]:
    """Return left, top, right and bottom of a paper's box."""
    x = COLUMNS[paper["column"]] + paper.get("shift", 0)
    top, bottom = (_y(row) for row in paper["rows"])
    return x, top - TALL / 2, x + BOX, bottom + TALL / 2


def _points(papers: Mapping[str, Paper], edge: Edge) -> list[tuple[float, float]]:
    """Return the corners of an edge: from side to side, or from top to bottom within a column."""
    one, other = (_sides(papers[edge[end]]) for end in ("from", "to"))
    via = [(x, _y(row)) for x, row in edge.get("via", ())]
    if one[0] == other[0]:
        x, down = one[0] + BOX / 2, one[1] < other[1]
        return [(x, one[3]), (x, other[1])] if down else [(x, one[1]), (x, other[3])]
    middle = (one[1] + one[3]) / 2
    row = _y(edge["row"]) if "row" in edge else middle
    end = min(max(row, other[1] + TALL / 2), other[3] - TALL / 2)
    start = min(max(end, one[1] + TALL / 2), one[3] - TALL / 2)
    first = [(via[0][0], one[3])] if via else [(one[0], start)]
    return [*first, *via, (other[2], end)]


def _arrow(svg: ET.Element, papers: Mapping[str, Paper], edge: Edge) -> tuple[str, float, float]:
    """Draw an edge; return its word and where it stands, on the edge's last part."""
    points = _points(papers, edge)
    against = " against" if edge["word"] in AGAINST else ""
    line = _line(svg, points, f"edge{against}")
    if dash := DASHES.get(edge["word"]):
        line.set("stroke-dasharray", dash)
    (x0, y0), (x1, y1) = points[-2:]
    long = ((x1 - x0) ** 2 + (y1 - y0) ** 2) ** 0.5
    ux, uy = (x1 - x0) / long, (y1 - y0) / long
    tip = [(x1, y1), *((x1 - 11 * ux - s * 5 * uy, y1 - 11 * uy + s * 5 * ux) for s in (1, -1))]
    _add(svg, "polygon", f"tip{against}", points=_join(tip))
    upright = abs(ux) < 0.1
    share = 0.5 if long < 200 else edge.get("at", 0.5)
    x, y = x0 + share * (x1 - x0), y0 + share * (y1 - y0)
    return edge["word"], x + (38 if upright else 0), y + 5 + (0 if upright or uy else -12)


def _box(svg: ET.Element, paper: Paper) -> None:
    x, top, right, bottom = _sides(paper)
    home = ET.SubElement(svg, "a", href=f"../notebooks/{paper['stem']}.ipynb")
    _text(home, "title", f"{paper['who']} {paper['column']}, {paper['title']}")
    _add(home, "rect", "box", x=x, y=top, width=right - x, height=bottom - top, rx=6)
    middle = (top + bottom) / 2
    _text(home, "text", paper["name"], "name", x=x + 8, y=middle - 3)
    _text(home, "text", f"{paper['stem'][:2]} · {paper['who']}", "who", x=x + 8, y=middle + 15)


def _legend(svg: ET.Element) -> None:
    told = "An arrow leads from the later paper to the earlier one. A box opens its notebook."
    _text(svg, "text", told, "who", x=16, y=HIGH - 14)


def _line(svg: ET.Element, points: Iterable[tuple[float, float]], name: str) -> ET.Element:
    return _add(svg, "polyline", name, points=_join(points))


def _text(parent: ET.Element, tag: str, text: str, name: str = "", **options: Any) -> None:
    _add(parent, tag, name, **options).text = text


def _add(parent: ET.Element, tag: str, name: str = "", **options: Any) -> ET.Element:
    """Add an element of the class `name`; numbers among its attributes become text."""
    found = ET.SubElement(parent, tag)
    for key, value in options.items():
        found.set(key, f"{value:g}" if isinstance(value, int | float) else value)
    if name:
        found.set("class", name)
    return found


def _join(points: Iterable[tuple[float, float]]) -> str:
    return " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
