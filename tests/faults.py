"""The table of faults: which there are, and what happens. Each row stands above its test."""

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

PAGE = Path(__file__).parent.parent / "docs" / "faults.md"
ROWS: dict[str, tuple[str, str]] = {}
Test = TypeVar("Test", bound=Callable[..., object])


def fault(what: str, outcome: str) -> Callable[[Test], Test]:
    """Note in the table that `what` has the `outcome` which the test below really sees."""

    def note(test: Test) -> Test:
        ROWS[what] = outcome, f"{test.__module__.removeprefix('tests.')}: {test.__name__}"
        return test

    return note


def page() -> str:
    """Return docs/faults.md; all tests that stand in it are imported by then."""
    rows = [
        f"| {what} | {outcome} | `{where}` |" for what, (outcome, where) in sorted(ROWS.items())
    ]
    return "\n".join(
        [
            "# What happens when something breaks",
            "",
            "Each row is a test that really does it. `python -m tests.faults` writes this page.",
            "",
            "| what breaks | what happens | test |",
            "|---|---|---|",
            *rows,
            "",
        ]
    )


if __name__ == "__main__":
    from tests import faults, test_faults  # noqa: F401 - the latter imports all of them

    faults.PAGE.write_text(faults.page(), encoding="utf-8")
