"""Teachers: trained once, kept on disk, frozen, and asked by the index of the image.

A teacher that answers for a stored image needs no forward pass: its answer stands in a table. So
distilling costs no more than training alone. Augmented images are answered by a forward pass.
"""

import warnings
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
from torch import Tensor, nn

from kdlab.cache import cache_dir, write_atomic
from kdlab.data import Batch, Data
from kdlab.fingerprint import fingerprint
from kdlab.fit import fit
from kdlab.measure import logits_of
from kdlab.methods.kd import CE
from kdlab.models import build
from kdlab.recipe import Recipe

TEACHER = Recipe(epochs=20, shift=2)
PROBES = 32  # pixels an image is recognised by


class Frozen:
    """A network that no longer learns and answers a batch with its logits.

    It is no `nn.Module`: its weights stay out of the optimiser and out of ``state_dict``.

    Args:
        net: from images to logits (B, C). Frozen in place: eval mode, no gradients.
        data: answers for its train and unlabelled images are stored, keyed by ``Batch.index``.
            None stores nothing: every answer is a forward pass.

    Raises:
        ValueError: when asked, for a stored image that has no stored answer, or another image than
            the one stored under this index.
    """

    def __init__(self, net: nn.Module, data: Data | None = None) -> None:
        self.net = net.eval().requires_grad_(False)
        self.table: Tensor | None = None  # (M, C) logits by index; NaN where none is stored
        self.probes: Tensor | None = None  # (M, PROBES) pixels of the image stored there
        if data is not None:
            x = torch.cat([data.train.x, data.unlabelled.x])
            index = torch.cat([data.train.index, data.unlabelled.index])
            self._store(index, logits_of(net, x), x)

    def _store(self, index: Tensor, z: Tensor, x: Tensor) -> None:
        rows = int(index.max()) + 1
        self.table = torch.full((rows, z.shape[1]), torch.nan).index_copy_(0, index, z)
        self.probes = torch.full((rows, PROBES), torch.nan).index_copy_(0, index, probe(x))

    @torch.no_grad()
    def __call__(self, batch: Batch) -> Tensor:
        """Return the logits (B, C) for `batch`, on its device."""
        if not batch.stored or self.table is None or self.probes is None:
            self.net.to(batch.x.device)
            return self.net(batch.x)
        if self.table.device != batch.x.device:
            self.table, self.probes = self.table.to(batch.x.device), self.probes.to(batch.x.device)
        if not knows(self.table, self.probes, batch):
            raise ValueError(
                "the teacher has no stored answer for these images: its table was made from other "
                "data; build it with Frozen(net, data) on the data that is trained on."
            )
        return self.table[batch.index]

    def mapped(self, change: Callable[[Tensor, Tensor], Tensor]) -> "Frozen":
        """Return a teacher whose stored logits are ``change(z, index)``: a control, or an ablation.

        `change` gets the stored logits (M, C) and their indices (M,) and returns logits (M, K). The
        new teacher answers stored images only; for others it would need a network it does not have.
        """
        if self.table is None or self.probes is None:
            raise ValueError("this teacher stores no answers; build it with Frozen(net, data).")
        stored = ~self.table.isnan().any(dim=1)
        index = stored.nonzero().flatten()
        other = Frozen(Unanswerable())
        z = change(self.table[index].clone(), index)
        blank = self.table.new_full((len(self.table), z.shape[1]), torch.nan)
        other.table = blank.index_copy_(0, index, z)
        other.probes = self.probes
        return other

    def shuffled(self, source: torch.Generator) -> "Frozen":
        """Return the control whose stored answers are dealt to other images at random."""
        return self.mapped(lambda z, _: z[torch.randperm(len(z), generator=source)])

    def __kdlab_fingerprint__(self) -> Any:
        return self.net, self.table, self.probes


class Unanswerable(nn.Module):
    """Stands where a mapped teacher has no network."""

    def forward(self, x: Tensor) -> Tensor:
        """Refuse, with a sentence that says what to do."""
        raise ValueError(
            "this teacher's answers were changed by hand and exist for stored images only; "
            "train without augmentation, or on a bank of views (data.with_views)."
        )


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


def knows(table: Tensor, probes: Tensor, batch: Batch) -> bool:
    """Tell whether the images of `batch` are those whose answers `table` holds."""
    if (batch.index >= len(table)).any():
        return False
    return torch.equal(probes[batch.index], probe(batch.x))


def probe(x: Tensor) -> Tensor:
    """Return PROBES pixels (B, PROBES) of each image, spread over it, to recognise it by."""
    flat = x.flatten(1)
    places = torch.arange(PROBES, device=x.device) * (flat.shape[1] - 1) // (PROBES - 1)
    return flat[:, places]


def teacher(
    data: Data, net: str = "cnn32", recipe: Recipe = TEACHER, seed: int = 0, device: str = "auto"
) -> Frozen:
    """Return a teacher trained on ``data.train``, from disk where this one was trained before.

    Args:
        data: trains it, and its stored answers cover train and unlabelled images.
        net: name for `kdlab.models.build`.
        recipe: how it is trained; the default moves images by up to 2 pixels.
        seed: of initial weights, order and augmentation.
        device: where it is trained, see `kdlab.fit.fit`.
    """
    last = recipe.total_epochs(len(data.train.y))
    return snapshots(data, net, recipe, seed, at=(last,), device=device)[last]


def snapshots(
    data: Data,
    net: str,
    recipe: Recipe,
    seed: int = 0,
    *,
    at: Iterable[int],
    device: str = "auto",
) -> dict[int, Frozen]:
    """Return the teacher as it was after the epochs `at`, {epoch: teacher}, from one training.

    Raises:
        ValueError: an epoch lies outside 0 .. the recipe's last (0 = untrained).
    """
    wanted, last = sorted(set(at)), recipe.total_epochs(len(data.train.y))
    if not wanted or wanted[0] < 0 or wanted[-1] > last:
        raise ValueError(f"snapshots at epochs {wanted}; give epochs from 0 to {last}, the last.")
    key = fingerprint((data.key, net, recipe, seed, teacher, torch.__version__))[:24]
    folder = cache_dir() / "teachers"
    paths = {epoch: folder / f"{net}-{key}-{epoch:03d}.safetensors" for epoch in wanted if epoch}
    loaded = {epoch: load_weights(path) for epoch, path in paths.items()}
    states = {epoch: state for epoch, state in loaded.items() if state is not None}
    if len(states) < len(paths):
        model = build(net, data.n_classes, data.in_shape, seed=seed)

        def keep(epoch: int, _: nn.Module) -> None:
            if epoch in paths:
                states[epoch] = {k: v.cpu().clone() for k, v in model.state_dict().items()}
                save_weights(paths[epoch], states[epoch])

        fit(CE(model), data, recipe, seed, on_epoch=[keep], device=device)
    answers = {}
    for epoch in wanted:
        net_then = build(net, data.n_classes, data.in_shape, seed=seed)
        if epoch:
            net_then.load_state_dict(states[epoch])
        answers[epoch] = Frozen(net_then, data)
    return answers


def save_weights(path: Path, state: dict[str, Tensor]) -> None:
    """Write `state` to `path` as one safetensors file that carries its own checksum."""
    content = safetensors.torch.save(state, metadata={"sum": fingerprint(state)})
    write_atomic(path, content)


def load_weights(path: Path) -> dict[str, Tensor] | None:
    """Return the weights in `path`; None where no file is, or, with a warning, a damaged one."""
    if not path.exists():
        return None
    try:
        state = safetensors.torch.load_file(path)
        with safetensors.safe_open(path, framework="pt") as file:
            told = (file.metadata() or {}).get("sum")
        if told == fingerprint(state):
            return state
        reason = "its checksum does not match"
    except (safetensors.SafetensorError, OSError) as error:
        reason = str(error)
    sentence = f"the stored teacher {path.name} is damaged ({reason}); it is trained again."
    warnings.warn(sentence, stacklevel=2)
    return None
