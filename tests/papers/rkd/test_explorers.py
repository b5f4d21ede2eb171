"""The explorer of three points in a browser, from disk: numbers of Python, mouse, keys."""

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import torch
from playwright.sync_api import Browser, Locator, Page, expect

from kdlab.papers.rkd import explorers
from kdlab.papers.rkd.explorers import RATE
from kdlab.papers.rkd.figures import potentials, pulls
from kdlab.papers.rkd.method import on_sphere
from kdlab.papers.rkd.toy import COLOURS, REACH, START, Places
from kdlab.show.explorers import base
from kdlab.tools import pages
from tests.notebooks.test_browser import chromium
from tests.notebooks.test_explorers import quiet
from tests.show.explorers.test_explorers import GROUNDS, contrast

SIZES = {"projector": (1280, 720), "phone": (360, 740)}
CIRCLE = "on the unit circle"
CASES: list[tuple[Places, Places]] = [  # teacher, student
    (START["teacher"], START["student"]),
    ([[0.3, 1.2], [-0.7, 0.4], [1.1, -0.9]], [[1.0, 0.2], [-0.4, 0.9], [-1.3, -0.6]]),
    ([[0.0, 1.0], [1.0, 0.0], [0.5, 0.5]], [[0.5, 0.5], [0.5, 0.5], [-1.0, 0.3]]),  # A = B
    (START["teacher"], [[0.4, -0.2]] * 3),
]


# --- what needs no browser ------------------------------------------------------------------------


def test_its_module_is_one_text_that_a_page_can_hold():
    text = base.module("points")
    assert not re.search(r"^\s*import\b", text, re.MULTILINE) and "</" not in text
    assert text.count("export default") == 1 and "https://" not in text


@pytest.mark.parametrize("colour", COLOURS.values())
def test_its_colours_stand_out_on_every_ground(colour: str):
    assert min(contrast(colour, ground) for ground in GROUNDS) >= 3


def test_nothing_slow_is_imported_before_it_is_displayed():
    code = (
        "import sys\nfrom kdlab.papers.rkd import explorers\n"
        "from kdlab.show.explorers import base\n"
        "base.display = lambda *_, **__: sys.exit('torch' in sys.modules or "
        "'matplotlib' in sys.modules)\nexplorers.points()"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_the_still_tells_what_it_shows(monkeypatch: pytest.MonkeyPatch):
    displayed: list[dict[str, str]] = []
    monkeypatch.setattr(base, "display", lambda data, raw: displayed.append(data))
    explorers.points()
    assert [base.VIEW in data for data in displayed] == [True, False]
    assert "L_D = 0.0556, L_A = 0.1200" in displayed[1]["text/plain"]
    assert "image/png" in displayed[1]


# --- in a browser ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def html(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A page with the explorer alone."""
    chromium()
    with pytest.MonkeyPatch.context() as patch:
        made: list[base.Explorer] = []
        patch.setattr(base.Explorer, "show", lambda explorer, _: made.append(explorer))
        explorers.points()
    path = tmp_path_factory.mktemp("page") / "page.html"
    state = json.loads(json.dumps(made[0].get_state()))
    path.write_text(f"<!doctype html><meta charset=utf-8>{pages.alive(state, 'points')}")
    return path


@contextmanager
def seen(chrome: Browser, html: Path, size: str = "projector") -> Iterator[Page]:
    """Open the page from disk; it asks for nothing else, and nothing complains."""
    width, height = SIZES[size]
    context = chrome.new_context(viewport={"width": width, "height": height})
    page = context.new_page()
    with quiet(page) as asked:
        page.goto(html.as_uri())
        expect(point(page, "student", 0)).to_be_visible()
        yield page
        assert [a for a in asked if not a.startswith("data:")] == [html.as_uri()]
    context.close()


def point(page: Page, net: str, i: int) -> Locator:
    return page.locator(f"circle[data-net={net}][data-point='{i}']")


def places(page: Page, net: str) -> np.ndarray:
    """Return where the three points of a network are drawn."""
    return np.array([numbers(point(page, net, i), "x", "y") for i in range(3)])


def numbers(where: Locator, *names: str) -> list[float]:
    return [float(where.get_attribute(f"data-{name}") or "nan") for name in names]


def drag(page: Page, net: str, i: int, to: list[float]) -> None:
    """Drag a point with the mouse to a place of the plane."""
    box = page.locator(f"svg[data-net={net}]").bounding_box()
    handle = point(page, net, i).bounding_box()
    assert box and handle
    unit = box["width"] / (2.2 * REACH)
    page.mouse.move(handle["x"] + handle["width"] / 2, handle["y"] + handle["height"] / 2)
    page.mouse.down()
    x = box["x"] + (to[0] + 1.1 * REACH) * unit
    page.mouse.move(x, box["y"] + (1.1 * REACH - to[1]) * unit, steps=3)
    page.mouse.up()


def check_numbers(page: Page, teacher: Places, student: Places, circle: bool = False) -> None:
    """Compare all that is drawn with what Python says of these points."""
    found = pulls(student, teacher, circle)
    shown = on_sphere(torch.tensor(student, dtype=torch.float64)).tolist() if circle else student
    np.testing.assert_allclose(places(page, "student"), shown, atol=1e-9)
    for net, points in (("teacher", teacher), ("student", shown)):
        bars = page.locator(f"rect[data-bar={net}]").all()
        expected = [value for part in potentials(points) for value in part]
        drawn = [numbers(bar, "value")[0] for bar in bars]
        np.testing.assert_allclose(drawn, expected, atol=1e-9, err_msg=net)
    for name, (value, way) in found.items():
        arrows = page.locator(f"path[data-pull={name}]").all()
        drawn = [numbers(arrow, "x", "y") for arrow in arrows]
        np.testing.assert_allclose(drawn, way.numpy(), atol=1e-9, err_msg=name)
        assert page.get_by_text(f"L_{name[0].upper()} = {value:.4f}").first.is_visible()


def test_the_numbers_are_those_of_python(chrome, html):
    with seen(chrome, html) as page:
        for teacher, student in CASES:
            page.get_by_role("button", name="start again").click()
            for net, points in (("teacher", teacher), ("student", student)):
                for i, to in enumerate(points):
                    drag(page, net, i, to)
            check_numbers(page, teacher, student)
        page.get_by_role("button", name="start again").click()  # no two points cover each other
        page.get_by_role("button", name=CIRCLE).click()
        for i, to in enumerate(CASES[1][1]):
            drag(page, "student", i, to)
        check_numbers(page, START["teacher"], CASES[1][1], circle=True)


def test_a_dragged_point_follows_the_mouse_before_it_is_let_go(chrome, html):
    with seen(chrome, html) as page:
        handle = point(page, "student", 1).bounding_box()
        assert handle
        page.mouse.move(handle["x"] + 10, handle["y"] + 10)
        page.mouse.down()
        before = places(page, "student")
        page.mouse.move(handle["x"] + 40, handle["y"] - 20)
        after = places(page, "student")
        assert (after[1] != before[1]).all() and np.array_equal(after[[0, 2]], before[[0, 2]])
        page.mouse.move(5000, handle["y"])
        assert np.hypot(*places(page, "student")[1]) <= REACH + 1e-9  # it stays in the plane
        page.mouse.up()
        page.mouse.move(handle["x"], handle["y"])
        assert np.hypot(*places(page, "student")[1]) > REACH - 0.1


def test_what_keeps_the_shape_keeps_the_losses(chrome, html):
    with seen(chrome, html) as page:
        for name in ("turn", "mirror", "half as large"):
            before = places(page, "student")
            page.get_by_role("button", name=name).click()
            assert not np.allclose(places(page, "student"), before)
            assert page.get_by_text("L_D = 0.0556").first.is_visible()
            assert page.get_by_text("L_A = 0.1200").first.is_visible()
        page.get_by_role("button", name="swap A and B").click()
        assert page.get_by_text("pull: L_D = 0.0556").count() == 0
        page.get_by_role("button", name="start again").click()
        np.testing.assert_array_equal(places(page, "student"), START["student"])


def test_downhill_is_what_python_walks(chrome, html):
    now = START["student"]
    for _ in range(20):
        found = pulls(now, START["teacher"])
        way = found["distance"][1] + 2 * found["angle"][1]
        now = (torch.tensor(now, dtype=torch.float64) + RATE * way).tolist()
    far = max(np.hypot(x, y) for x, y in now) / REACH
    now = [[x / max(far, 1), y / max(far, 1)] for x, y in now]  # it stays in the plane
    with seen(chrome, html) as page:
        page.get_by_role("button", name="20 steps downhill").click()
        check_numbers(page, START["teacher"], now)
        page.get_by_role("button", name="all in one point").click()
        one = places(page, "student")
        page.get_by_role("button", name="20 steps downhill").click()
        np.testing.assert_array_equal(places(page, "student"), one)  # it does not recover


def test_it_can_be_used_by_keyboard_alone(chrome, html):
    with seen(chrome, html) as page:
        point(page, "student", 0).focus()
        for key in ("ArrowRight", "ArrowUp", "Shift+ArrowUp"):
            page.keyboard.press(key)
        np.testing.assert_allclose(places(page, "student")[0], [-1.45, -0.95])
        focused = "document.activeElement.getAttribute('aria-label')"
        assert "A of the student at −1.45, −0.95" in page.evaluate(focused)
        page.keyboard.press("Tab")
        assert "B of the student" in page.evaluate(focused)
        told = page.get_by_role("status")
        expect(told).to_contain_text("L_D = ")
        label = page.locator(".picture").get_attribute("aria-label")
        expect(told).to_have_text(str(label))  # it is told once the hand rests


def test_the_table_has_the_numbers(chrome, html):
    with seen(chrome, html) as page:
        page.get_by_text("Numbers").click()
        expect(page.locator("tr")).to_have_count(1 + 6 + 6)  # filled once the browser tells it
        rows = [row.inner_text().split("\t") for row in page.locator("tr").all()]
        assert rows[0][1:] == ["teacher", "student"]
        assert rows[3] == ["distance BC", "+0.7500", "+1.2500"]
        assert rows[5] == ["cosine at B", "−1.0000", "+0.6000"]


@pytest.mark.parametrize("size", SIZES)
def test_nothing_scrolls_sideways(chrome, html, size):
    with seen(chrome, html, size) as page:
        assert page.evaluate("document.documentElement.scrollWidth") <= SIZES[size][0]
        for mark in page.locator(".kdlab-explorer svg").all():
            box = mark.bounding_box()
            assert box and box["x"] >= 0 and box["x"] + box["width"] <= SIZES[size][0]
