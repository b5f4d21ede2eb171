"""Make the site: gather its pages, let Sphinx write them, tell what Sphinx complains of."""

import argparse
import io
import re
import shutil
import tempfile
from pathlib import Path
from typing import Any

from kdlab.tools import course, notebooks
from kdlab.tools.notebooks import Notebook
from kdlab.tools.site import source

HERE = Path(__file__).parent  # with Sphinx's settings, conf.py
MADE = ".kdlab-site"  # lies in a folder that this command may empty
COLOURS = re.compile(r"\x1b\[[0-9;]*m")


def command(args: argparse.Namespace) -> int:
    """Make the site as `args` say; return 1 where something in it is amiss."""
    given = {"budget": args.budget}

    def executed(path: Path) -> Notebook:
        if not args.as_committed:
            path = course.fresh(path, args.course, given)
        return notebooks.read(path)

    root = args.notebooks.resolve().parent
    n, amiss = build(root, args.out, executed)
    print("\n".join([*amiss, f"pages: {n}   open {args.out / 'index.html'}"]))
    if args.check:
        from kdlab.tools.site import check

        found = check.look(args.out)
        print("\n".join(found) or "looked at in Chromium: nothing is amiss")
        amiss += found
    return int(bool(amiss))


def build(root: Path, out: Path, executed: Any = notebooks.read) -> tuple[int, list[str]]:
    """Make the site of the repository `root` in `out`, emptied before.

    Args:
        root: the repository.
        out: where the site goes; beside it stands a folder of what Sphinx read.
        executed: see `kdlab.tools.site.source.gather`.

    Returns:
        The number of pages, and what Sphinx complains of, such as links that lead nowhere.

    Raises:
        ValueError: a package is missing, `root` is no repository of the course, or `out` holds
            something else than a site.
    """
    try:
        import furo  # noqa: F401
        import myst_nb  # noqa: F401
        import sphinx_copybutton  # noqa: F401
        from sphinx.application import Sphinx
        from sphinx.util.docutils import docutils_namespace, patch_docutils
    except ImportError as error:
        raise ValueError(f"the site needs {error.name}: make site installs it.") from None
    out = out.resolve()
    if out.exists() and not (out / MADE).exists() and any(out.iterdir()):
        raise ValueError(f"{out} holds files that are no site; choose a new or an empty folder.")
    with tempfile.TemporaryDirectory() as beside:
        read, kept = (Path(beside).resolve() / what for what in ("source", "doctrees"))
        n = source.gather(root.resolve(), read, executed)
        shutil.rmtree(out, ignore_errors=True)  # so that no page stays that is none any more
        out.mkdir(parents=True)
        (out / MADE).touch()
        said = io.StringIO()
        with patch_docutils(HERE), docutils_namespace():  # or a second site would find its traces
            Sphinx(read, HERE, out, kept, "html", status=None, warning=said, freshenv=True).build()
    lines = COLOURS.sub("", said.getvalue()).replace(f"{read}/", "").splitlines()
    return n, [line for line in lines if line.strip()]
