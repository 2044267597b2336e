"""Small questions about sites and traces."""

from __future__ import annotations

import numbers
from typing import Any

import numpy as np
import torch

from ..validation import enable_validation as enable_validation
from ..validation import is_validation_enabled as is_validation_enabled


def as_value(value: Any, fn: Any) -> Any:
    """Return an observation as the tensor that ``fn`` would have produced.

    Floats become tensors of the default dtype; ints too, or integer tensors where the distribution
    draws these (a category). Arrays keep their dtype. Anything else is returned unchanged.
    """
    if value is None or isinstance(value, torch.Tensor):
        return value
    if isinstance(value, (np.ndarray, np.generic)):
        return torch.as_tensor(value)
    if isinstance(value, numbers.Real):
        return torch.tensor(value, dtype=_value_dtype(value, fn))
    return value


def _value_dtype(value: numbers.Real, fn: Any) -> torch.dtype:
    if isinstance(value, numbers.Integral) and getattr(fn, "has_enumerate_support", False):
        dtype: torch.dtype = fn.enumerate_support(expand=False).dtype
        return dtype
    return torch.get_default_dtype()


def site_is_subsample(site: dict[str, Any]) -> bool:
    """Return whether a site holds the subsample of a plate."""
    return site["type"] == "sample" and type(site["fn"]).__name__ == "_Subsample"


def site_is_factor(site: dict[str, Any]) -> bool:
    """Return whether a site is a ``factor`` statement."""
    return site["type"] == "sample" and type(site["fn"]).__name__ == "Unit"


def prune_subsample_sites(trace: Any) -> Any:
    """Return a copy of a trace without the subsample sites of plates."""
    trace = trace.copy()
    for name, site in list(trace.nodes.items()):
        if site_is_subsample(site):
            trace.remove_node(name)
    return trace
