"""What the evidence of notebook 11 shows, a figure or a table a question."""

import pandas as pd
from torch import Tensor

from kdlab.papers.data_free.figures import gallery
from kdlab.show.plots import show
from kdlab.show.report import nothing, summary, table

COLLAPSED = 0.5  # share of the classes; a batch that names fewer has collapsed
NEEDS = {  # what each source asks for beside the teacher's weights
    "real data": "the images",
    "other images": "some images",
    "one image": "one photograph",
    "shuffled pixels": "the images",
    "records": "records of the data",
    "DeepInversion": "batch norm",
    "ADI": "batch norm",
    "teacher": "images and labels",
    "labels": "images and labels",
    "smoothing": "images and labels",
    "KD": "images and labels",
}
COLUMNS = ["accuracy", "agreement", "diversity", "classes", "auc", "making"]


def known(runs: pd.DataFrame, world: str) -> pd.DataFrame:
    """Return the rows of one world, with a column of accuracies also where nothing is measured."""
    here = runs[runs["world"] == world]
    return here if "accuracy" in here else here.assign(accuracy=pd.Series(dtype=float))


def prices(runs: pd.DataFrame, what: str, classes: int = 10) -> None:
    """Show every source with what it gives, what it takes, and how often it collapsed."""
    if nothing(runs, repr(what)):
        return
    rows, groups = summary(runs, [c for c in COLUMNS if c in runs]), runs.groupby("arm", sort=False)
    if "classes" in runs:
        few = groups["classes"].apply(lambda x: f"{(x < COLLAPSED * classes).sum()} of {x.count()}")
        rows["collapsed"] = rows["arm"].map(few.where(groups["classes"].count() > 0, "–"))
        rows["kB"] = rows["arm"].map((groups["bytes"].mean() / 1000).map("{:,.1f}".format))
    needs = [
        next((t for k, t in NEEDS.items() if arm.startswith(k)), "nothing") for arm in rows["arm"]
    ]
    told = f"{what}: mean ± half of the 95 % interval; accuracy, agreement, diversity, auc in %; "
    table(
        rows.assign(needs=needs).replace("nan", "–"),
        told + "making in seconds; kB beside the weights.",
        fold=what,
    )


def pictures(images: dict[str, Tensor], what: str) -> None:
    """Show four stored images a name, more would make the notebook large, where there are any."""
    if images:
        rows = {name.replace(": ", ":\n"): x for name, x in images.items()}  # narrow
        show(gallery(rows, 4), f"{what}: rows of made images: {', '.join(images)}.", fold=what)
