"""Teachers: trained once, kept on disk, frozen, and asked by the index of the image.

A teacher that answers for a stored image needs no forward pass: its answer stands in a table. So
distilling costs no more than training alone. Augmented images are answered by a forward pass. The
answering is in `kdlab.train.frozen`.
"""

import copy
from collections.abc import Iterable

import torch
from torch import Tensor, nn

from kdlab.data import Data
from kdlab.fingerprint import fingerprint
from kdlab.measure import logits_of
from kdlab.models import build, check_taps
from kdlab.store import cache_dir, read_tensors, write_tensors
from kdlab.train.fit import fit
from kdlab.train.frozen import Frozen, images
from kdlab.train.method import CE
from kdlab.train.recipe import Recipe

TEACHER = Recipe(epochs=20, shift=2)
ENDS = ("", ".answers")  # a file of weights, and one of its logits for the stored images


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
        taps: places whose features it answers with, see `kdlab.train.frozen.Frozen`.
        device: where it is trained, see `kdlab.train.fit.fit`.
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
    model = build(net, data.n_classes, data.in_shape, seed=seed)
    taps = check_taps(model, taps)
    key = fingerprint((data.key, net, recipe, seed, teacher, torch.__version__))[:24]
    home = cache_dir() / "teachers"
    files = {e: [home / f"{net}-{key}-{e:03d}{end}.safetensors" for end in ENDS] for e in wanted}
    found = {e: [read_tensors(file, "teacher") for file in files[e]] for e in wanted if e}
    if any(part is None for parts in found.values() for part in parts):
        fresh = copy.deepcopy(model).to(memory_format=torch.channels_last)  # a CPU trains it faster

        def keep(epoch: int, _: nn.Module) -> None:
            if epoch in found:
                weights = {name: plain(value) for name, value in fresh.state_dict().items()}
                answers = {"logits": logits_of(fresh, images(data), device)}
                found[epoch] = [weights, answers]
                for file, tensors in zip(files[epoch], found[epoch], strict=True):
                    write_tensors(file, tensors or {}, {"net": net, "epoch": epoch})

        fit(CE(fresh), data, recipe, seed, on_epoch=[keep], device=device)
    answering = {}
    for epoch in wanted:
        then, (weights, answers) = copy.deepcopy(model), found.get(epoch) or (None, None)
        if weights:
            then.load_state_dict(weights)
        # channels last answers twice as fast on a CPU, with the same numbers to the 7th digit
        then.eval().requires_grad_(False).to(memory_format=torch.channels_last)
        answering[epoch] = Frozen(then, data, taps, answers["logits"] if answers else None)
    return answering


def plain(weight: Tensor) -> Tensor:
    """Return a copy on the CPU in the usual memory order, as a file holds it."""
    return weight.detach().cpu().clone(memory_format=torch.contiguous_format)
