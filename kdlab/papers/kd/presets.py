"""Rows for the lab: each preset says in `why` what to look at."""

from typing import Any

LABELS: dict[str, Any] = {"method": "labels"}
KD: dict[str, Any] = {"method": "KD", "knobs": {"T": 4.0, "alpha": 0.9}}
PAPER = {"teacher": "mlp800x800", "student": "mlp30x30"}


def row(method: str, **knobs: Any) -> dict[str, Any]:
    """Return a row of a method; what is not given has its default."""
    return {"method": method, "knobs": knobs}


PRESETS: dict[str, dict[str, Any]] = {
    "works": {
        "why": (
            "500 labels, and a teacher that is far better than what the student finds alone. Half "
            "of the course's updates, so that the first answer is there soon."
        ),
        "rows": [LABELS | {"updates": 1000}, KD | {"updates": 1000}],
    },
    "fails, and why": {
        "why": (
            "This teacher has seen its images only once. It knows little, and says it with doubt: "
            "whoever follows it learns its mistakes. The labels alone are the better teacher."
        ),
        "rows": [LABELS, KD | {"epochs": 1}, KD],
    },
    "the paper's": {
        "why": (
            "As in section 3: fully connected networks on digits, all labels, and a small student "
            "at several temperatures. The paper found 2.5 to 4 best for 30 units a layer."
        ),
        "rows": [
            LABELS | {"student": "mlp30x30", "labels": 2500},
            *(
                {"method": "KD", "knobs": {"T": T, "alpha": 0.9}, "labels": 2500, **PAPER}
                for T in (1.0, 4.0, 20.0)
            ),
        ],
    },
}
