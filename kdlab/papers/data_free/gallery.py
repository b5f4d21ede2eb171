"""Images that take minutes to make, five a kind, kept in the evidence of the repository.

``python -m kdlab.papers.data_free.gallery`` makes ``evidence/11_data_free/gallery.npz`` anew.
"""

import io
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from kdlab.papers.data_free import NOTEBOOK, experiment
from kdlab.papers.data_free.privacy import SIZES, WAYS, inverted
from kdlab.runs.rows import FOLDER
from kdlab.store import write_atomic
from kdlab.train.worlds import replicate

FILE, SHOWN = FOLDER / NOTEBOOK / "gallery.npz", 5
KINDS = {
    "sources": experiment.SOURCES,
    "terms": experiment.TERMS,
    "inversion": experiment.INVERSION,
}


def kept(kind: str, file: Path = FILE) -> dict[str, Tensor]:
    """Return {name: images (n, C, H, W) in [0, 1]} of one kind; none without the file."""
    if not file.exists():
        print("There are no stored images; python -m kdlab.papers.data_free.gallery makes them.")
        return {}
    with np.load(file, allow_pickle=False) as found:
        names = [name for name in found.files if name.startswith(f"{kind}|")]
        return {n.partition("|")[2]: torch.from_numpy(found[n]).float() / 255 for n in names}


def write(world: str = "mnist5k", file: Path = FILE) -> None:
    """Make the images of replicate 0 and of its privacy test."""
    r, found, buffer = replicate(world, 0), dict[str, Tensor](), io.BytesIO()
    for kind, arms in KINDS.items():
        for name, arm in arms.items():
            if isinstance(arm, partial):
                options = dict(arm.keywords)
                x, _ = options.pop("source")(r, 500, **options)
                found[f"{kind}|{name}"] = r.data.images(x[-SHOWN:])
    for size in (SIZES[0], SIZES[-1]):
        made = inverted(r, size)
        of = f"privacy|class of {size}"
        found[f"{of}: training"], found[f"{of}: test"] = made["records"][1:]
        found |= {f"{of}: from {way}": made[way][0] for way in WAYS}
    small = {name: (255 * x[:SHOWN]).round().byte().numpy() for name, x in found.items()}
    np.savez_compressed(buffer, allow_pickle=False, **small)
    write_atomic(file, buffer.getvalue())


if __name__ == "__main__":
    write()
