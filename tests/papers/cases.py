"""Logits, labels and gradients that the tests of several losses share, and a tiny world."""

from typing import Any

import torch
from torch import Tensor

from kdlab.train.recipe import Recipe
from kdlab.train.worlds import World, world


def tiny(**changes: Any) -> World:
    """Return the world of digits with 100 labels, small nets and trainings of eight updates."""
    short, nets = Recipe(steps=8), {"teacher_net": "cnn4", "student_net": "cnn2"}
    return world(
        "mnist5k",
        **({"n_labelled": 100, "recipe": short, "teacher_recipe": short} | nets | changes),
    )


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
