"""How sharply does a loss rise around the weights that training found?"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import torch
from torch import nn

from kdlab.data import Split
from kdlab.measure import logits_of, scores
from kdlab.seeds import generator


@contextmanager
def noisy(
    net: nn.Module, sigma: float, source: torch.Generator, by_filter: bool = True
) -> Iterator[nn.Module]:
    """Within the block the weight tables of `net` carry Gaussian noise; afterwards they are back.

    Biases, and scale and shift of batch norm, have one dimension and stay.

    Args:
        net: changed in place, restored bit for bit, also after an error.
        sigma: >= 0. With `by_filter` the noise of each filter (row of a table) is `sigma` times as
            long as the filter: Li et al. 2018, arXiv:1712.09913, section 4. A net whose weights are
            merely longer does not look flatter then. Without, its standard deviation.
        source: a CPU generator.

    Raises:
        ValueError: `sigma` is negative or no number.
    """
    if not sigma >= 0:
        raise ValueError(f"sigma is {sigma}; give 0 or more.")
    weights = [w for w in net.parameters() if w.dim() > 1]
    kept = [w.detach().clone() for w in weights]
    try:
        with torch.no_grad():
            for w in weights:
                noise = torch.randn(w.shape, generator=source).to(w)
                if by_filter:
                    shape = (-1,) + (1,) * (w.dim() - 1)
                    length = w.flatten(1).norm(dim=1) / noise.flatten(1).norm(dim=1)
                    noise.mul_(length.reshape(shape))
                w.add_(sigma * noise)
        yield net
    finally:
        with torch.no_grad():
            for w, before in zip(weights, kept, strict=True):
                w.copy_(before)


def rise(
    net: nn.Module, split: Split, sigmas: Sequence[float], by_filter: bool = True, draws: int = 5
) -> dict[str, np.ndarray]:
    """Return what noise costs `net` on the images of `split`, mean over `draws` of the noise.

    Returns:
        ``loss`` (S,): rise of the cross-entropy in nats at each of the S `sigmas`, see `noisy`;
        ``accuracy`` (S,): fall of the accuracy in points. Every net meets the same draws.
    """
    clean = scores(logits_of(net, split.x), split.y)
    found = np.zeros((len(sigmas), draws, 2))
    for i, sigma in enumerate(sigmas):
        for draw in range(draws):
            with noisy(net, sigma, generator(draw, "noise"), by_filter):
                now = scores(logits_of(net, split.x), split.y)
            found[i, draw] = now["nll"] - clean["nll"], clean["accuracy"] - now["accuracy"]
    loss, accuracy = found.mean(axis=1).T
    return {"loss": loss, "accuracy": accuracy}
