"""Rows for the lab: each preset says in `why` what to look at."""

from typing import Any

from kdlab.papers.kd.presets import KD, LABELS, row


def partial(**knobs: Any) -> dict[str, Any]:
    """Return a row that learns from a part of the teacher's answer, as in notebook 00 else."""
    return row("PartialKD", **{"T": 4.0, "alpha": 0.9, **knobs})


PRESETS: dict[str, dict[str, Any]] = {
    "one part at a time": {
        "why": (
            "From the labels to the whole answer: the mean confidence with an even rest, then "
            "each image's own confidence, then relations of classes, then everything."
        ),
        "rows": [
            LABELS,
            partial(mass="mean", shape="even"),
            partial(mass="image", shape="even"),
            partial(mass="mean", shape="class"),
            partial(),
        ],
    },
    "how many classes?": {
        "why": "Only the k largest entries of the answer stay; the others become equal.",
        "rows": [partial(k=k) for k in (1, 2, 3, 10)],
    },
    "weights of images": {
        "why": (
            "No soft target at all: the teacher's confidence says how much each label counts. A "
            "fifth of the labels is wrong, for the teacher, too."
        ),
        "rows": [one | {"noise": 0.2} for one in (LABELS, row("Reweighted", T=4.0), KD)],
    },
}
