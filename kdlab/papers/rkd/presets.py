"""Rows for the lab: each preset says in `why` what to look at."""

from typing import Any

from kdlab.papers.kd.presets import KD, LABELS, row


def rkd(**knobs: Any) -> dict[str, Any]:
    """Return a row that learns by relations, with the paper's weights where none is given."""
    return row("RKD", **{"beta_d": 25.0, "beta_a": 50.0, **knobs})


PRESETS: dict[str, dict[str, Any]] = {
    "beside labels, beside KD": {
        "why": "Relations beside labels, KD alone, and both: is the sum worth more than a part?",
        "rows": [LABELS, rkd(), KD, rkd(soft=1.0, T=4.0)],
    },
    "distances or angles?": {
        "why": "One of the two terms at a time, and both, each beside labels.",
        "rows": [rkd(beta_a=0.0), rkd(beta_d=0.0), rkd()],
    },
    "too much of it?": {
        "why": (
            "From the paper's weights to twenty times these. The labels keep the weight 1, and "
            "geometry alone does not say which cloud of points is the 7."
        ),
        "rows": [rkd(beta_d=25.0 * m, beta_a=50.0 * m) for m in (1, 5, 20)],
    },
}
