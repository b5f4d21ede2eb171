"""The site: a small one is built and looked at from disk, then faults are put in and told."""

import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from kdlab.papers.kd import explorers
from kdlab.show.explorers.bars import bars
from kdlab.show.folds import folded
from kdlab.tools import course, notebooks, pages
from kdlab.tools.cli import main
from kdlab.tools.notebooks import WIDGET
from kdlab.tools.site import build, check, source
from tests.notebooks import small_notebook

pytest.importorskip("myst_nb", reason="the packages of the site: make .venv/.site")
playwright = pytest.importorskip("playwright.sync_api")

SLOW = 60_000  # ms, where many processes share the cores
REAL = Path(__file__).parents[2] / "notebooks"
PIXEL = '<img alt="{}" src="data:image/gif;base64,R0lGODlhAQABAAAAACw=">'
TABLE = "<table><tr>" + "<td>a rather wide cell</td>" * 30 + "</tr></table>"
README = """# Small course

A page with [a notebook](notebooks/00_kd.ipynb), [its glossary](notebooks/GLOSSARY.md),
[a licence](LICENSE) and [a folder](notebooks).

## Claims

| one | two | three | four | five | six | seven | eight | nine |
|---|---|---|---|---|---|---|---|---|
| zebrafish | b | c | d | e | f | g | h | i |
"""
FOLDED = """# Formulas

See [the claims](../README.md#claims). At $T^2$, with a share of 5
% each:

$$\\alpha\\, \\mathrm{KL}(p_T \\Vert q_T)$$

<details>
<summary>Solution: double</summary>

```python
def double(x):
    return 2 * x
```

| it | holds |
|---|---|
| $x$ | two |

</details>"""


def live() -> notebooks.Notebook:
    """A notebook with an explorer, a fold and a wide table, as a run leaves it."""
    explorer = bars(list(explorers.kept().values()), **explorers.START)
    state = explorer.get_state()
    view = new_output("display_data", {WIDGET: {"model_id": "a"}, "text/plain": ""})
    still = f'<div class="kdlab-still">{PIXEL.format("bars of an image")}</div>'
    hidden = folded(PIXEL.format("the answer"), "The answer")
    cells = [
        new_markdown_cell("# Alive"),
        new_code_cell(
            "explorers.bars()", outputs=[view, new_output("display_data", {"text/html": still})]
        ),
        new_code_cell("show()", outputs=[new_output("display_data", {"text/html": hidden})]),
        new_code_cell("table()", outputs=[new_output("display_data", {"text/html": TABLE})]),
        new_code_cell("budget = 'ci'", metadata={"tags": ["injected-parameters"]}, outputs=[]),
    ]
    saved = {pages.STATE: {"state": {"a": {"state": state}}}}
    return new_notebook(cells=cells, metadata={"widgets": saved})


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small repository: a start, two notebooks and two pages of the course."""
    root = tmp_path_factory.mktemp("course")
    (root / "notebooks").mkdir()
    (root / "README.md").write_text(README)
    (root / "LICENSE").write_text("MIT")
    for name in ("GLOSSARY.md", "NOTATION.md"):
        shutil.copy(REAL / name, root / "notebooks")
    formulas = new_notebook(cells=[new_markdown_cell(FOLDED)])
    for name, nb in {"00_kd": live(), "01_formulas": formulas}.items():
        (root / "notebooks" / f"{name}.ipynb").write_text(notebooks.text(nb))
    return root


@pytest.fixture(scope="module")
def site(root: Path) -> Path:
    n, amiss = build.build(root, root / "build" / "site")
    assert (n, amiss) == (5, [])
    return root / "build" / "site"


def elsewhere(url: str) -> bool:
    return not url.startswith(("file:", "data:"))


@pytest.fixture
def page(chrome) -> Iterator:
    """A small page in the dark; nothing but the disk may be asked, nothing said in the console."""
    context = chrome.new_context(viewport={"width": 360, "height": 740}, color_scheme="dark")
    page, said = context.new_page(), []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("request", lambda request: said.append(request.url) if elsewhere(request.url) else None)
    yield page
    context.close()
    assert said == []


def test_nothing_is_amiss(site, chrome):
    assert check.links(site) == []
    assert check.walk(chrome, site, ["index.html", "notebooks/00_kd.html"]) == []


def test_an_explorer_lives_and_follows_the_theme(site, page):
    page.goto((site / "notebooks/00_kd.html").as_uri())
    alive = page.locator(".kdlab-explorer")
    before = alive.get_by_role("status").inner_text()
    alive.get_by_role("slider", name="temperature T").focus()
    page.keyboard.press("End")
    playwright.expect(alive.get_by_role("status")).not_to_have_text(before, timeout=SLOW)
    assert not page.get_by_alt_text("bars of an image").is_visible()  # there is an explorer
    ground = "el => getComputedStyle(el).backgroundColor"
    dark = alive.evaluate(ground)
    page.evaluate("document.body.dataset.theme = 'light'")
    assert alive.evaluate(ground) == "rgb(255, 255, 255)" != dark


def test_code_hides_and_folds_open_by_keyboard(site, page):
    page.goto((site / "notebooks/00_kd.html").as_uri())
    picture, code = page.get_by_alt_text("the answer"), page.get_by_text("table()")
    assert code.is_visible() and not picture.is_visible()
    for name in ("Hide code", "Open all folds"):
        page.get_by_role("button", name=name).focus()
        page.keyboard.press("Enter")
    assert picture.is_visible() and not code.is_visible()
    page.reload()  # the code stays hidden, on every page, until it is wanted
    assert not code.is_visible()
    page.get_by_role("button", name="Show code").click()
    assert code.is_visible()


def test_search_finds_a_word_from_disk(site, page):
    page.set_viewport_size({"width": 1366, "height": 768})
    page.goto((site / "notebooks/01_formulas.html").as_uri())
    page.get_by_role("textbox", name="Search").fill("zebrafish")
    page.keyboard.press("Enter")
    found = page.locator("#search-results li a")
    playwright.expect(found).to_have_count(1, timeout=SLOW)
    found.click()
    page.wait_for_url(f"{(site / 'index.html').as_uri()}*")
    page.goto((site / "search.html").as_uri() + "?q=kdlab_no_such_word")
    playwright.expect(page.locator("#search-results")).to_contain_text(
        "did not match any", timeout=SLOW
    )


def test_on_paper_there_is_no_navigation_and_a_closed_fold_keeps_its_secret(site, page):
    page.goto((site / "notebooks/00_kd.html").as_uri())
    page.emulate_media(media="print", color_scheme="dark")
    for gone in (".sidebar-drawer", ".toc-drawer", ".mobile-header", ".kdlab-view", "footer a"):
        assert not page.locator(gone).first.is_visible(), gone
    assert page.get_by_text("The answer", exact=True).is_visible()
    assert not page.get_by_alt_text("the answer").is_visible()
    assert page.locator(".kdlab-explorer rect").first.is_visible()


def test_formulas_are_inside_and_links_stay_inside(site):
    page = (site / "notebooks/01_formulas.html").read_text()
    assert page.count("<math") == 3 and "$" not in page
    assert "share of 5\n% each" in page  # a line of a paragraph, though MyST has comments so
    assert 'href="../index.html#claims"' in page
    start = (site / "index.html").read_text()
    assert 'href="notebooks/00_kd.html"' in start and "and a folder." in start
    assert re.search(r'href="_downloads/\w+/LICENSE"', start)


def test_what_was_injected_is_not_shown(site):
    assert "budget" not in (site / "notebooks/00_kd.html").read_text()


def test_every_page_of_the_course_is_in_the_sidebar():
    paths = [path for paths in source.groups(REAL.parent).values() for path in paths]
    wanted = {*REAL.glob("*.md"), *REAL.glob("*.ipynb"), *(REAL.parent / "docs").glob("*.md")}
    wanted |= {REAL.parent / "CONTRIBUTING.md"}
    wanted |= {REAL.parent / name / "README.md" for name in ("data", "evidence")}
    assert sorted(paths) == sorted(wanted)


# --- faults that are told -------------------------------------------------------------------------

FAULTS = {
    "link leads nowhere: no.html": '<a href="no.html">x</a>',
    "link leads nowhere: #no": '<a href="#no">x</a>',
    "picture without a text": '<img src="data:image/gif;base64,R0lGODlhAQABAAAAACw=">',
    "scroll sideways": '<p style="width: 600px">wide</p>',
    "asks for http://localhost:9/a.js": '<script src="http://localhost:9/a.js"></script>',
    "says in the console: oh": "<script>console.error('oh')</script>",
    "raises": "<script>nothing.at.all</script>",
    "explorer-1-0 is not alive": '<div id="explorer-1-0"></div>',
    "color-contrast": '<p style="color: #999; background: #fff">faint</p>',
}


def test_each_fault_is_told(tmp_path, chrome):
    body = f"<article><h1>A page</h1>{''.join(FAULTS.values())}</article>"
    head = '<!doctype html><html lang="en"><title>Page</title><link rel="icon" href="data:,">'
    (tmp_path / "page.html").write_text(f"{head}<body>{body}</body></html>")
    said = "\n".join([*check.links(tmp_path), *check.walk(chrome, tmp_path, ["page.html"])])
    assert [fault for fault in FAULTS if fault not in said] == []


def test_a_lost_link_is_told_while_the_site_is_made(root, tmp_path):
    (tmp_path / "notebooks").mkdir()
    (tmp_path / "README.md").write_text("# Start\n\n[there](notebooks/lost.md), [here](#lost)")
    n, amiss = build.build(tmp_path, tmp_path / "site")
    assert n == 1 and ["lost.md" in amiss[0], "#lost" in amiss[1] or "'lost'" in amiss[1]]
    assert len(amiss) == 2 and all(line.startswith("index.md:") for line in amiss)


def test_bad_input_gets_a_sentence(tmp_path, capsys):
    assert main(["site", "--notebooks", str(tmp_path / "n"), "--out", str(tmp_path / "s")]) == 2
    assert "found no README.md" in capsys.readouterr().err
    with pytest.raises(ValueError, match="found no page"):
        check.look(tmp_path)


def test_a_folder_of_other_things_is_left_alone(root, tmp_path):
    (tmp_path / "www-source").mkdir()
    theirs = [tmp_path / "www" / "my_page.html", tmp_path / "www-source" / "thesis.tex"]
    theirs[0].parent.mkdir()
    for path in theirs:
        path.write_text("mine")
    with pytest.raises(ValueError, match="no site"):
        build.build(root, tmp_path / "www")
    for _ in range(2):  # into a new folder, and then over the site that is there
        build.build(root, tmp_path / "www" / "course")
    assert all(path.read_text() == "mine" for path in theirs)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["www", "www-source"]


# --- executed copies ------------------------------------------------------------------------------


def test_an_executed_copy_is_taken_until_its_source_or_its_budget_changes(tmp_path, monkeypatch):
    path, out, ran = small_notebook.write(tmp_path), tmp_path / "out", []

    def run(source: Path, out: Path, given: dict) -> course.Run:
        ran.append(given)
        nb = notebooks.read(source)
        nb.metadata["kdlab"] = {"made_of": course.made_of(source, given)}
        out.mkdir(exist_ok=True)
        small_notebook.write(out, nb)
        return course.Run(source.stem, course.Cost(), [])

    monkeypatch.setattr(course, "run", run)
    for _ in range(2):
        assert course.fresh(path, out, {"budget": "ci"}) == out / path.name
    assert ran == [{"budget": "ci"}]
    course.fresh(path, out, {"budget": "lesson"})
    nb = notebooks.read(path)
    nb.cells[0].source += "\n\nA new sentence."
    small_notebook.write(tmp_path, nb)
    course.fresh(path, out, {"budget": "lesson"})
    assert [given["budget"] for given in ran] == ["ci", "lesson", "lesson"]


def test_a_copy_that_failed_is_no_page_of_the_site(tmp_path, monkeypatch):
    path = small_notebook.write(tmp_path)
    failed = course.Run(path.stem, course.Cost(), [], "FAILED with NameError: x")
    monkeypatch.setattr(course, "run", lambda *_: failed)
    with pytest.raises(ValueError, match=r"00_small\.ipynb FAILED with NameError"):
        course.fresh(path, tmp_path / "out", {"budget": "ci"})
