"""kdlab: an interactive course and lab on knowledge distillation.

The names that notebooks use stand here. Each is loaded when it is first asked for, so that
``import kdlab`` costs nothing.
"""

import importlib
from typing import Any

_HOMES = {
    "budget": "plan",
    "data": "Batch Data load",
    "measure": "evaluate logits_of",
    "models": "build size tap",
    "seeds": "generator",
    "train.fit": "fit run",
    "train.frozen": "Frozen",
    "train.gate": "scaled strict",
    "train.method": "CE hard_loss",
    "train.recipe": "Recipe",
    "train.teachers": "snapshots teacher",
    "train.worlds": "replicate world",
    "runs.compare": "compare start_workers",
    "runs.claims": "Claim",
    "runs.differences": "chosen cell interval paired",
    "runs": "evidence",
    "show.arms": "show_arms",
    "show.falling": "live",
    "show.forest": "show_forest",
    "show.explorers.panels": "choice panel slider",
    "show.plots": "show_figure",
    "show.predict": "Guesses",
    "show.proof": "agree",
    "show.report": "gain report say summary table",
    "papers": "check",
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names.split()}
__all__ = list(_HOME_OF)


def __getattr__(name: str) -> Any:
    """Load `name` from the module that holds it."""
    if name not in _HOME_OF:
        raise AttributeError(f"module 'kdlab' has no attribute {name!r}")
    home = f"kdlab.{_HOME_OF[name]}"
    if name == "evidence":
        found: Any = importlib.import_module(f"{home}.{name}")
    else:
        found = getattr(importlib.import_module(home), name)
    globals()[name] = found
    return found
