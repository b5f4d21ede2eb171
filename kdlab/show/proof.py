"""The proof that two functions are the same loss: the same value and the same gradient."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

Loss = Callable[..., Tensor]


def agree(
    mine: Loss,
    theirs: Loss,
    cases: Sequence[Sequence[Any]],
    wrt: int = 0,
    rtol: float = 1e-7,
    atol: float = 1e-12,
) -> None:
    """Check that two losses agree in value and in gradient; print one line that says so.

    All is computed in float64, so that only another formula shows, not the rounding of another
    order. A gap is held against the largest entry of the gradient, so a small entry cannot hide one.

    Args:
        mine, theirs: of the arguments of a case; each returns one number, as a tensor.
        cases: at least one tuple of arguments.
        wrt: place of the argument by which to differentiate: a tensor, or a list of tensors.
        rtol, atol: two numbers are the same if they differ by at most atol + rtol * the larger.

    Raises:
        AssertionError: they differ; names the case, and says value or gradient.
        ValueError: nothing would be proved: no case, no tensor of floats at `wrt`, not one number,
            or neither loss depends on the argument.
    """
    if not cases:
        raise ValueError("agree got no case; give at least one tuple of arguments.")
    for number, case in enumerate(cases, 1):
        name = f"case {number} of {len(cases)}"
        (value, slopes), (other, others) = (_measured(f, case, wrt, name) for f in (mine, theirs))
        if slopes is None and others is None:
            raise ValueError(f"in {name} neither loss depends on argument {wrt}; choose another.")
        pairs = [("value", [value], [other])]
        pairs += [("gradient", *(s or [torch.zeros(())] for s in (slopes, others)))]
        ...
