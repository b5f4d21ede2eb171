"""The lab as a web page: `make app` serves `lab.ipynb` by Voila, with the template beside it."""

import importlib.util
from collections.abc import Mapping
from typing import Any

from kdlab.lab.hand_out import presets_of
from kdlab.papers import folders


def presets() -> dict[str, Mapping[str, Any]]:
    """Return the presets of all papers that offer some, the number of the paper before each name.

    >>> list(presets())[0]
    '00, works'
    """
    with_some = {
        stem: name
        for stem, name in folders().items()
        if importlib.util.find_spec(f"kdlab.papers.{name}.presets")
    }
    return {
        f"{stem[:2]}, {title}": preset
        for stem, name in with_some.items()
        for title, preset in presets_of(name).items()
    }
