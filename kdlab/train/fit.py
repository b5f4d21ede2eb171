"""The training loop, on one screen."""

import functools
import operator
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import nn

from kdlab.data import Batch, Data, Split
from kdlab.measure import evaluate, pick_device
from kdlab.seeds import generator, owned
from kdlab.train.gate import check_before, check_call, told_plainly
from kdlab.train.recipe import Recipe

OnEpoch = Callable[[int, nn.Module], object]


def fit(
    method: nn.Module,
    data: Data,
    recipe: Recipe,
    seed: int = 0,
    on_epoch: Iterable[OnEpoch] = (),
    device: str = "auto",
) -> pd.DataFrame:
    """Train what `method` owns on the rows of ``data.train``.

    Args:
        method: ``method(batch)`` returns named, already weighted loss terms, to be minimised in one
            update. A method that needs several a batch has ``updates(batch)``, too: an iterator of
            such terms, asked for the next after each update. An update moves those weights only
            that its terms reach.
        data: its ``train`` rows; a label of -1 means that the row has none.
        recipe: steps, batch, learning rate, augmentation.
        seed: fixes the order of the data, the augmentation, and what a network draws, as dropout
            does; not the initial weights.
        on_epoch: each is called as ``f(epoch, method)`` after epochs 1, 2, ...
        device: "auto" (CUDA, then MPS, then CPU) or a torch device.

    Returns:
        One row an epoch: epoch, learning rate (of its last update), seconds so far, the mean of
        every loss term.

    Raises:
        ValueError: nothing to train, no data, networks that do not fit it or each other (see
            `kdlab.train.gate`), or terms that no weight can follow.
        TypeError: an argument of another kind, or a method that returns something else than loss
            terms by name.
        FloatingPointError: a loss term stopped being a finite number.
    """
    check_call(method, data, recipe)
    where = pick_device(device)
    weights = [p for p in method.to(where).parameters() if p.requires_grad]
    if not weights:
        raise ValueError("the method has no weights to train; give it a net that is not frozen.")
    train = Split(*(part.to(where) for part in data.train))
    check_before(method, data, stored=not recipe.augments)
    optimiser = recipe.optimiser_of(weights)
    rates = iter(recipe.rates(recipe.total_steps(len(train.y))))
    updates = getattr(method, "updates", lambda batch: [method(batch)])
    rows, start = [], time.perf_counter()
    with told_plainly(method), owned(seed, "inside", device=where):
        for epoch, epoch_batches in epochs(train, recipe, seed, data.black.to(where)):
            method.train()
            logs: dict[str, list[torch.Tensor]] = {}
            for batch in epoch_batches:
                optimiser.param_groups[0]["lr"] = lr = next(rates)
                for terms in updates(batch):
                    optimiser.zero_grad(set_to_none=True)  # what gets no gradient stays as it is
                    total(terms).backward()
                    optimiser.step()
                    for name, term in terms.items():
                        logs.setdefault(name, []).append(term.detach())
            curves = {name: torch.stack(values) for name, values in logs.items()}
            check_finite(epoch, curves)
            means = {name: curve.mean().item() for name, curve in curves.items()}
            rows.append(
                {"epoch": epoch, "lr": lr} | means | {"seconds": time.perf_counter() - start}
            )
            for call in on_epoch:
                call(epoch, method.eval())
    method.eval()
    return pd.DataFrame(rows)


def epochs(
    train: Split, recipe: Recipe, seed: int, fill: torch.Tensor | float = 0.0
) -> Iterator[tuple[int, Iterator[Batch]]]:
    """Yield (epoch from 1, its batches) until the recipe's number of updates is reached.

    Each epoch has its own order, from the stream "order". What is left over at its end, fewer rows
    than a batch, is skipped: a loss over pairs of rows always meets the same number of rows.
    `fill` is the value of a black pixel, which a moved image takes in at its edge.
    """
    n = len(train.y)
    size, per_epoch, total = min(recipe.batch, n), recipe.steps_per_epoch(n), recipe.total_steps(n)

    def batches(epoch: int, done: int) -> Iterator[Batch]:
        order = torch.randperm(n, generator=generator(seed, "order", epoch)).to(train.y.device)
        jitter = generator(seed, "augment", epoch)
        y, index = train.y[order], train.index[order]
        for step in range(min(per_epoch, total - done)):
            part = slice(step * size, (step + 1) * size)
            x = train.x.index_select(0, order[part])
            if recipe.augments:
                x = recipe.augment(x, jitter, fill)
            yield Batch(x, y[part], index[part], not recipe.augments, (done + step) / total)

    for epoch, done in enumerate(range(0, total, per_epoch), start=1):
        yield epoch, batches(epoch, done)


def total(terms: Mapping[str, torch.Tensor]) -> torch.Tensor:
    """Return the sum of the loss terms; refuse what is no dict of scalars that weights move."""
    if not isinstance(terms, Mapping) or not terms:
        got = "no terms" if isinstance(terms, Mapping) else type(terms).__name__
        raise TypeError(
            f"the method returned {got}; return its loss terms by name, such as {{'hard': loss}}."
        )
    for name, term in terms.items():
        if not isinstance(term, torch.Tensor) or term.ndim:
            got = f"of shape {tuple(term.shape)}" if hasattr(term, "ndim") else type(term).__name__
            raise TypeError(f"the loss term {name!r} is {got}; return a scalar tensor, a mean.")
    loss = functools.reduce(operator.add, terms.values())
    if not loss.requires_grad:
        raise ValueError(
            f"no loss term of {list(terms)} depends on weights that learn; look for a detach(), a "
            ".item() or a torch.no_grad() between the network and the loss."
        )
    return loss


def check_finite(epoch: int, curves: dict[str, torch.Tensor]) -> None:
    """Stop where a loss term (steps,) is no longer a number; name the one that was so first."""
    broken = {name: (~curve.isfinite()).nonzero() for name, curve in curves.items()}
    first = {name: int(steps[0]) for name, steps in broken.items() if len(steps)}
    if first:  # one update later all the others are broken, too
        name = min(first, key=lambda term: first[term])
        raise FloatingPointError(
            f"the loss term {name!r} became {curves[name][first[name]].item()} in epoch {epoch}; "
            "lower the learning rate, or look for a log or a division of 0 in this term."
        )


def run(
    method: nn.Module,
    data: Data,
    recipe: Recipe,
    seed: int,
    device: str = "auto",
    watch: bool = False,
) -> dict[str, Any]:
    """Fit `method`, then measure it after the last epoch: the body of most arms.

    Args:
        method, data, recipe, seed, device: see `fit`.
        watch: measure it on validation images after every epoch, too.

    Returns:
        What `kdlab.measure.evaluate` says of the test images, and ``val_accuracy`` in %. With
        `watch` also "val accuracies" (%) and "val nlls" (nats), arrays with one value an epoch.
    """
    seen: list[dict[str, Any]] = []

    def note(_: int, now: nn.Module) -> None:
        seen.append(evaluate(now, data.val, device))

    fit(method, data, recipe, seed, on_epoch=[note] if watch else [], device=device)
    validation = seen[-1] if watch else evaluate(method, data.val, device)
    row = evaluate(method, data.test, device) | {"val_accuracy": validation["accuracy"]}
    if watch:
        row["val accuracies"] = np.array([epoch["accuracy"] for epoch in seen])
        row["val nlls"] = np.array([epoch["nll"] for epoch in seen])
    return row
