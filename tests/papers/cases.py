"""Logits, labels and gradients that the tests of several losses share."""

import torch
from torch import Tensor


def logits(
    b: int, c: int, seed: int = 0, dtype: torch.dtype = torch.float64
) -> tuple[Tensor, Tensor]:
    """Return student and teacher logits (b, c) of about the size that trained networks give."""
    gen = torch.Generator().manual_seed(1000 * b + 10 * c + seed)
    z_s, z_t = 3 * torch.randn(2, b, c, generator=gen, dtype=torch.float64)
    return z_s.to(dtype), z_t.to(dtype)


def labels(b: int, c: int, hidden: bool = False) -> Tensor:
    """Return labels (b,); with `hidden`, every second row has none."""
    y = torch.randint(0, c, (b,), generator=torch.Generator().manual_seed(b * c))
    y[1::2] = torch.where(torch.tensor(hidden), -1, y[1::2])
    return y


def gradient(loss: Tensor, at: Tensor) -> Tensor:
    return torch.autograd.grad(loss, at)[0]
