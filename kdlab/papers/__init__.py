"""One paper, one folder. Which there are follows from the folders, and is written nowhere else.

A folder's ``__init__.py`` names its notebook. `method` holds the loss, `figures` the pictures,
`exercises` the checks; what only this paper needs lies beside them.
"""

import importlib
import pkgutil
from collections.abc import Callable, Iterator, Mapping
from typing import Any


def folders() -> dict[str, str]:
    """Return {stem of the notebook: folder} of all papers, in the order of the notebooks."""
    names = [found.name for found in pkgutil.iter_modules(__path__) if found.ispkg]
    pairs = [(importlib.import_module(f"{__name__}.{name}").NOTEBOOK, name) for name in names]
    return dict(sorted(pairs))


class _Exercises(Mapping[str, Mapping[str, Any]]):
    """{stem of the notebook: {function name: exercise}}, each file imported when asked for."""

    def __getitem__(self, stem: str) -> Mapping[str, Any]:
        return importlib.import_module(f"{__name__}.{folders()[stem]}.exercises").EXERCISES

    def __iter__(self) -> Iterator[str]:
        return iter(folders())

    def __len__(self) -> int:
        return len(folders())


def check(notebook: str, answer: Callable[..., Any]) -> Any:
    """Try the reader's answer to the exercise of `notebook` that has the function's name."""
    return EXERCISES[notebook][answer.__name__].check(answer)


EXERCISES: Mapping[str, Mapping[str, Any]] = _Exercises()
