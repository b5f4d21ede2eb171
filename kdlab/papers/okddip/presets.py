"""Rows for the lab: each preset says in `why` what to look at."""

from typing import Any

from kdlab.papers.kd.presets import LABELS, row

PRESETS: dict[str, dict[str, Any]] = {
    "one target or many?": {
        "why": (
            "A net alone, a member of ONE, where all have one target, and the leader of OKDDip, "
            "whose peers each have their own. A net alone that trains 2.2 times as long costs "
            "about as much as this group of four, which shares its first blocks."
        ),
        "rows": [
            LABELS,
            row("ONE"),
            row("OKDDip"),
            LABELS | {"updates": 4400},
        ],
    },
    "is it the attention?": {
        "why": "Peers that listen by attention, to all alike, or not at all.",
        "rows": [row("OKDDip", first=first) for first in ("attention", "uniform", "none")],
    },
    "how much is shared?": {
        "why": "No block in common, which costs most; one; two, the default.",
        "rows": [row("OKDDip", shared=shared) for shared in (0, 1, 2)],
    },
}
