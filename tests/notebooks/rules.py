"""What every committed notebook must be. A rule takes a notebook and returns its complaints."""

import itertools
import json
import re
import statistics
from collections.abc import Callable, Iterator
from html.parser import HTMLParser
from typing import Any

from kdlab.runs.claims import OUTCOMES
from kdlab.tools import notebooks, readme
from kdlab.tools.notebooks import Notebook, code_cells, tags

PATTERN = [  # of the core; what stands below "Deeper" is free
    "Paper facts",
    "Set-up",
    "Predict",
    "Toy case by hand",
    "The loss",
    "Train",
    "Claims",
    "Play",
    "Exercises",
    "What came later",
    "Reading group",
    "Deeper",
]
CORE_CELLS, CORE_WORDS, ALL_CELLS, SETUP_LINES = 40, 1800, 90, 12
LAB = [  # of the notebook that is about all papers
    "Set-up",
    "The lab",
    "Your own images",
    "Your own teacher",
    "Your own loss",
    "The lab book",
]
SKELETON = [  # of the small notebook of these tests
    "Paper facts",
    "You will",
    "Departures from the paper",
    "Set-up",
    "Predict",
    "Toy case by hand",
    "The loss",
    "Train",
    "Claims",
    "Play",
    "Exercises",
    "Reading group",
    "Limits and next paper",
]
OUTPUT_BYTES = 400_000
PATH = re.compile(r"(?<![\w.:/])/(?:home|root|tmp|Users|work|opt|usr|var|mnt)/[\w.]+|\b[A-Z]:\\\w+")
DATA_URI = re.compile(r"data:image/[\w+]+;base64,[A-Za-z0-9+/=]+")
FENCE = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)


def outputs(nb: Notebook) -> list[Any]:
    """Return all outputs in order."""
    return [output for cell in code_cells(nb) for output in cell.outputs]


def as_text(value: Any) -> str:
    """Return a MIME value as one text."""
    return value if isinstance(value, str) else json.dumps(value)


def texts(nb: Notebook) -> Iterator[str]:
    """Yield every text that a reader of the file meets in outputs, without pictures' bytes."""
    for output in outputs(nb):
        yield as_text(output.get("text", ""))
        for mime, value in output.get("data", {}).items():
            if not mime.startswith("image/"):
                yield DATA_URI.sub("", as_text(value))


def prose(nb: Notebook) -> str:
    """Return the Markdown of the notebook without code fences."""
    cells = [cell.source for cell in nb.cells if cell.cell_type == "markdown"]
    return FENCE.sub("", "\n\n".join(cells))


def headings(nb: Notebook) -> list[tuple[int, str]]:
    """Return (level, title) of all headings."""
    found = re.findall(r"^(#{1,6}) +(.+?) *$", prose(nb), re.MULTILINE)
    return [(len(marks), title) for marks, title in found]


def core(nb: Notebook) -> list[Any]:
    """Return the cells above "Deeper"; none in a notebook that has no such part."""
    heads = [c.cell_type == "markdown" and c.source.startswith("## Deeper") for c in nb.cells]
    return nb.cells[: heads.index(True)] if True in heads else []


def of_lab(nb: Notebook) -> bool:
    """Tell whether this is the notebook of the lab, which has no paper and judges no claim."""
    return bool(nb.cells[0].source.startswith("# 12 · The lab"))


def meeting(nb: Notebook) -> list[str]:
    """The core fits a meeting: cells, words, and a set-up of few lines."""
    if not (cells := core(nb)):
        return []
    told = [FENCE.sub("", cell.source) for cell in cells if cell.cell_type == "markdown"]
    words = sum(len(re.sub(r"<[^>]+>|\|", " ", text).split()) for text in told)
    lines = [line for line in code_cells(nb)[1].source.splitlines() if line.strip()]
    found = [("core cells", len(cells), CORE_CELLS), ("core words", words, CORE_WORDS)]
    found += [("cells", len(nb.cells), ALL_CELLS), ("set-up lines", len(lines), SETUP_LINES)]
    return [f"{n} {what}, at most {most}" for what, n, most in found if n > most]


def timed(nb: Notebook) -> list[str]:
    """Two exercises stand in the core; *Paper facts* tells the sum of their minutes."""
    if not (cells := core(nb)):
        return []
    texts = [cell.source for cell in cells if cell.cell_type == "markdown"]
    lines = [line for text in texts for line in text.splitlines()]
    heads = [line for line in lines if line.startswith("### ") and "minutes" in line]
    total = sum(int(line.split("·")[-1].split()[0]) for line in heads)
    told = any("## Paper facts" in t and f"the exercises here {total}" in t for t in texts)
    return [] if len(heads) == 2 and told else [f"{len(heads)} exercises of {total} minutes"]


def unspoiled(nb: Notebook) -> list[str]:
    """No stored output answers a guess before the reader opens it; no cell only tests widgets."""
    if not core(nb):
        return []
    bad = ["a fold is stored open" for text in texts(nb) if "<details open" in text]
    spoilt = [
        c.source
        for c in code_cells(nb)
        for o in c.get("outputs", [])
        if re.search(r"\b(live|report|forest|score)\(", c.source)
        and any(mime.startswith("image/") for mime in o.get("data", {}))
    ]
    bad += [f"a picture that answers a guess is stored in sight: {s[:40]!r}" for s in spoilt]
    return bad + ["a cell drives widgets" for c in code_cells(nb) if ".drive(" in c.source]


def fresh(nb: Notebook) -> list[str]:
    """The stamp belongs to this code and to budget lesson."""
    stamp = nb.metadata.get("kdlab", {})
    bad = []
    if stamp.get("code") != notebooks.code_hash(nb):
        bad.append("the outputs are older than the code: run make notebooks")
    if stamp.get("budget") != "lesson":
        bad.append(f"the outputs come from budget {stamp.get('budget')!r}, expected 'lesson'")
    if set(stamp.get("versions", {})) != {"python", "torch", "kdlab"}:
        bad.append("the stamp lacks the versions of python, torch and kdlab")
    return bad


def counted(nb: Notebook) -> list[str]:
    """Cells were run once, from top to bottom."""
    counts = [cell.execution_count for cell in code_cells(nb)]
    right = counts == list(range(1, len(counts) + 1))
    return [] if right else [f"execution counts are {counts}, expected 1 to {len(counts)}"]


def small(nb: Notebook) -> list[str]:
    """Outputs stay readable on a web page."""
    size = len(json.dumps(outputs(nb)).encode())
    return [f"outputs take {size} bytes, at most {OUTPUT_BYTES}"] if size > OUTPUT_BYTES else []


def bare(nb: Notebook) -> list[str]:
    """No widget state, papermill metadata, timing or injected cell is left."""
    bad = [f"metadata {key}" for key in nb.metadata if key in ("widgets", "papermill")]
    for place, cell in enumerate(nb.cells):
        bad += [f"cell {place}: metadata {k}" for k in cell.metadata if k not in notebooks.KEEP]
        bad += [f"cell {place}: injected" for tag in tags(cell) if tag == "injected-parameters"]
    bad += ["a widget view" for o in outputs(nb) if notebooks.WIDGET in o.get("data", {})]
    return bad


def quiet(nb: Notebook) -> list[str]:
    """No error and nothing on stderr."""
    bad = [f"error {o.ename}: {o.evalue}" for o in outputs(nb) if o.output_type == "error"]
    streams = [o for o in outputs(nb) if o.output_type == "stream" and o.name == "stderr"]
    return bad + [f"stderr: {stream.text[:200]}" for stream in streams]


class _Images(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.alts: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "img":
            self.alts.append((dict(attrs).get("alt") or "").strip())


def described(nb: Notebook) -> list[str]:
    """Every picture has a text for those who cannot see it, in the HTML that Jupyter prefers."""
    bad = []
    for output in outputs(nb):
        data = output.get("data", {})
        page = _Images()
        page.feed(as_text(data.get("text/html", "")))
        if any(mime.startswith("image/") for mime in data) and not page.alts:
            bad.append("a picture without an <img alt> in text/html: use kdlab.show.plots.show")
        bad += ["an <img> with an empty alt" for alt in page.alts if not alt]
    bad += [f"![]({url}) has no alt" for url in re.findall(r"!\[\s*\]\((.+?)\)", prose(nb))]
    return bad


def skeleton(nb: Notebook) -> list[str]:
    """The headings of the course, in their order, nested without a jump; the title cell's links."""
    levels = headings(nb)
    wanted = LAB if of_lab(nb) else PATTERN if core(nb) else SKELETON
    seen = [title for level, title in levels if level == 2 and title in wanted]
    bad = [] if seen == wanted else [f"## headings are {seen}, expected {wanted}"]
    for (before, _), (after, title) in itertools.pairwise(levels):
        if after > before + 1:
            bad.append(f"heading {title!r} jumps from level {before} to {after}")
    title = nb.cells[0].source if nb.cells[0].cell_type == "markdown" else ""
    if not title.startswith("# ") or [level for level, _ in levels].count(1) != 1:
        bad.append("the first cell must hold the one # heading")
    pages = [page for page in ("NOTATION.md", "GLOSSARY.md") if f"({page})" not in title]
    return bad + [f"the title cell does not link {page}" for page in pages]


def short(nb: Notebook) -> list[str]:
    """Code cells are small: median 8, 90th percentile 25, none above 40 lines."""
    lines = [len(cell.source.splitlines()) for cell in code_cells(nb)]
    if len(lines) < 2:
        return ["fewer than two code cells"]
    p90 = statistics.quantiles(lines, n=10, method="inclusive")[-1]
    found = [("median", statistics.median(lines), 8), ("p90", p90, 25), ("longest", max(lines), 40)]
    return [f"{k} code cell: {n} lines, at most {most}" for k, n, most in found if n > most]


def hidden(cell: Any) -> bool:
    """Tell whether a code cell is folded away."""
    return bool(cell.metadata.get("jupyter", {}).get("source_hidden"))


def spaced(nb: Notebook) -> list[str]:
    """A sentence stands between two code cells; not before set-up and the hidden last cell."""
    bad, last = [], len(nb.cells) - 1
    for place, (before, after) in enumerate(itertools.pairwise(nb.cells), start=1):
        excused = "parameters" in tags(before) or (place == last and hidden(after))
        if before.cell_type == after.cell_type == "code" and not excused:
            bad.append(f"code cell {place} follows a code cell: {after.source[:40]!r}")
    return bad


def claimed(nb: Notebook) -> list[str]:
    """There are claims, some primary, each complete, with an outcome if it is primary."""
    rows = readme.claims(nb)
    bad = (
        []
        if of_lab(nb) or any(row.get("primary") for row in rows)
        else ["no output carries primary claims"]
    )
    for row in rows:
        bad += [f"claim {row.get('id')} lacks {key}" for key in readme.KEYS if key not in row]
        if row.get("outcome") not in OUTCOMES and (row.get("primary") or row.get("outcome") != ""):
            bad.append(f"claim {row.get('id')} has outcome {row.get('outcome')!r}")
    ids = [(row.get("id"), row.get("world")) for row in rows]
    return bad + [f"claim {i} twice" for i in sorted({i for i in ids if ids.count(i) > 1})]


def portable(nb: Notebook) -> list[str]:
    """No absolute path, no install, no picture from the web, no test that is skipped."""
    sources = "\n".join(cell.source for cell in code_cells(nb))
    found = [match.group() for text in [*texts(nb), sources] for match in PATH.finditer(text)]
    bad = [f"an absolute path: {path}" for path in found]
    bad += re.findall(r"^\s*[!%]+\s*(?:pip|conda|mamba)\b.*", sources, re.MULTILINE)
    bad += re.findall(r"NBVAL_SKIP|NBVAL_IGNORE_OUTPUT", sources)
    remote = re.findall(r"!\[[^\]]*\]\((https?:.+?)\)|<img[^>]+src=.(https?:[^'\"]+)", prose(nb))
    return bad + [f"a picture from the web: {''.join(address)}" for address in remote]


def slides(nb: Notebook) -> list[str]:
    """Some cells, and at most 15, are slides."""
    kinds = [cell.metadata.get("slideshow", {}).get("slide_type", "-") for cell in nb.cells]
    shown = [kind for kind in kinds if kind in ("slide", "subslide", "fragment")]
    return [] if 1 <= len(shown) <= 15 else [f"{len(shown)} cells are slides, expected 1 to 15"]


def parametrised(nb: Notebook) -> list[str]:
    """One cell holds the parameters, literals only, with the names that all notebooks share."""
    try:
        have = notebooks.parameters(nb)
    except ValueError as error:
        return [str(error)]
    bad = [
        f"there is no parameter {name}"
        for name in ("budget", "dataset", "seed")
        if name not in have
    ]
    return bad + ([] if have.get("budget") == "lesson" else ["budget must default to 'lesson'"])


def ready(nb: Notebook) -> list[str]:
    """Workers start in the cell after the parameters, long before the first comparison."""
    sources = [cell.source for cell in code_cells(nb)]
    late = any("compare(" in source for source in sources) and "start_workers()" not in sources[1]
    return ["the second code cell does not call start_workers()"] if late else []


RULES: dict[str, Callable[[Notebook], list[str]]] = {
    rule.__name__: rule
    for rule in (
        fresh,
        counted,
        small,
        bare,
        quiet,
        described,
        skeleton,
        meeting,
        timed,
        unspoiled,
        short,
        spaced,
        claimed,
        portable,
        slides,
        parametrised,
        ready,
    )
}
