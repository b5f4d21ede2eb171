"""Panels in a browser: on a page from disk, and in JupyterLab, where the kernel draws ahead."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from nbformat.v4 import new_code_cell, new_notebook
from playwright.sync_api import Locator, Page, expect

from kdlab.tools import course, notebooks, pages
from tests.notebooks.test_browser import chromium
from tests.notebooks.test_explorers import MOST, idle, median, opened, quiet, run_cell

PANEL = """from kdlab import choice, panel, slider
from kdlab.show.plots import figure


def draw(T, mark):
    fig, ax = figure(size=(4, 2))
    ax.plot([0, T], [0, 1], mark)
    return fig


panel(
    draw,
    alt="A line that rises to T = {T}, drawn with {mark}.",
    T=slider("temperature T", range(20), 4),
    mark=choice("mark", [("line", "-"), ("dots", "o")], "-"),
)"""


@pytest.fixture(scope="module")
def html(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The page of a notebook with a panel, run headless."""
    chromium()
    folder = tmp_path_factory.mktemp("page")
    nb = new_notebook(cells=[new_code_cell(PANEL)], metadata={"kernelspec": notebooks.KERNEL})
    course.execute(nb, folder, ahead=True)
    path = folder / "page.html"
    path.write_text(pages.to_page(nb, "page"), encoding="utf-8")
    yield path


def panel_of(page: Page) -> Locator:
    return page.locator(".kdlab-explorer")


def frame(page: Page, name: str) -> None:
    """Wait for the picture of these places, whole and no longer awaited."""
    image = panel_of(page).locator(f'img.frame:not(.late)[data-frame="{name}"]')
    expect(image).to_be_visible(timeout=60_000)


def test_on_a_page_from_disk_one_control_moves_at_a_time(chrome, html):
    context = chrome.new_context(viewport={"width": 1366, "height": 768})
    page = context.new_page()
    with quiet(page) as asked:
        page.goto(html.as_uri())
        frame(page, "4,0")
        told = panel_of(page).get_by_role("img")
        expect(told).to_have_attribute("aria-label", "A line that rises to T = 4, drawn with -.")
        handle = panel_of(page).get_by_role("slider", name="temperature T")
        handle.press("End")
        frame(page, "19,0")
        expect(handle).to_have_attribute("aria-valuetext", "19")
        expect(panel_of(page).get_by_text("Numbers")).to_be_hidden()
        panel_of(page).get_by_role("button", name="dots").click()
        frame(page, "4,1")
        expect(panel_of(page).get_by_text("this is temperature T 4")).to_be_visible()
        panel_of(page).get_by_role("button", name="Reset").click()
        frame(page, "4,0")
        expect(panel_of(page).get_by_text("Without a kernel")).to_have_count(0)
        page.evaluate("document.querySelectorAll('details').forEach((d) => { d.open = true; })")
        handle.press("End")  # a site opens all folds at once, and the hidden one fills no table
        frame(page, "19,0")
        panel_of(page).get_by_role("button", name="Reset").click()
        assert median(handle, "panel from disk") <= MOST
        assert [a for a in asked if not a.startswith("data:")] == [html.as_uri()]
    context.close()


def test_in_jupyterlab_the_kernel_draws_what_is_wanted_and_what_comes_next(chrome, tmp_path):
    with opened(chrome, tmp_path, [PANEL]) as (_, page):
        errors: list[str] = []
        page.on("pageerror", lambda error: errors.append(str(error)))
        run_cell(page, 0)
        idle(page)
        handle = panel_of(page).get_by_role("slider", name="temperature T")
        handle.press("End")
        frame(page, "19,0")
        panel_of(page).get_by_role("button", name="dots").click()
        frame(page, "19,1")
        handle.press("Home")
        frame(page, "0,1")
        page.wait_for_timeout(4000)  # the kernel draws ahead
        assert median(handle, "panel in JupyterLab") <= MOST
        frame(page, "19,1")
        assert errors == []
