"""Where tensors of several dtypes, or arrays among tensors, come from: for errors of torch."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from .messenger import unwrap

if TYPE_CHECKING:
    from .trace_struct import Trace

_ABOUT_DTYPES = re.compile(r"dtype|scalar type|result type|same type")
_DATA_CURE = "convert the data, as in torch.as_tensor(x, dtype=torch.get_default_dtype())"


def is_about_dtypes(error: Exception) -> bool:
    """Return whether torch complains that two dtypes meet."""
    return isinstance(error, (RuntimeError, TypeError)) and bool(_ABOUT_DTYPES.search(str(error)))


def of_distribution(fn: Any) -> dict[str, str]:
    """Return the dtypes of the tensors that a distribution holds, and of those it is made from."""
    fields = {name: x for name, x in getattr(fn, "__dict__", {}).items() if name[0] != "_"}
    own = {name: _dtype(x) for name, x in fields.items() if isinstance(x, Tensor)}
    base = getattr(fn, "base_dist", None)
    return own if base is None else {**of_distribution(base), **own}


def mixture(found: Mapping[str, str]) -> str:
    """Return a phrase that names the tensors of each floating dtype; empty if all have one."""
    dtypes = {dtype for dtype in found.values() if "float" in dtype}
    by_dtype = {dtype: [name for name, d in found.items() if d == dtype] for dtype in dtypes}
    parts = [f"{dtype}: {', '.join(names)}" for dtype, names in sorted(by_dtype.items())]
    return "; ".join(parts) if len(parts) > 1 else ""


def default() -> str:
    """Return the dtype that torch gives to numbers."""
    return str(torch.get_default_dtype()).removeprefix("torch.")


def cure(error: Exception, trace: Trace) -> str:
    """Return advice on an error of a program that mixes dtypes, or arrays and tensors."""
    arguments, sites = _arguments(trace), _sites(trace)
    if is_about_dtypes(error):
        tensors = [(name, x) for name, x in (*arguments, *sites) if isinstance(x, Tensor)]
        dtypes = {name: _dtype(x) for name, x in tensors}
        found = mixture(dtypes) or mixture({**dtypes, "the default of torch": default()})
        return found and f"dtypes are mixed ({found}): {_DATA_CURE}"
    arrays = [(n, x) for n, x in arguments if isinstance(x, np.ndarray) or hasattr(x, "to_numpy")]
    words = ("numpy", *(type(x).__name__ for _, x in arrays))
    if arrays and any(word in str(error) for word in words):
        return f"{', '.join(name for name, _ in arrays)} is no tensor: {_DATA_CURE}"
    return ""


def _arguments(trace: Trace) -> list[tuple[str, Any]]:
    """The arguments of the program by name, those of ``*args`` and ``**kwargs`` too."""
    site = trace.nodes.get("_INPUT")
    if site is None or trace.program is None:
        return []
    bound: Mapping[str, Any] = {}
    with suppress(TypeError, ValueError):
        bound = (
            inspect.signature(unwrap(trace.program)).bind(*site["args"], **site["kwargs"]).arguments
        )
    return [pair for name, x in bound.items() for pair in _flat(f"argument {name}", x)]


def _flat(name: str, x: Any) -> Iterable[tuple[str, Any]]:
    if isinstance(x, (tuple, list)):
        return [(f"{name}[{i}]", each) for i, each in enumerate(x)]
    if isinstance(x, dict):
        return [(f"{name}[{key!r}]", each) for key, each in x.items()]
    return [(name, x)]


def _sites(trace: Trace) -> list[tuple[str, Any]]:
    kinds = ("sample", "param")
    return [(f"site {n!r}", s["value"]) for n, s in trace.nodes.items() if s["type"] in kinds]


def _dtype(x: Tensor) -> str:
    return str(x.dtype).removeprefix("torch.")
