"""Rows for the lab: each preset says in `why` what to look at."""

from typing import Any

from kdlab.papers.kd.presets import KD, LABELS, row


def joint(**knobs: Any) -> dict[str, Any]:
    """Return a row that learns by labels, soft targets and a hint in one stage."""
    return row("Joint", **{"beta": 10.0, "alpha": 0.9, **knobs})


PRESETS: dict[str, dict[str, Any]] = {
    "a hint beside the rest": {
        "why": "A hint beside labels, and beside KD. The net is one of today, with batch norm.",
        "rows": [LABELS, joint(alpha=0.0), KD, joint()],
    },
    "how much of it?": {
        "why": (
            "From no hint to a thousand times the usual weight. A student of 4 channels cannot "
            "show all that a teacher of 32 shows: when does it begin to pay for trying?"
        ),
        "rows": [joint(beta=beta) for beta in (0.0, 10.0, 1000.0, 10000.0)],
    },
    "the paper's": {
        "why": (
            "The second stage of the paper: at first the teacher has four times the weight of "
            "the labels, at the end as much as they. Below, a weight that stays."
        ),
        "rows": [
            {"method": "Soft", "knobs": {"T": 3.0, "top": top, "end": end}}
            for top, end in ((4.0, 1.0), (1.0, 1.0), (4.0, 4.0))
        ],
    },
}
