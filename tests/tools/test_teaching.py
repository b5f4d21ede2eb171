"""The teacher's pack: screens that are turned by keys, sheets of one page, settings, times."""

import re
import unicodedata
from pathlib import Path

import pytest
from nbformat.v4 import new_code_cell, new_notebook, new_output
from pypdf import PdfReader

from kdlab.lab.hand_out import pasted
from kdlab.lab.methods import from_papers
from kdlab.lab.rows import PLACES, Stock
from kdlab.papers import folders
from kdlab.show.explorers.base import Explorer, as_still
from kdlab.tools import course, gather, notebooks, pages, readme
from kdlab.tools.cli import main
from kdlab.tools.notebooks import WIDGET
from kdlab.tools.teaching import parts, project, settings, sheets, timings
from tests.notebooks.rules import FENCE
from tests.tools.test_pages import fetched

ROOT = Path(__file__).parents[2]
BOOKS = notebooks.of_papers(notebooks.find(ROOT / "notebooks"))
SIZES = [(1366, 768), (1280, 720)]
SMALL = 16 / 72 * 96  # px of 16 pt


def test_a_machine_without_chromium_gets_a_sentence(tmp_path: Path):
    """It stands first: beside the browser of the fixture Playwright would start no second one."""
    with pytest.raises(ValueError, match="printed by Chromium"), sheets.browser(f"{tmp_path}/no"):
        pass


@pytest.fixture(scope="module")
def alive():
    """Notebook 00 as it is after a run: its first explorer has a state and no kernel."""
    nb = notebooks.read(BOOKS[0])
    places = {"images": {"digits": {"classes": ["0", "1"], "cases": []}}}
    made = Explorer("points", {"teacher": [[0, 0], [1, 0], [2, 0]], **places}, {})
    state = {key: getattr(made, key) for key in ("_esm", "_css", "data", "setting", "fold")}
    state["_anywidget_id"] = pages.EXPLORER
    nb.metadata["widgets"] = {pages.STATE: {"state": {"one": {"state": state}}}}
    cell = next(cell for cell in notebooks.code_cells(nb) if "explorers.bars()" in cell.source)
    still = as_still({"text/html": '<img alt="still" src="data:,">', "image/png": ""})
    view = new_output("display_data", {WIDGET: {"model_id": "one"}, "text/plain": ""})
    cell.outputs = [view, new_output("display_data", still)]
    return nb


@pytest.mark.parametrize("path", BOOKS, ids=lambda path: path.stem)
def test_every_notebook_becomes_seven_or_eight_screens_without_code(path: Path):
    nb = notebooks.read(path)
    screens = project.screens(nb)
    titles = [screen.title for screen in screens]
    assert 6 <= len(screens) <= project.MOST
    assert titles[1:5] == ["Toy case by hand", "The loss", "Train", "Claims"]
    assert titles[5] == "Play" and titles[-1] == "What came later"
    page = project.to_page(nb, path.stem)
    assert fetched(page) == []
    assert "import torch" not in page and "kdlab import" not in page and "```" not in page
    pictures = re.findall(r"<img\b[^>]*>", page)
    assert len(pictures) >= 2 and all(re.search(r'alt="[^"]{20,}"', tag) for tag in pictures)
    assert "$" not in re.sub(r"<(style|script)\b.*?</\1>", "", page, flags=re.DOTALL)


def test_a_live_explorer_has_its_screen_and_no_still_picture(alive):
    (played,) = (screen for screen in project.screens(alive) if screen.title == "Play")
    assert pages.LIVE in played.shown and 'alt="still"' not in played.shown
    assert "What to ask" in played.shown and played.text == ""


def test_a_notebook_without_the_shared_headings_gets_a_sentence():
    with pytest.raises(ValueError, match="lacks the heading 'Predict'"):
        project.to_page(new_notebook(cells=[new_code_cell("1")]), "none")


def test_screens_are_turned_by_keys_and_fit(chrome, tmp_path: Path):
    for path in (BOOKS[0], BOOKS[5], BOOKS[7]):
        file = tmp_path / f"{path.stem}.html"
        file.write_text(project.to_page(notebooks.read(path), path.stem), encoding="utf-8")
        for width, height in SIZES:
            asked, page = [], chrome.new_page(viewport={"width": width, "height": height})
            page.on("request", lambda request, asked=asked: asked.append(request.url))
            page.goto(file.as_uri())
            assert page.evaluate("screens.map((s) => s.scrollHeight - s.clientHeight)") == [0] * 7
            wide = "(m) => m.scrollWidth > m.clientWidth"
            formulas = "[...document.querySelectorAll('math[display=block]')]"
            assert page.evaluate(f"{formulas}.filter({wide}).length") == 0
            sizes = page.evaluate(
                "[...document.querySelectorAll('section *')]"
                ".filter((e) => !e.closest('math'))"
                ".map((e) => parseFloat(getComputedStyle(e).fontSize))"
            )
            assert min(sizes) >= SMALL
            turned = []
            for key in ("ArrowRight", "PageDown", " ", "ArrowLeft", "End", "PageDown", "Home"):
                page.keyboard.press(key)
                turned.append(page.evaluate("now()"))
            assert turned == [1, 2, 3, 2, 6, 6, 0]
            assert [url for url in asked if not url.startswith(("file:", "data:"))] == []
            page.close()


def test_a_control_keeps_its_arrows_and_gives_its_page_keys(chrome):
    found = project.TEMPLATES.get_template("projector.html.j2")
    screens = [
        project.Screen("One", "", '<input type="range" value="50">'),
        project.Screen("2", ""),
    ]
    page = chrome.new_page()
    page.set_content(found.render(title="keys", screens=screens))
    page.focus("input")
    page.keyboard.press("ArrowRight")
    assert page.evaluate("[now(), document.querySelector('input').value]") == [0, "51"]
    page.keyboard.press("PageDown")
    assert page.evaluate("[now(), document.querySelector('input').value]") == [1, "51"]
    page.close()


# --- sheets ---------------------------------------------------------------------------------------


def test_sheets_have_one_page_each_and_hold_the_claims(chrome, tmp_path: Path):
    experiments, made = gather.experiments(), {}
    for path in BOOKS:
        page = sheets.to_page(notebooks.read(path), path.stem, experiments[path.stem])
        assert fetched(page) == [] and page.count("<img") == 2, path.stem
        made[tmp_path / f"{path.stem}.pdf"] = page
    sheets.print_all(made, chrome)
    for path in BOOKS:
        reader = PdfReader(tmp_path / f"{path.stem}.pdf")
        assert len(reader.pages) == 1, path.stem
        box = reader.pages[0].mediabox
        assert (round(box.width), round(box.height)) == (595, 842)
        text = unicodedata.normalize("NFKC", reader.pages[0].extract_text())  # no ligatures
        told = "".join(text.split())
        tables = readme.claims(notebooks.read(path))
        for row in (row for row in tables if row["primary"]):
            assert "".join(row["claim"].split()) in told, row["id"]
        assert "Twoquestions" in told and "handitoutattheend" in told


def test_a_sheet_tells_what_the_evidence_says(tmp_path: Path):
    nb, paper = notebooks.read(BOOKS[0]), gather.experiments(["00_kd"])["00_kd"]
    assert "holds on digits" in sheets.to_page(nb, "00_kd", paper)
    empty = sheets.to_page(nb, "00_kd", paper, tmp_path)
    assert "holds on" not in empty and empty.count("<strong>not tested here") == 6


def test_what_does_not_fit_gets_a_sentence(chrome, tmp_path: Path):
    found = sheets.TEMPLATES.get_template("sheet.html.j2")
    long = {"title": "long", "question": "word " * 4000, "loss": "", "facts": [], "claims": []}
    page = found.render(**long, pictures=[], asked=[])
    with pytest.raises(ValueError, match="a does not fit"):
        sheets.print_all({tmp_path / "a.pdf": page}, chrome)


# --- settings, times, and what the documents say --------------------------------------------------


def test_every_preset_is_handed_out_as_the_lab_reads_it(tmp_path: Path):
    stock, found = Stock(from_papers(), dict(PLACES)), list(settings.hand_outs())
    have = {stem for stem, name in folders().items() if (home(name) / "presets.py").exists()}
    assert {one.stem for one in found} == have >= {"00_kd", "08_dml"}
    assert len({one.file for one in found}) == len(found)
    for one in found:
        rows, replicates = pasted(one.text, stock)
        assert rows and replicates > 0 and one.why
    command = ["teach", "--notebooks", str(ROOT / "notebooks"), "--kinds", "settings"]
    assert main([*command, "--only", "08_dml", "--out", str(tmp_path)]) == 0
    text = (tmp_path / "08_dml-two-peers.txt").read_text()
    assert len(pasted(text, stock)[0]) == 3 and not list(tmp_path.glob("00*"))
    page = (tmp_path / "settings.html").read_text()
    assert page.count("<textarea") == len(found) and fetched(page) == []


def test_a_copy_of_another_budget_is_not_projected(tmp_path: Path, capsys):
    source = ROOT / "notebooks" / "00_kd.ipynb"
    nb, executed = notebooks.read(source), tmp_path / "course"
    executed.mkdir()
    command = ["teach", "--only", "00_kd", "--kinds", "pages", "--executed", str(executed)]
    command += ["--notebooks", str(source.parent), "--out", str(tmp_path)]
    for budget, said in (("ci", "no copy is up to date"), ("lesson", "explorers as they ran")):
        nb.metadata["kdlab"] = {"made_of": course.made_of(source, {"budget": budget})}
        (executed / source.name).write_text(notebooks.text(nb), encoding="utf-8")
        assert main(command) == 0
        assert said in capsys.readouterr().out


def home(name: str) -> Path:
    return ROOT / "kdlab" / "papers" / name


def test_times_are_kept_after_each_notebook_and_shown(tmp_path: Path, monkeypatch):
    caches = []

    def run(path, out, given, *, timed):
        caches.append(timings.os.environ["KDLAB_CACHE"])
        error = "FAILED" if path.stem == "01_efficacy" else ""
        return course.Run(path.stem, course.Cost(100.4 / len(caches), 1.256), [], error)

    monkeypatch.setattr(course, "run", run)
    monkeypatch.setenv("KDLAB_CACHE", "mine")
    with pytest.raises(ValueError, match="01_efficacy.ipynb was not timed"):
        list(timings.measure(BOOKS[:2], file := tmp_path / "timings.json"))
    assert len(set(caches)) == 2 and "mine" not in caches  # two notebooks, each with its own
    assert timings.os.environ["KDLAB_CACHE"] == "mine"
    lines = timings.table(notebooks.find(ROOT / "notebooks")[:2], timings.read(file)).splitlines()
    assert "| 100 s | 50 s | 1.26 GiB |" in lines[2] and "before" not in lines[2]
    assert lines[3].count(timings.UNKNOWN) == 3
    old = timings.read(file)
    old["00_kd"]["code"] = "other"
    assert "before its last change" in timings.table(notebooks.find(ROOT / "notebooks")[:1], old)
    old["00_kd"]["budget"] = "ci"
    assert timings.UNKNOWN in timings.table(notebooks.find(ROOT / "notebooks")[:1], old)
    file.write_text("{")
    with pytest.raises(ValueError, match="damaged"):
        timings.read(file)


PLAN = (ROOT / "docs/teaching.md").read_text(encoding="utf-8")
NOTES = (ROOT / "notebooks/FACILITATOR.md").read_text(encoding="utf-8")


def test_the_tables_of_the_teaching_page_are_those_of_the_commands():
    page = ROOT / "docs/teaching.md"
    table = timings.table(notebooks.find(ROOT / "notebooks"), timings.read(ROOT / timings.FILE))
    told = "run python -m kdlab timings --tables"
    assert readme.between(page, "times").strip() == table, told
    assert readme.between(page, "presets").strip() == settings.table(), told


@pytest.mark.parametrize("path", BOOKS, ids=lambda path: path.stem)
def test_a_teacher_finds_plan_and_answers_for_every_notebook(path: Path):
    """All discussion questions but the last, which says that it has no known answer."""
    plan = section(PLAN, "###", path.stem[:2])
    assert plan.count("\n| ") >= 4 and "discuss" in plan
    notes = section(NOTES, "##", path.stem[:2])
    asked = parts.numbered(parts.parts(notebooks.read(path))["Reading group"].texts)
    known = [n for n, text in enumerate(asked, 1) if "No known answer" not in text]
    assert [int(n) for n in re.findall(r"\*\*Discussion (\d)", notes)] == known
    assert {int(n) for n in re.findall(r"\*\*Exercise (\d)", notes)} == {1, 2, 3, 4}
    assert "**Predict.**" in notes
    for number in re.findall(r"(?i)questions? (\d)(?: and (\d))?\.?(?: Lab| \|)", plan):
        assert {int(n) for n in number if n} <= set(known)


def section(page: str, marks: str, number: str) -> str:
    found = re.search(rf"(?ms)^{marks} {number} · .*?(?=^##|\Z)", page)
    assert found, f"no section {number}"
    return found[0]


def test_presets_and_commands_that_the_page_names_exist():
    names = {one.name for one in settings.hand_outs()}
    told = re.findall(r"Lab: \*([^*]+)\*(?:, then \*([^*]+)\*)?", PLAN)
    assert told and {name for pair in told for name in pair if name} <= names
    for line in "".join(FENCE.findall(PLAN)).splitlines():
        if line.startswith("python -m kdlab"):
            assert line.split()[3] in ("exercises", "timings", "teach")
