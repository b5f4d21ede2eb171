"""The commands: python -m kdlab course | site | notebooks | evidence | full | claims | clean.

And those of a teacher, teach | timings | exercises, see `kdlab.tools.teaching.commands`.
"""

import argparse
import ast
import json
import os
import sys
from pathlib import Path
from typing import Any

from kdlab.tools.teaching import commands as teaching


def _setting(argument: str) -> tuple[str, Any]:
    """Read ``name=value``; a value that is no Python literal is a text, or the caller's path.

    Notebooks run in their own folder, so a path is made whole.
    """
    name, equals, value = argument.partition("=")
    if not (name and equals):
        raise argparse.ArgumentTypeError(f"{argument!r} is not of the form name=value")
    try:
        return name, ast.literal_eval(value)
    except (ValueError, SyntaxError):
        path = Path(value).expanduser()
        named = path.suffix or os.sep in value
        return name, str(path.resolve()) if named and path.exists() else value


def _course(args: argparse.Namespace) -> int:
    from kdlab.store import write_atomic
    from kdlab.tools import course, notebooks

    given = {"budget": args.budget, **dict(args.set)}
    paths = notebooks.find(args.notebooks, args.only)
    for path in paths:  # a misspelt name shows before the first hour of training
        notebooks.check_parameters(notebooks.read(path), given)
    runs = []
    for path in paths:
        runs.append(course.run(path, args.out, given))
        print(runs[-1], flush=True)
    rows = [row for run in runs for row in run.claims]
    write_atomic(args.claims, (json.dumps(rows, indent=1, ensure_ascii=False) + "\n").encode())
    print(f"notebooks and pages: {args.out}   claims: {args.claims}")
    return int(any(run.error for run in runs))


def _site(args: argparse.Namespace) -> int:
    from kdlab.tools.site import build

    return build.command(args)


def _notebooks(args: argparse.Namespace) -> int:
    from kdlab.tools import course, notebooks

    for path in notebooks.find(args.notebooks, args.only):  # finished runs are found again
        print(course.rewrite(path), flush=True)
    return 0


def _claims(args: argparse.Namespace) -> int:
    from kdlab.runs import rows
    from kdlab.tools import atlas, drawing, gather, notebooks, outcomes, readme, standings

    read = [notebooks.read(path) for path in notebooks.find(args.notebooks)]
    table = readme.table(row for nb in read for row in readme.claims(nb))
    if args.write:
        root = args.notebooks.parent
        readme.write(root / "README.md", "claims", table)
        papers, docs = gather.experiments(), root / "docs"
        page = readme.measured(papers, root / "evidence")
        readme.write(root / "evidence" / "README.md", "evidence", page)
        drawn = drawing.picture(docs)
        (docs / "map.svg").write_text(drawn, encoding="utf-8")
        for name, part in atlas.parts(docs, outcomes.judged(papers, root / "evidence")).items():
            readme.write(docs / "map.md", name, part)
        table_of = readme.lengths(rows.read("00_kd", "regime", root / "evidence"))
        readme.write(root / "data" / "README.md", "regime", table_of)
        readme.write(root / "README.md", "shootout", standings.page(docs, root / "evidence"))
    print(table)
    return 0


def _evidence(args: argparse.Namespace) -> int:
    from kdlab.tools import gather

    return gather.command(args)


def _full(args: argparse.Namespace) -> int:
    from kdlab.tools import full

    return full.command(args)


def _clean(args: argparse.Namespace) -> int:
    from kdlab.store import write_atomic
    from kdlab.tools import notebooks

    for path in args.files:
        text = notebooks.text(notebooks.clean(notebooks.read(path)))
        if text != path.read_text(encoding="utf-8"):
            write_atomic(path, text.encode())
            print(f"cleaned {path}")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m kdlab", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    some = argparse.ArgumentParser(add_help=False)
    some.add_argument("--notebooks", type=Path, default=Path("notebooks"), help="their folder")
    only = argparse.ArgumentParser(add_help=False, parents=[some])
    only.add_argument("--only", nargs="+", default=[], metavar="STEM", help="e.g. 00_kd")

    course = commands.add_parser("course", parents=[only], help="run the course headless")
    course.add_argument("--budget", choices=["ci", "lesson", "long", "full"], default="lesson")
    course.add_argument("--out", type=Path, default=Path("build/course"))
    course.add_argument("--claims", type=Path, default=Path("build/claims.json"))
    course.add_argument("--set", type=_setting, action="append", default=[], metavar="NAME=VALUE")
    course.set_defaults(run=_course)

    site = commands.add_parser("site", parents=[some], help="make the course a static site")
    site.add_argument("--budget", choices=["ci", "lesson", "long", "full"], default="lesson")
    site.add_argument("--out", type=Path, default=Path("build/site"))
    site.add_argument("--course", type=Path, default=Path("build/course"), help="executed copies")
    site.add_argument("--as-committed", action="store_true", help="run nothing: still pictures")
    site.add_argument("--check", action="store_true", help="look at every page in Chromium")
    site.set_defaults(run=_site)

    rewrite = commands.add_parser("notebooks", parents=[only], help="run and write outputs back")
    rewrite.set_defaults(run=_notebooks)

    claims = commands.add_parser("claims", parents=[some], help="print the committed claims")
    claims.add_argument("--write", action="store_true", help="into the README and other pages")
    claims.set_defaults(run=_claims)

    _evidence_parser(commands.add_parser("evidence", help="measure what is missing or stale"))

    _full_parser(commands.add_parser("full", help="a paper's comparison at full size, on a GPU"))

    clean = commands.add_parser("clean", help="remove widget state and timings, keep outputs")
    clean.add_argument("files", type=Path, nargs="+")
    clean.set_defaults(run=_clean)

    teaching.add(commands, only)
    return parser


def _evidence_parser(found: argparse.ArgumentParser) -> None:
    found.add_argument("--only", nargs="+", default=[], metavar="STEM", help="e.g. 00_kd")
    found.add_argument("--world", nargs="+", default=None, help="e.g. mnist5k natural")
    found.add_argument("--jobs", type=int, default=None, help="processes, one thread each")
    found.add_argument(
        "--dask", metavar="ADDRESS", help="of a scheduler; its workers make the runs"
    )
    what = found.add_mutually_exclusive_group()
    what.add_argument("--check", action="store_true", help="name what is stale; measure nothing")
    what.add_argument("--confirm", action="store_true", help="stale rows that repeat stay")
    what.add_argument("--spot", type=int, metavar="SEED", help="train two rows again, drawn by it")
    found.set_defaults(run=_evidence)


def _full_parser(found: argparse.ArgumentParser) -> None:
    found.add_argument("--list", action="store_true", help="what runs, and what the papers trained")
    found.add_argument("--only", nargs="+", default=[], metavar="STEM", help="e.g. 05_rkd")
    found.add_argument("--comparison", default="", help="the first that has all arms, if not named")
    found.add_argument("--arms", default="", help='parted by commas: "labels,KD,RKD"; none: all')
    found.add_argument("--replicates", type=int, default=1, help="of teacher, images and weights")
    found.add_argument("--data", default="", help="cifar100, cifar10, or a path")
    found.add_argument("--nets", default="", metavar="TEACHER:STUDENT", help="wrn_40_2:wrn_16_2")
    found.add_argument("--recipe", choices=["benchmark", "paper"], default="benchmark")
    found.add_argument("--precision", choices=["float32", "mixed"], default="float32")
    found.add_argument("--folder", type=Path, default=Path("full"), help="of the rows")
    found.add_argument("--jobs", type=int, default=None, help="processes; 1 on a GPU")
    found.set_defaults(run=_full)


def main(argv: list[str] | None = None) -> int:
    """Run one command and return its exit status: 0 well, 1 a notebook failed, 2 bad input."""
    args = _parser().parse_args(argv)
    try:
        return args.run(args)
    except ValueError as error:
        print(f"kdlab: {error}", file=sys.stderr)
        return 2
