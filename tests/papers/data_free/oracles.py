"""Slow oracles of notebook 11's terms, a loop for each sum, written from the equations."""

import math
from typing import Any

from tests.oracles import entropy, kl, rows, softmax


def flat(values: Any) -> list[float]:
    """Return all numbers of a tensor in order."""
    return values.detach().double().flatten().tolist()


def record_loss(a: Any, target: Any) -> float:
    """(1 / B n) sum (relu(a*) - relu(a))^2."""
    pairs = list(zip(flat(a), flat(target), strict=True))
    return math.fsum((max(0.0, t) - max(0.0, s)) ** 2 for s, t in pairs) / len(pairs)


def one_hot_loss(z: Any) -> float:
    """- (1 / B) sum_b log p_b(argmax)."""
    answers = [softmax(row) for row in rows(z.detach())]
    return -math.fsum(math.log(max(p)) for p in answers) / len(answers)


def balance_loss(z: Any) -> float:
    """sum_c m_c log m_c, m the mean answer."""
    answers = [softmax(row) for row in rows(z.detach())]
    return -entropy([math.fsum(column) / len(answers) for column in zip(*answers, strict=True)])


def activation_loss(f: Any) -> float:
    """- (1 / B n) sum |f|."""
    return -math.fsum(map(abs, flat(f))) / len(flat(f))


def tv_loss(x: Any) -> float:
    """Four norms, of the differences to the right, below, and along both diagonals."""
    images, total = x.detach().double().flatten(0, 1).tolist(), 0.0
    for down, right in ((0, 1), (1, 0), (1, 1), (1, -1)):
        squares = 0.0
        for page in images:
            for i in range(len(page) - down):
                for j in range(len(page[0])):
                    if 0 <= j + right < len(page[0]):
                        squares += (page[i + down][j + right] - page[i][j]) ** 2
        total += math.sqrt(squares)
    return total


def l2_loss(x: Any) -> float:
    """(1 / B) sum_b |x_b|."""
    return math.fsum(math.sqrt(math.fsum(v * v for v in flat(one))) for one in x) / len(x)


def bn_loss(f: Any, mean: Any, var: Any) -> float:
    """|mean(f) - mean| + |var(f) - var| over channels."""
    first = second = 0.0
    for c in range(f.shape[1]):
        values = flat(f[:, c])
        m = math.fsum(values) / len(values)
        v = math.fsum((value - m) ** 2 for value in values) / len(values)
        first += (m - mean[c].item()) ** 2
        second += (v - var[c].item()) ** 2
    return math.sqrt(first) + math.sqrt(second)


def competition_loss(z_s: Any, z_t: Any, T: float) -> float:
    """1 - (1 / B) sum (KL(p || m) + KL(q || m)) / 2, m = (p + q) / 2."""
    found = []
    for s, t in zip(rows(z_s.detach()), rows(z_t.detach()), strict=True):
        q, p = softmax(s, T), softmax(t, T)
        m = [(a + b) / 2 for a, b in zip(p, q, strict=True)]
        found.append((kl(p, m) + kl(q, m)) / 2)
    return 1 - math.fsum(found) / len(found)
