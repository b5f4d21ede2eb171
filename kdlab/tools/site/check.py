"""Look at a site as its readers do: pages from disk in Chromium, large and small, light and dark.

What is amiss is told in sentences: an error in the console, a request to anywhere but the disk, a
link that leads nowhere, a page that scrolls sideways, an explorer that is not alive, and what
axe-core finds wrong for readers who see, hear or point otherwise.
"""

import re
from collections.abc import Iterable, Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urldefrag, urlparse

from kdlab.tools import chromium

MISSING = "the check needs Chromium, and none could be started: install it."
VIEWS = (((1366, 768), "light"), ((360, 740), "dark"))
SERIOUS = ("serious", "critical")
# It would read the style sheets again, which a page from disk may not.
AXE = {"resultTypes": ["violations"], "preload": False}
# Elements that reach beyond the page and lie in nothing that scrolls by itself.
WIDE = """() => document.documentElement.scrollWidth <= innerWidth ? [] :
  [...document.querySelectorAll("article *")].filter((el) =>
    el.getBoundingClientRect().right > innerWidth + 1).slice(0, 3).map((el) =>
    `${el.tagName.toLowerCase()}.${el.className}`)"""
DRAWN = """() => new Promise((done) => requestAnimationFrame(() =>
  requestAnimationFrame(() => requestAnimationFrame(done))))"""
DEAD = """() => [...document.querySelectorAll("[id^=explorer-]")].filter((el) =>
  !el.querySelector(".kdlab-explorer")).map((el) => el.id)"""


def look(site: Path, only: Iterable[str] = ()) -> list[str]:
    """Return what is amiss in the site of a folder, a line each.

    Args:
        site: its folder.
        only: pages to be opened, such as "notebooks/00_kd.html"; all by default.

    Raises:
        ValueError: there is no site, no Chromium, or a package is missing.
    """
    site = site.resolve()
    found = sorted(path for path in site.rglob("*.html") if "_static" not in path.parts)
    if not found:
        raise ValueError(f"found no page in {site}: make site makes them.")
    try:
        import axe_playwright_python  # noqa: F401
        import playwright  # noqa: F401
    except ImportError as error:
        raise ValueError(f"the check needs {error.name}: make site installs it.") from None
    names = list(only) or [str(path.relative_to(site)) for path in found]
    with chromium.started(chromium.path(), MISSING) as browser:
        return links(site) + walk(browser, site, names)


def walk(browser: Any, site: Path, names: Iterable[str]) -> list[str]:
    """Return what is amiss in pages of a site that `browser` opens one after the other."""
    from axe_playwright_python.sync_playwright import Axe

    amiss, (here, said) = list[str](), _opened(browser)
    for name in names:
        here.goto((site / name).as_uri())
        amiss += [f"{name}: {line}" for view in VIEWS for line in _seen(here, *view, Axe())]
        amiss += [f"{name}: {line}" for line in said]
        said.clear()
    here.close()
    return amiss


def _opened(browser: Any) -> tuple[Any, list[str]]:
    """Return an empty page, and what its console says and it asks of anything but the disk."""
    here, said = browser.new_page(reduced_motion="reduce"), list[str]()

    def asked(request: Any) -> None:
        if not request.url.startswith(("file:", "data:", "blob:")):
            said.append(f"asks for {request.url}")

    def spoken(message: Any) -> None:
        if message.type in ("error", "warning"):
            said.append(f"says in the console: {message.text}")

    here.on("request", asked)
    here.on("console", spoken)
    here.on("pageerror", lambda error: said.append(f"raises {error}"))
    return here, said


def _seen(here: Any, size: tuple[int, int], scheme: str, axe: Any) -> Iterator[str]:
    """Yield what is amiss in the open page at a size in pixels, with its folds open."""
    here.set_viewport_size({"width": size[0], "height": size[1]})
    here.emulate_media(color_scheme=scheme)
    here.evaluate("document.querySelectorAll('details').forEach((fold) => { fold.open = true; })")
    here.evaluate(DRAWN)  # an explorer draws itself anew when its width changes
    at = f"at {size[0]} px, {scheme}"
    yield from (f"{el} makes it scroll sideways {at}" for el in here.evaluate(WIDE))
    yield from (f"{name} is not alive {at}" for name in here.evaluate(DEAD))
    for broken in axe.run(here, options=AXE).response["violations"]:
        if broken["impact"] in SERIOUS:
            where = ", ".join(str(node["target"][0]) for node in broken["nodes"][:3])
            yield f"{broken['id']}, {len(broken['nodes'])} times, {at}: {where}"


class _Page(HTMLParser):
    """Collects the names of a page's places, its links, and its pictures without a text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.places, self.links, self.mute = set[str](), list[str](), list[str]()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        known = dict(attrs)
        self.places.add(known.get("id") or "")
        self.links += [known[key] or "" for key in ("href", "src") if key in known]
        if tag == "img" and not (known.get("alt") or "").strip():
            self.mute.append((known.get("src") or "")[:60])


def links(site: Path) -> list[str]:
    """Return a line for each link within the site that leads nowhere, and each mute picture."""
    site = site.resolve()
    pages = {path: _Page(path.read_text(encoding="utf-8")) for path in site.rglob("*.html")}
    amiss = []
    for path, of in pages.items():
        name = path.relative_to(site)
        amiss += [f"{name}: a picture without a text: {source}" for source in of.mute]
        amiss += [f"{name}: a link leads nowhere: {to}" for to in _lost(path, of, pages)]
    return amiss


def _lost(path: Path, of: _Page, pages: dict[Path, _Page]) -> Iterator[str]:
    for link in dict.fromkeys(of.links):
        if re.match(r"[a-z][a-z+.-]*:|//", link):
            continue
        file, part = urldefrag(link)
        target = (path.parent / unquote(urlparse(file).path)).resolve() if file else path
        places = pages[target].places if target in pages else None
        if not target.is_file() or (part and places is not None and unquote(part) not in places):
            yield link
