"""The terms that images are made with: pure functions with the symbols of `method`."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from kdlab.measure import divergence, in_float32
from kdlab.train.method import check_logits, check_temperature

LEAST = -1e4  # logarithm of a probability that is nothing in any precision
IE = 5 / math.log(10)  # the official weight 5, of an entropy in decimal digits


def record_loss(a: Tensor, target: Tensor) -> Tensor:
    """Lopes et al.: mean over images and units of (relu(a*) - relu(a))^2.

    Args:
        a: activations (B, ...) of the images; half precision is computed in float32.
        target: a* (B, ...), drawn from the records. No gradient reaches it.

    Raises:
        ValueError: shapes differ, or nothing is in them.

    >>> record_loss(torch.tensor([[1.0, -2.0]]), torch.tensor([[3.0, -5.0]])).item()
    2.0
    """
    if a.shape != target.shape or not a.numel():
        raise ValueError(
            f"activations have shape {tuple(a.shape)} and targets {tuple(target.shape)}; both must "
            "be equal and not empty: were the records taken from this network?"
        )
    return (in_float32(target.detach()).relu() - in_float32(a).relu()).square().mean()


def one_hot_loss(z: Tensor) -> Tensor:
    """L_oh of DAFL: cross-entropy of logits `z` (B, C) with their own best class, batch mean.

    >>> round(one_hot_loss(torch.tensor([[0.0, 0.0]])).item(), 4)
    0.6931
    """
    z = _table(z)
    return F.cross_entropy(z, z.argmax(dim=1))


def activation_loss(f: Tensor) -> Tensor:
    """L_a of DAFL: minus the mean of |f| over images and units of the features `f` (B, ...).

    >>> activation_loss(torch.tensor([[1.0, -3.0]])).item()
    -2.0
    """
    if f.dim() < 2 or not f.numel():
        raise ValueError(f"features have shape {tuple(f.shape)}; give (B, ...), not empty.")
    return -in_float32(f).abs().mean()


def balance_loss(z: Tensor) -> Tensor:
    """L_ie of DAFL: minus the entropy, in nats, of the mean posterior of logits `z` (B, C).

    From -log C, where the batch spreads over all classes, to 0, where it shows one. Finite, with a
    finite gradient, also where a class gets no probability at all.

    >>> round(balance_loss(torch.tensor([[9.0, 0.0], [0.0, 9.0]])).item(), 4)
    -0.6931
    """
    log_q = F.log_softmax(_table(z), dim=1).clamp(min=LEAST)
    log_p = log_q.logsumexp(dim=0) - math.log(len(z))
    return (log_p.exp() * log_p).sum()


def tv_loss(x: Tensor) -> Tensor:
    """R_TV of DeepInversion: norms of the differences to the next pixel, in four directions, added.

    Each norm is taken over the whole batch `x` (B, C, H, W), so a batch that stands twice costs
    sqrt(2) times as much.

    >>> round(tv_loss(torch.eye(2)[None, None]).item(), 4)
    2.8284
    """
    right, down = x[..., 1:] - x[..., :-1], x[..., 1:, :] - x[..., :-1, :]
    falling = x[..., 1:, 1:] - x[..., :-1, :-1]
    rising = x[..., 1:, :-1] - x[..., :-1, 1:]
    return torch.stack([gap.norm() for gap in (right, down, falling, rising)]).sum()


def l2_loss(x: Tensor) -> Tensor:
    """R_l2 of DeepInversion: mean over images of the norm of their pixels, `x` (B, C, H, W).

    >>> l2_loss(torch.tensor([3.0, 4.0]).view(1, 1, 1, 2)).item()
    5.0
    """
    return x.flatten(1).norm(dim=1).mean()


def bn_loss(f: Tensor, mean: Tensor, var: Tensor) -> Tensor:
    """One layer of R_feature: |mean(f) - mean| + |var(f) - var|, both norms over channels.

    Args:
        f: what enters the layer, (B, C) or (B, C, H, W). Its mean and its variance, divided by the
            number of values and not by one less, go over all but the channels.
        mean, var: (C,) running statistics of the layer. No gradient reaches them.

    Raises:
        ValueError: the channels differ.

    >>> f = torch.tensor([[1.0], [3.0]])
    >>> bn_loss(f, torch.tensor([0.0]), torch.tensor([0.0])).item()
    3.0
    """
    if f.dim() < 2 or mean.shape != (f.shape[1],) or var.shape != mean.shape:
        raise ValueError(
            f"the layer is given {tuple(f.shape)} and has statistics {tuple(mean.shape)} and "
            f"{tuple(var.shape)}; a value a channel is expected."
        )
    rest = [0, *range(2, f.dim())]
    var_f, mean_f = torch.var_mean(in_float32(f), dim=rest, correction=0)
    return (mean_f - mean.detach()).norm() + (var_f - var.detach()).norm()


def competition_loss(z_s: Tensor, z_t: Tensor, T: float = 3.0) -> Tensor:
    """The competition of ADI: 1 - JS(p_T, q_T), batch mean, JS in nats.

    1 where student and teacher agree, 1 - log 2 where they share no class. The gradient goes into
    both logits (B, C), since the image moves both.

    Raises:
        ValueError: shapes differ, or T is out of its range.

    >>> z = torch.tensor([[1.0, 2.0]])
    >>> competition_loss(z, z).item()
    1.0
    """
    check_logits(z_s, z_t)
    check_temperature(T)
    q, p = (F.log_softmax(in_float32(z) / T, dim=1).clamp(min=LEAST) for z in (z_s, z_t))
    middle = torch.logaddexp(p, q) - math.log(2)
    return 1 - (divergence(p, middle) + divergence(q, middle)).mean() / 2


def dafl_terms(
    z: Tensor, f: Tensor, oh: float = 1.0, a: float = 0.1, ie: float = IE
) -> dict[str, Tensor]:
    """Return the weighted terms of DAFL's generator, of logits `z` (B, C) and features `f`."""
    return {
        "one-hot": oh * one_hot_loss(z),
        "activation": a * activation_loss(f),
        "balance": ie * balance_loss(z),
    }


def _table(z: Tensor) -> Tensor:
    """Return logits (B, C) in float32 or better; refuse any other shape."""
    if z.dim() != 2 or not z.numel():
        raise ValueError(f"logits have shape {tuple(z.shape)}; give (B, C), not empty.")
    return in_float32(z)
