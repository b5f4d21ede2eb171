"""Rows for the lab: each preset says in `why` what to look at."""

from typing import Any


def byot(**knobs: Any) -> dict[str, Any]:
    """Return a row with the course's defaults where nothing else is given."""
    return {"method": "BYOT", "knobs": knobs}


PRESETS: dict[str, dict[str, Any]] = {
    "is it the teaching?": {
        "why": (
            "The net alone; with exits that learn from labels only; with the deepest exit as "
            "teacher, too; and all of it. What one deploys here is the deepest exit."
        ),
        "rows": [
            {"method": "labels"},
            byot(alpha=0.0, beta=0.0),
            byot(beta=0.0),
            byot(),
        ],
    },
    "who teaches?": {
        "why": "The deepest exit, the next one, or the mean of all.",
        "rows": [byot(teacher=name) for name in ("deepest", "next", "ensemble")],
    },
    "the paper's, and its rivals": {
        "why": "Label smoothing costs nothing, a longer training as much as the exits do.",
        "rows": [
            byot(),
            {"method": "labels", "knobs": {"smoothing": 0.1}},
            {"method": "labels", "updates": 4000},
        ],
    },
}
