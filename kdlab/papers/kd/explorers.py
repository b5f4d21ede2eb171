"""The explorers of notebook 00. Each starts in a fresh kernel, from small files of the repository.

``python -m kdlab.papers.kd.explorers`` trains a teacher and a student in each world, and keeps what
they say of a few test images in ``evidence/00_kd/cases.json``.
"""

import base64
import functools
import io
import json
import os
from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kdlab.papers.kd import NOTEBOOK

if TYPE_CHECKING:  # these take seconds to import; an explorer stands before that
    import pandas as pd
    from torch import Tensor

    from kdlab.train.worlds import Replicate

FOLDER = Path(__file__).parents[3] / "evidence" / NOTEBOOK
CASES = FOLDER / "cases.json"
COMMAND = "python -m kdlab.papers.kd.explorers"
REPLICATE, PHOTOGRAPHS = 0, "natural"
START: dict[str, Any] = {"stage": "after one epoch", "T": 4.0, "alpha": 0.9}
COMPARISONS = {  # what its arms differ in: the file of evidence
    "what the student is told": "soft",
    "temperature, small student": "temperature",
    "a class never shown": "unseen",
    "four times as long": "patience",
    "number of updates": "regime",
}
RECALL = {
    "recall": ("recall of the class never shown", "%"),
    "before": ("that recall before its bias is raised", "%"),
}
FOLD = "Every run of the evidence"


def bars(own: "Replicate | None" = None) -> None:
    """Show answers of teacher and student, and the pull of the loss, while T and alpha move.

    Args:
        own: a replicate whose student trains for about a second and is shown; without it the
            images are those that the course brings along.
    """
    from kdlab.show.explorers.bars import bars as explorer_of

    worlds = kept() if own is None else {own.world.name: of_replicate(own, longer=0.125)}
    first, *_ = worlds.values()
    explorer = explorer_of(list(worlds.values()), **START)
    explorer.show(functools.partial(_bars_picture, first))
    if own is None and PHOTOGRAPHS in worlds and _at_hand():
        worlds[PHOTOGRAPHS] = with_photographs(worlds[PHOTOGRAPHS])
        explorer.data = explorer.data | {"worlds": list(worlds.values())}


def runs() -> None:
    """Show every run of the evidence: choose what is compared, the images and the measure."""
    import pandas as pd

    from kdlab.show.explorers.runs import MEASURES
    from kdlab.show.explorers.runs import runs as explorer_of

    paths = {words: FOLDER / f"{name}.csv" for words, name in COMPARISONS.items()}
    tables = {w: pd.read_csv(path, comment="#") for w, path in paths.items() if path.exists()}
    names = {key: world["name"] for key, world in kept().items()}
    explorer = explorer_of(tables, names, MEASURES | RECALL, FOLD)
    explorer.show(functools.partial(_runs_picture, *next(iter(tables.items()))))


def kept() -> dict[str, Any]:
    """Return {name of a world: its classes and cases} of CASES."""
    return json.loads(CASES.read_text(encoding="utf-8"))["worlds"]


def of_replicate(r: "Replicate", longer: float = 1) -> dict[str, Any]:
    """Train a student of `r` and return what an explorer shows of it: its classes and cases.

    A case has its place `row` among the test images of the replicate.
    """
    from kdlab.papers.kd.figures import cases_of

    x, found = r.data.images(r.data.test.x), []
    for case in cases_of(r, longer):
        known = {"name": case.name, "label": case.label, "image": _as_png(case.image)}
        known |= {"row": int((x == case.image).flatten(1).all(dim=1).nonzero()[0])}
        students = {stage: _rounded(z) for stage, z in case.z_s.items()}
        found.append(known | {"teacher": _rounded(case.z_t), "students": students})
    return {"name": r.world.words, "classes": list(r.data.classes), "cases": found}


def write() -> None:
    """Make CASES anew, without the pixels of photographs, which are not the course's to give."""
    import torch

    from kdlab.store import write_atomic
    from kdlab.train.worlds import replicate

    names = ["mnist5k", "fashion5k", *([PHOTOGRAPHS] if _at_hand() else [])]
    worlds = {name: of_replicate(replicate(name, REPLICATE)) for name in names}
    for case in worlds.get(PHOTOGRAPHS, {}).get("cases", []):
        case["image"] = ""
    about = {"command": COMMAND, "torch": torch.__version__.partition("+")[0]}
    content = about | {"date": date.today().isoformat(), "replicate": REPLICATE, "worlds": worlds}
    text = json.dumps(content, separators=(",", ":")).replace('{"name"', '\n{"name"')
    write_atomic(CASES, f"{text}\n".encode())


def with_photographs(world: Mapping[str, Any]) -> dict[str, Any]:
    """Return the world of photographs with their pixels, read from where this machine has them."""
    from kdlab.data import load

    data = load(PHOTOGRAPHS, seed=REPLICATE)
    images = data.images(data.test.x)
    cases = [case | {"image": _as_png(images[case["row"]])} for case in world["cases"]]
    return {**world, "cases": cases}


def _at_hand() -> bool:
    """Tell whether the photographs are on this machine; an explorer does not fetch them."""
    from kdlab.store import cache_dir

    return "KDLAB_NATURAL" in os.environ or (cache_dir() / "downloads" / "cifar100").exists()


def _rounded(z: "Tensor") -> list[float]:
    return [round(value, 4) for value in z.tolist()]


def _as_png(image: "Tensor") -> str:
    """Return an image (C, H, W) with values in [0, 1] as the address of its PNG."""
    from PIL import Image

    grid, content = (255 * image).round().byte().numpy(), io.BytesIO()
    page = Image.fromarray(grid[0] if len(grid) == 1 else grid.transpose(1, 2, 0))
    page.save(content, format="png", optimize=True)
    return f"data:image/png;base64,{base64.b64encode(content.getvalue()).decode()}"


def _as_image(address: str) -> "Tensor":
    """Return the image (C, H, W) of `_as_png`, with values in [0, 1]."""
    from PIL import Image
    from torchvision.transforms.functional import to_tensor

    return to_tensor(Image.open(io.BytesIO(base64.b64decode(address.partition(",")[2]))))


def _bars_picture(world: Mapping[str, Any]) -> dict[str, str]:
    """Return the still picture of the first case."""
    import torch

    from kdlab.papers.kd import figures
    from kdlab.show.plots import bundle

    case, classes = world["cases"][0], world["classes"]
    z_t = torch.tensor(case["teacher"])
    z_s = {stage: torch.tensor(z) for stage, z in case["students"].items()}
    drawn = figures.Case(case["name"], _as_image(case["image"]), case["label"], z_t, z_s)
    fig = figures.explorer([drawn], classes, digit=0, **START)
    p = torch.softmax(z_t / START["T"], 0)
    top = ", ".join(f"{classes[c]} {p[c]:.2f}" for c in p.topk(3).indices)
    alt = (
        f"An image of {classes[case['label']]}. At T = {START['T']:g} the teacher answers {top}. "
        f"Beside it the answers of the student {START['stage']}, and what each term of the loss "
        f"asks of every logit at alpha = {START['alpha']:g}."
    )
    return bundle(fig, alt)


def _runs_picture(words: str, table: "pd.DataFrame") -> dict[str, str]:
    """Return the still picture of the first comparison in the first of its worlds."""
    from kdlab.runs.differences import interval
    from kdlab.show.plots import bundle, dots, figure
    from kdlab.show.words import in_words

    world = table["world"].iloc[0]
    rows = table[table["world"] == world]
    fig, ax = figure(size=(9.2, 0.9 + 0.5 * rows["arm"].nunique()))
    dots(ax, rows, "accuracy", label="test accuracy in %")
    found = rows.groupby("arm", sort=False)["accuracy"]
    told = "; ".join(f"{arm} {interval(x, unit='%')}" for arm, x in found)
    return bundle(fig, f"Comparison: {words}, {in_words(world)}. A dot a run. {told}.", FOLD)


if __name__ == "__main__":
    write()
