"""What values hold: tensors, arrays, tables, networks, and anything that can be pickled."""

import copyreg
from pathlib import Path, PurePath
from typing import Any

import numpy as np
import torch
from torch import nn

from kdlab.fingerprint.digest import OpaqueError, Parts, sha


def of_path(path: PurePath) -> Parts:
    """The path, and the size and time of the file that stands there: its content may change."""
    facts = Path(path).stat() if Path(path).is_file() else None
    return f"{path} {facts and (facts.st_size, facts.st_mtime_ns)}", []


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
