"""One word switches every notebook: how many runs, how many updates, which networks."""

from dataclasses import dataclass, replace

from kdlab.data import Data, load
from kdlab.train.recipe import Recipe
from kdlab.train.teachers import TEACHER
from kdlab.train.worlds import World, world

STUDENT = Recipe()
WHOLE = replace(TEACHER, epochs=8)
BENCHMARK = Recipe(  # CIFAR-100, as the public benchmark of Tian, Krishnan, Isola 2020 trains
    epochs=240, batch=64, lr=0.05, schedule="steps", drops=(0.625, 0.75, 0.875), shift=4, flip=True
)


@dataclass(frozen=True)
class Budget:
    """What a notebook may spend.

    Args:
        live: new replicates of the comparison that a notebook trains before the reader's eyes.
        spot: runs of the evidence that are trained again.
        seeds: of the arms that carry a claim about accuracy.
        sweep: seeds of each point of a sweep.
        steps: updates of a student; None: what `student_recipe` says.
        whole_recipe: of a teacher on the labels of the whole pool, which needs fewer epochs.
        dataset: for ``dataset = "auto"``.
        n_labelled: labelled images; None: the data set's default.
        ladder: teachers of growing size, at least three.
    """

    name: str
    live: int = 3
    spot: int = 2
    seeds: int = 10
    sweep: int = 5
    steps: int | None = 250
    dataset: str = "mnist5k"
    n_labelled: int | None = None
    teacher_net: str = "cnn32"
    student_net: str = "cnn4"
    small_net: str = "cnn2"
    large_net: str = "cnn8"
    ladder: tuple[str, ...] = ("cnn4", "cnn8", "cnn16", "cnn32")
    teacher_recipe: Recipe = TEACHER
    whole_recipe: Recipe = WHOLE
    student_recipe: Recipe = STUDENT

    @property
    def recipe(self) -> Recipe:
        """The student's recipe with this budget's number of updates."""
        return replace(self.student_recipe, steps=self.steps)

    def world(self, dataset: str = "auto") -> World:
        """Return the world `dataset`, or the budget's own for "auto", with this budget's nets."""
        name = self.dataset if dataset == "auto" else dataset
        if self.name == "lesson":
            return world(name)
        nets = {"teacher_net": self.teacher_net, "student_net": self.student_net}
        recipes = {"recipe": self.recipe, "teacher_recipe": self.teacher_recipe}
        return world(name, small_net=self.small_net, **nets, **recipes)

    def load(self, dataset: str = "auto", n_labelled: int | None = None) -> Data:
        """Load `dataset`, or the budget's own for "auto", with `n_labelled` labelled images."""
        name = self.dataset if dataset == "auto" else dataset
        return load(name, n_labelled=self.n_labelled if n_labelled is None else n_labelled)


BUDGETS = {
    "ci": Budget(
        "ci",
        live=1,
        spot=0,
        seeds=2,
        sweep=2,
        steps=10,
        teacher_net="cnn8",
        ladder=("cnn2", "cnn4", "cnn8"),
        teacher_recipe=replace(TEACHER, steps=40),
        whole_recipe=replace(TEACHER, steps=80),
    ),
    "lesson": Budget("lesson"),
    "long": Budget("long", steps=2000),
    "full": Budget(
        "full",
        live=3,
        seeds=5,
        steps=None,
        dataset="cifar100",
        teacher_net="wrn_40_2",
        student_net="wrn_16_2",
        small_net="resnet8",
        large_net="wrn_16_2",
        ladder=("resnet14", "resnet20", "resnet32", "resnet56", "resnet110"),
        teacher_recipe=BENCHMARK,
        whole_recipe=BENCHMARK,
        student_recipe=BENCHMARK,
    ),
}


def plan(budget: str) -> Budget:
    """Return the budget of that name: "ci", "lesson", "long" or "full".

    Raises:
        ValueError: there is no such budget.
    """
    if budget not in BUDGETS:
        raise ValueError(f"budget is {budget!r}; choose one of {', '.join(BUDGETS)}.")
    return BUDGETS[budget]
