"""Online distillation with diverse peers. Chen et al. 2020, arXiv:1912.00350, section 3.

    L = sum_a H(y, q_a) + w T^2 [ sum_a KL(t_a || q_{T,a}) + KL(t || q_{T,l}) ]

K peers a and a leader l learn together. q_a, q_{T,a}: softmax of member a's logits at T = 1 and at
T. First level: each peer has a target of its own, t_a = sum_b A_ab q_{T,b}, where row a of A is
the softmax over all peers b, itself included, of (W_Q f_a) . (W_K f_b) for features f. Second
level: the leader's target t is the mean of the peers. The leader alone is deployed. w grows with
the share p of the training done: exp(-5 (1 - min(p / ramp, 1))^2).

Its rival ONE, Lan, Zhu, Gong 2018, arXiv:1806.04606, section 3, has one target for all members a:

    L = sum_a H(y, q_a) + H(y, q_e) + w T^2 sum_a KL(q_{T,e} || q_{T,a}),  z_e = sum_a g_a z_a

where the gate g, softmax of ReLU(BN(W h)), reads the pooled map h of the trunk.

Departures: the paper does not say through what the gradient flows. Here it flows through A, not
through the peers that teach; in the authors' code it flows through both, and logits are mixed
instead of probabilities. The paper ramps up over 80 of 300 epochs: 0.27 of the training. ONE is
ramped up, too, as in the authors' comparison. ONE's target is a constant, as in its own code.
"""

import math
from collections.abc import Iterable
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from kdlab.data import Batch
from kdlab.measure import divergence, in_float32
from kdlab.papers.okddip.nets import COMMON, Together, check_knobs
from kdlab.train.method import Knob, check_temperature, hard_loss

FIRST, MIX = ("attention", "uniform", "none"), ("probabilities", "logits")
DETACH = ("peers", "nothing", "all")
LOWEST = -1e30  # stands for a logit of -inf in a sum of logits, where 0 times -inf is no number


def attention(f: Tensor, W_Q: Tensor, W_K: Tensor) -> Tensor:
    """Return A (B, K, K): how much peer a, the row, listens to peer b; rows sum to 1.

    Args:
        f: features (K, B, D) of the peers.
        W_Q, W_K: projections (d, D) of who listens and of who is heard.

    >>> attention(torch.zeros(2, 1, 3), torch.ones(1, 3), torch.ones(1, 3)).tolist()
    [[[0.5, 0.5], [0.5, 0.5]]]
    """
    f, W_Q, W_K = in_float32(f), in_float32(W_Q), in_float32(W_K)
    return torch.einsum("aid,bid->iab", f @ W_Q.T, f @ W_K.T).softmax(dim=2)


def targets(z: Tensor, A: Tensor, T: float, mix: str = "probabilities") -> Tensor:
    """Return t_a = sum_b A_ab q_{T,b}, as probabilities (n, B, C).

    Args:
        z: logits (K, B, C) of those who teach.
        A: weights (B, n, K) of n who listen.
        T: temperature in ]0, 1000].
        mix: "probabilities" (the paper), or "logits" before the softmax (the authors' code), which
            rules out a class as soon as one peer does that has a share.

    Raises:
        ValueError: shapes that do not fit, T out of its range, or an unknown `mix`.
    """
    check_group(z)
    check_temperature(T)
    if A.dim() != 3 or (A.shape[0], A.shape[2]) != (z.shape[1], z.shape[0]):
        want = f"({z.shape[1]}, n, {z.shape[0]})"
        raise ValueError(f"the attention has shape {tuple(A.shape)}; give weights of shape {want}.")
    if mix not in MIX:
        raise ValueError(f"mix is {mix!r}; choose one of {', '.join(MIX)}.")
    z = in_float32(z)
    if mix == "logits":
        return (torch.einsum("iab,bic->aic", A, z.clamp(min=LOWEST)) / T).softmax(dim=2)
    return torch.einsum("iab,bic->aic", A, (z / T).softmax(dim=2))


def pull(z: Tensor, t: Tensor, T: float) -> Tensor:
    """Return T^2 sum_a KL(t_a || q_{T,a}): summed over members and classes, mean over the batch.

    Args:
        z: logits (n, B, C) of those who learn; half precision is computed in float32. -inf rules
            a class out.
        t: targets (n, B, C), or (1, B, C) for all, as probabilities. Gradients reach them.

    Returns:
        A scalar; 0 where all equal their targets; infinite where a member rules out a class that
        its target does not.

    >>> t = torch.tensor([[[0.75, 0.25]]])
    >>> round(pull(torch.zeros(1, 1, 2), t, T=1.0).item(), 6)
    0.130812
    """
    check_group(z)
    check_temperature(T)
    log_q = (in_float32(z) / T).log_softmax(dim=2)
    log_t = torch.where(t > 0, t.clamp(min=torch.finfo(t.dtype).tiny).log(), -math.inf)
    rows = divergence(log_t.expand_as(log_q).flatten(0, 1), log_q.flatten(0, 1))
    return T**2 * rows.sum() / z.shape[1]


def even(z: Tensor) -> Tensor:
    """Return the weights (B, 1, K) of a plain mean over the K members of `z` (K, B, C)."""
    return torch.full((z.shape[1], 1, len(z)), 1 / len(z), device=z.device, dtype=z.dtype)


def labelled(z: Tensor, y: Tensor) -> Tensor:
    """Return sum_a H(y, q_a) over the members of `z` (M, B, C)."""
    return len(z) * hard_loss(z.flatten(0, 1), y.repeat(len(z)))


def okddip_terms(
    z: Tensor,
    A: Tensor | None,
    y: Tensor,
    T: float = 3.0,
    w: float = 1.0,
    *,
    second: bool = True,
    mix: str = "probabilities",
    detach: str = "peers",
) -> dict[str, Tensor]:
    """Return the terms {"hard", "peers", "leader"}, weighted, of the leader z[0] and peers z[1:].

    Args:
        z: logits (K + 1, B, C).
        A: attention (B, K, K) among the peers; None leaves the first level out.
        y: labels (B,), -1 where there is none.
        T, w: temperature; weight of both levels at this moment.
        second: whether the leader hears the mean of the peers.
        mix: see `targets`.
        detach: what is a constant in a target: the "peers" that teach; "nothing", as in the
            authors' code; or "all", the attention, too, which then never learns.
    """
    peers, terms = z[1:], {"hard": labelled(z, y)}
    taught = peers if detach == "nothing" else peers.detach()
    if A is not None and w:
        weights = A.detach() if detach == "all" else A
        terms["peers"] = w * pull(peers, targets(taught, weights, T, mix), T)
    if second and w:
        terms["leader"] = w * pull(z[:1], targets(taught, even(in_float32(taught)), T, mix), T)
    return terms


def okddip_loss(z: Tensor, A: Tensor, y: Tensor, T: float, w: float) -> Tensor:
    """Return the sum of `okddip_terms`: the loss as the page of the method writes it."""
    return torch.stack([*okddip_terms(z, A, y, T, w).values()]).sum()


def one_terms(z: Tensor, g: Tensor, y: Tensor, T: float = 3.0, w: float = 1.0) -> dict[str, Tensor]:
    """Return the terms {"hard", "ensemble", "group"} of ONE for logits (M, B, C), gate (B, M)."""
    check_group(z)
    z_e = torch.einsum("ia,aic->ic", g, in_float32(z).clamp(min=LOWEST))
    t = (z_e.detach() / T).softmax(dim=1)[None]
    terms = {"hard": labelled(z, y), "ensemble": hard_loss(z_e, y)}
    return terms | ({"group": w * pull(z, t, T)} if w else {})


def check_group(z: Tensor) -> None:
    """Refuse logits that are not one table (K, B, C), not empty."""
    if z.dim() != 3 or not z.numel():
        raise ValueError(
            f"the group's logits have shape {tuple(z.shape)}; stack them as (K, B, C)."
        )


class OKDDip(Together):
    """Peers with a target each, and a leader, the first of the students, who hears their mean.

    Args:
        students: two or more networks, see `kdlab.papers.okddip.nets.Group`.
        shared, T, weight, ramp, first, second, mix, detach: see `knobs`.
        seed: of the first weights of W_Q and W_K.

    Raises:
        ValueError: a value out of its range, or students that make no group.
    """

    knobs: ClassVar[tuple[Knob, ...]] = (
        *COMMON,
        Knob("first", "attention", "who mixes a peer's target", choices=FIRST),
        Knob("second", True, "whether the leader hears the peers' mean", choices=(True, False)),
        Knob("mix", "probabilities", "what is mixed", choices=MIX),
        Knob("detach", "peers", "what is a constant in a target", choices=DETACH),
    )

    def __init__(
        self,
        students: Iterable[nn.Module],
        shared: int = 2,
        T: float = 3.0,
        weight: float = 1.0,
        ramp: float = 0.27,
        first: str = "attention",
        second: bool = True,
        mix: str = "probabilities",
        detach: str = "peers",
        *,
        seed: int = 0,
    ) -> None:
        check_knobs(self.knobs[len(COMMON) :], locals())
        super().__init__(students, shared, T, weight, ramp, seed=seed)
        self.first, D = first, self.group.width
        self.settings: dict[str, Any] = {"T": T, "second": second, "mix": mix, "detach": detach}
        self.W_Q, self.W_K = (self.fresh(name, D, max(4, D // 8)) for name in ("W_Q", "W_K"))
        for part in (self.W_Q, self.W_K):
            part.requires_grad_(first == "attention" and detach != "all")

    def heard(self, f: Tensor) -> Tensor | None:
        """Return A (B, K, K) for features (K + 1, B, D), leader first; None: no first level."""
        if self.first == "none":
            return None
        if self.first == "uniform":
            return even(f[1:]).expand(-1, len(f) - 1, -1)
        return attention(f[1:], self.W_Q.weight, self.W_K.weight)

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        z, f, _ = self.group(batch.x)
        return okddip_terms(z, self.heard(f), batch.y, w=self.w(batch), **self.settings)


class ONE(Together):
    """Members that all learn from one target, their gated mean; the first is deployed.

    Its arguments are those of `Together`. Where nothing is shared, the gate reads the image.
    """

    knobs: ClassVar[tuple[Knob, ...]] = COMMON

    def begin(self) -> None:
        M = len(self.group.branches)
        W = self.fresh("gate", self.group.channels, M)
        self.gate = nn.Sequential(W, nn.BatchNorm1d(M), nn.ReLU(), nn.Softmax(dim=1))

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        z, _, h = self.group(batch.x)
        g = self.gate(h.mean(dim=(2, 3)))
        return one_terms(z, g, batch.y, self.T, self.w(batch))
