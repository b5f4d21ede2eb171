"""Draw `fashion5k`: 500 Fashion-MNIST images of each class, in one committed file.

    python data/fashion5k/draw.py [FOLDER]

FOLDER holds the four ``*-ubyte.gz`` files of Fashion-MNIST, as the Debian package
``dataset-fashion-mnist`` installs them (the default) or torchvision downloads them. The training
images of each class are drawn without replacement from a stream of their own. The same files give
the same images; `kdlab.data` checks their digest when it loads them.
"""

import gzip
import io
import sys
from pathlib import Path

import numpy as np
import torch

from kdlab.data.sources import FASHION
from kdlab.seeds import generator
from kdlab.store import digest, write_atomic

FOLDER = Path("/usr/share/datasets/fashion-mnist")
PER_CLASS = 500


def read(path: Path, head: int) -> np.ndarray:
    """Return the bytes of an IDX file after its `head`."""
    return np.frombuffer(gzip.decompress(path.read_bytes()), np.uint8, offset=head)


def main(folder: Path) -> None:
    """Write the file beside this script."""
    x = read(folder / "train-images-idx3-ubyte.gz", 16).reshape(-1, 28, 28)
    y = read(folder / "train-labels-idx1-ubyte.gz", 8)
    drawn = []
    for label in range(len(FASHION)):
        rows = np.flatnonzero(y == label)
        order = torch.randperm(len(rows), generator=generator(0, "fashion5k", label)).numpy()
        drawn.append(np.sort(rows[order[:PER_CLASS]]))
    rows = np.concatenate(drawn)
    buffer = io.BytesIO()
    np.savez_compressed(buffer, x=x[rows], y=y[rows], classes=np.array(FASHION))
    path = write_atomic(Path(__file__).with_name("fashion5k.npz"), buffer.getvalue())
    labels = y[rows].astype(np.int64)
    print(path.name, x[rows].shape, "digest", digest(x[rows][:, None], labels))


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else FOLDER)
