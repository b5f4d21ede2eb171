"""Outcomes of claims on a page: as a grid of symbols, and as part of a sentence."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import ModuleType

from kdlab.runs import evidence
from kdlab.runs.claims import judge
from kdlab.show.words import Row, in_words
from kdlab.show.words import found as interval_of
from kdlab.tools.anchors import link
from kdlab.tools.readme import markdown

Judged = Mapping[str, Sequence[Row]]  # {stem of the notebook: rows of `kdlab.runs.claims.judge`}

MARKS = {  # a symbol beside each word, so that a grid can be read at a glance
    "reproduced": "✓ reproduced",
    "contradicted": "✗ contradicted",
    "no effect that matters": "○ no effect that matters",
    "undecided": "? undecided",
    "not tested here": "– not tested here",
}
MAIN = ("mnist5k", "fashion5k", "natural")  # the worlds that a reader expects to hear of
SIDES = ("above 0", "below 0", "on both sides of 0")  # of an interval without an outcome


def judged(papers: Mapping[str, ModuleType], folder: Path) -> dict[str, list[Row]]:
    """Return the judged claims of the evidence in `folder`, a row per claim and world."""
    found = {}
    for stem, paper in papers.items():
        claims = paper.claims(evidence.tables(stem, paper.COMPARISONS, folder))
        found[stem] = judge(claims, stem).to_dict("records")
    return found


def rows_of(rows: Iterable[Row], claim: str) -> list[Row]:
    """Return the rows of one claim, one a world.

    Raises:
        ValueError: there is no such claim.
    """
    rows = list(rows)
    found = [row for row in rows if row["id"] == claim]
    if not found:
        known = ", ".join(dict.fromkeys(row["id"] for row in rows))
        raise ValueError(f"there is no claim {claim!r}; there are {known}.")
    return found


def grid(judged: Judged) -> str:
    """Return the primary claims as a Markdown table of symbols and words, a line each.

    Worlds beyond `MAIN` share the last column, where their name stands beside the outcome.
    """
    lines, counts = [], Counter[str]()
    for stem, rows in judged.items():
        for claim in dict.fromkeys(row["id"] for row in rows if row["primary"]):
            found = {row["world"]: row for row in rows_of(rows, claim)}
            named = [_mark(found.get(world)) for world in MAIN]
            rest = [f"{_mark(r)} ({in_words(w)})" for w, r in found.items() if w and w not in MAIN]
            text = next(iter(found.values()))["claim"]
            lines.append([link(stem, "Claims", f"{stem[:2]}, *Claims*"), text, *named, *rest])
            counts.update(row["outcome"] for row in found.values() if row["n"])
    width = max((len(line) for line in lines), default=0)
    heads = ["where", "claim", *map(in_words, MAIN), "other images"][: max(width, 5)]
    body = [line + [""] * (width - len(line)) for line in lines]
    told = ", ".join(f"{counts[name]} {name}" for name in MARKS if counts[name])
    total = f"{len(lines)} primary claims, {counts.total()} outcomes"
    return f"{total}{': ' if told else ''}{told}.\n\n{markdown(heads, body)}"


def _mark(row: Row | None) -> str:
    return MARKS[row["outcome"] if row else "not tested here"]


def sentence(rows: Sequence[Row]) -> str:
    """Return one claim and its outcomes as a part of a sentence.

    E.g. “KD beats labels”: reproduced on digits (+1.48 points), not tested on clothes and
    photographs. A claim that is *also seen* has no outcome; it tells where its interval lies.
    """
    claim, primary = f"“{rows[0]['claim'].rstrip('.')}”", rows[0]["primary"]
    tested = [row for row in rows if row["n"]]
    if not tested:
        return f"{claim}: not tested here" + (f", {why}" if (why := rows[0]["why"]) else " yet")
    kinds = MARKS if primary else SIDES
    parts = []
    for kind in kinds:
        hit = [row for row in tested if (row["outcome"] if primary else side(row)) == kind]
        if hit:
            parts.append(f"{kind} on {listed(map(_place, hit))}")
    met = {row["world"] for row in tested}
    if missing := [in_words(world) for world in MAIN if world not in met and met & set(MAIN)]:
        parts.append(f"not tested on {listed(missing)}")
    return f"{'' if primary else 'also seen, '}{claim}: {', '.join(parts)}"


def _place(row: Row) -> str:
    number = str(interval_of(row)).partition(" ")[0]  # with as many decimals as its interval bears
    ours = f"{number} {row['unit']}" if row["ours"] == row["ours"] else "a run gave no number"
    return f"{in_words(row['world'])} ({ours})"


def side(row: Row) -> str:
    """Return on which side of 0 an interval lies."""
    return SIDES[0] if row["low"] > 0 else SIDES[1] if row["high"] < 0 else SIDES[2]


def listed(names: Iterable[str]) -> str:
    """Return names as in a sentence.

    >>> listed(["digits", "clothes", "photographs"])
    'digits, clothes and photographs'
    """
    *first, last = names
    return f"{', '.join(first)} and {last}" if first else last
