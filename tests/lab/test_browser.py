"""What a student does with the lab in JupyterLab, by mouse and by keyboard alone."""

import json
import re
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import nbformat
from nbformat.v4 import new_code_cell, new_notebook
from playwright.sync_api import Locator, Page, expect

from tests.lab.conftest import TINY, until
from tests.notebooks.test_browser import browser, chromium, lab

SLOW = 120_000  # ms; kernels and workers start slowly where many processes share the cores
ROWS = [{"method": method, **TINY, "updates": 60} for method in ("labels", "KD")]
LAB = f"from kdlab.lab import lab\nmy_lab = lab({ROWS!r}, n_jobs=2)\nmy_lab"
LOSS = """from typing import Annotated

def my_loss(z_s, z_t, y, *, T: Annotated[float, (0.5, 20)] = 4.0):
    return ((z_s - z_t) / T).square().mean()

my_lab.add(my_loss)"""
BAD = "def bad(z_s, z_t, y):\n    return z_s - z_t\n\nmy_lab.add(bad)"


class Desk:
    """A notebook with a lab, open in JupyterLab at 1366 x 768."""

    def __init__(self, page: Page, url: str) -> None:
        self.page, self.url, self.errors, self.asked = page, url, list[str](), set[str]()
        page.set_viewport_size({"width": 1366, "height": 768})
        page.set_default_timeout(SLOW)
        page.on("console", lambda m: self.errors.append(m.text) if m.type == "error" else None)
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.on("request", lambda request: self.asked.add(request.url))
        self.lab: Locator = page.locator(".kdlab-lab")

    def button(self, name: str) -> Locator:
        return self.lab.get_by_role("button", name=name, exact=True)

    def open(self) -> None:
        self.page.goto(self.url)
        idle = self.page.get_by_role("button", name=re.compile(r"Python 3.*\| Idle"))
        expect(idle).to_be_visible(timeout=SLOW)

    def run(self, cell: int) -> None:
        """Run a cell, as Shift and Enter in it do."""
        self.page.locator(".jp-CodeCell .cm-content").nth(cell).click()
        self.page.keyboard.press("Shift+Enter")

    def says(self, text: str | re.Pattern[str]) -> None:
        expect(self.lab.get_by_role("status")).to_contain_text(text, timeout=SLOW)

    def unfold(self, title: str) -> None:
        self.lab.locator("summary", has_text=title).click()


@contextmanager
def desk(folder: Path, *cells: str) -> Iterator[Desk]:
    """Serve a notebook of these cells and open it; keep a picture of what fails."""
    chromium()
    (folder / "course").mkdir(parents=True)
    nb = new_notebook(cells=[new_code_cell(cell) for cell in cells])
    nb.metadata["kernelspec"] = {"display_name": "Python 3", "name": "python3"}
    nbformat.write(nb, folder / "course" / "n.ipynb")
    with (
        lab(folder / "course", folder / "server.log") as url,
        browser(folder / "profile") as page,
    ):
        here = Desk(page, url.replace("/?", "/lab/tree/n.ipynb?"))
        try:
            here.open()
            yield here
        except BaseException:
            page.screenshot(path=folder / "failure.png")
            raise
        assert here.errors == []
        assert all("//localhost" in url for url in here.asked if url.startswith("http"))


def wide(page: Page) -> list[str]:
    """Return what is wider than its place, so that one would have to scroll sideways."""
    return page.evaluate("""() => [document.body, ...document.querySelectorAll(
        ".jp-WindowedPanel-outer, .jp-OutputArea-output, .kdlab-lab, .kdlab-lab *")]
        .filter((el) => el.scrollWidth > el.clientWidth + 1 && el.clientWidth
            && getComputedStyle(el).overflowX !== "visible" && !el.closest("svg, textarea"))
        .map((el) => `${el.tagName}.${el.className} ${el.scrollWidth} > ${el.clientWidth}`)""")


def beyond(here: Desk, width: int) -> list[str]:
    """Return what would stand beyond the edge of a lab of this width in pixels."""
    return here.page.evaluate(
        """([el, width]) => {
            el.style.width = `${width}px`;
            const edge = el.getBoundingClientRect().right + 1;
            return [...el.querySelectorAll("*")].filter((e) => !e.closest("svg"))
                .filter((e) => e.getBoundingClientRect().right > edge)
                .map((e) => `${e.tagName}.${e.className}`);
        }""",
        [here.lab.element_handle(), width],
    )


def api(url: str, path: str, method: str = "GET") -> Any:
    base, _, token = url.partition("/lab/tree/n.ipynb?")
    asked = urllib.request.Request(f"{base}{path}?{token}", method=method)
    with urllib.request.urlopen(asked) as reply:
        return json.loads(reply.read() or "null")


def dots(here: Desk, arm: int) -> Locator:
    return here.lab.get_by_role("img", name=re.compile(f"^Arm {arm}: ")).locator(".dot")


def test_train_stop_restart_and_the_book(tmp_path: Path) -> None:
    slow = (
        f"my_lab._press_add({ {'method': 'labels', **TINY, 'updates': 90_000}!r}); my_lab._push()"
    )
    own = LAB.replace("'labels': 20", "'labels': 30")  # whose teachers no other test has trained
    later = {"do": "draft", "row": {"method": "KD", **TINY}}
    push = f"import threading\nthreading.Timer(2, my_lab._heard, [None, {later!r}, None]).start()"
    with desk(tmp_path, own, f"{push}\nprint('a', 'cell', 'ran')", slow) as here:
        here.run(0)
        expect(here.button("Train")).to_be_visible(timeout=SLOW)
        expect(here.lab).to_contain_text("To train: 3 teachers and 6 students, ")

        here.button("Train").dblclick()  # the second click neither starts nor stops anything
        here.says("All runs have ended.")
        assert dots(here, 1).count() == dots(here, 2).count() == 3
        expect(here.lab).to_contain_text(re.compile(r"Arm 2 minus arm 1: .* points, n = 3: "))
        expect(here.lab).to_contain_text("Nothing is missing.")
        for view in ("Learning curves", "Calibration"):
            here.button(view).click()
            expect(here.lab.locator("svg.chart")).to_have_attribute(
                "aria-label", re.compile("Arm 1")
            )
        here.button("Images").click()
        here.button("Show images").click()
        expect(here.lab.locator("figure img").first).to_be_visible(timeout=SLOW)
        here.button("Cost").click()
        expect(here.lab.locator("table")).to_contain_text("496 weights", timeout=SLOW)

        here.run(2)
        expect(here.lab).to_contain_text("To train: 3 students", timeout=SLOW)
        expect(here.lab.locator("table tbody tr")).to_have_count(3, timeout=SLOW)  # costs, anew
        here.button("Train").click()
        expect(here.lab).to_contain_text(re.compile("0 of 3 done, .* left"), timeout=SLOW)
        here.run(1)  # the kernel is free meanwhile
        expect(here.page.get_by_text("a cell ran")).to_be_visible(timeout=SLOW)
        assert here.button("Train").get_attribute("aria-disabled") == "true"
        here.button("Stop").hover()
        here.page.mouse.down()  # what moves on before the button is let go takes nothing from it
        expect(here.lab.locator(".words")).to_contain_text("KD, T 4", timeout=SLOW)
        started = time.monotonic()
        here.page.mouse.up()
        here.says("Stopped. What has finished is kept")
        assert time.monotonic() - started < 10  # the second is measured where no browser shares it
        assert dots(here, 1).count() == 3 and dots(here, 3).count() == 0  # it waited for no run
        assert wide(here.page) == []

        here.page.keyboard.press("Control+s")
        old = here.lab.element_handle()
        (session,) = api(here.url, "/api/sessions")
        api(here.url, f"/api/kernels/{session['kernel']['id']}/restart", "POST")
        here.run(0)
        here.page.wait_for_function("old => !old.isConnected", arg=old, timeout=SLOW)
        expect(dots(here, 2)).to_have_count(3, timeout=SLOW)  # found again
        here.unfold("Lab book")
        expect(here.lab.locator(".entries li")).to_have_count(2)
        note = here.lab.get_by_label("Note on KD")
        note.fill("try T = 20 next")
        note.press("Enter")
        here.says("The note is kept.")
        here.lab.get_by_label("Filter").fill("t = 20 NEXT")
        expect(here.lab.locator(".entries li")).to_have_count(1)
        with here.page.expect_download() as told:
            here.button("Export as CSV").click()
        assert "try T = 20 next" in Path(told.value.path()).read_text()
        delete = here.lab.get_by_role("button", name=re.compile("[Dd]elete KD"))
        delete.click()
        delete.click()
        here.says("Deleted from the lab book.")

        here.page.keyboard.press("Control+s")
        until(lambda: "n = 3" in (tmp_path / "course" / "n.ipynb").read_text())
        for session in api(here.url, "/api/sessions"):
            api(here.url, f"/api/sessions/{session['id']}", "DELETE")
        here.page.goto("about:blank")
        here.errors.clear()  # the kernel that was ended is missed
        here.open()
        expect(here.page.get_by_text("Run this cell in JupyterLab to use it.")).to_be_visible()
        page = here.page.locator(".jp-OutputArea-output").first
        expect(page).to_contain_text("n = 3")
        expect(page).not_to_contain_text("model not found")


def test_by_keyboard_alone_with_a_loss_of_ones_own(tmp_path: Path) -> None:
    with desk(tmp_path, LAB, LOSS, BAD) as here:
        here.run(0)
        expect(here.button("Train")).to_be_visible(timeout=SLOW)
        page, lab = here.page, here.lab
        cells = page.locator(".jp-CodeCell").count()

        def tab_to(there: Callable[[], Locator]) -> None:
            for _ in range(60):
                if there().evaluate("el => el === document.activeElement"):
                    return
                page.keyboard.press("Tab")
            raise AssertionError("Tab does not reach it")

        lab.get_by_label("Replicates").focus()
        page.keyboard.press("b")  # would add a cell, where keys reach the notebook
        tab_to(lambda: lab.locator("summary", has_text="Add an arm"))
        page.keyboard.press("Enter")
        tab_to(lambda: lab.get_by_label("T", exact=True))
        page.keyboard.type("70")
        page.keyboard.press("Tab")
        wrong = lab.get_by_role("alert")
        expect(wrong).to_contain_text("T is 70; give a number from 0.5 to 50", timeout=SLOW)
        expect(lab.get_by_label("T", exact=True)).to_have_attribute("aria-invalid", "true")
        expect(lab.locator("[data-key=add]")).to_be_disabled()
        lab.get_by_label("T", exact=True).focus()
        page.keyboard.press("Control+a")
        page.keyboard.type("20")
        page.keyboard.press("Tab")
        expect(lab.locator(".words")).to_contain_text("KD, T 20, alpha 0.9", timeout=SLOW)
        expect(wrong).to_have_count(0)
        tab_to(lambda: lab.locator("[data-key=add]"))
        page.keyboard.press("Enter")
        here.says("Arm 3: KD, T 20, alpha 0.9, teacher cnn32, 500 labels of digits.")
        lab.get_by_role("button", name="Remove arm 3").focus()
        page.keyboard.press("Space")
        here.says("Arm 3 is removed")
        assert page.locator(".jp-CodeCell").count() == cells

        here.unfold("Hand out")
        paste = lab.get_by_label("Settings to paste")
        paste.fill("import os")
        here.button("Paste settings").click()
        here.says("these are no settings of the lab")
        here.button("Copy settings").click()
        text = lab.get_by_label("Settings of these arms").input_value()
        assert len(json.loads(text)["rows"]) == 2
        here.says(re.compile("Copied|press Ctrl"))
        asked = json.loads(text) | {"rows": [{"method": "labels", **TINY, "labels": 30}]}
        lab.get_by_label("Settings to paste").fill(json.dumps(asked))
        here.button("Paste settings").click()
        here.says("Pasted; arms: 1.")
        expect(lab.locator("ol li")).to_contain_text("30 labels of digits")
        here.button("Copy as Python").click()
        lines = lab.get_by_label("These lines make the same arms")
        expect(lines).to_have_value(re.compile(r"r\.train\(CE\(r\.student\(\)"), timeout=SLOW)

        here.run(1)
        method = lab.get_by_label("method")
        expect(method).to_have_value("my_loss", timeout=SLOW)
        expect(lab.get_by_label("T", exact=True)).to_have_attribute("max", "20")
        here.run(2)
        expect(method).to_have_value("bad", timeout=SLOW)
        expect(lab.locator(".form")).to_contain_text("shape (8, 10); return a scalar tensor")
        assert wide(page) == [] and beyond(here, 360) == []
