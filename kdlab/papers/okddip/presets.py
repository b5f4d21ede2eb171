"""Rows for the lab: each preset says in `why` what to look at."""

from typing import Any


def okddip(**knobs: Any) -> dict[str, Any]:
    """Return a row with the course's defaults where nothing else is given."""
    return {"method": "OKDDip", "knobs": knobs}


PRESETS: dict[str, dict[str, Any]] = {
    "one target or many?": {
        "why": (
            "A net alone, a member of ONE, where all have one target, and the leader of OKDDip, "
            "whose peers each have their own. A net alone that trains four times as long costs "
            "about as much as a group of four."
        ),
        "rows": [
            {"method": "labels"},
            {"method": "ONE"},
            okddip(),
            {"method": "labels", "updates": 8000},
        ],
    },
    "is it the attention?": {
        "why": "Peers that listen by attention, to all alike, or not at all.",
        "rows": [okddip(first=first) for first in ("attention", "uniform", "none")],
    },
    "how much is shared?": {
        "why": "No block in common, which costs most; one; two, the default.",
        "rows": [okddip(shared=shared) for shared in (0, 1, 2)],
    },
}
