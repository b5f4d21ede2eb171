"""A data set in memory, the data sets derived from it, and how worker processes share one copy."""

import functools
from dataclasses import dataclass, replace
from numbers import Integral
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from kdlab.data.rows import Split, join, none, pick, shifted
from kdlab.seeds import generator
from kdlab.store import cache_dir, digest, map_tensors, write_tensors

PARTS = ("train", "unlabelled", "val", "test")
WRITTEN: set[Path] = set()


@dataclass(frozen=True, eq=False, repr=False)
class Data:
    """A data set: labelled and unlabelled images of one pool, validation and test.

    `mean`, `std`: per channel, on the scale [0, 1]. `key`: names exactly this content. `truth`:
    (pool size,) int64, the label of every pool image before noise or hiding; training must not
    look at it. `views`: stored versions of each training image. A pickle holds only the key: the
    arrays go to ``cache_dir()/arrays`` and are memory-mapped, once a process. Treat the tensors as
    read-only; they are shared between derived data sets. Derive others with the methods below:
    ``dataclasses.replace`` would keep the key, and with it stored results of other images.
    """

    name: str
    train: Split
    unlabelled: Split
    val: Split
    test: Split
    classes: tuple[str, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    key: str
    truth: Tensor
    views: int = 1

    @property
    def n_classes(self) -> int:
        """Number of classes, also of those that train no longer holds."""
        return len(self.classes)

    @property
    def in_shape(self) -> tuple[int, int, int]:
        """(C, H, W) of an image."""
        c, h, w = self.test.x.shape[1:]
        return c, h, w

    @property
    def pool_size(self) -> int:
        """Images in the pool; every index of a stored image is below ``views * pool_size``."""
        return len(self.truth)

    @property
    def black(self) -> Tensor:
        """(C, 1, 1): the normalised value of a black pixel."""
        return (-torch.tensor(self.mean) / torch.tensor(self.std))[:, None, None]

    def images(self, x: Tensor) -> Tensor:
        """Return normalised images `x` (..., C, H, W) on the scale [0, 1], for plotting."""
        mean, std = (torch.tensor(v).to(x)[:, None, None] for v in (self.mean, self.std))
        return (x * std + mean).clamp(0, 1)

    def with_unlabelled(self, repeat: int = 1) -> "Data":
        """Train on labelled and unlabelled rows together (y = -1 there).

        The rows of train stand there `repeat` times: where labels are few, a batch would otherwise
        hold hardly one. Raises ValueError if `repeat` < 1.
        """
        if repeat < 1:
            raise ValueError(f"with_unlabelled({repeat!r}), expected 1 or more copies of train.")
        rows = join(self.train, self.unlabelled)
        if repeat > 1:
            pairs = zip(self.train, rows, strict=True)
            rows = Split(*(torch.cat([own] * (repeat - 1) + [whole]) for own, whole in pairs))
        return self._derive("unlabelled", rows, none(self.unlabelled))

    def without_unlabelled(self) -> "Data":
        """Forget the unlabelled rows: a teacher answers for the labelled ones only, so faster."""
        return self._derive("labelled", self.train, none(self.unlabelled))

    def without_classes(self, *classes: int | str) -> "Data":
        """Drop `classes` (numbers or names) from train and unlabelled; val and test stay whole.

        A row counts by its label, an unlabelled row by its hidden one. The other classes keep
        their numbers. Raises ValueError for an unknown class or if no training image is left.
        """
        return self._filter("without", classes, keep=False)

    def only_classes(self, *classes: int | str) -> "Data":
        """Keep only `classes` in train and unlabelled: the complement of `without_classes`."""
        return self._filter("only", classes, keep=True)

    def take(self, n: int) -> "Data":
        """Keep the labels of the first `n` labelled rows (the pool order is class-balanced).

        The other rows of train lose theirs and join unlabelled. Raises ValueError if there are
        not so many, or after `with_views`.
        """
        self._before_views("take")
        rows = (self.train.y >= 0).nonzero().flatten()
        if isinstance(n, bool) or not isinstance(n, Integral) or not 1 <= n <= len(rows):
            raise ValueError(f"take({n!r}), expected 1 to {len(rows)}, the labelled rows of train.")
        first = torch.zeros(len(self.train.y), dtype=torch.bool)
        first[rows[:n]] = True
        rest = pick(self.train, ~first)
        rest = rest._replace(y=torch.full_like(rest.y, -1))
        return self._derive(f"take {n}", pick(self.train, first), join(rest, self.unlabelled))

    def with_label_noise(self, rate: float, seed: int = 0) -> "Data":
        """Give exactly ``round(rate * n)`` of the n labelled rows of train a wrong label.

        Wrong classes are drawn uniformly; val, test and `truth` stay. Raises ValueError if `rate`
        is outside [0, 1], or after `with_views`.
        """
        self._before_views("with_label_noise")
        if not 0 <= rate <= 1:
            raise ValueError(f"with_label_noise({rate!r}), expected a rate from 0 to 1.")
        gen = generator(seed, "label noise")
        rows = (self.train.y >= 0).nonzero().flatten()
        rows = rows[torch.randperm(len(rows), generator=gen)[: round(rate * len(rows))]]
        step = torch.randint(1, self.n_classes, (len(rows),), generator=gen)
        y = self.train.y.clone()
        y[rows] = (y[rows] + step) % self.n_classes
        train = self.train._replace(y=y)
        return self._derive(f"noise {float(rate)} {seed}", train, self.unlabelled)

    def with_views(self, k: int, shift: int, seed: int = 0) -> "Data":
        """Store each training image in `k` views, shifted by up to `shift` pixels each way.

        View 0 is the original; row r of view v has index v * pool_size + its index in the pool.
        This is a finite bank of augmentations in which stored teacher outputs stay exact.
        Raises ValueError if `k` < 1, `shift` is not in 0..side - 1, or if it has views already.
        """
        self._before_views("with_views")
        side = min(self.in_shape[1:])
        if k < 1 or not 0 <= shift < side:
            told = f"expected k >= 1 and a shift of 0 to {side - 1} pixels"
            raise ValueError(f"with_views({k!r}, {shift!r}), {told}.")
        x, y, index = self.train
        bank = [x]
        for view in range(1, k):  # a stream a view: more views leave the first ones as they are
            bank.append(shifted(x, shift, generator(seed, "views", view), self.black))
        index = torch.cat([view * self.pool_size + index for view in range(k)])
        train = Split(torch.cat(bank), y.repeat(k), index)
        return self._derive(f"views {k} {shift} {seed}", train, self.unlabelled, views=k)

    def _filter(self, op: str, classes: tuple[int | str, ...], keep: bool) -> "Data":
        chosen = sorted({self._class(c) for c in classes})

        def kept(split: Split) -> Split:
            y = torch.where(split.y >= 0, split.y, self.truth[split.index % self.pool_size])
            return pick(split, torch.isin(y, torch.tensor(chosen, dtype=y.dtype)) == keep)

        train = kept(self.train)
        if not len(train.y):
            raise ValueError(f"{op}_classes{classes} leaves no training image: choose others.")
        return self._derive(f"{op} {chosen}", train, kept(self.unlabelled))

    def _class(self, c: int | str) -> int:
        """Return the number of a class given by number or name."""
        if isinstance(c, str) and c in self.classes:
            return self.classes.index(c)
        if isinstance(c, Integral) and 0 <= c < self.n_classes:
            return int(c)
        raise ValueError(
            f"There is no class {c!r}, expected 0..{self.n_classes - 1} or one of the names "
            f"{', '.join(self.classes[:5])}{', ...' if self.n_classes > 5 else ''}."
        )

    def _before_views(self, op: str) -> None:
        if len(self.train.index.unique()) < len(self.train.index) or self.views > 1:
            raise ValueError(f"{op} follows with_views or with_unlabelled(repeat): put it first.")

    def _derive(self, op: str, train: Split, unlabelled: Split, views: int | None = None) -> "Data":
        """Return a copy with new training rows and the key of parent, operation and result."""
        rows = (train.y, train.index, unlabelled.index)
        return replace(
            self,
            train=train,
            unlabelled=unlabelled,
            views=views or self.views,
            key=digest(self.key, op, *(column.numpy() for column in rows)),
        )

    def __repr__(self) -> str:
        c, h, w = self.in_shape
        return (
            f"Data({self.name}: {len(self.train.y)} train, {len(self.unlabelled.y)} unlabelled, "
            f"{len(self.val.y)} val, {len(self.test.y)} test, {self.n_classes} classes, "
            f"{c}x{h}x{w}, key {self.key})"
        )

    def __reduce__(self) -> tuple[object, tuple[str, str]]:
        path = cache_dir().absolute() / "arrays" / f"{self.key}.safetensors"
        if path not in WRITTEN or not path.exists():  # once a process, so that damage is mended
            tensors = {
                f"{part}.{field}": column
                for part in PARTS
                for field, column in getattr(self, part)._asdict().items()
            }
            facts = {k: getattr(self, k) for k in ("name", "classes", "mean", "std", "views")}
            write_tensors(path, {**tensors, "truth": self.truth}, facts)
            WRITTEN.add(path)
        return _attach, (self.key, str(path))


@functools.lru_cache(maxsize=16)
def _attach(key: str, path: str) -> Data:
    """Return the stored data set `key` with its tensors mapped from `path`, not read.

    On another machine, where `path` is missing, this machine's own cache is tried.
    Raises FileNotFoundError if neither has it.
    """
    places = [Path(path), cache_dir() / "arrays" / f"{key}.safetensors"]
    found = next((place for place in places if place.exists()), None)
    if found is None:
        raise FileNotFoundError(
            f"The arrays of data set {key} are not at {path}, expected the file that the first "
            f"process wrote: share that folder, or set KDLAB_CACHE to a shared one."
        )
    t, facts = map_tensors(found)
    fields: dict[str, Any] = {
        part: Split(*(t[f"{part}.{field}"] for field in Split._fields)) for part in PARTS
    }
    fields |= {k: tuple(v) if isinstance(v, list) else v for k, v in facts.items()}  # from JSON
    return Data(key=key, truth=t["truth"], **fields)
