"""Mutants: wrong versions of a function, each of which must turn a test red.

    assert_caught(kd.kd_loss, "T**2 * ", "", by=[test_the_slow_oracle])

replaces the text in the source of the function, lets every caller meet the wrong version, and
demands that each check in `by`, green before, fails now. A check is called without arguments: give
a test with arguments as ``functools.partial(test, shape=(5, 10))``.
"""

import ast
import contextlib
import inspect
import sys
import textwrap
from collections.abc import Callable, Iterator, Sequence
from types import FunctionType
from typing import Any

import pytest

Check = Callable[[], object]
# What a wrong number raises. A mutant with a NameError or a SyntaxError is no mutant.
RED = (AssertionError, ArithmeticError, RuntimeError, ValueError, IndexError, pytest.fail.Exception)


@contextlib.contextmanager
def mutated(target: Any, old: str, new: str) -> Iterator[None]:
    """Within the block, the function or class `target` runs with `old` replaced by `new`.

    The code of the functions is exchanged in place. So a caller that imported `target` by name
    meets the mutant, too. Asserts that `old` occurs in the source and is not a comment.
    """
    target = inspect.unwrap(target)
    source = textwrap.dedent(inspect.getsource(target))
    assert old in source, f"{old!r} does not occur in the source of {target.__qualname__}"
    wrong = source.replace(old, new)
    same = ast.dump(ast.parse(source)) == ast.dump(ast.parse(wrong))
    assert not same, f"{old!r} -> {new!r} changes no code of {target.__qualname__}"
    namespace = dict(vars(sys.modules[target.__module__]))
    exec(compile(wrong, f"<mutant {new!r}>", "exec"), namespace)
    pairs = _functions(target, inspect.unwrap(namespace[target.__name__]))
    kept = [(f.__code__, f.__defaults__, f.__kwdefaults__) for f, _ in pairs]
    try:
        for mine, theirs in pairs:
            mine.__code__ = theirs.__code__
            mine.__defaults__, mine.__kwdefaults__ = theirs.__defaults__, theirs.__kwdefaults__
        yield
    finally:
        for (mine, _), (code, defaults, kwdefaults) in zip(pairs, kept, strict=True):
            mine.__code__, mine.__defaults__, mine.__kwdefaults__ = code, defaults, kwdefaults


def _functions(target: Any, mutant: Any) -> list[tuple[FunctionType, FunctionType]]:
    """Return the pairs (function, its mutant) of a function, or of all methods of a class."""
    if isinstance(target, FunctionType):
        return [(target, mutant)]
    pairs = []
    for name, mine in vars(target).items():
        theirs = vars(mutant).get(name)
        if isinstance(mine, property):
            mine, theirs = mine.fget, theirs.fget
        if isinstance(mine, FunctionType) and isinstance(theirs, FunctionType):
            pairs.append((inspect.unwrap(mine), inspect.unwrap(theirs)))
    return pairs


def red(check: Check) -> bool:
    """Whether `check` fails."""
    try:
        check()
    except RED:
        return True
    return False


def assert_caught(target: Any, old: str, new: str, by: Sequence[Check]) -> None:
    """Assert that each check in `by` passes on `target` and fails on its mutant."""
    assert by, "name at least one check that must catch this mutant"
    for check in by:
        check()
    with mutated(target, old, new):
        blind = [getattr(check, "func", check).__name__ for check in by if not red(check)]
    assert not blind, f"{old!r} -> {new!r} was not noticed by {', '.join(blind)}"
