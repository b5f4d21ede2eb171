"""One row of the lab: what is trained on which images, checked, and said in plain words."""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, NamedTuple

from torch import nn

from kdlab.data import Data, load
from kdlab.lab.methods import ALONE, Choice
from kdlab.lab.run import Run, Setting
from kdlab.models import EXAMPLES
from kdlab.train.method import Knob
from kdlab.train.worlds import WORLDS, World, world

MINE = "own"  # the world of the reader's own images
OWN_TEACHER = "your network"
FEW = 3  # knobs of a method that its row always tells


class WrongError(ValueError):
    """A value that a row cannot have; `field` names its control."""

    def __init__(self, field: str, text: str) -> None:
        super().__init__(text)
        self.field = field


class Place(NamedTuple):
    """A world, and what of it must be known before its images are loaded."""

    world: World
    classes: int
    pool: int  # images that may carry a label
    shape: tuple[int, int, int] = (1, 28, 28)
    own: Data | None = None
    content: str = ""


PLACES = {
    "mnist5k": Place(WORLDS["mnist5k"], 10, 2500),
    "fashion5k": Place(WORLDS["fashion5k"], 10, 2500),
    "rot40": Place(WORLDS["rot40"], 40, 10_000),
    "natural": Place(WORLDS["natural"], 10, 3000, (3, 32, 32)),
}


def own_place(given: Any) -> Place:
    """Return the world of the reader's own images: a `Data`, or a path."""
    if isinstance(given, Data):
        w, pool = World(MINE, "your images", None), len(given.train.y)
        return Place(w, given.n_classes, pool, given.in_shape, given, given.key)
    data = load(given)
    return Place(world(str(given)), data.n_classes, data.pool_size, data.in_shape, None, data.key)


@dataclass
class Stock:
    """What a row can be made of: methods, worlds, and the reader's own teacher."""

    methods: dict[str, Choice]
    places: dict[str, Place]
    teacher: nn.Module | None = None

    def usual(self, name: str) -> dict[str, Any]:
        """Return what a row in the world `name` is, where nothing else is said."""
        w = self.places[name].world
        teacher = OWN_TEACHER if self.teacher is not None else w.teacher_net
        nets = {"teacher": teacher, "epochs": w.teacher_recipe.epochs, "student": w.student_net}
        labels = w.n_labelled or self.places[name].pool
        return {"labels": labels, "noise": 0.0, **nets, "updates": w.recipe.steps}


@dataclass(frozen=True)
class Row:
    """One row; made by `row_of`, which checks it.

    Args:
        method, knobs: which loss, and what is turned.
        world: whose images.
        labels: how many images carry one.
        noise: share of these labels that are wrong, for teacher and student alike.
        teacher, epochs: the teacher's network and its training; "" where no teacher is asked.
        student, updates: the student's network and its training.
    """

    method: str
    knobs: dict[str, Any]
    world: str
    labels: int
    noise: float
    teacher: str
    epochs: int
    student: str
    updates: int

    def plain(self) -> dict[str, Any]:
        """Return the row as `row_of` takes it."""
        return asdict(self)

    def words(self, stock: Stock) -> str:
        """Say it, e.g. "KD, T 4, alpha 0.9, teacher cnn32, 500 labels of digits"."""
        usual, age = stock.usual(self.world), f" of {self.epochs} epoch{'s' * (self.epochs != 1)}"
        parts = ["labels alone" if self.method == ALONE else self.method]
        parts += [f"{k} {told(v)}" for k, v in self.turned(stock).items()]
        if self.teacher:
            parts.append(f"teacher {self.teacher}" + age * (self.epochs != usual["epochs"]))
        if self.student != usual["student"]:
            parts.append(f"student {self.student}")
        parts.append(f"{self.labels:,} labels of {stock.places[self.world].world.words}")
        if self.noise:
            parts.append(f"{100 * self.noise:g} % of them wrong")
        if self.updates != usual["updates"]:
            parts.append(f"{self.updates:,} updates")
        return ", ".join(parts)

    def turned(self, stock: Stock) -> dict[str, Any]:
        """Return the knobs worth saying: all of a few, those that were turned of many."""
        usual = {knob.name: knob.default for knob in stock.methods[self.method].knobs}
        every = self.method != ALONE and len(usual) <= FEW
        return {k: v for k, v in self.knobs.items() if every or v != usual.get(k)}

    def run(self, stock: Stock) -> Run:
        """Return the row as an arm of `kdlab.runs.compare.compare`."""
        choice, place = stock.methods[self.method], stock.places[self.world]
        w = replace(place.world, n_labelled=self.labels, student_net=self.student)
        w = replace(w, recipe=replace(w.recipe, steps=self.updates))
        net = stock.teacher if self.teacher == OWN_TEACHER else None
        if self.teacher and net is None:
            recipe = replace(w.teacher_recipe, epochs=self.epochs)
            w = replace(w, teacher_net=self.teacher, teacher_recipe=recipe)
        setting = Setting(w, 0, self.noise, place.own, net)
        return Run(setting, choice.kind, choice.source, choice.tap, self.knobs, place.content)

    def teach(self, stock: Stock) -> Run | None:
        """Return the training of its teacher, which other rows share; None: nobody is trained."""
        if self.teacher in ("", OWN_TEACHER):
            return None
        run, usual = self.run(stock), stock.places[self.world].world
        w = replace(run.setting.world, student_net=usual.student_net, recipe=usual.recipe)
        return Run(replace(run.setting, world=w), content=run.content)


def told(value: Any) -> str:
    """Return the value of a knob as a reader writes it."""
    return f"{value:g}" if isinstance(value, float) else str(value)


def row_of(plain: Mapping[str, Any], stock: Stock) -> Row:
    """Return the row that `plain` describes; what it does not say has its default.

    Raises:
        WrongError: a value is out of its range; names the control, and says what fits.
    """
    if not isinstance(plain, Mapping) or set(plain) - set(Row.__annotations__):
        names = ", ".join(Row.__annotations__)
        raise WrongError("method", f"a row is {plain!r}; give names and values, of {names}.")
    name = one_of("method", plain.get("method", ALONE), stock.methods)
    where = one_of("world", plain.get("world", next(iter(stock.places))), stock.places)
    choice, place, usual = stock.methods[name], stock.places[where], stock.usual(where)
    asked = usual | {key: value for key, value in plain.items() if value not in (None, "")}
    if not choice.taught or asked["teacher"] == OWN_TEACHER:  # what has no part in it is the same
        asked["epochs"] = usual["epochs"]  # in all rows: so their runs are found again
    nets = [*EXAMPLES, *([OWN_TEACHER] if stock.teacher is not None else [])]
    return Row(
        method=name,
        knobs=turned(choice, asked.get("knobs", {})),
        world=where,
        labels=number("labels", asked["labels"], place.classes, place.pool, whole=True),
        noise=float(number("noise", asked["noise"], 0, 0.9)),
        teacher=one_of("teacher", asked["teacher"], nets) if choice.taught else "",
        epochs=number("epochs", asked["epochs"], 1, 200, whole=True),
        student=one_of("student", asked["student"], EXAMPLES),
        updates=number("updates", asked["updates"], 1, 100_000, whole=True),
    )


def one_of(field: str, value: Any, known: Iterable[str]) -> str:
    """Return `value`, one of `known`; refuse any other in a sentence."""
    if value not in (known := list(known)):
        raise WrongError(field, f"{field} is {value!r}; this lab has {', '.join(known)}.")
    return str(value)


def number(field: str, value: Any, low: float, high: float, whole: bool = False) -> Any:
    """Return `value`, a number from `low` to `high`; refuse any other in a sentence."""
    kind, plain = ("a whole number" if whole else "a number"), type(value) in (int, float)
    if not plain or not low <= value <= high or (whole and value != int(value)):
        raise WrongError(field, f"{field} is {value!r}; give {kind} from {low:g} to {high:,g}.")
    return int(value) if whole else value


def turned(choice: Choice, given: Any) -> dict[str, Any]:
    """Return all knobs of a method, those of `given` turned."""
    known = {knob.name: knob for knob in choice.knobs}
    if not isinstance(given, Mapping) or set(given) - set(known):
        has = ", ".join(known) or "no knobs"
        raise WrongError("method", f"{choice.name} has {has}; it cannot take {given!r}.")
    return {name: _value(knob, given.get(name, knob.default)) for name, knob in known.items()}


def _value(knob: Knob, value: Any) -> Any:
    try:
        knob.check(value)
    except ValueError as error:
        raise WrongError(knob.name, str(error)) from None
    if knob.choices:
        return knob.choices[knob.choices.index(value)]
    whole = isinstance(knob.default, int)
    return number(knob.name, value, knob.low, knob.high, whole) if whole else float(value)
