"""Be your own teacher. Zhang, Song, Gao, Chen, Bao, Ma 2019, arXiv:1905.08094, section 3.

    L = sum_k (1 - alpha_k) H(y, q_k) + alpha_k KL(q_K || q_k) + beta_k ||f_k - f_K||^2

One network has K exits, the K-th the deepest. z_k, f_k: logits and features of exit k; q_k: softmax
of z_k, at temperature T in KL and at 1 in H. alpha_K = beta_K = 0; for all other exits alpha_k =
alpha, beta_k = beta. What the deepest exit says is a constant there: it teaches, and does not bend.
The paper writes C for K and lambda for beta.

Departures: the paper gives neither T, alpha, beta nor how the terms are averaged. alpha = 0.3 and
T = 3 are those of the authors' code, which uses the cross-entropy instead of KL (the same gradient)
and no factor T^2, as here. Its feature term is a distance that is not squared, times 0.03, and not
for the last exit but one; here it is the squared distance of the paper, summed over features,
averaged over images, times 0.03, for all exits but the deepest.
"""

from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kdlab.data import Batch
from kdlab.measure import divergence, in_float32
from kdlab.papers.byot.nets import HEADS, Exits
from kdlab.train.method import Knob, check_logits, check_temperature, hard_loss, n_classes_of
from kdlab.train.worlds import Replicate


def soft_loss(
    z_k: Tensor, z_t: Tensor, T: float, squared: bool = False, detach: bool = True
) -> Tensor:
    """Term KL(q_t || q_k) of two exits at T: summed over classes, averaged over the batch.

    Args:
        z_k: logits (B, C) of the exit that learns; half precision is computed in float32. A logit
            of -inf means that the class is ruled out.
        z_t: logits (B, C) of the exit that teaches.
        T: temperature in ]0, 1000].
        squared: times T^2, which keeps the size of the gradient when T changes.
        detach: no gradient reaches `z_t`.

    Returns:
        A scalar in nats; 0 where both exits agree; infinite where the one that learns rules out a
        class that the other does not.

    Raises:
        ValueError: shapes differ, or T is out of its range.

    >>> z_k, z_t = torch.tensor([[1.0, 2.0, 0.0]]), torch.tensor([[2.0, 0.0, 1.0]])
    >>> round(soft_loss(z_k, z_t, T=2.0).item(), 5)
    0.22051
    """
    check_logits(z_k, z_t)
    check_temperature(T)
    log_q = F.log_softmax(in_float32(z_k) / T, dim=1)  # log q_k
    log_p = F.log_softmax(in_float32(z_t.detach() if detach else z_t) / T, dim=1)  # log q_K
    return divergence(log_p, log_q).mean() * (T**2 if squared else 1)


def hint_loss(f_k: Tensor, f_t: Tensor, detach: bool = True) -> Tensor:
    """Term ||f_k - f_t||^2: summed over features, averaged over the batch.

    Args:
        f_k, f_t: features (B, d) of the exit that learns and of the deepest one; half precision is
            computed in float32.
        detach: no gradient reaches `f_t`.

    Raises:
        ValueError: the features are not two tables of one shape, not empty.

    >>> hint_loss(torch.tensor([[1.0, 2.0]]), torch.tensor([[4.0, 6.0]])).item()
    25.0
    """
    if f_k.shape != f_t.shape or f_k.dim() != 2 or not f_k.numel():
        raise ValueError(
            f"the features of two exits have the shapes {tuple(f_k.shape)} and {tuple(f_t.shape)}; "
            "both must be (B, d), equal and not empty: a head brings them to one shape."
        )
    gap = in_float32(f_k) - in_float32(f_t.detach() if detach else f_t)
    return gap.square().sum(dim=1).mean()


def byot_terms(
    z: Sequence[Tensor],
    f: Sequence[Tensor],
    y: Tensor,
    T: float = 3.0,
    alpha: float = 0.3,
    beta: float = 0.03,
    *,
    teacher: str = "deepest",
    squared: bool = False,
    detach: bool = True,
    change: Callable[[Tensor], Tensor] = lambda z_t: z_t,
) -> dict[str, Tensor]:
    """Return the terms {"hard", "soft", "hint"}, weighted; a term of weight 0 is left out.

    Args:
        z, f: logits (B, C) and features (B, d) of K >= 2 exits, the deepest last.
        y: labels (B,), -1 where there is none.
        T, alpha, beta: temperature, share of the soft term, weight of the feature term.
        teacher: whose answers are the soft targets. "deepest"; "next": of the next deeper exit;
            "ensemble": of all together, the mean of their logits, which the deepest hears, too.
        squared, detach: see `soft_loss`.
        change: what becomes of a target (B, C) before it teaches, for a control.

    Raises:
        ValueError: not two or more exits, or tables of different shapes.
    """
    if len(z) != len(f) or len(z) < 2:
        raise ValueError(f"logits of {len(z)} and features of {len(f)} exits; give two or more.")
    targets: dict[str, list[Any]] = {
        "deepest": [z[-1]] * (len(z) - 1) + [None],
        "next": [*z[1:], None],
        "ensemble": [torch.stack([*z]).mean(dim=0)] * len(z),
    }
    pairs = list(zip(z, targets[teacher], strict=True))
    hard = [(1 - alpha * (z_t is not None)) * hard_loss(z_k, y) for z_k, z_t in pairs]
    terms = {"hard": torch.stack(hard).sum()}
    if alpha:
        soft = [soft_loss(z_k, change(t), T, squared, detach) for z_k, t in pairs if t is not None]
        terms["soft"] = alpha * torch.stack(soft).sum()
    if beta:
        hints = [hint_loss(f_k, f[-1], detach) for f_k in f[:-1]]
        terms["hint"] = beta * torch.stack(hints).sum()
    return terms


def byot_loss(
    z: Sequence[Tensor], f: Sequence[Tensor], y: Tensor, T: float, alpha: float, beta: float
) -> Tensor:
    """Return the sum of `byot_terms`: the loss as the page of the method writes it."""
    return torch.stack([*byot_terms(z, f, y, T, alpha, beta).values()]).sum()


class BYOT(nn.Module):
    """A student with an exit after each block, whose deepest exit teaches the others.

    alpha = beta = 0 is deep supervision: every exit learns from the labels alone.

    Args:
        student: a network with blocks, see `kdlab.papers.byot.nets.Exits`, from images to logits.
        head, alpha, T, beta, teacher, squared, detach: see `knobs`.
        seed: of the first weights of the heads.

    `settings` is what `byot_terms` is told beside the exits.

    Raises:
        ValueError: a value out of its range, or a student without blocks.
    """

    knobs: ClassVar[tuple[Knob, ...]] = (
        Knob("head", "separable", "what stands between a block and its classifier", choices=HEADS),
        Knob("alpha", 0.3, "share of the soft term at an exit; the labels get the rest", 0.0, 1.0),
        Knob("T", 3.0, "temperature: how far the teaching answers are softened", 0.5, 50.0),
        Knob("beta", 0.03, "weight of the squared distance between features", 0.0, 1.0),
        Knob("teacher", "deepest", "whose answers teach", choices=("deepest", "next", "ensemble")),
        Knob("squared", False, "whether the soft term is multiplied by T^2", choices=(False, True)),
        Knob("detach", True, "whether the teaching exit is a constant", choices=(True, False)),
    )

    def __init__(
        self,
        student: nn.Module,
        head: str = "separable",
        alpha: float = 0.3,
        T: float = 3.0,
        beta: float = 0.03,
        teacher: str = "deepest",
        squared: bool = False,
        detach: bool = True,
        *,
        seed: int = 0,
    ) -> None:
        super().__init__()
        self.settings: dict[str, Any] = {"alpha": alpha, "T": T, "beta": beta, "teacher": teacher}
        self.settings |= {"squared": squared, "detach": detach}
        for knob in self.knobs:
            knob.check(self.settings.get(knob.name, head))
        self.exits, self.n_classes = Exits(student, head, seed), n_classes_of(student)

    @classmethod
    def of(cls, r: Replicate, **options: Any) -> "BYOT":
        """Return the method on a fresh student of replicate `r`; the heads, too, follow from r."""
        return cls(r.student(), seed=r.r, **options)

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        z, f = self.exits(batch.x)
        return byot_terms(z, f, batch.y, **self.settings)

    def predict(self, x: Tensor) -> Tensor:
        """Return the logits (B, C) of the deepest exit: the plain student, without any head."""
        return self.exits.net(x)
