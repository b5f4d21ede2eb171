"""Teachers: trained once, kept on disk, frozen, and asked by the index of the image.

A teacher that answers for a stored image needs no forward pass: its answer stands in a table. So
distilling costs no more than training alone. Augmented images are answered by a forward pass. The
answering is in `kdlab.frozen`.
"""

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from kdlab.cache import cache_dir
from kdlab.data import Data
from kdlab.fingerprint import fingerprint
from kdlab.fit import fit
from kdlab.frozen import Frozen, images
from kdlab.measure import logits_of
from kdlab.methods.kd import CE
from kdlab.models import build, check_taps
from kdlab.recipe import Recipe
from kdlab.store import load_weights, save_weights

TEACHER = Recipe(epochs=20, shift=2)
ANSWERS = ".answers"  # the logits for the stored images, kept in the file of the weights


class Ensemble(nn.Module):
    """Several networks as one teacher: the mean of their logits.

    The softmax of mean logits is the normalised geometric mean of the members' distributions
    (Hinton et al. 2015, section 1, names both means).
    """

    def __init__(self, members: Iterable[nn.Module]) -> None:
        super().__init__()
        self.members = nn.ModuleList(members)

    def forward(self, x: Tensor) -> Tensor:
        """Return the mean logits (B, C)."""
        return torch.stack([member(x) for member in self.members]).mean(dim=0)


def teacher(
    data: Data,
    net: str = "cnn32",
    recipe: Recipe = TEACHER,
    seed: int = 0,
    *,
    taps: str | Iterable[str] = (),
    device: str = "auto",
) -> Frozen:
    """Return a teacher trained on ``data.train``, from disk where this one was trained before.

    Args:
        data: trains it, and its stored answers cover train and unlabelled images.
        net: name for `kdlab.models.build`.
        recipe: how it is trained; the default moves images by up to 2 pixels.
        seed: of initial weights, order and augmentation.
        taps: places whose features it answers with, see `kdlab.frozen.Frozen`.
        device: where it is trained, see `kdlab.fit.fit`.
    """
    last = recipe.total_epochs(len(data.train.y))
    return snapshots(data, net, recipe, seed, at=(last,), taps=taps, device=device)[last]


def snapshots(
    data: Data,
    net: str,
    recipe: Recipe,
    seed: int = 0,
    *,
    at: int | Iterable[int],
    taps: str | Iterable[str] = (),
    device: str = "auto",
) -> dict[int, Frozen]:
    """Return the teacher as it was after the epochs `at`, {epoch: teacher}, from one training.

    Raises:
        ValueError: an epoch lies outside 0 .. the recipe's last (0 = untrained), or `net` has no
            such tap.
    """
    wanted = sorted({at} if isinstance(at, int) else set(at))
    last = recipe.total_epochs(len(data.train.y))
    if not wanted or wanted[0] < 0 or wanted[-1] > last:
        raise ValueError(f"snapshots at epochs {wanted}; give epochs from 0 to {last}, the last.")
    taps = check_taps(build(net, data.n_classes, data.in_shape, seed=seed), taps)
    key = fingerprint((data.key, net, recipe, seed, teacher, torch.__version__))[:24]
    folder = cache_dir() / "teachers"
    paths = {epoch: folder / f"{net}-{key}-{epoch:03d}.safetensors" for epoch in wanted if epoch}
    loaded = {epoch: load_weights(path) for epoch, path in paths.items()}
    states = {epoch: state for epoch, state in loaded.items() if state is not None}
    if len(states) < len(paths):
        model = build(net, data.n_classes, data.in_shape, seed=seed)
        model.to(memory_format=torch.channels_last)  # wide nets train faster so, on a CPU

        def keep(epoch: int, _: nn.Module) -> None:
            if epoch in paths:
                states[epoch] = {k: plain(v) for k, v in model.state_dict().items()}
                states[epoch][ANSWERS] = logits_of(model, images(data), device)
                save_weights(paths[epoch], states[epoch])

        fit(CE(model), data, recipe, seed, on_epoch=[keep], device=device)
    answers = {}
    for epoch in wanted:
        net_then = build(net, data.n_classes, data.in_shape, seed=seed)
        known = states[epoch].pop(ANSWERS) if epoch else None
        if epoch:
            net_then.load_state_dict(states[epoch])
        answers[epoch] = Frozen(net_then, data, taps, known)
    return answers


def plain(weight: Tensor) -> Tensor:
    """Return a copy on the CPU in the usual memory order, as a file holds it."""
    return weight.detach().cpu().clone(memory_format=torch.contiguous_format)
