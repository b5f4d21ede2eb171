"""Arrays on disk: named by their content, written whole, mapped into memory instead of read."""

import hashlib
import json
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

FORMAT = 1  # part of every key: raise it when the layout of the stored files changes


def digest(*parts: object) -> str:
    """Return 32 hex digits that name the content: arrays by their bytes, the rest by repr."""
    content = hashlib.sha256(f"format {FORMAT}".encode())
    for part in parts:
        if isinstance(part, np.ndarray):
            content.update(f"|{part.dtype}{part.shape}|".encode())
            content.update(np.ascontiguousarray(part).data)
        else:
            content.update(f"|{part!r}|".encode())
    return content.hexdigest()[:32]


def write(path: Path, tensors: Mapping[str, Tensor], facts: Mapping[str, object]) -> None:
    """Write `tensors` and `facts` (for JSON) to the safetensors file `path`, or nothing."""
    from safetensors.numpy import save_file

    arrays = {name: np.ascontiguousarray(tensor.numpy()) for name, tensor in tensors.items()}
    path.parent.mkdir(parents=True, exist_ok=True)
    # not cache.write_atomic: the bytes of CIFAR would be in memory once more
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        save_file(arrays, Path(folder) / path.name, metadata={"facts": json.dumps(facts)})
        os.replace(Path(folder) / path.name, path)


def mapped(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Return the tensors, memory-mapped, and the facts that `write` put into `path`."""
    from safetensors import safe_open

    with safe_open(path, framework="pt") as file:
        facts = json.loads(file.metadata()["facts"])
        return {name: file.get_tensor(name) for name in file.keys()}, facts  # noqa: SIM118
