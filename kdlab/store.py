"""How results lie on disk: one file a run, one file a network, each whole, nothing pickled."""

import io
import json
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import safetensors
import safetensors.torch
from torch import Tensor

from kdlab.cache import write_atomic
from kdlab.fingerprint import fingerprint

SCALARS = ".scalars"  # the array that holds what is no array, as JSON


def write_row(path: Path, row: Mapping[str, Any]) -> None:
    """Keep `row` at `path`: scalars as JSON, arrays and tensors as arrays, nothing pickled."""
    if not isinstance(row, Mapping):
        raise TypeError(f"an arm returned {type(row).__name__}; return a dict of what it measured.")
    plain = {k: v.detach().cpu().numpy() if isinstance(v, Tensor) else v for k, v in row.items()}
    arrays = {k: v for k, v in plain.items() if isinstance(v, np.ndarray) and v.ndim}
    if mixed := [k for k, v in arrays.items() if v.dtype.hasobject]:
        raise TypeError(f"an arm returned arrays of Python objects, {mixed}; return numbers.")
    scalars = {
        k: v.item() if isinstance(v, np.generic | np.ndarray) else v
        for k, v in plain.items()
        if k not in arrays
    }
    arrays[SCALARS] = np.array(json.dumps(scalars))
    buffer = io.BytesIO()
    np.savez(buffer, allow_pickle=False, **arrays)
    write_atomic(path, buffer.getvalue())


def read_row(path: Path) -> dict[str, Any] | None:
    """Return what `write_row` kept at `path`; None where nothing is, or, with a warning, damage."""
    if not path.exists():
        return None
    try:
        with np.load(path, allow_pickle=False) as file:
            scalars = json.loads(str(file[SCALARS]))
            return scalars | {name: file[name] for name in file.files if name != SCALARS}
    except Exception as error:  # whatever a damaged archive makes numpy raise
        warnings.warn(
            f"the stored run {path.name} is damaged ({error}); it is run again.", stacklevel=3
        )
        return None


def save_weights(path: Path, state: dict[str, Tensor]) -> None:
    """Write `state` to `path` as one safetensors file that carries its own checksum."""
    write_atomic(path, safetensors.torch.save(state, metadata={"sum": fingerprint(state)}))


def load_weights(path: Path) -> dict[str, Tensor] | None:
    """Return the weights in `path`; None where no file is, or, with a warning, a damaged one."""
    if not path.exists():
        return None
    try:
        state = safetensors.torch.load_file(path)
        with safetensors.safe_open(path, framework="pt") as file:
            told = (file.metadata() or {}).get("sum")
        if told == fingerprint(state):
            return state
        reason = "its checksum does not match"
    except (safetensors.SafetensorError, OSError) as error:
        reason = str(error)
    sentence = f"the stored teacher {path.name} is damaged ({reason}); it is trained again."
    warnings.warn(sentence, stacklevel=2)
    return None
