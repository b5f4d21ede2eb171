"""Images made by moving pixels: from records (Lopes et al.) and by DeepInversion (Yin et al.).

Synthesis has a loop of its own, `descend`. It can be stopped at any moment and keeps what is there.
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from typing import Any, NamedTuple

import pandas as pd
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kdlab.data import Data
from kdlab.models import evaluating, logits_in, tap
from kdlab.papers.data_free.losses import bn_loss, competition_loss, l2_loss, record_loss, tv_loss
from kdlab.papers.data_free.records import TOP, Records, bn_inputs
from kdlab.runs.progress import bar
from kdlab.train.fit import total
from kdlab.train.recipe import Adam

STEPS, RATE = 100, 0.1  # updates of a batch of images; Adam's learning rate
Terms = dict[str, Tensor]
OnStep = Callable[[int, float], object]


def idle(step: int, _: object) -> None:
    """Watch a step and do nothing."""


class Weights(NamedTuple):
    """Weights of DeepInversion's terms beside the class term: those published for CIFAR-10."""

    tv: float = 2.5e-5
    l2: float = 0.0
    bn: float = 10.0
    rival: float = 0.0  # of the competition; its value for CIFAR-10 is not published


PUBLISHED = Weights()


def descend(
    weights: Iterable[Tensor],
    terms_of: Callable[[], Terms],
    steps: int,
    rate: float = RATE,
    each: OnStep = idle,
    title: str = "",
) -> pd.DataFrame:
    """Lower the sum of the terms by Adam; KeyboardInterrupt ends the loop, not the program.

    Args:
        weights: what moves: pixels, or a generator.
        terms_of: is asked for the weighted terms before every update.
        each: is told step and loss before the update, while the weights still give that loss.
        title: of the progress bar; none without it.

    Returns:
        The terms, a row an update.
    """
    optimiser, history = Adam(weights, lr=rate), list[dict[str, float]]()
    with bar(steps, 0, title) if title else nullcontext() as progress, suppress(KeyboardInterrupt):
        for step in range(steps):
            loss = total(terms := terms_of())
            each(step, loss.item())
            optimiser.zero_grad(set_to_none=True)
            loss.backward()
            optimiser.step()
            history.append({name: term.item() for name, term in terms.items()})
            if progress:
                progress.update()
    return pd.DataFrame(history)


def moved(x: Tensor, source: torch.Generator, jitter: int = 2, flip: bool = False) -> Tensor:
    """Return `x` (B, C, H, W) rolled by up to `jitter` pixels each way, and perhaps mirrored."""
    down, right = torch.randint(-jitter, jitter + 1, (2,), generator=source).tolist()
    mirror = flip and torch.rand((), generator=source) < 0.5
    x = x.roll((down, right), dims=(2, 3))
    return x.flip(3) if mirror else x


def dream(
    data: Data,
    start: Tensor,
    terms_of: Callable[[Tensor], Terms],
    source: torch.Generator,
    steps: int = STEPS,
    on_step: Callable[[int, Tensor], object] = idle,
    **options: Any,
) -> Tensor:
    """Move the pixels of `start` (B, C, H, W) and return a copy of the batch of lowest loss.

    Args:
        data: tells which values a pixel can take, and nothing else.
        terms_of: weighted terms of a batch that was moved a little.
        on_step: is shown the step and the pixels; see `descend` for other options.
    """
    x, best = start.clone().requires_grad_(), [(float("inf"), start)]
    low, flip = data.black, data.in_shape[0] == 3  # a mirrored digit is no digit
    high = low + 1 / torch.tensor(data.std)[:, None, None]

    def now() -> Terms:
        x.data = x.data.clamp(low, high)
        return terms_of(moved(x, source, flip=flip))

    def keep(step: int, loss: float) -> None:
        if loss < best[0][0]:
            best[0] = loss, x.detach().clone()
        on_step(step, x.detach())

    descend([x], now, steps, each=keep, **options)
    return best[0][1]


def classes(n: int, data: Data) -> Tensor:
    """Return labels (n,), every class in turn."""
    return torch.arange(n) % data.n_classes


def noise(n: int, data: Data, source: torch.Generator) -> Tensor:
    """Return Gaussian noise of mean 0 and deviation 1, (n, C, H, W)."""
    return torch.randn(n, *data.in_shape, generator=source)


def from_records(
    net: nn.Module, data: Data, records: Records, y: Tensor, source: torch.Generator, **options: Any
) -> Tensor:
    """Return images of classes `y` (B,) whose activations come close to targets drawn once."""
    targets = records.draw(y, source)
    names = [name for name in targets if name != TOP]

    def terms_of(x: Tensor) -> Terms:
        z, features = tap(net, x, names)
        found = {TOP: z, **features}
        return {name: record_loss(found[name].flatten(1), a) for name, a in targets.items()}

    with evaluating(net):
        return dream(data, 0.3 * noise(len(y), data, source), terms_of, source, **options)


@contextmanager
def inversion(
    net: nn.Module, y: Tensor, weights: Weights = PUBLISHED, rival: nn.Module | None = None
) -> Iterator[Callable[[Tensor], Terms]]:
    """Within the block, a function of images (B, C, H, W) gives DeepInversion's weighted terms.

    Raises:
        ValueError: `net` has no batch norm although its term has a weight; or no rival is given.
    """
    if weights.rival and rival is None:
        raise ValueError("the competition has a weight; give the student that competes, a rival.")
    entered: Any = bn_inputs(net) if weights.bn else nullcontext({})
    with evaluating(net), evaluating(rival or net), entered as layers:

        def terms_of(x: Tensor) -> Terms:
            z = logits_in(net(x))
            terms = {"class": F.cross_entropy(z, y), "smooth": weights.tv * tv_loss(x)}
            terms["size"] = weights.l2 * l2_loss(x)
            gaps = [bn_loss(f, m.running_mean, m.running_var) for m, f in layers.items()]
            if gaps:
                terms["batch norm"] = weights.bn * torch.stack(gaps).sum()
            if rival and weights.rival:
                terms["competition"] = weights.rival * competition_loss(logits_in(rival(x)), z)
            return terms

        yield terms_of


def deep_inversion(
    net: nn.Module,
    data: Data,
    y: Tensor,
    source: torch.Generator,
    weights: Weights = PUBLISHED,
    rival: nn.Module | None = None,
    **options: Any,
) -> Tensor:
    """Return images of classes `y` (B,) by DeepInversion; see `inversion` and `dream`."""
    with inversion(net, y, weights, rival) as terms_of:
        return dream(data, noise(len(y), data, source), terms_of, source, **options)
