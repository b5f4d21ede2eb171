"""Answers of teacher and student as bars under T, and the pull of each term of the loss."""

from collections.abc import Mapping, Sequence
from typing import Any

from kdlab.show.explorers.base import Explorer

TEMPERATURES = (
    *(0.5, 0.6, 0.7, 0.8, 0.9, 1, 1.1, 1.2, 1.3, 1.4, 1.5, 1.6, 1.8, 2, 2.2, 2.5, 2.8, 3, 3.5, 4),
    *(4.5, 5, 6, 7, 8, 9, 10, 12, 14, 16, 18, 20, 25, 30, 40, 50),
)
ALPHAS = tuple(round(0.05 * i, 2) for i in range(21))


def bars(worlds: Sequence[Mapping[str, Any]], stage: str, T: float, alpha: float) -> Explorer:
    """Return the explorer of `worlds`, which begins with the first image of the first of them.

    Args:
        worlds: name, classes, and cases: each an image with its label and the logits of teacher
            and student, {"name": ..., "label": number of a class, "image": address, or "" for a
            grey tile, "teacher": [C logits], "students": {stage: [C logits]}}.
        stage: of the student.
        T: temperature of both.
        alpha: share of the soft term.
    """
    first = worlds[0]
    setting = {"world": first["name"], "image": first["cases"][0]["name"], "stage": stage}
    data = {"worlds": list(worlds), "T": TEMPERATURES, "alpha": ALPHAS}
    return Explorer("bars", data, setting | {"T": T, "alpha": alpha})
