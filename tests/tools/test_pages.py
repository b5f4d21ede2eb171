"""Pages: formulas without the net, widgets without a kernel, nothing that is fetched."""

import re
import xml.etree.ElementTree as ElementTree
from html.parser import HTMLParser
from pathlib import Path

import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from kdlab.tools import notebooks, pages
from kdlab.tools.notebooks import WIDGET
from tests.notebooks.rules import prose

FOLDER = Path(__file__).parents[2] / "notebooks"
PATHS = notebooks.find(FOLDER)
FORMULA = re.compile(r"\$\$(.+?)\$\$|\$([^$\n]+)\$", re.DOTALL)


class Addresses(HTMLParser):
    """Collects the addresses that a browser would ask for by itself."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag, attrs):
        names = {"link": "href"}.get(tag, "src")
        self.found += [value for key, value in attrs if key == names and value]


def fetched(page: str) -> list[str]:
    reader = Addresses()
    reader.feed(page)
    reader.found += re.findall(r"(?:@import|url\(|from)\s*[\"']?(https?:[^\"')]+)", page)
    return [address for address in reader.found if not address.startswith("data:")]


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)
def test_every_formula_of_the_notebooks_is_converted(path):
    found = FORMULA.findall(prose(notebooks.read(path)))
    assert found
    for block, inline in found:
        made = pages.formula(block or inline)
        assert made.startswith("<math"), block or inline
        ElementTree.fromstring(made.replace("&", "&amp;"))


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)
def test_the_page_of_a_notebook_shows_its_formulas_and_fetches_nothing(path):
    nb = notebooks.read(path)
    page = pages.to_page(nb, path.stem)
    assert fetched(page) == []
    assert page.count("<math") == len(FORMULA.findall(prose(nb)))
    assert f"<title>{path.stem}</title>" in page


@pytest.mark.parametrize("tex", [r"\foo x", r"\left( x", "{", "a_", r"a < \nonsense{b}"])
def test_what_cannot_be_converted_is_shown_as_code(tex):
    assert pages.formula(tex) == f"<code>{tex.replace('<', '&lt;')}</code>"


def page_of(*cells, states=None) -> str:
    widgets = {pages.STATE: {"state": {k: {"state": v} for k, v in (states or {}).items()}}}
    return pages.to_page(new_notebook(cells=list(cells), metadata={"widgets": widgets}), "small")


def test_formulas_between_words_stand_in_lines_and_blocks_alone():
    page = page_of(new_markdown_cell("At $T^2$ and\n\n$$\\alpha$$\n\n\\begin{cases}a\\end{cases}"))
    displays = re.findall(r'<math display="(\w+)"|<math xmlns="[^"]+" display="(\w+)"', page)
    assert [one or two for one, two in displays] == ["inline", "block", "block"]
    assert "$" not in re.sub(r"<style.*?</style>", "", page, flags=re.DOTALL)


def test_code_with_dollars_stays_code():
    page = page_of(new_markdown_cell("Type `$T$`, or\n\n```\n$T$\n```"))
    assert "<math" not in page and page.count("$T$") == 2


def view(model: str):
    return new_output("display_data", {WIDGET: {"model_id": model}, "text/plain": "VBox()"})


def test_a_widget_that_needs_a_kernel_leaves_its_pictures():
    picture = new_output("display_data", {"text/html": '<img alt="a dot" src="data:,">'})
    states = {
        "box": {"children": ["IPY_MODEL_slider", "IPY_MODEL_out"]},
        "slider": {"value": 1},
        "out": {"outputs": [picture]},
    }
    page = page_of(new_code_cell("panel", outputs=[view("box")]), states=states)
    assert 'alt="a dot"' in page and "in the notebook it can be used" in page
    assert "widget-view" not in page and "widget-state" not in page


def test_a_notebook_that_failed_has_saved_no_state_and_still_becomes_a_page():
    page = page_of(new_code_cell("panel", outputs=[view("lost")]))
    assert "in the notebook it can be used" in page


def test_the_notebook_itself_stays_as_it_was():
    nb = new_notebook(cells=[new_code_cell("1", outputs=[view("a")])])
    nb.metadata["widgets"] = {pages.STATE: {"state": {"a": {"state": {}}}}}
    pages.without_kernel(nb)
    assert WIDGET in nb.cells[0].outputs[0].data and "widgets" in nb.metadata
