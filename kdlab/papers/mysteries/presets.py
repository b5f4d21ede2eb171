"""Rows for the lab: each preset says in `why` what to look at."""

from typing import Any

from kdlab.papers.kd.presets import KD, LABELS

PRESETS: dict[str, dict[str, Any]] = {
    "the theorem's loss on real images": {
        "why": (
            "The net here is none of the theory, and no image has planted views. What is left "
            "of the loss: a cap on what a score counts, and a student that is only pulled up."
        ),
        "rows": [
            LABELS,
            *({"method": "ViewKD", "knobs": {"form": f}} for f in ("theorem", "two-sided")),
            {"method": "ViewKD", "knobs": {"form": "KL", "T": 4.0, "lam": 9.0}},
        ],
    },
    "a net that teaches its copy": {
        "why": "Self-distillation: the teacher is as small as the student, and begins elsewhere.",
        "rows": [
            LABELS,
            KD | {"teacher": "cnn4"},
            LABELS | {"updates": 4000},
        ],
    },
}
