"""The commands of the teacher's pack: python -m kdlab teach | timings | exercises."""

import argparse
import os
from pathlib import Path
from typing import Any

from kdlab.store import write_atomic

KINDS = ("pages", "sheets", "settings")
WARNING = (
    "What your students wrote is run on this machine, each answer in a process of its own with "
    "little time and memory. That is no prison: use an account that holds nothing of value."
)


def add(commands: Any, only: argparse.ArgumentParser) -> None:
    """Add the commands to the parsers of ``python -m kdlab``; `only` chooses notebooks."""
    teach = commands.add_parser("teach", parents=[only], help="make projector pages and sheets")
    teach.add_argument("--kinds", nargs="+", choices=KINDS, default=KINDS)
    executed = teach.add_argument("--executed", type=Path, default=Path("build/course"))
    executed.help = "notebooks as run by course: with them explorers are alive"
    teach.add_argument("--out", type=Path, default=Path("build/teaching"))
    teach.set_defaults(run=_teach)

    times = commands.add_parser("timings", parents=[only], help="time notebooks for docs/teaching")
    times.add_argument("--docs", type=Path, default=Path("docs"), help="folder of teaching.md")
    times.add_argument("--tables", action="store_true", help="only write its tables again")
    times.set_defaults(run=_timings)

    marks = commands.add_parser(
        "exercises", help="mark students' notebooks", description=WARNING, epilog="Exit 0."
    )
    marks.add_argument("paths", type=Path, nargs="+", metavar="FILE_OR_FOLDER")
    marks.add_argument("--save", type=Path, metavar="FILE.csv", help="write a table, too")
    marks.add_argument("--seconds", type=float, default=20.0, help="of processor time, an answer")
    marks.add_argument("--memory", type=int, default=1024, metavar="MIB", help="an answer")
    marks.set_defaults(run=_exercises)


def _teach(args: argparse.Namespace) -> int:
    from kdlab.tools import course, notebooks
    from kdlab.tools.teaching import project, settings

    args.out.mkdir(parents=True, exist_ok=True)
    for path in notebooks.of_papers(notebooks.find(args.notebooks, args.only)):
        if "pages" in args.kinds:
            run = args.executed / path.name
            lively = any(course.is_fresh(run, path, {"budget": b}) for b in ("lesson", "long"))
            page = project.to_page(notebooks.read(run if lively else path), path.stem)
            write_atomic(args.out / f"{path.stem}-projector.html", page.encode())
            why = "no copy is up to date" if run.exists() else "make course first"
            how = "explorers as they ran" if lively else f"pictures only: {why}"
            print(f"{args.out / path.stem}-projector.html: {how}", flush=True)
    if "settings" in args.kinds:
        for found in settings.hand_outs():
            if not args.only or found.stem in args.only:
                write_atomic(args.out / found.file, f"{found.text}\n".encode())
        write_atomic(args.out / "settings.html", settings.to_page().encode())
        print(f"{args.out / 'settings.html'}: presets to hand out")
    if "sheets" in args.kinds:  # last: without Chromium this fails
        _sheets(args)
    return 0


def _sheets(args: argparse.Namespace) -> None:
    from kdlab.tools import chromium, gather, notebooks
    from kdlab.tools.teaching import sheets

    pages, experiments = {}, gather.experiments()
    for path in notebooks.of_papers(notebooks.find(args.notebooks, args.only)):
        page = sheets.to_page(notebooks.read(path), path.stem, experiments[path.stem])
        pages[args.out / f"{path.stem}-sheet.pdf"] = page
        write_atomic(args.out / f"{path.stem}-sheet.html", page.encode())
    with sheets.browser(chromium.path()) as browser:
        sheets.print_all(pages, browser)
    print(f"{args.out}: {len(pages)} sheets, one page each")


def _timings(args: argparse.Namespace) -> int:
    from kdlab.tools import notebooks, readme
    from kdlab.tools.teaching import settings, timings

    file, page = args.docs / timings.FILE.name, args.docs / "teaching.md"
    if not args.tables:
        for run in timings.measure(notebooks.find(args.notebooks, args.only), file):
            print(run, flush=True)
    table = timings.table(notebooks.find(args.notebooks), timings.read(file))
    readme.write(page, "times", table)
    readme.write(page, "presets", settings.table())
    print(table)
    return 0


def _exercises(args: argparse.Namespace) -> int:
    os.environ["OMP_NUM_THREADS"] = "1"
    from kdlab.tools.teaching import marks

    if args.seconds <= 0 or args.memory <= 0:
        raise ValueError("--seconds and --memory are above 0.")
    print(WARNING)
    found, lost = marks.mark(marks.found(args.paths), args.seconds, args.memory)
    print("\n".join(["", *lost, *([""] if lost else []), marks.tables(found)]))
    if args.save:
        marks.save(found, args.save)
        print(f"\nsaved: {args.save}")
    return 0
