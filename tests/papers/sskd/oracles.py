"""Slow oracles in plain Python floats, written from the equations of Xu et al. 2020."""

import math
from collections.abc import Sequence
from typing import Any

from tests.oracles import kl, rows, softmax


def cosines(v: Any, u: Any) -> list[list[float]]:
    """cos(v_i, u_k) for each view and each original; 0 for a vector of zeros."""

    def length(a: Sequence[float]) -> float:
        return math.sqrt(math.fsum(x * x for x in a))

    found = []
    for a in rows(v):
        line = []
        for b in rows(u):
            product = math.fsum(x * y for x, y in zip(a, b, strict=True))
            line.append(product / (length(a) * length(b)) if product else 0.0)
        found.append(line)
    return found


def contrastive(v: Any, u: Any, own: Sequence[int], tau: float) -> float:
    """- mean_i log softmax_k(cos(v_i, u_k) / tau)[own_i]."""
    table = cosines(v, u)
    losses = [-math.log(softmax(line, tau)[k]) for line, k in zip(table, own, strict=True)]
    return math.fsum(losses) / len(losses)


def ranks(scores: Any, right: Sequence[int]) -> list[int]:
    """How many answers of a row stand before the right one."""
    found = []
    for line, k in zip(rows(scores), right, strict=True):
        count = 0
        for value in line:
            count += value > line[k]
        found.append(count)
    return found


def kept(rank: Sequence[int], ratio: float) -> list[bool]:
    """All rows of rank 0; of the others, taken by rank and then by place, int(ratio x how many)."""
    wrong = [i for i, r in enumerate(rank) if r > 0]
    wrong.sort(key=lambda i: (rank[i], i))
    best = set(wrong[: int(ratio * len(wrong))])
    return [r == 0 or i in best for i, r in enumerate(rank)]


def transfer(a_s: Any, a_t: Any, T: float, keep: Sequence[bool]) -> float:
    """T^2 KL(p || q), mean over the kept rows; 0 where there is none."""
    triples = zip(rows(a_s), rows(a_t), keep, strict=True)
    losses = [kl(softmax(t, T), softmax(s, T)) for s, t, kept in triples if kept]
    return T**2 * math.fsum(losses) / len(losses) if losses else 0.0
