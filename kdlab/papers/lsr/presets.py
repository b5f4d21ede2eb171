"""Rows for the lab: each preset says in `why` what to look at."""

from typing import Any

from kdlab.papers.kd.presets import LABELS, row

PAPER = row("Distil", T=20.0, alpha=0.16)

PRESETS: dict[str, dict[str, Any]] = {
    "the paper's": {
        "why": (
            "A good teacher, one that saw its images once, one that is smaller than the student, "
            "and one that is written down. Does it matter who teaches?"
        ),
        "rows": [
            *(LABELS, PAPER, PAPER | {"epochs": 1}, PAPER | {"teacher": "cnn2"}),
            row("TfReg", T=20.0, alpha=0.16),
        ],
    },
    "smoothing or not?": {
        "why": "Two amounts of label smoothing beside the virtual teacher at two temperatures.",
        "rows": [
            *(row("labels", smoothing=s) for s in (0.05, 0.15)),
            *(row("TfReg", T=T, alpha=0.16) for T in (1.0, 20.0)),
        ],
    },
    "is it the missing label?": {
        "why": (
            "By the released formula a badly trained teacher has a weight of 0.095 and the labels "
            "0.05. The other row has these 0.05 and nobody beside them: a smaller step, no more."
        ),
        "rows": [
            LABELS,
            PAPER | {"knobs": {"T": 20.0, "alpha": 0.95, "reduction": "mean"}, "epochs": 1},
            row("Share", alpha=0.95),
        ],
    },
}
