"""How each kind of object is split into a text of its own and the objects it stands on."""

import functools
import sys
import types
from collections.abc import Callable
from pathlib import PurePath
from typing import Any

import numpy as np
import torch
from torch import nn

from kdlab.fingerprint import code, values
from kdlab.fingerprint.digest import Parts
from kdlab.fingerprint.origin import reference


def parts_of(obj: Any) -> Parts:
    """Split `obj` into a text of its own and the objects that it stands on."""
    if hasattr(type(obj), "__kdlab_fingerprint__"):
        return "", [("", obj.__kdlab_fingerprint__())]
    if name := reference(obj):
        return name, []
    if type(obj) in (list, tuple):
        return "", [(f"[{i}]" if type(obj) is list else "", item) for i, item in enumerate(obj)]
    if any((c.__name__, c.__module__[:10]) == ("Data", "kdlab.data") for c in type(obj).__mro__):
        return obj.key, []
    pandas = sys.modules.get("pandas")
    if pandas and isinstance(obj, (pandas.DataFrame, pandas.Series, pandas.Index)):
        return values.of_table(obj)
    for kinds, parts in KINDS:
        if isinstance(obj, kinds):
            return parts(obj)
    return values.of_reduced(obj)


C_MEMBERS = (
    *(types.GetSetDescriptorType, types.MemberDescriptorType, types.WrapperDescriptorType),
    *(types.MethodDescriptorType, types.ClassMethodDescriptorType, types.MethodWrapperType),
)
CACHED = type(functools.lru_cache(len))
WRAPPERS = (property, functools.cached_property, staticmethod, classmethod, CACHED)
KINDS: tuple[tuple[Any, Callable[[Any], Parts]], ...] = (
    (types.FunctionType, code.of_function),
    (types.MethodType, lambda method: ("", [("", method.__func__), ("", method.__self__)])),
    (types.BuiltinFunctionType, code.of_builtin),
    (types.CodeType, code.of_code),
    (type, code.of_class),
    (WRAPPERS, code.of_wrapper),
    (types.ModuleType, code.of_module),
    (types.MappingProxyType, lambda proxy: ("", [("", dict(proxy))])),
    (C_MEMBERS, lambda member: (f"{member.__objclass__.__qualname__}.{member.__name__}", [])),
    (nn.Module, values.of_network),
    (torch.Tensor, values.of_tensor),
    ((np.ndarray, np.generic), values.of_array),
    (PurePath, values.of_path),
    ((set, frozenset), lambda items: ("", [("", type(items)), ("", frozenset(items))])),
)
