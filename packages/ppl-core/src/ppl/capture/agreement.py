"""Whether a replay gives what the function itself gives."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_flatten


def agree(one: Any, other: Any, rtol: float = 1e-4, atol: float = 1e-6) -> bool:
    """Return whether two results have the same structure and, up to rounding, the same values.

    Example:
        >>> agree({"a": torch.ones(2)}, {"a": torch.ones(2) + 1e-7})
        True
    """
    (left, left_spec), (right, right_spec) = tree_flatten(one), tree_flatten(other)
    return left_spec == right_spec and all(
        _leaves_agree(a, b, rtol, atol) for a, b in zip(left, right, strict=True)
    )


def _leaves_agree(one: Any, other: Any, rtol: float, atol: float) -> bool:
    if not (isinstance(one, Tensor) and isinstance(other, Tensor)):
        return type(one) is type(other) and bool(one == other)
    if (one.shape, one.dtype) != (other.shape, other.dtype):
        return False
    if not (one.is_floating_point() or one.is_complex()):
        return torch.equal(one, other)
    return torch.allclose(one, other, rtol=rtol, atol=atol, equal_nan=True)
