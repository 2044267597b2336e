"""Functions that are evaluated in double precision, whatever the type of their arguments."""

from __future__ import annotations

from collections.abc import Callable
from functools import reduce, wraps
from typing import Any

import torch
from torch import Tensor


def in_double(function: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """Evaluate a function of tensors in double precision and return the type of its arguments.

    Where large terms nearly cancel, single precision would leave no digit of the rest. The
    derivatives are computed in double precision as well. Devices without double precision keep
    their own.

    Example:
        >>> tiny = torch.tensor(1e-4)
        >>> in_double(lambda x: 1 - x.cos())(tiny)
        tensor(5.0000e-09)
    """

    @wraps(function)
    def evaluated(*args: Tensor, **options: Any) -> Tensor:
        dtype = common_type(args)
        if dtype == torch.float64 and all(x.dtype == torch.float64 for x in args):
            return function(*args, **options)
        wide = dtype if any(x.device.type == "mps" for x in args) else torch.float64
        return function(*(x.to(wide) for x in args), **options).to(dtype)

    return evaluated


def common_type(args: tuple[Tensor, ...]) -> torch.dtype:
    """Return the type of a sum of the arguments: numbers without dimensions yield to others."""
    floating = [x for x in args if x.is_floating_point()]
    if not floating:
        return torch.get_default_dtype()
    dtypes = [x.dtype for x in floating if x.dim()] or [x.dtype for x in floating]
    return reduce(torch.promote_types, dtypes)
