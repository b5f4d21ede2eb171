"""The numbers of the lab's pictures: dots, differences, curves, calibration, images, costs."""

import base64
import functools
import io
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from PIL import Image

from kdlab.lab.rows import OWN_TEACHER, Row, Stock
from kdlab.models import Size, build, size
from kdlab.runs.claims import ALPHA, MOST, Claim, needed, outcome
from kdlab.runs.differences import Interval, interval

MARGIN = 0.5  # points: the smallest difference that matters here
BINS = 10
PICTURES = 8  # of either side
Found = Mapping[int, Mapping[str, Any]]  # replicate -> what was measured


def plain(x: Interval) -> str:
    """Return an interval of percentages in words."""
    ends = f" [{x.low:.1f}, {x.high:.1f}]" if x.half == x.half else ""
    return f"{x.mean:.1f} %{ends}, n = {x.n}"


def dots(found: Found) -> dict[str, Any]:
    """Return the accuracies of a row, with mean and interval; JSON knows no NaN."""
    x = interval([row["accuracy"] for row in found.values()])
    ends = {"mean": x.mean, "low": x.low, "high": x.high}
    points = [[seed, row["accuracy"]] for seed, row in sorted(found.items())]
    known = {name: None if end != end else end for name, end in ends.items()}
    return {"dots": points, "text": plain(x) if found else "", **known}


def difference(first: Found, second: Found) -> str:
    """Say in one sentence how much better the first row is, paired by replicate."""
    both = sorted(set(first) & set(second))
    if not both:
        return "there is no replicate that both have finished."
    gap = np.array([first[r]["accuracy"] - second[r]["accuracy"] for r in both])
    x, n = interval(gap, unit="points"), needed(gap, Claim("", "", "", margin=MARGIN), ALPHA)
    would = f"about {n} replicates would decide" if n else "more replicates would tell"
    said = {
        "reproduced": "the first is better",
        "contradicted": "the second is better",
        "no effect that matters": f"there is no difference of {MARGIN} points or more",
        "undecided": f"undecided; {would if n < MOST else f'even {n:,} would not decide'}",
    }
    return f"{x}: {said[outcome(x, MARGIN)]}."


def curve(found: Found) -> list[list[float]]:
    """Return [update, mean accuracy on validation images] of a row."""
    if not found:
        return []
    at, mean = (
        next(iter(found.values()))["updates"],
        np.mean([r["curve"] for r in found.values()], 0),
    )
    return [[int(u), round(float(v), 2)] for u, v in zip(at, mean, strict=True)]


def calibration(found: Found) -> dict[str, Any]:
    """Return [confidence %, accuracy %, images] of the bins that are not empty, and a sentence."""
    if not found:
        return {"bins": [], "text": ""}
    sure = np.concatenate([row["sure"] for row in found.values()])
    right = np.concatenate([row["correct"] for row in found.values()])
    place = np.minimum((sure * BINS).astype(int), BINS - 1)
    bins = [
        [100 * float(sure[here].mean()), 100 * float(right[here].mean()), int(here.sum())]
        for here in (place == b for b in range(BINS))
        if here.any()
    ]
    gap = 100 * float(sure.mean() - right.mean())
    side = f"{abs(gap):.1f} points {'surer than right' if gap > 0 else 'less sure than right'}"
    error = interval([row["ece"] for row in found.values()])
    return {"bins": bins, "text": f"{side}; calibration error {plain(error)}"}


@functools.cache
def size_of(net: str, classes: int, shape: tuple[int, int, int]) -> Size:
    """Return weights and multiply-adds of a network."""
    return size(build(net, classes, shape, seed=0), shape)


def cost(row: Row, found: Found, stock: Stock) -> dict[str, str]:
    """Return what a row costs: seconds of training, and what one deploys."""
    place, teacher = stock.places[row.world], row.teacher or "none"
    mine = size_of(row.student, place.classes, place.shape)
    if row.teacher not in ("", OWN_TEACHER):
        teacher = f"{size_of(row.teacher, place.classes, place.shape).params:,} weights"
    seconds = [r["seconds"] for r in found.values()]
    return {
        "seconds a run": f"{np.median(seconds):.1f}" if seconds else "–",
        "student": f"{mine.params:,} weights",
        "multiply-adds an image": f"{mine.macs:,}",
        "teacher": teacher,
    }


def images(one: Row, first: Found, two: Row, second: Found, stock: Stock) -> dict[str, Any]:
    """Return how many images of one replicate only one of the rows has right, and some of them."""
    both = sorted(set(first) & set(second))
    if not both or one.world != two.world:
        return {"text": "These rows have no replicate with the same images.", "sides": []}
    a, b, setting = first[both[0]], second[both[0]], one.run(stock).setting
    data, sides = replace(setting, r=both[0], noise=0.0).data, []
    for mine, other in ((a, b), (b, a)):
        rows = np.flatnonzero(mine["correct"] & ~other["correct"])
        shown = [
            {
                "src": as_url(data.images(data.test.x[i]).numpy()),
                "label": data.classes[int(data.test.y[i])],
                "other": data.classes[int(other["says"][i])],
            }
            for i in rows[:PICTURES]
        ]
        sides.append({"count": len(rows), "images": shown})
    text = f"Of the {len(a['correct']):,} test images of replicate {both[0]}"
    return {"text": text, "sides": sides}


def as_url(x: np.ndarray) -> str:
    """Return an image (C, H, W) in [0, 1] as a data URL."""
    grid, out = (255 * x).round().astype(np.uint8), io.BytesIO()
    Image.fromarray(grid[0] if len(grid) == 1 else grid.transpose(1, 2, 0)).save(out, format="png")
    return "data:image/png;base64," + base64.b64encode(out.getvalue()).decode()
