"""What a teacher tells of its data: records of activations, and the statistics of batch norm."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from kdlab.models import evaluating, tap, taps

TOP = "logits"
WIDEST = 256  # units of a layer up to which a covariance is recorded
LITTLE = 1e-4  # share of the mean variance that is added to a covariance, to make it invertible


@dataclass(frozen=True)
class Records:
    """Per class and layer the mean of all units (C, U), and, where it is recorded, a factor L
    (C, U, U) of their covariance L L^T."""

    layers: Mapping[str, tuple[Tensor, Tensor | None]]

    @classmethod
    @torch.no_grad()
    def of(
        cls, net: nn.Module, x: Tensor, y: Tensor, names: Sequence[str] = (), covary: bool = False
    ) -> "Records":
        """Return the records of the logits and of the taps `names`, over images `x` of classes `y`.

        A class without an image has a mean of NaN; one with a single image does not vary.
        """
        layers = {}
        with evaluating(net):
            z, features = tap(net, x, names)
        for name, f in {TOP: z, **features}.items():
            groups = [f.flatten(1)[y == c] for c in range(z.shape[1])]
            mean = torch.stack([group.mean(dim=0) for group in groups])
            narrow = covary and mean.shape[1] <= WIDEST
            layers[name] = mean, torch.stack([factor(g) for g in groups]) if narrow else None
        return cls(layers)

    def draw(self, y: Tensor, source: torch.Generator) -> dict[str, Tensor]:
        """Return {layer: a* (B, U)}, drawn for classes `y` (B,)."""
        found = {name: mean[y] for name, (mean, _) in self.layers.items()}
        for name, (mean, L) in self.layers.items():
            if L is not None:
                luck = torch.randn(len(y), mean.shape[1], generator=source)
                found[name] = found[name] + torch.einsum("nuv,nv->nu", L[y], luck)
        return found

    @property
    def bytes(self) -> int:
        """Its size as a file of 4 bytes a number; of a covariance, half is counted."""
        halves = [(m, m.shape[1] + 1 if L is not None else 0) for m, L in self.layers.values()]
        return sum(4 * mean.numel() + 2 * mean.numel() * more for mean, more in halves)


def factor(f: Tensor) -> Tensor:
    """Return L (U, U) with L L^T the covariance of the rows `f` (N, U), and a little more."""
    apart = f - f.mean(dim=0)
    covariance = apart.T @ apart / max(1, len(f) - 1)
    extra = LITTLE * covariance.diagonal().mean() + 1e-12
    return torch.linalg.cholesky(covariance + extra * torch.eye(f.shape[1]))


def last_tap(net: nn.Module) -> str:
    """Return the tap before the logits: ``pool`` of a convolutional net."""
    return taps(net)[-1]


@contextmanager
def bn_inputs(net: nn.Module) -> Iterator[dict[nn.Module, Tensor]]:
    """Within the block, each run of `net` leaves {batch norm layer: what entered it}.

    The hooks are gone afterwards, also after an error.

    Raises:
        ValueError: no layer of `net` has running statistics.
    """
    layers = [m for m in net.modules() if getattr(m, "running_var", None) is not None]
    if not layers:
        raise ValueError(
            "the teacher has no batch norm, so there are no statistics to match and DeepInversion "
            "cannot start; take DAFL, or a teacher with batch norm."
        )
    found: dict[nn.Module, Tensor] = {}

    def keep(layer: nn.Module, given: tuple[Tensor, ...]) -> None:
        found[layer] = given[0]

    hooks = [layer.register_forward_pre_hook(keep) for layer in layers]
    try:
        yield found
    finally:
        for hook in hooks:
            hook.remove()
