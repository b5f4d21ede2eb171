"""Rows for the lab: each preset says in `why` what to look at."""

from typing import Any

from kdlab.papers.kd.presets import KD, row

PRESETS: dict[str, dict[str, Any]] = {
    "step by step": {
        "why": (
            "KD; KD that sees turned images, too; then answers for turned images as a term of "
            "their own; then who is alike. Rows of images per update are equal but in the first."
        ),
        "rows": [
            KD,
            row("SameRows"),
            row("SSKD", lambda_ss=0.0),
            row("SSKD"),
        ],
    },
    "turned or moved?": {
        "why": "A turned 6 is a 9. Small moves keep the class: shifts, zooms, slants.",
        "rows": [row("SSKD"), row("SSKDMoves")],
    },
    "whom to believe?": {
        "why": (
            "How many of the rows that the teacher gets wrong are kept: none, three quarters as "
            "in the paper, all."
        ),
        "rows": [row("SSKD", ratio=ratio) for ratio in (0.0, 0.75, 1.0)],
    },
}
