"""Rows for the lab: each preset says in `why` what to look at."""

from typing import Any

PRESETS: dict[str, dict[str, Any]] = {
    "the theorem's loss on real images": {
        "why": (
            "The net here is none of the theory, and no image has planted views. What is left "
            "of the loss: a cap on what a score counts, and a student that is only pulled up."
        ),
        "rows": [
            {"method": "labels"},
            *({"method": "ViewKD", "knobs": {"form": f}} for f in ("theorem", "two-sided")),
            {"method": "ViewKD", "knobs": {"form": "KL", "T": 4.0, "lam": 9.0}},
        ],
    },
    "a net that teaches its copy": {
        "why": "Self-distillation: the teacher is as small as the student, and begins elsewhere.",
        "rows": [
            {"method": "labels"},
            {"method": "KD", "teacher": "cnn4", "knobs": {"T": 4.0, "alpha": 0.9}},
            {"method": "labels", "updates": 4000},
        ],
    },
}
