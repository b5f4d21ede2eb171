"""What the lab shows, as plain values for JavaScript and as a page for a file."""

import html
import itertools
import math
from collections.abc import Iterable
from typing import Any

import pandas as pd

from kdlab.lab import pace, results
from kdlab.lab.bench import Bench
from kdlab.lab.rows import OWN_TEACHER, Stock
from kdlab.models import EXAMPLES
from kdlab.runs.differences import interval
from kdlab.train.method import Knob


def offer(stock: Stock, presets: Iterable[str]) -> dict[str, Any]:
    """Return what the controls of the form offer."""
    known = stock.methods.values()
    return {
        "methods": {
            c.name: {"knobs": [knob(k) for k in c.knobs], "taught": c.taught, "fault": c.fault}
            for c in known
            if c.kind
        },
        "left_out": [f"{c.name}: {c.fault}" for c in known if not c.kind],
        "worlds": {
            name: {"words": place.world.words, "low": place.classes, "high": place.pool}
            for name, place in stock.places.items()
        },
        "students": list(EXAMPLES),
        "teachers": [*([OWN_TEACHER] if stock.teacher is not None else []), *EXAMPLES],
        "presets": list(presets),
    }


def knob(k: Knob) -> dict[str, Any]:
    """Return one knob: without an end where it has none, since JSON knows no infinity."""
    low, high = (v if math.isfinite(v) else None for v in (k.low, k.high))
    return {"name": k.name, "meaning": k.meaning, "low": low, "high": high} | {
        "choices": list(k.choices)
    }


def state(bench: Bench) -> dict[str, Any]:
    """Return the rows with their results, the differences, the training and the book."""
    training, found = bench.training, {who: bench.shown(who) for who in bench.tracks}
    rows, pairs = [], {}
    for who, track in bench.tracks.items():
        fault = track.fault or training.failures.get(track.key, "")
        row = {"id": who, "words": track.row.words(bench.stock), "plain": track.row.plain()}
        row |= {"fault": fault, "stale": track.stale, **results.dots(found[who])}
        row["doubt"] = next((r["doubt"] for r in found[who].values() if r.get("doubt")), "")
        row |= {"curve": results.curve(found[who]), "sure": results.calibration(found[who])}
        rows.append(row)
    for b, a in itertools.combinations(bench.tracks, 2):
        said = "they have different images, so nothing pairs their replicates."
        if bench.tracks[a].row.world == bench.tracks[b].row.world:
            said = results.difference(found[a], found[b])
        pairs[f"{a}-{b}"] = f"Arm {a} minus arm {b}: {said}"
    busy = training.busy
    return {
        "rows": rows,
        "pairs": pairs,
        "replicates": bench.replicates,
        "plan": "" if busy else planned(bench),
        "training": {
            "state": training.state,
            "done": len(training.ended),
            "total": training.total,
            "left": round(training.left()) if busy else 0,
            "notice": training.notice,
        },
        "book": book(bench.book.runs()),
        "home": str(bench.book.path),
    }


def planned(bench: Bench) -> str:
    """Say what a press on Train will do, and how long it should take."""
    jobs = bench.jobs()
    if not jobs:
        return "Nothing is missing."
    n, seconds = sum(job.who is not None for job in jobs), [job.expected for job in jobs]
    parts = [(len(jobs) - n, "teacher"), (n, "student")]
    told = " and ".join(f"{k} {word}{'s' * (k > 1)}" for k, word in parts if k)
    long = pace.ONCE + max(sum(seconds) / bench.training.processes, *seconds)
    return f"To train: {told}, {pace.in_words(long)}."


def book(runs: pd.DataFrame) -> list[dict[str, Any]]:
    """Return one entry for each row that ever finished a run, the latest first."""
    return [
        {
            **part.iloc[0][["key", "at", "words", "settings", "note"]],
            "result": results.plain(interval(part["accuracy"])),
        }
        for _, part in runs.groupby("key", sort=False)
    ]


def static(bench: Bench) -> tuple[str, str]:
    """Return the lab as HTML and as text, for a notebook that is read without a kernel."""
    head = "The lab. Run this cell in JupyterLab to use it."
    pairs = [
        (t.row.words(bench.stock), results.dots(bench.shown(w))["text"] or "not trained yet")
        for w, t in bench.tracks.items()
    ]
    cells = [f"<td>{html.escape(words)}</td><td>{html.escape(said)}</td>" for words, said in pairs]
    body = "".join(f"<tr>{pair}</tr>" for pair in cells)
    heads = "<thead><tr><th>arm</th><th>test accuracy</th></tr></thead>"
    page = f"<p>{head}</p><table>{heads}<tbody>{body}</tbody></table>"
    return page, "\n".join([head, *(f"{words}: {said}" for words, said in pairs)])
