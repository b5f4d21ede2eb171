"""A frozen teacher: answers by the index of the image, with logits and with features of its taps.

An answer for a stored image stands in a table and costs no forward pass. Feature tables may grow
large, a map of (64, 16, 16) on 50,000 images takes 3 GB. A teacher keeps those that fit TABLE_BYTES
together, in the order of its taps, and computes the others batch by batch.
"""

import functools
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn

from kdlab.data import Batch, Data
from kdlab.measure import features_of, in_float32
from kdlab.models import check_taps, evaluating, tap
from kdlab.train.gate import answers_of, check_network, look_at_teacher

PROBES = 32  # pixels an image is recognised by
LOGITS = ".logits"  # the table of logits; no tap has such a name
TABLE_BYTES = 256 * 2**20  # what the stored features of one teacher may take


class Frozen:
    """A network that no longer learns and answers a batch with its logits and its features.

    It is no `nn.Module`: its weights stay out of the optimiser and out of ``state_dict``.

    Args:
        net: from images to logits (B, C), as `kdlab.train.gate` takes them. It stays as it came,
            and answers as after training, without gradients.
        data: answers for its train and unlabelled images are stored, keyed by ``Batch.index``.
            None stores nothing: every answer is a forward pass.
        taps: places in `net`, see `kdlab.models.tap`, whose features it answers with.
        logits: its answers (M, C) for `images` of `data`, where they are known already.

    Raises:
        TypeError: `net` is no network.
        ValueError: `net` has no such tap, or answers with something else than finite logits; or,
            when asked, a stored image that has no stored answer, another image than the one stored
            under this index, or a tap that was not named here.
    """

    def __init__(
        self,
        net: nn.Module,
        data: Data | None = None,
        taps: str | Iterable[str] = (),
        logits: Tensor | None = None,
    ) -> None:
        check_network(net)
        self.net = net
        self.taps = check_taps(net, taps)
        # LOGITS -> (M, C), tap -> (M, ...) features where they fit; by index, NaN: none is stored
        self.tables: dict[str, Tensor] = {}
        self.probes: Tensor | None = None  # (M, PROBES) pixels of the image stored there
        if data is not None:
            x = images(data)
            index = torch.cat([data.train.index, data.unlabelled.index])
            if logits is None:
                logits = answers_of(net, x)
                look_at_teacher(logits[: len(data.train.y)], data.train, data.classes)
            self.tables[LOGITS] = by_index(index, logits)
            self.probes = by_index(index, probe(x))
            self._keep(index, x)

    def _keep(self, index: Tensor, x: Tensor) -> None:
        room = TABLE_BYTES
        for name in self.taps:
            row = features_of(self.net, x[:1], name)
            size = (int(index.max()) + 1) * row.numel() * row.element_size()
            if size <= room:
                room -= size
                self.tables[name] = by_index(index, features_of(self.net, x, name))

    def __call__(self, batch: Batch) -> Tensor:
        """Return the logits (B, C) for `batch`, on its device."""
        return self.answers(batch)[0]

    def features(self, batch: Batch, name: str) -> Tensor:
        """Return the features (B, ...) of the tap `name` for `batch`, on its device."""
        return self.answers(batch, [name])[1][name]

    @torch.no_grad()
    def answers(self, batch: Batch, names: Iterable[str] = ()) -> tuple[Tensor, dict[str, Tensor]]:
        """Return logits and {tap: features} for `batch`: like `kdlab.models.tap`, but from tables.

        What no table holds comes from one forward pass, whatever the number of taps.
        """
        names = list(names)
        if unknown := [name for name in names if name not in self.taps]:
            raise ValueError(
                f"this teacher answers with {', '.join(self.taps) or 'no features'}, not with "
                f"{unknown[0]!r}; name it when the teacher is built, Frozen(net, data, taps=[...])."
            )
        if not self._stored(batch):
            return self._asked(batch.x, names)
        stored = [name for name in (LOGITS, *names) if name in self.tables]
        found = {name: self.tables[name].index_select(0, batch.index) for name in stored}
        if missing := [name for name in names if name not in found]:
            found |= self._asked(batch.x, missing)[1]
        return found[LOGITS], {name: found[name] for name in names}

    def _asked(self, x: Tensor, names: list[str]) -> tuple[Tensor, dict[str, Tensor]]:
        """Return logits and features of a forward pass of the network, in the type of `x`."""
        net = self.net.to(x.device)
        kind = next((p.dtype for p in net.parameters() if p.is_floating_point()), x.dtype)
        with evaluating(net):
            z, found = tap(net, x.to(kind), names)
        return in_float32(z).to(x.dtype), {name: f.to(x.dtype) for name, f in found.items()}

    def _stored(self, batch: Batch) -> bool:
        """Tell whether `batch` is answered from tables, and bring these to its device."""
        passes = not batch.stored and not isinstance(self.net, Unanswerable)
        if passes or self.probes is None:
            return False
        if self.probes.device != batch.x.device:
            self.probes = self.probes.to(batch.x.device)
            self.tables = {name: table.to(batch.x.device) for name, table in self.tables.items()}
        if not knows(self.probes, batch):
            raise ValueError(
                "the teacher has no stored answer for these images: its table was made from other "
                "data; build it with Frozen(net, data) on the data that is trained on."
            )
        return True

    def stored(self) -> Tensor:
        """Return the stored logits (M, C), one row per image that has an answer."""
        return self.tables[LOGITS][self._rows()]

    def stored_classes(self) -> int | None:
        """Return for how many classes logits are stored; None where none are."""
        return self.tables[LOGITS].shape[1] if self.tables else None

    def mapped(
        self, change: Callable[[Tensor, Tensor], Tensor], name: str | None = None
    ) -> "Frozen":
        """Return a teacher whose stored logits are ``change(z, index)``: a control, or an ablation.

        `change` gets the stored logits (M, C) and their indices (M,) and returns logits (M, K).
        With a tap's `name` it changes the stored features of that tap; all other answers stay.

        The new teacher has no network. So it answers an augmented image by ``batch.index``, with
        what is stored for the image it was made from: the target is the same for every view of an
        image, where a network answers each view anew. Only for images as they are stored can it
        check that they are the right ones. An index without an answer is refused.
        """
        index, name = self._rows(), LOGITS if name is None else name
        features = tuple(tap for tap in self.tables if tap != LOGITS)
        if name not in self.tables:
            have = ", ".join(features) or "no features"
            raise ValueError(f"this teacher stores {have}, not {name!r}; name it in taps=[...].")
        other = Frozen(Unanswerable())
        other.tables, other.probes, other.taps = dict(self.tables), self.probes, features
        rows = change(self.tables[name][index], index)
        if not isinstance(rows, Tensor) or not rows.is_floating_point() or len(rows) != len(index):
            got = f"{tuple(rows.shape)} {rows.dtype}" if isinstance(rows, Tensor) else type(rows)
            want = f"return real numbers, a row for each of the {len(index)} stored images."
            raise ValueError(f"the change of a teacher's answers returned {got}; {want}")
        other.tables[name] = by_index(index, rows, len(self.tables[name]))
        return other

    def shuffled(self, source: torch.Generator) -> "Frozen":
        """Return the control whose stored answers are dealt to other images at random.

        Logits and features of an image stay together, and every view of an image gets the same
        ones, see `mapped`.
        """
        order = torch.randperm(len(self._rows()), generator=source)
        other = self
        for name in self.tables:
            other = other.mapped(lambda rows, _: rows[order.to(rows.device)], name)
        return other

    def _rows(self) -> Tensor:
        """Return the indices that have an answer."""
        if not self.tables:
            raise ValueError("this teacher stores no answers; build it with Frozen(net, data).")
        return (~self.tables[LOGITS].isnan().any(dim=1)).nonzero().flatten()

    def __kdlab_fingerprint__(self) -> Any:
        return self.net, self.tables, self.probes, self.taps


def images(data: Data) -> Tensor:
    """Return the images that a teacher of `data` stores answers for, (M, C, H, W)."""
    return torch.cat([data.train.x, data.unlabelled.x])


class Unanswerable(nn.Module):
    """Stands where a mapped teacher has no network."""

    def forward(self, x: Tensor) -> Tensor:
        """Refuse, with a sentence that says what to do."""
        raise ValueError(
            "this teacher's answers were changed by hand and it has no network; call it with a "
            "Batch, or measure the teacher that it was made from."
        )


def by_index(index: Tensor, rows: Tensor, size: int | None = None) -> Tensor:
    """Return a table (M, ...) that holds `rows` (N, ...) at `index` (N,), NaN elsewhere."""
    size = size or int(index.max()) + 1
    return rows.new_full((size, *rows.shape[1:]), torch.nan).index_copy_(0, index, rows)


def knows(probes: Tensor, batch: Batch) -> bool:
    """Tell whether the images of `batch` are those that `probes` (M, PROBES) were taken from.

    Augmented images look otherwise: of these it can only tell that their index has an answer.
    """
    rows = batch.index.clamp(0, len(probes) - 1)  # moves an index that lies outside
    if not torch.equal(rows, batch.index):
        return False
    found = probes.index_select(0, rows)
    return torch.equal(found, probe(batch.x)) if batch.stored else not found.isnan().any()


def probe(x: Tensor) -> Tensor:
    """Return PROBES pixels (B, PROBES) of each image, spread over it, to recognise it by."""
    flat = x.flatten(1)
    return flat.index_select(1, places(flat.shape[1], x.device))


@functools.cache  # asked for in every step
def places(pixels: int, device: torch.device) -> Tensor:
    """Return the positions (PROBES,) of the probed pixels among `pixels`."""
    return torch.arange(PROBES, device=device) * (pixels - 1) // (PROBES - 1)


# Negative controls: changes for `Frozen.mapped` that take away the one thing that is asked about.


def permuted(z: Tensor, source: torch.Generator) -> Tensor:
    """Deal each row's wrong-class logits to other wrong classes, each row in its own order.

    The most likely class, its probability and the entropy stay. Which wrong class is close is lost.
    """
    top = z.argmax(dim=1, keepdim=True)
    places = torch.arange(z.shape[1]).expand_as(z).clone().scatter_(1, top, z.shape[1])
    draws = torch.rand(z.shape, generator=source).scatter_(1, top, 2.0)
    ordered, dealt = places.argsort(dim=1), draws.argsort(dim=1)  # both end with the top class
    return torch.empty_like(z).scatter_(1, dealt, z.gather(1, ordered))


def without_class(z: Tensor, c: int) -> Tensor:
    """Give class `c` no probability; the others are renormalised by the softmax."""
    return z.clone().index_fill_(1, torch.tensor([c]), -1e4)
