"""What is measured on trained networks: accuracy, likelihood, calibration, entropy, diversity."""

import itertools
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kdlab.data import Split
from kdlab.models import tap


def pick_device(device: str = "auto") -> torch.device:
    """Return the torch device; "auto" takes CUDA, then MPS, then the CPU."""
    if device != "auto":
        return torch.device(device)
    if torch.cuda.is_available():
        return torch.device("cuda")
    return torch.device("mps" if torch.backends.mps.is_available() else "cpu")


def logits_of(method: nn.Module, x: Tensor, device: str = "auto", batch: int = 100) -> Tensor:
    """Return the logits (N, C), on the CPU, of images `x` (N, C, H, W) in eval mode.

    `method` has ``predict`` or is a plain network. It keeps the mode and the device it had, so that
    it can be measured between two epochs of its training.
    """
    return _in_parts(method, getattr(method, "predict", method), x, device, batch)


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
    where, modes = pick_device(device), [(part, part.training) for part in method.modules()]
    home = next(itertools.chain(method.parameters(), method.buffers()), torch.empty(0)).device
    method.to(where).eval()
    answers = [ask(part.to(where)).cpu() for part in x.split(batch)]
    method.to(home)
    for part, mode in modes:
        part.training = mode
    return torch.cat(answers)


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


def cka(f: Tensor, g: Tensor) -> float:
    """Return the linear CKA, in [0, 1], of features `f` and `g` (N, ...) of the same images.

    1: the same up to rotation and scale. Kornblith, Norouzi, Lee, Hinton 2019, arXiv:1905.00414,
    section 3, equation (3) with the linear kernel.
    """
    f, g = (part.flatten(1).double() for part in (f, g))
    f, g = f - f.mean(dim=0), g - g.mean(dim=0)
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
    correct = guess == y
    return {
        "accuracy": 100 * correct.double().mean().item(),
        "nll": F.nll_loss(log_q, y).item(),
        "ece": calibration_error(confidence, correct),
        "entropy": -(q * log_q).sum(dim=1).mean().item(),
        "correct": correct.numpy(),
    }


def calibration_error(confidence: Tensor, correct: Tensor, bins: int = 15) -> float:
    """Return the expected calibration error in %: mean |confidence - accuracy| over equal bins.

    Guo, Pleiss, Sun, Weinberger 2017, arXiv:1706.04599, equation 3.
    """
    place = (confidence * bins).long().clamp(max=bins - 1).numpy()
    gap = np.bincount(place, (confidence - correct.double()).numpy(), minlength=bins)
    return float(100 * np.abs(gap).sum() / len(confidence))
