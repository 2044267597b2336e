"""Small questions about sites and traces."""

from __future__ import annotations

import numbers
from contextlib import suppress
from typing import Any

import numpy as np
import torch
from torch.distributions import constraints

from ..arguments import TENSOR, wrong_type
from ..distribution import TorchDistributionMixin
from ..errors import SiteTypeError
from ..validation import enable_validation as enable_validation
from ..validation import is_validation_enabled as is_validation_enabled


def as_value(value: Any, fn: Any, site: str | None = None) -> Any:
    """Return an observation as the tensor that ``fn`` would have produced.

    Floats become tensors of the default dtype; ints too, or integer tensors where the distribution
    draws these (a category). So do lists of them, for a distribution. Arrays, and columns of a
    table, keep their dtype; but labels, which may be integers or booleans, get that of the draws.
    Anything else is returned unchanged, unless ``fn`` is a distribution of tensors.

    Raises:
        SiteTypeError: If the value cannot become a tensor, and ``fn`` is a distribution of tensors.
    """
    if isinstance(value, torch.Tensor):
        if value.is_complex() and _is_real(getattr(fn, "support", None)):
            what = "a value" if site is None else f"site {site!r}"
            cure = f"expected real numbers, got {value.dtype}; observe their .real or .abs()"
            raise SiteTypeError(f"{what}: {cure}", site=site)
        is_exact = not (value.is_floating_point() or value.is_complex())
        return value.to(_label_dtype(value, fn)) if is_exact else value
    if value is None:
        return value
    try:
        found = _as_value(value, fn)
    except (TypeError, ValueError, RuntimeError) as error:
        raise _no_tensor(value, site) from error
    if not isinstance(found, torch.Tensor) and isinstance(fn, TorchDistributionMixin):
        raise _no_tensor(value, site)
    return found


def _is_real(support: Any) -> bool:
    """Whether a constraint is that of all real numbers, which lets complex ones pass."""
    while hasattr(support, "base_constraint"):
        support = support.base_constraint
    return support is constraints.real


def _no_tensor(value: Any, site: str | None) -> SiteTypeError:
    return wrong_type("a value" if site is None else f"site {site!r}", TENSOR, value, site)


def _as_value(value: Any, fn: Any) -> Any:
    if hasattr(value, "to_numpy"):  # a column of pandas
        value = value.to_numpy()
    elif hasattr(value, "__array__"):
        value = np.asarray(value)
    if isinstance(value, (np.ndarray, np.generic)):
        is_shared = isinstance(value, np.ndarray) and value.flags.writeable
        if not is_shared or min(value.strides, default=0) < 0:  # torch takes no reversed array
            value = value.copy()
        return as_value(torch.as_tensor(value), fn)
    if isinstance(value, numbers.Real):
        return torch.tensor(value, dtype=_value_dtype(isinstance(value, numbers.Integral), fn))
    if isinstance(value, (list, tuple)) and hasattr(fn, "log_prob"):
        if any(isinstance(element, torch.Tensor) for element in value):
            return torch.stack([as_value(element, fn) for element in value])  # with its gradient
        listed = np.asarray(value)
        is_integer = np.issubdtype(listed.dtype, np.integer)
        return torch.tensor(listed, dtype=_value_dtype(is_integer, fn))
    return value


def _label_dtype(value: torch.Tensor, fn: Any) -> torch.dtype:
    """The type of labels: that of the draws for booleans, and for integers under a yes or no."""
    fn = _innermost(fn)
    support = getattr(fn, "support", None) if hasattr(fn, "log_prob") else None
    is_label = value.dtype is torch.bool or support is constraints.boolean
    return _value_dtype(True, fn) if is_label and support is not None else value.dtype


def _value_dtype(is_integer: bool, fn: Any) -> torch.dtype:
    fn = _innermost(fn)
    if is_integer and getattr(fn, "has_enumerate_support", False):
        with suppress(NotImplementedError):  # of several numbers of trials
            dtype: torch.dtype = fn.enumerate_support(expand=False).dtype
            return dtype
    return torch.get_default_dtype()


def _innermost(fn: Any) -> Any:
    """The distribution of single values: to list those of a wrapper may take very long."""
    while hasattr(fn, "base_dist"):
        fn = fn.base_dist
    return fn


def site_is_subsample(site: dict[str, Any]) -> bool:
    """Return whether a site holds the subsample of a plate."""
    return site["type"] == "sample" and bool(getattr(site["fn"], "is_subsample", False))


def site_is_factor(site: dict[str, Any]) -> bool:
    """Return whether a site is a ``factor`` statement."""
    return site["type"] == "sample" and bool(getattr(site["fn"], "is_factor", False))


def site_is_data(site: dict[str, Any]) -> bool:
    """Return whether a sample site is observed, and is neither a factor nor a deterministic."""
    is_bookkeeping = site_is_factor(site) or site["infer"].get("_deterministic")
    return bool(site["is_observed"]) and not is_bookkeeping


def prune_subsample_sites(trace: Any) -> Any:
    """Return a copy of a trace without the subsample sites of plates."""
    trace = trace.copy()
    for name, site in list(trace.nodes.items()):
        if site_is_subsample(site):
            trace.remove_node(name)
    return trace


def all_escape(trace: Any, msg: Any) -> bool:
    """Return whether a site is a latent sample site that a partial trace does not have."""
    return msg["type"] == "sample" and not msg["is_observed"] and msg["name"] not in trace


def discrete_escape(trace: Any, msg: Any) -> bool:
    """Return whether a site is latent, has a finite support and is not in a partial trace."""
    return all_escape(trace, msg) and bool(getattr(msg["fn"], "has_enumerate_support", False))


def enum_extend(trace: Any, msg: Any, num_samples: int | None = None) -> list[Any]:
    """Return copies of a partial trace, each with one more site at one value of its support.

    Args:
        trace: A partial trace.
        msg: A site that the trace does not have.
        num_samples: The largest number of values; default, or if negative: all of them.
    """
    values = msg["fn"].enumerate_support(*msg["args"], **msg["kwargs"])
    return _extend(trace, msg, values if num_samples in (None, -1) else values[:num_samples])


def mc_extend(trace: Any, msg: Any, num_samples: int | None = None) -> list[Any]:
    """Return copies of a partial trace, each with one more site at a random value.

    Args:
        trace: A partial trace.
        msg: A site that the trace does not have.
        num_samples: The number of random values; default, or if negative: one.
    """
    count = 1 if num_samples in (None, -1) else num_samples
    return _extend(trace, msg, [msg["fn"](*msg["args"], **msg["kwargs"]) for _ in range(count)])


def _extend(trace: Any, msg: Any, values: Any) -> list[Any]:
    extended = [trace.copy() for _ in values]
    for longer, value in zip(extended, values, strict=True):
        site = {**msg, "value": value, "done": True, "stop": False, "continuation": None}
        longer.add_node(msg["name"], **site)
    return extended
