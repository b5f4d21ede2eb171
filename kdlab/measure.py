"""What is measured on networks: accuracy, likelihood, calibration, entropy, fidelity, diversity."""

import itertools
import math
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kdlab.data import Split
from kdlab.models import evaluating, logits_in, tap

EVEN = 1e6  # temperature at which a distribution counts as even


def in_float32(z: Tensor) -> Tensor:
    """Return `z` in float32 where it has half precision: a softmax needs the digits."""
    return z.float() if z.element_size() < 4 else z


def divergence(log_p: Tensor, log_q: Tensor) -> Tensor:
    """Return KL(p || q) of each row (B,), in nats, from log-probabilities (B, C); 0 log 0 = 0."""
    p = log_p.exp()
    gaps = torch.where(p > 0, log_p - log_q, 0)  # inf - inf is no number
    return (p * gaps).sum(dim=1)


def entropies(log_p: Tensor) -> Tensor:
    """Return the entropy of each row (B,), in nats, from log-probabilities (B, C)."""
    return torch.special.entr(log_p.exp()).sum(dim=1)


class Fidelity(NamedTuple):
    """How closely a student follows its teacher: `agreement` in % of images, `kl` in nats."""

    agreement: float
    kl: float


def pick_device(device: str = "auto") -> torch.device:
    """Return the torch device; "auto" takes CUDA, then MPS, then the CPU."""
    if device != "auto":
        return torch.device(device)
    if torch.cuda.is_available():
        return torch.device("cuda")
    return torch.device("mps" if torch.backends.mps.is_available() else "cpu")


def logits_of(method: nn.Module, x: Tensor, device: str = "auto", batch: int = 100) -> Tensor:
    """Return the logits (N, C), on the CPU, of images `x` (N, C, H, W) in eval mode.

    `method` has ``predict``, or is a plain network or a frozen teacher. It keeps the mode and the
    device it had, so that it can be measured between two epochs of its training.
    """
    if not isinstance(method, nn.Module):
        method = method.net  # a frozen teacher's
    ask = getattr(method, "predict", method)
    return _in_parts(method, lambda part: logits_in(ask(part)), x, device, batch)


def features_of(
    net: nn.Module, x: Tensor, name: str, device: str = "auto", batch: int = 100
) -> Tensor:
    """Return the features (N, ...), on the CPU, of the tap `name` of a network; see `logits_of`.

    Raises ValueError where `net` has no such tap.
    """
    return _in_parts(net, lambda part: tap(net, part, name)[1][name], x, device, batch)


@torch.no_grad()
def _in_parts(
    method: nn.Module, ask: Callable[[Tensor], Tensor], x: Tensor, device: str, batch: int
) -> Tensor:
    where = pick_device(device)
    first = next(itertools.chain(method.parameters(), method.buffers()), torch.empty(0))
    kind = next((p.dtype for p in method.parameters() if p.is_floating_point()), x.dtype)
    with evaluating(method.to(where)):
        answers = [in_float32(ask(part.to(where, kind)).cpu()) for part in x.split(batch)]
    method.to(first.device)
    return torch.cat(answers).to(x.dtype)


def evaluate(method: nn.Module, split: Split, device: str = "auto") -> dict[str, Any]:
    """Measure `method` on the images of `split`; every one needs a label.

    Returns:
        accuracy (%), nll (nats an image), ece (%, 15 bins), entropy (nats, mean of the posterior),
        correct (N,) booleans: which images were right, for the spread over test images.

    Raises:
        ValueError: an image has no label, or there is no image.
    """
    return scores(logits_of(method, split.x, device), split.y.cpu())


def members(z: Tensor, y: Tensor) -> dict[str, Any]:
    """Measure networks that belong together by their logits `z` (K, N, C) and labels `y` (N,).

    Returns:
        What `scores` says, each as the mean over members (so ``correct`` (N,) holds shares);
        ``accuracies`` (K,), of each member (%); ``ensemble`` and ``ensemble entropy``, accuracy (%)
        and entropy (nats) of the mean posterior; ``ensemble of 2``, accuracy of that of two members
        (%, mean over pairs); ``disagreement``, images on which two members decide differently (%,
        mean over pairs). One member is its own ensemble.
    """
    each = [scores(member, y) for member in z]
    row = {key: np.mean([member[key] for member in each], axis=0) for key in each[0]}
    q, pairs = F.softmax(z.double(), dim=2), list(itertools.combinations(range(len(z)), 2))
    together = scores(q.mean(dim=0).log(), y)
    of_two = [scores((q[a] + q[b]).log(), y)["accuracy"] for a, b in pairs]
    apart = [(z[a].argmax(dim=1) != z[b].argmax(dim=1)).double().mean() for a, b in pairs]
    return row | {
        "accuracies": np.array([member["accuracy"] for member in each]),
        "ensemble": together["accuracy"],
        "ensemble entropy": together["entropy"],
        "ensemble of 2": float(np.mean(of_two)) if pairs else together["accuracy"],
        "disagreement": 100 * float(np.mean(apart)) if pairs else 0.0,
    }


def evaluate_members(
    nets: Iterable[nn.Module], split: Split, device: str = "auto"
) -> dict[str, Any]:
    """Measure networks that were trained together on the images of `split`; see `members`."""
    z = torch.stack([logits_of(net, split.x, device) for net in nets])
    return members(z, split.y.cpu())


def fidelity(z_s: Tensor, z_t: Tensor) -> Fidelity:
    """Compare student with teacher logits (N, C), both at T = 1, whatever T they were trained at.

    Returns:
        agreement, images on which both decide alike (%), and the mean of KL(p_1 || q_1) in nats.
        The teacher stands first, no factor T^2. After Cho, Hariharan 2019, arXiv:1910.01348,
        section 5.2; measure on training images and on test images.

    Raises:
        ValueError: the shapes differ, or there is no image.

    >>> z = torch.tensor([[2.0, 0, 0], [0, 1, 0], [0, 0, 3]])
    >>> v = torch.tensor([[3.0, 0, 0], [2, 1, 0], [0, 1, 4]])
    >>> [round(x, 4) for x in fidelity(z, v)]
    [66.6667, 0.1801]
    """
    if z_s.shape != z_t.shape or z_s.dim() != 2 or not z_s.numel():
        raise ValueError(
            f"student logits have shape {tuple(z_s.shape)} and teacher logits {tuple(z_t.shape)}; "
            "both must be (N, C), equal and not empty: were the same images measured?"
        )
    same = (z_s.argmax(dim=1) == z_t.argmax(dim=1)).double().mean()
    log_q, log_p = (F.log_softmax(z.double(), dim=1) for z in (z_s, z_t))
    return Fidelity(100 * same.item(), divergence(log_p, log_q).mean().item())


def softness(z: Tensor, T: float = 1.0) -> float:
    """Return the mean entropy, in nats, of the distributions softmax(z / T); `z` is (N, C).

    Raises:
        ValueError: T is not a finite number above 0.
    """
    if not 0 < T < math.inf:
        raise ValueError(f"T is {T}; a temperature is a finite number above 0.")
    return entropies(F.log_softmax(z.double() / T, dim=1)).mean().item()


def temperature_for(z: Tensor, entropy: float) -> float:
    """Return the T at which logits `z` (N, C) have the mean entropy `entropy`, in nats.

    `softness` rises with T, so there is one such T; it is found by halving.

    Raises:
        ValueError: no temperature between 1e-6 and 1e6 gives this entropy.

    >>> z = torch.tensor([[3.0, 0.0, 1.0]])
    >>> round(temperature_for(3 * z, softness(z, 4.0)), 4)
    12.0
    """
    low, high = -math.log(EVEN), math.log(EVEN)
    least, most = softness(z, math.exp(low)), softness(z, math.exp(high))
    if not least < entropy < most:
        raise ValueError(
            f"entropy is {entropy:.4g} nats, but these logits reach {least:.4g} to {most:.4g}; "
            "give a value between, such as the softness of another teacher."
        )
    for _ in range(80):
        middle = (low + high) / 2
        low, high = (middle, high) if softness(z, math.exp(middle)) < entropy else (low, middle)
    return math.exp((low + high) / 2)


def cka(f: Tensor, g: Tensor) -> float:
    """Return the linear CKA, in [0, 1], of features `f` and `g` (N, ...) of the same images.

    1: the same up to rotation and scale. Kornblith, Norouzi, Lee, Hinton 2019, arXiv:1905.00414,
    section 3, equation (3) with the linear kernel.

    Raises:
        ValueError: not the same number of images, or features that are equal for all of them.
    """
    if len(f) != len(g):
        raise ValueError(f"features of {len(f)} and of {len(g)} images; give the same images.")
    f, g = (part.flatten(1).double() for part in (f, g))
    f, g = f - f[:1], g - g[:1]  # equal features become 0 exactly, which a mean does not promise
    f, g = f - f.mean(dim=0), g - g.mean(dim=0)
    if not (f.any() and g.any()):
        raise ValueError("features that are equal for all images resemble nothing; take others.")
    return ((f.T @ g).square().sum() / ((f.T @ f).norm() * (g.T @ g).norm())).item()


def scores(z: Tensor, y: Tensor) -> dict[str, Any]:
    """Measure logits `z` (N, C) against labels `y` (N,); see `evaluate`."""
    if not len(y) or y.min() < 0:
        raise ValueError(
            f"{int((y < 0).sum())} of {len(y)} images have no label, expected a label for each and "
            "at least one image; measure on data.val or data.test."
        )
    log_q = F.log_softmax(z.double(), dim=1)
    q = log_q.exp()
    confidence, guess = q.max(dim=1)
    if confidence.isnan().any():
        raise FloatingPointError("the logits are no numbers: training diverged; lower the rate.")
    correct = guess == y
    return {
        "accuracy": 100 * correct.double().mean().item(),
        "nll": F.nll_loss(log_q, y).item(),
        "ece": calibration_error(confidence, correct),
        "entropy": entropies(log_q).mean().item(),
        "correct": correct.numpy(),
    }


def calibration_error(confidence: Tensor, correct: Tensor, bins: int = 15) -> float:
    """Return the expected calibration error in %: mean |confidence - accuracy| over equal bins.

    Guo, Pleiss, Sun, Weinberger 2017, arXiv:1706.04599, equation 3.
    """
    place = (confidence * bins).long().clamp(max=bins - 1).numpy()
    gap = np.bincount(place, (confidence - correct.double()).numpy(), minlength=bins)
    return float(100 * np.abs(gap).sum() / len(confidence))
