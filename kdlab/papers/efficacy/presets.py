"""Rows for the lab: each preset says in `why` what to look at."""

from typing import Any

from kdlab.papers.kd.presets import KD, LABELS

PRESETS: dict[str, dict[str, Any]] = {
    "which size?": {
        "why": "A student of 4 channels, and teachers that are two, four and eight times as wide.",
        "rows": [LABELS, *(KD | {"teacher": net} for net in ("cnn8", "cnn16", "cnn32"))],
    },
    "which age?": {
        "why": (
            "The largest teacher after 1, 5 and 20 looks at its images. Each had its whole "
            "schedule: none is a snapshot of a longer training."
        ),
        "rows": [LABELS, *(KD | {"epochs": epochs} for epochs in (1, 5, 20))],
    },
    "the paper's": {
        "why": (
            "kd_stop: the student leaves its teacher after a part of the training, and goes on "
            "with labels. The row with 0 never listens, the row with 1 is plain KD."
        ),
        "rows": [
            {"method": "KDStop", "knobs": {"stop": stop, "T": 4.0, "alpha": 0.9}}
            for stop in (0.0, 0.25, 0.5, 1.0)
        ],
    },
}
