"""Rows for the lab: each preset says in `why` what to look at."""

from typing import Any

from kdlab.papers.kd.presets import LABELS

DML: dict[str, Any] = {"method": "DML", "knobs": {"weight": 1.0}}

PRESETS: dict[str, dict[str, Any]] = {
    "two peers": {
        "why": (
            "A net alone, one that learns with a peer, and one alone that trains twice as long, "
            "which costs as much as both peers. Of two peers the first is measured."
        ),
        "rows": [LABELS, DML, LABELS | {"updates": 4000}],
    },
    "too much of it?": {
        "why": (
            "From no weight on the peer, which is a net alone, to ten times the paper's. Two nets "
            "can also agree on a mistake. Look at the beginning of the curves, and at their end."
        ),
        "rows": [DML | {"knobs": {"weight": weight}} for weight in (0.0, 1.0, 10.0)],
    },
    "the paper's": {
        "why": (
            "The course moves both peers at once, the paper one after the other. Its cohorts are "
            "larger, too: three peers here. Turn what a peer mimics."
        ),
        "rows": [DML, {"method": "DMLInTurn"}, {"method": "Cohort"}],
    },
}
