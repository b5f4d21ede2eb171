"""Rows for the lab: each preset says in `why` what to look at."""

from typing import Any

from kdlab.papers.kd.presets import LABELS, row

PRESETS: dict[str, dict[str, Any]] = {
    "is it the teaching?": {
        "why": (
            "The net alone; with exits that learn from labels only; with the deepest exit as "
            "teacher, too; and all of it. What one deploys here is the deepest exit."
        ),
        "rows": [
            LABELS,
            row("BYOT", alpha=0.0, beta=0.0),
            row("BYOT", beta=0.0),
            row("BYOT"),
        ],
    },
    "who teaches?": {
        "why": "The deepest exit, the next one, or the mean of all.",
        "rows": [row("BYOT", teacher=name) for name in ("deepest", "next", "ensemble")],
    },
    "the paper's, and its rivals": {
        "why": "Label smoothing costs nothing, a longer training as much as the exits do.",
        "rows": [
            row("BYOT"),
            row("labels", smoothing=0.1),
            LABELS | {"updates": 4000},
        ],
    },
}
