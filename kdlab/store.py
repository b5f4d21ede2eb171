"""What lies on disk between runs: one folder, one writer, one digest, nothing pickled.

Rows of results are .npz files, tensors .safetensors files. Each appears whole or not at all, and
carries a digest of its content, so that damage shows.
"""

import hashlib
import io
import json
import os
import tempfile
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

FORMAT = 1  # part of every digest: raise it when the layout of the stored files changes
SCALARS = ".scalars"  # the array that holds what is no array, as JSON
ROOT = Path(__file__).resolve().parent.parent


def in_clone() -> bool:
    """Tell whether this package is used in a clone of its repository."""
    return (ROOT / "pyproject.toml").exists()


def cache_dir() -> Path:
    """Return the folder of stored arrays, teachers and runs. It need not exist yet.

    ``KDLAB_CACHE`` wins. Otherwise a clone keeps it in ``data/cache``, an installed package in
    ``~/.cache/kdlab``. Everything in it can be deleted: it is made again.
    """
    if chosen := os.environ.get("KDLAB_CACHE"):
        return Path(chosen).expanduser()
    return ROOT / "data" / "cache" if in_clone() else Path.home() / ".cache" / "kdlab"


def home_dir() -> Path:
    """Return the folder of what a reader wrote and cannot be made again. It need not exist yet."""
    return Path(os.environ.get("KDLAB_HOME") or Path.home() / ".kdlab").expanduser()


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


@contextmanager
def kept(path: Path) -> Iterator[None]:
    """Say in one sentence why nothing can be written to `path`: a full disk, a folder not ours."""
    try:
        yield
    except OSError as error:
        advice = "free some space there, or set KDLAB_CACHE to a folder that can be written."
        told = f"cannot write to {path.parent} ({error.strerror or error}); {advice}"
        raise OSError(error.errno, told) from error


def check_writable(folder: Path) -> None:
    """Raise OSError, with a sentence, unless a file can be written in `folder`."""
    with kept(folder / "probe"):
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(b"probe")


def write_atomic(path: Path, content: bytes) -> Path:
    """Write `content` to `path` so that a reader, or a kill, never meets half a file.

    Raises OSError, with a sentence, where that cannot be done; what was there stays.
    """
    with kept(path):
        return _write_atomic(path, content)


def _write_atomic(path: Path, content: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
        os.chmod(name, 0o644)  # a temporary file is for its owner alone, a result is for all
        os.replace(name, path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
    return path


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


@contextmanager
def _beside(path: Path) -> Iterator[str]:
    """Yield an empty folder beside `path`, on the same disk."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        yield folder


def write_tensors(path: Path, tensors: Mapping[str, Tensor], facts: Mapping[str, object]) -> None:
    """Write `tensors` and `facts` (for JSON) to the safetensors file `path`, or nothing."""
    from safetensors.numpy import save_file

    arrays = {name: np.asarray(t.numpy(), order="C") for name, t in tensors.items()}
    told = {**facts, "sum": digest(*sum(sorted(arrays.items()), ()))}
    # not write_atomic: the bytes of CIFAR would be in memory once more
    with kept(path), _beside(path) as folder:
        save_file(arrays, Path(folder) / path.name, metadata={"facts": json.dumps(told)})
        os.replace(Path(folder) / path.name, path)


def map_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Return the tensors, memory-mapped, and the facts that `write_tensors` put into `path`."""
    from safetensors import safe_open

    with safe_open(path, framework="pt") as file:
        facts = json.loads(file.metadata()["facts"])
        del facts["sum"]
        return {name: file.get_tensor(name) for name in file.keys()}, facts  # noqa: SIM118


def read_tensors(path: Path, what: str) -> dict[str, Tensor] | None:
    """Return the tensors in `path`; None where no file is, or, with a warning, a damaged one.

    `what` names it in the warning, e.g. "teacher".
    """
    from safetensors import SafetensorError, safe_open

    if not path.exists():
        return None
    try:
        with safe_open(path, framework="pt") as file:
            told = json.loads((file.metadata() or {}).get("facts", "{}")).get("sum")
            found = {name: file.get_tensor(name).clone() for name in sorted(file.keys())}
        arrays = [(name, tensor.numpy()) for name, tensor in found.items()]
        if told == digest(*sum(arrays, ())):
            return found
        reason = "its checksum does not match"
    except (SafetensorError, OSError, ValueError) as error:
        reason = str(error)
    warnings.warn(
        f"the stored {what} {path.name} is damaged ({reason}); it is made again.", stacklevel=2
    )
    return None
