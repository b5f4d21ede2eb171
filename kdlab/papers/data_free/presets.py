"""Rows for the lab: each preset says in `why` what to look at."""

from typing import Any

from kdlab.papers.data_free.sources import NET
from kdlab.papers.kd.presets import row


def made(source: str, **knobs: Any) -> dict[str, Any]:
    """Return a row that learns from made images of a `source`, and from no other."""
    return row("DataFree", source=source, **knobs)


PRESETS: dict[str, dict[str, Any]] = {
    "what is a made image worth?": {
        "why": (
            "Noise asks the teacher for answers only, DAFL needs its weights, DeepInversion its "
            "batch norm as well. The last row has the real images, and the same teacher."
        ),
        "rows": [
            *(made(source) for source in ("noise", "DAFL", "DeepInversion")),
            row("KD", T=4.0, alpha=1.0) | {"teacher": NET},
        ],
    },
    "how many of them?": {
        "why": "50, 500 and 2,000 images of the generator, at an equal number of updates.",
        "rows": [made("DAFL", images=images) for images in (50, 500, 2000)],
    },
    "one picture": {
        "why": (
            "500 pieces of one single photograph, cut out, turned and stretched, with the "
            "teacher's answers. Noise beside it, which has no edges."
        ),
        "rows": [made("one image"), made("noise")],
    },
}
