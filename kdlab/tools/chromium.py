"""Chromium, which looks at the site and prints the sheets."""

import contextlib
import shutil
from collections.abc import Iterator
from typing import Any

NAMES = ("chromium", "chromium-browser", "google-chrome")
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--disable-sync"]


def path() -> str | None:
    """Return the path of the system's Chromium; None where there is none."""
    return next(filter(None, map(shutil.which, NAMES)), None)


@contextlib.contextmanager
def started(executable: str | None, otherwise: str) -> Iterator[Any]:
    """Start Chromium from its path; None takes the one that Playwright has installed.

    Raises:
        ValueError: there is none; says `otherwise`.
    """
    from playwright.sync_api import Error, sync_playwright

    with sync_playwright() as play:
        try:
            found = play.chromium.launch(executable_path=executable, args=FLAGS)
        except Error:
            raise ValueError(otherwise) from None
        yield found
        found.close()
