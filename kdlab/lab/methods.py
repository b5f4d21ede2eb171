"""Which methods the lab knows, and how each is made: those of the papers, and the reader's own.

The list follows from the papers' folders: every class with `knobs` in a ``method.py``, and CE. A
class whose constructor begins with ``student`` or ``student, teacher`` is made of these; one that
takes a ``tap``, too, gets a teacher that answers with it. Any other says how it is made by a class
method ``of(r, **knobs)``, of a `kdlab.train.worlds.Replicate`, and by ``taught = True`` that this
asks the replicate's teacher, where no argument is called so.
"""

import importlib
import importlib.util
import inspect
import math
import typing
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch

from kdlab.papers import folders
from kdlab.train.fit import check_finite, total
from kdlab.train.method import CE, Knob

ALONE = "labels"  # what the lab calls CE


@dataclass(frozen=True)
class Choice:
    """A method that a row can name.

    Args:
        name: in the lab.
        source: a class, or the reader's function.
        kind: how it is made: "alone" of a student, "taught" of a student and a teacher, "of" by its
            class method, "loss" from a function of logits and labels.
        knobs: what may be turned.
        tap: whose features it asks of the teacher.
        taught: whether it asks a teacher at all.
        fault: why it cannot be trained, in one sentence.
    """

    name: str
    source: Any
    kind: str = ""
    knobs: tuple[Knob, ...] = ()
    tap: str = ""
    taught: bool = False
    fault: str = ""

    @property
    def home(self) -> tuple[str, str]:
        """The module and the name from which Python imports it."""
        return self.source.__module__, self.source.__qualname__


def from_papers() -> dict[str, Choice]:
    """Return {name: method} of CE and of all papers; those that cannot be made carry a fault."""
    found = {ALONE: of_class(ALONE, CE)}
    for folder in folders().values():
        where = f"kdlab.papers.{folder}.method"
        if importlib.util.find_spec(where) is None:  # a paper that proposes no loss
            continue
        for name, cls in vars(importlib.import_module(where)).items():
            mine = inspect.isclass(cls) and cls.__module__ == where and not name.startswith("_")
            if mine and hasattr(cls, "knobs"):
                found[name] = of_class(name, cls)
    return found


def chosen(name: str, source: Any, n_classes: int = 10) -> Choice:
    """Return the reader's own method `name`, with its fault where it has one.

    Raises:
        ValueError: `source` is neither a function nor a class.
    """
    if not callable(source):
        told = f"the method {name!r} is a {type(source).__name__}; give a function"
        raise ValueError(f"{told} f(z_s, z_t, y, *, T=4.0), or a class like those of the papers.")
    if inspect.isclass(source):
        return of_class(name, source)
    try:
        knobs = tuple(knobs_of(source))
        tried(source, {knob.name: knob.default for knob in knobs}, n_classes)
    except Exception as error:  # the reader's code: what it raises is the hint
        told = str(error) if isinstance(error, Fault) else f"{type(error).__name__}: {error}"
        return Choice(name, source, "loss", fault=told, taught=True)
    return Choice(name, source, "loss", knobs, taught=True)


class Fault(ValueError):  # noqa: N818 - it is what the reader reads
    """Why a method cannot be trained."""


def of_class(name: str, cls: type) -> Choice:
    """Return how a class is made, by the names of what its constructor takes."""
    asked = inspect.signature(cls).parameters
    first, knobs = list(asked)[:2], tuple(getattr(cls, "knobs", ()))
    taught = getattr(cls, "taught", "teacher" in asked and "teacher" not in {k.name for k in knobs})
    if hasattr(cls, "of"):
        return Choice(name, cls, "of", knobs, taught=taught)
    if not first or first[0] != "student":
        begins = f"its constructor begins with {', '.join(first) or 'nothing'}, not with student"
        return Choice(name, cls, fault=f"{begins}, and no class method of(r, **knobs) makes it")
    needs = [p for p in asked.values() if p.default is p.empty and p.kind is not p.VAR_KEYWORD]
    if missing := [p.name for p in needs if p.name not in ("student", "teacher")]:
        return Choice(name, cls, fault=f"nobody knows what its argument {missing[0]} should be")
    tap = getattr(asked.get("tap"), "default", "")
    kind = "taught" if first[1:] == ["teacher"] else "alone"
    return Choice(name, cls, kind, knobs, tap if isinstance(tap, str) else "", taught)


def knobs_of(loss: Any) -> Iterator[Knob]:
    """Yield the knobs of ``loss(z_s, z_t, y, *, ...)``: names, defaults, ranges by annotation.

    ``T: Annotated[float, (0.5, 20)] = 4.0`` has a range, and may name its meaning after it;
    ``Literal["a", "b"]`` and bool have choices.
    """
    asked = inspect.signature(loss).parameters
    plain = [p for p in asked.values() if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    if len(plain) < 3 or any(p.default is not p.empty for p in plain[:3]):
        raise Fault("its first three arguments must be z_s, z_t, y: logits of student and teacher")
    hints = typing.get_type_hints(loss, include_extras=True)
    for p in [p for p in asked.values() if p not in plain[:3]]:
        yield _knob(p, hints.get(p.name, type(p.default)))


def _knob(p: inspect.Parameter, hint: Any) -> Knob:
    kind, *notes = typing.get_args(hint) if hasattr(hint, "__metadata__") else (hint,)
    low, high = next((note for note in notes if isinstance(note, tuple)), (-math.inf, math.inf))
    meaning = next((note for note in notes if isinstance(note, str)), "a knob of your own")
    choices = (False, True) if isinstance(p.default, bool) else typing.get_args(kind)
    if not choices and not isinstance(p.default, int | float):
        raise Fault(
            f"its argument {p.name} needs a default that is a number or a bool, such as "
            f'{p.name}=1.0, or choices: {p.name}: Literal["a", "b"] = "a"'
        )
    default = float(p.default) if kind is float else p.default
    knob = Knob(p.name, default, meaning, low, high, choices)
    knob.check(default)
    return knob


def tried(loss: Any, knobs: Mapping[str, Any], n_classes: int) -> None:
    """Call the reader's loss once on made-up logits; what is wrong with it shows at once."""
    source = torch.Generator().manual_seed(0)
    z_s, z_t = torch.randn(2, 8, n_classes, generator=source)
    y = torch.arange(8) % n_classes
    terms = {"loss": loss(z_s.requires_grad_(), z_t, y, **knobs)}
    try:
        total(terms).backward()
        check_finite(1, {"loss": terms["loss"].detach()[None]})
    except (TypeError, ValueError, FloatingPointError) as error:
        raise Fault(str(error)) from None
    if z_s.grad is None or not z_s.grad.isfinite().all():
        raise Fault("it has no finite gradient by z_s, the student's logits")
