"""The arms of notebook 09: each takes a replicate, trains a group, returns what it measured."""

from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from kdlab.measure import evaluate, members
from kdlab.models import evaluating
from kdlab.papers.okddip.diversity import distances, error_correlation, mean_of_pairs
from kdlab.papers.okddip.method import ONE, OKDDip, attention
from kdlab.papers.okddip.mutual import Mutual
from kdlab.papers.okddip.nets import Together
from kdlab.train.fit import fit
from kdlab.train.worlds import Replicate

MOMENTS = 10  # of a training at which the group is looked at, beside its start
STORY = ("progress", "distance", "self-weight", "entropy", "peer", "leader", "ensemble")


class Moment(NamedTuple):
    """What validation images show of a group; see `look`."""

    done: float  # share of the training
    tables: dict[str, np.ndarray]
    numbers: dict[str, float]


def okddip(r: Replicate, **knobs: Any) -> dict[str, Any]:
    """Three peers and a leader. Also without a level, with other weights, or not detached."""
    return trained(OKDDip.of(r, **knobs), r)


def one(r: Replicate, **knobs: Any) -> dict[str, Any]:
    """Four members with one target, of which the first is deployed."""
    return trained(ONE.of(r, **knobs), r)


def mutual(r: Replicate) -> dict[str, Any]:
    """Four members that have each other as targets, of which the first is deployed."""
    return trained(Mutual.of(r), r)


def peers_of(method: nn.Module) -> slice:
    """Return the members whose diversity counts: all but a leader."""
    return slice(1 if isinstance(method, OKDDip) else 0, None)


def trained(method: Together, r: Replicate) -> dict[str, Any]:
    """Fit and measure: accuracy is that of what one deploys, on test images.

    Returns:
        Also of the peers "peer" (mean accuracy), "ensemble" (of the mean of their probabilities),
        "gain" (the ensemble's lead over the mean peer) and "disagreement", all in %; "distance",
        see `distances`; "correlation" of errors; and "story" (moments, len(STORY)), see `look`.
    """
    story = [[now.done, *now.numbers.values()] for now in watched(method, r)]
    row = evaluate(method, r.data.test)
    row |= {"val_accuracy": evaluate(method, r.data.val)["accuracy"]}
    z, y = answers(method, r.data.test.x)[0][peers_of(method)], r.data.test.y
    of_peers = members(z, y)
    row |= {"peer": of_peers["accuracy"], "ensemble": of_peers["ensemble"]}
    row |= {"gain": row["ensemble"] - row["peer"], "disagreement": of_peers["disagreement"]}
    row |= {"distance": mean_of_pairs(distances(z)), "correlation": error_correlation(z, y)}
    return row | {"story": np.array(story, np.float32)}


def watched(method: Together, r: Replicate, longer: float = 1) -> list[Moment]:
    """Fit `method`; return what it was at its start and at MOMENTS of its training."""
    recipe, story = r.recipe(longer), [Moment(0.0, *look(method, r))]
    epochs = recipe.total_epochs(len(r.data.train.y))
    chosen = {round(k * epochs / MOMENTS) for k in range(1, MOMENTS + 1)}

    def on_epoch(epoch: int, _: nn.Module) -> None:
        if epoch in chosen:
            story.append(Moment(epoch / epochs, *look(method, r)))

    fit(method, r.data, recipe, r.r, on_epoch=[on_epoch])
    return story


def look(method: Together, r: Replicate) -> tuple[dict[str, np.ndarray], dict[str, float]]:
    """Return what validation images show of a group: tables, and the numbers of STORY.

    The tables are "attention" (K, K), the mean over images, and "distances" (M, M); the numbers,
    but for "progress", are means over peers and images. Without attention they are NaN.
    """
    x, y, _ = r.data.val
    (z, f), own = answers(method, x), peers_of(method)
    found, A = members(z[own], y), attention_of(method, f)
    tables = {"attention": A.mean(dim=0).numpy(), "distances": distances(z).numpy()}
    numbers = {"distance": mean_of_pairs(tables["distances"][own, own])}
    numbers["self-weight"] = A.diagonal(dim1=1, dim2=2).mean().item()
    numbers["entropy"] = torch.special.entr(A).sum(dim=2).mean().item()
    numbers |= {"peer": found["accuracy"], "ensemble": found["ensemble"]}
    numbers["leader"] = 100 * (z[0].argmax(dim=1) == y).double().mean().item()
    return tables, {name: numbers[name] for name in STORY[1:]}


@torch.no_grad()
def answers(method: Together, x: Tensor) -> tuple[Tensor, Tensor]:
    """Return, on the CPU, logits (M, N, C) and features (M, N, D) of all members for images `x`."""
    where = next(method.parameters()).device
    with evaluating(method):
        parts = [method.group(part.to(where)) for part in x.split(100)]
    z, f = (torch.cat([part[i].cpu() for part in parts], dim=1) for i in (0, 1))
    return z, f


@torch.no_grad()
def attention_of(method: Together, f: Tensor) -> Tensor:
    """Return A (N, K, K) for features (M, N, D) of all members; NaN where a method has none."""
    if isinstance(method, OKDDip) and method.first == "attention":
        return attention(f[1:], method.W_Q.weight.cpu(), method.W_K.weight.cpu())
    return torch.full((1, 1, 1), torch.nan)
