"""Negative controls: teachers that lack the one thing an experiment is about.

Each is a change for `kdlab.teachers.Frozen.mapped`: stored logits (M, C) -> logits (M, C).
"""

import torch
from torch import Tensor


def permuted(z: Tensor, source: torch.Generator) -> Tensor:
    """Deal each row's wrong-class logits to other wrong classes, each row in its own order.

    The most likely class, its probability and the entropy stay. Which wrong class is close is lost.
    """
    top = z.argmax(dim=1, keepdim=True)
    places = torch.arange(z.shape[1]).expand_as(z).clone().scatter_(1, top, z.shape[1])
    draws = torch.rand(z.shape, generator=source).scatter_(1, top, 2.0)
    ordered, dealt = places.argsort(dim=1), draws.argsort(dim=1)  # both end with the top class
    return torch.empty_like(z).scatter_(1, dealt, z.gather(1, ordered))


def without_class(z: Tensor, c: int) -> Tensor:
    """Give class `c` no probability; the others are renormalised by the softmax."""
    return z.clone().index_fill_(1, torch.tensor([c]), -1e4)
