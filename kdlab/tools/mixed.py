"""Mixed precision from outside: networks that learn compute in bfloat16, all else in float32.

Autocast is on inside a call of a network, and off again when it answers, in float32. So what a
method makes of the answers, its loss above all, has all digits; so have weights, their gradients
and the states of the optimiser. bfloat16 has the range of float32: no loss needs to be scaled.
The training loop stays as it is. `kdlab.train.fit` turns off an autocast around itself, which would
keep the weights as they were at the first update.
"""

import functools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor, nn
from torch.nn.modules import module as every

from kdlab.measure import in_float32
from kdlab.train import teachers


class Calls:
    """The calls of modules that are open, outermost first, and the one under autocast."""

    def __init__(self, device: str) -> None:
        self.device, self.depth, self.learns, self.paused = device, 0, False, False
        self.inside: tuple[int, torch.autocast] | None = None  # at which depth it was turned on

    def begin(self, module: nn.Module, args: tuple[Any, ...]) -> None:
        """Turn autocast on where a network is called, by what learns; a method takes a batch."""
        if not self.depth:
            self.learns = module.training and torch.is_grad_enabled() and not self.paused
        self.depth += 1
        network = bool(args) and isinstance(args[0], Tensor)
        if self.learns and network and self.inside is None:
            # no cache: the next call must see the weights as they are after the update
            context = torch.autocast(self.device, torch.bfloat16, cache_enabled=False)
            context.__enter__()
            self.inside = self.depth, context

    def end(self, module: nn.Module, _: tuple[Any, ...], answer: Any) -> Any:
        """Turn it off where that call ends, after an error, too. What leaves is in float32."""
        tapped = self.inside is not None and len(module._forward_hooks) > 0
        if ends := self.inside is not None and self.inside[0] == self.depth:
            self.inside[1].__exit__(None, None, None)
            self.inside = None
        self.depth -= 1
        return whole(answer) if ends or tapped else None  # None: the answer stays as it is

    def without(self, train: Callable[..., Any]) -> Callable[..., Any]:
        """Return the training loop `train` in float32."""

        @functools.wraps(train)
        def in_full(*args: Any, **options: Any) -> Any:
            before, self.paused = self.paused, True
            try:
                return train(*args, **options)
            finally:
                self.paused = before

        return in_full


def whole(answer: Any) -> Any:
    """Return what a network answers, a tensor or several, in float32."""
    if isinstance(answer, Tensor):
        return in_float32(answer) if answer.is_floating_point() else answer
    if isinstance(answer, tuple | list):
        parts = [whole(part) for part in answer]
        return type(answer)(*parts) if hasattr(answer, "_fields") else type(answer)(parts)
    if isinstance(answer, dict):
        return {name: whole(part) for name, part in answer.items()}
    return answer


@contextmanager
def mixed(device: str) -> Iterator[None]:
    """Within the block, the networks of methods that learn compute in mixed precision.

    Those of the teachers that answer them do, too. What is measured is in float32: it wants no
    gradient. So is the training of a teacher: stored ones are shared with runs in float32, and both
    precisions are compared with one teacher.

    Args:
        device: its type, such as "cuda" or "cpu".
    """
    calls = Calls(device)
    hooks = [every.register_module_forward_pre_hook(calls.begin)]
    hooks.append(every.register_module_forward_hook(calls.end, always_call=True))
    try:
        with patch.object(teachers, "fit", calls.without(teachers.fit)):
            yield
    finally:
        for hook in hooks:
            hook.remove()
