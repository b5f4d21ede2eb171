"""Notebook 08, who pulls whom among peers: divergences, and a ring of arrows as wide as these."""

import math
from typing import Any

import numpy as np
from matplotlib.axes import Axes

PEERS = ("#0072B2", "#D55E00", "#009E73")


def divergences(q: np.ndarray) -> np.ndarray:
    """Return KL(q_l || q_k), what peer k minimises, at [k, l], for posteriors `q` (K, ..., C)."""
    log = np.log(np.maximum(q, 1e-30))
    return (q[None] * (log[None] - log[:, None])).sum(axis=-1)


def pulls(ax: Axes, kl: np.ndarray, told: bool = True) -> None:
    """Draw peers in a ring; an arrow from l to k is as wide as KL(q_l || q_k) = ``kl[k, l]``.

    `told`: say in words what is drawn.
    """
    K = len(kl)
    ax.set(xlim=(-1.6, 1.6), ylim=(-1.6, 1.6), aspect="equal")
    ax.set_axis_off()
    turn = [math.pi * (1 / 2 + 2 * k / K) if K > 2 else math.pi * (1 - k) for k in range(K)]
    radius = {1: 0.0, 2: 1.0}.get(K, 1.25)
    at = [radius * np.array([math.cos(a), math.sin(a)]) for a in turn]
    for k, other in ((k, other) for k in range(K) for other in range(K) if other != k):
        near, far = 0.78 * at[k] + 0.22 * at[other], 0.22 * at[k] + 0.78 * at[other]
        style: dict[str, Any] = {"arrowstyle": "-|>", "connectionstyle": "arc3,rad=0.3"}
        style |= {"lw": 0.8 + 5 * min(float(kl[k, other]), 1.0), "color": PEERS[other]}
        ax.annotate("", (near[0], near[1]), (far[0], far[1]), arrowprops=style)
        along = at[k] - at[other]
        aside, behind = (0.32, 0.0) if K == 2 else (0.11, 0.17)  # on the arrow, near its tail
        x, y = (at[k] + at[other]) / 2 + aside * np.array([along[1], -along[0]]) - behind * along
        number: dict[str, Any] = {"ha": "center", "va": "center", "color": PEERS[other]}
        if K > 2:
            number |= {"fontsize": 9, "bbox": {"fc": "white", "ec": "none", "pad": 0.6}}
        ax.text(x, y, f"{kl[k, other]:.2f}", **number)
    for k, (x, y) in enumerate(at):
        ax.plot(x, y, "o", markersize=24, color=PEERS[k])
        ax.text(x, y, str(k + 1), color="white", ha="center", va="center", fontsize=12)
    if not told:
        return
    ax.set_title("who pulls whom")
    note = "arrow: KL in nats from the target" if K > 1 else "a single net has no peer"
    ax.text(0, -1.55, note, ha="center", fontsize=9)
