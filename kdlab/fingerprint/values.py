"""What values hold: tensors, arrays, tables, networks, and anything that can be pickled."""

import copyreg
import itertools
import os
import re
from collections.abc import Iterator
from pathlib import Path, PurePath
from typing import Any

import numpy as np
import torch
from torch import nn

from kdlab.fingerprint.digest import OpaqueError, Parts, sha

SMALL = 2**26  # bytes of a file that is read
LOGS = (".txt", ".log", ".out", ".err")
MANY = 100_000  # files of a folder that are looked at


def of_path(path: PurePath) -> Parts:
    """The path, and what stands there: its content may change."""
    return f"{path} {standing(Path(path))}", []


def of_text(text: str) -> str:
    """What stands where `text` names a file or a folder, as a path in code does; "" elsewhere.

    A log is written by a run, not read.
    """
    if (
        text.endswith(LOGS)
        or len(text) > 1000
        or not re.search(r"[/\\]|\.\w{1,8}$", text)
        or re.search(r"[\0\n]", text)
    ):
        return ""
    try:
        return standing(Path(text).expanduser())
    except (OSError, RuntimeError):  # no path after all
        return ""


def standing(path: Path) -> str:
    """Return what tells the file, or the folder of files, at `path` from others; "" for neither.

    That is the content of a small file, else size and time.
    A folder that holds the present one is no data set.
    """
    if path.is_file():
        facts = path.stat()
        if facts.st_size <= SMALL:  # whatever the clock says, or a copy that keeps its time
            return sha(path.read_bytes()).hex()
        return f"{(facts.st_size, facts.st_mtime_ns)}"
    if not path.is_dir() or Path.cwd().is_relative_to(path.resolve()):
        return ""
    told = itertools.islice(_facts(path), MANY)
    return sha(repr(sorted(told))).hex()


def _facts(path: Path) -> Iterator[tuple[str, int, int]]:
    for home, folders, names in os.walk(path):
        folders.sort()  # always the same ones, if there are more than MANY
        for name in sorted(names):
            facts = os.stat(os.path.join(home, name))
            yield os.path.join(home, name), facts.st_size, facts.st_mtime_ns


def of_network(net: nn.Module) -> Parts:
    """Class, mode, weights, attributes. Hooks are kept under numbers that differ between runs."""
    held = {k: list(v.values()) if "_hooks" in k and v else v for k, v in vars(net).items()}
    return "", [("", type(net)), ("", held)]


def of_tensor(tensor: torch.Tensor) -> Parts:
    """Type, shape and bytes, wherever it lies in memory."""
    if tensor.is_meta:
        raise OpaqueError
    plain = tensor.detach().to_dense() if tensor.layout != torch.strided else tensor.detach()
    plain = plain.cpu().resolve_conj().resolve_neg().contiguous()
    digits = sha(plain.flatten().view(torch.uint8).numpy()).hex()
    return f"{tensor.dtype} {tuple(tensor.shape)} {tensor.requires_grad} {digits}", []


def of_array(array: np.ndarray | np.generic) -> Parts:
    """Type, shape and bytes."""
    head = f"{array.dtype.descr if array.dtype.names else array.dtype.str} {array.shape}"
    if array.dtype.hasobject:
        return head, [("", array.tolist())]
    return f"{head} {sha(array.tobytes()).hex()}", [("", getattr(array, "mask", None))]


def of_table(table: Any) -> Parts:
    """A pandas frame, series or index."""
    if hasattr(type(table), "columns"):
        return "", [("", table.index), *((str(label), (label, c)) for label, c in table.items())]
    is_index = hasattr(type(table), "names")
    names = [("", list(table.names))] if is_index else [("", table.name), ("", table.index)]
    return str(table.dtype), [*names, ("", table.to_numpy())]


def of_reduced(obj: object) -> Parts:
    """Anything else as `pickle` takes it apart."""
    reduce = copyreg.dispatch_table.get(type(obj))
    try:
        made = reduce(obj) if reduce else obj.__reduce_ex__(4)
    except Exception as error:
        raise OpaqueError from error
    if isinstance(made, str):  # the name of a global
        return f"{getattr(obj, '__module__', '')}.{made}", [("", type(obj))]
    maker, arguments, state, items, pairs, *_ = (*made, None, None, None, None)
    held = [("", maker), ("", arguments), ("", state), ("", items and list(items))]
    return "", [*held, ("", pairs and dict(pairs))]
