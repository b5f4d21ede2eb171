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
    """Check that two losses agree in value and in gradient, and print one line that says so.

    All floats are made float64, so that another formula shows, and not another order of rounding.

    Args:
        mine, theirs: take the arguments of a case, return one number as a tensor.
        cases: at least one tuple of arguments; tensors may also lie in lists.
        wrt: place of the argument by which to differentiate: a tensor, or a list of tensors.
        rtol, atol: the largest gap may be atol + rtol * the largest entry.

    Raises:
        AssertionError: they differ; names the case, and says value or gradient.
        TypeError: a case is no tuple, or a loss returns something else than one number.
        ValueError: nothing would be proved: no case, no floats at `wrt`, or neither loss depends
            on them.
    """
    if not cases:
        raise ValueError("agree got no case; give at least one tuple of arguments.")
    for number, case in enumerate(cases, 1):
        if not isinstance(case, tuple | list):
            raise TypeError(f"case {number} is a {type(case).__name__}; give a tuple of arguments.")
        one, two = (_value_and_gradient(loss, case, wrt) for loss in (mine, theirs))
        if not (one[2] or two[2]):
            raise ValueError(f"neither loss depends on argument {wrt} of case {number}.")
        for what, a, b in zip(("value", "gradient"), one[:2], two[:2], strict=True):
            gap, size = (a - b).abs().max(), torch.maximum(a.abs().max(), b.abs().max())
            assert gap <= atol + rtol * size, (
                f"notebook and package differ in case {number} of {len(cases)}: another {what}, "
                f"by {gap.item():.3g} where the largest entry is {size.item():.3g}."
            )
    count = "1 case" if len(cases) == 1 else f"{len(cases)} cases"
    print(f"notebook and package: same value, same gradient ({count})")


def _value_and_gradient(loss: Loss, case: Sequence[Any], wrt: int) -> tuple[Tensor, Tensor, bool]:
    """Return the loss, its gradient (flat) by argument `wrt`, and whether it depends on that."""
    args = [_doubled(arg) for arg in case]
    chosen = args[wrt] if -len(args) <= wrt < len(args) else []
    places = chosen if isinstance(chosen, list) else [chosen]
    if not places or not all(isinstance(z, Tensor) and z.is_floating_point() for z in places):
        raise ValueError(f"argument {wrt} is no tensor of floats; choose another by wrt.")
    for z in places:
        z.requires_grad_()
    value = loss(*args)
    if not isinstance(value, Tensor) or value.numel() != 1:
        told = tuple(value.shape) if isinstance(value, Tensor) else type(value).__name__
        raise TypeError(f"a loss returned {told}; return one number, as a tensor.")
    value = value.reshape(())
    slopes: Sequence[Tensor | None] = [None] * len(places)
    if value.requires_grad:
        slopes = torch.autograd.grad(value, places, allow_unused=True)
    flat = [
        (torch.zeros_like(z) if s is None else s).flatten()
        for z, s in zip(places, slopes, strict=True)
    ]
    return value.detach().double(), torch.cat(flat), any(s is not None for s in slopes)


def _doubled(arg: Any) -> Any:
    """Return a copy of `arg` whose floats are float64, outside any graph; lists are looked into."""
    if isinstance(arg, Tensor):
        return arg.detach().clone().double() if arg.is_floating_point() else arg.detach().clone()
    return [_doubled(part) for part in arg] if isinstance(arg, list | tuple) else arg
