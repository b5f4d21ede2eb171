"""What the site is made of: pages and notebooks of the repository, as Sphinx reads them."""

import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path

from kdlab.store import write_atomic
from kdlab.tools import notebooks, pages
from kdlab.tools.notebooks import Notebook, tags

START = "README.md"  # it becomes index.md, the page that a web server shows first
GROUPS = (  # a title of the sidebar, and patterns of its pages; a page stands where it fits first
    ("The course", ("notebooks/*.ipynb",)),
    ("Look up", ("docs/map.md", "docs/questions.md", "notebooks/[NG]*Y.md", "notebooks/N*.md")),
    ("Teach", ("docs/teaching.md", "notebooks/*.md")),
    ("What was measured", ("evidence/README.md", "data/README.md")),
    ("More", ("docs/*.md", "CONTRIBUTING.md")),
)
LINK = re.compile(r"\[(?P<text>[^\[\]]*)\]\((?P<to>[^()\s#]+)(?P<part>#[^()\s]*)?\)")
NO_KERNEL = {  # what a committed notebook says of its widgets, and what is true on a site
    "Run this cell, and it moves.": "In the notebook it moves.",
    "A widget: run this cell to use it.": "A widget: in the notebook it can be used.",
}


def groups(root: Path) -> dict[str, list[Path]]:
    """Return the pages of the site, beside its start, by their titles in the sidebar."""
    found: dict[str, list[Path]] = {}
    for title, patterns in GROUPS:
        known = {path for paths in found.values() for path in paths}
        fits = dict.fromkeys(path for p in patterns for path in sorted(root.glob(p)))
        found[title] = [path for path in fits if path not in known]
    return {title: paths for title, paths in found.items() if paths}


def gather(root: Path, folder: Path, executed: Callable[[Path], Notebook]) -> int:
    """Write what Sphinx reads into `folder`, emptied before, and return the number of pages.

    Args:
        root: the repository.
        folder: is made new.
        executed: gives the notebook of a path as it is to be seen.

    Raises:
        ValueError: `root` has no start page.
    """
    start = root / START
    if not start.exists():
        raise ValueError(f"found no {START} in {root}: call this in the root of a clone.")
    shutil.rmtree(folder, ignore_errors=True)
    found = groups(root)
    _write(folder / "index.md", _links(start, root, folder) + _contents(found, root))
    for path in (path for paths in found.values() for path in paths):
        target = folder / path.relative_to(root)
        if path.suffix == ".md":
            _write(target, _links(path, root, folder))
        else:
            _write(target, notebooks.text(_book(executed(path), path, root, folder)))
    return 1 + sum(map(len, found.values()))


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(path, text.encode())


def _contents(found: dict[str, list[Path]], root: Path) -> str:
    """Return the tables of contents, which stand in the sidebar and not on the page."""
    parts = []
    for title, paths in found.items():
        names = "\n".join(str(path.relative_to(root).with_suffix("")) for path in paths)
        parts.append(f"\n\n```{{toctree}}\n:hidden:\n:caption: {title}\n\n{names}\n```")
    return "".join(parts) + "\n"


def _links(path: Path, root: Path, folder: Path, text: str | None = None) -> str:
    """Return the Markdown of a page with links that lead somewhere on a site, too.

    A file that is no page is copied, and Sphinx offers it to be saved. A folder cannot be opened
    there, so its link becomes plain text.
    """

    def lead(found: re.Match[str]) -> str:
        target = Path(os.path.normpath(path.parent / found["to"]))
        if not target.is_relative_to(root) or not target.exists():
            return found[0]  # an address, or code that looks like a link
        if target == root / START:
            there = os.path.relpath(root / "index.md", path.parent)
            return f"[{found['text']}]({there}{found['part'] or ''})"
        if target.is_dir():
            return found["text"]
        if target.suffix not in (".md", ".ipynb"):
            copy = folder / target.relative_to(root)
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(target, copy)
        return found[0]

    return LINK.sub(lead, path.read_text(encoding="utf-8") if text is None else text)


def _book(nb: Notebook, path: Path, root: Path, folder: Path) -> Notebook:
    """Return a notebook for a reader without a kernel: explorers live, other widgets are told."""
    nb = notebooks.close_folds(pages.without_kernel(nb))
    nb.metadata = {"kernelspec": notebooks.KERNEL, "language_info": {"name": "python"}}
    nb.cells = [cell for cell in nb.cells if "injected-parameters" not in tags(cell)]
    for cell in nb.cells:
        if cell.cell_type == "markdown":
            cell.source = _links(path, root, folder, cell.source)
            continue
        if cell.metadata.get("jupyter", {}).get("source_hidden"):
            cell.metadata["tags"] = [*tags(cell), "hide-input"]
        for output in cell.get("outputs", []):
            if "data" in output:
                output.data = {kind: _said(x) for kind, x in output.data.items() if _seen(kind)}
    return nb


def _seen(kind: str) -> bool:
    """Tell whether a page shows outputs of this MIME type; it cannot show rows of claims."""
    return kind.startswith(("text/", "image/"))


def _said(text: str) -> str:
    for old, new in NO_KERNEL.items():
        text = text.replace(old, new)
    return text
