"""Exercises: checks that say what slipped, and wrong answers that they refuse.

A paper's are in ``kdlab.papers.NAME.exercises``, which holds ``EXERCISES``.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

STATES = ("to do", "right", "wrong")


class SlipError(Exception):
    """An answer is wrong; the message names the likely slip."""


@dataclass(frozen=True)
class Verdict:
    """What a check says: `state` is "to do", "right" or "wrong", `hint` a sentence."""

    state: str
    hint: str = ""

    def __repr__(self) -> str:
        return f"{self.state}: {self.hint}" if self.hint else self.state


@dataclass(frozen=True)
class Exercise:
    """A function to write, its test, and answers that the test must refuse.

    Args:
        test: takes the reader's function; raises `SlipError`, or returns what it has shown.
        wrong: {what is wrong with it: function}, at least three.
    """

    test: Callable[[Callable[..., Any]], str]
    wrong: Mapping[str, Callable[..., Any]]

    def check(self, answer: Callable[..., Any]) -> Verdict:
        """Try the reader's function. Never raises for what it does: Run All goes on."""

        def asked(*args: Any, **options: Any) -> Any:
            got = answer(*args, **options)
            slip_unless(got is not None, "your function returned None: is a return missing?")
            return got

        try:
            return Verdict("right", self.test(asked))
        except NotImplementedError:
            return Verdict("to do", "replace the line that raises NotImplementedError.")
        except SlipError as slip:
            return Verdict("wrong", str(slip))
        except Exception as error:  # the reader's code; its error is the hint
            return Verdict("wrong", f"your function raised {type(error).__name__}: {error}")


def slip_unless(right: object, hint: str) -> None:
    """Raise `SlipError` with `hint` unless `right` is true."""
    if not right:
        raise SlipError(hint)


def tell_apart(
    answer: Callable[..., str], patients: Mapping[str, Callable[..., Any]], hint: str
) -> None:
    """Ask `answer` to name every one of `patients`, {name: function}, and the "right" one twice.

    Raises:
        SlipError: it gave another name; says `hint`, which takes the true name and the given one.
    """
    for name in (*patients, "right"):
        got = answer(patients[name])
        slip_unless(got in patients, f"you answered {got!r}; answer one of {', '.join(patients)}.")
        slip_unless(got == name, hint.format(name, got))
