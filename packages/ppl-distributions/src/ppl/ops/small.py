"""Functions with a simpler formula that is as exact while its arguments are small."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import wraps
from typing import Any

import torch
from torch import Tensor
from torch.nn import Parameter

from .double import common_type
from .log_space import may_look

# where to evaluate a formula, by the type of its arguments, and up to which argument of a
# log-gamma function: there the rounding error of that is near the one of what it is added to
SMALL = {
    torch.float32: ((torch.float32, 2.0**6), (torch.float64, 2.0**26)),
    torch.float64: ((torch.float64, 2.0**13),),
}
Function = Callable[..., Tensor]
Plain = Callable[..., tuple[Tensor, Tensor | None]]


def plain_if_small(plain: Plain) -> Callable[[Function], Function]:
    """Decorate an exact log density with a textbook formula for ordinary arguments.

    The formula takes a fraction of the time. It is used where the values may be looked at, so
    neither in recordings nor under ``vmap``, where the exact function always is right. Edges are
    left to the exact function: it is called where a result of the formula is -inf or nan.

    Args:
        plain: Takes the same arguments, all of one type, and returns the result with the largest
            argument of a log-gamma function in it, or with None.

    Example:
        >>> log_density = plain_if_small(lambda x: (-x.log(), None))(lambda x: -x.log())
        >>> log_density(torch.tensor(1.0))
        tensor(-0.)
    """

    def decorated(exact: Function) -> Function:
        @wraps(exact)
        def evaluated(*args: Tensor, **options: Any) -> Tensor:
            if may_look() and all(map(_is_ordinary, args)):
                result = _evaluated_if_small(plain, args, options)
                if result is not None:
                    return result
            return exact(*args, **options)

        return evaluated

    return decorated


def _evaluated_if_small(
    plain: Plain, args: tuple[Tensor, ...], options: dict[str, Any]
) -> Tensor | None:
    dtype = args[0].dtype
    if not all(x.dtype is dtype for x in args):
        dtype = common_type(args)
        args = tuple(x.to(dtype) for x in args)
    for wide, bound in SMALL.get(dtype, ()):
        if wide is not dtype:
            args = tuple(x.to(wide) for x in args)
        result, size = plain(*args, **options)
        if size is None or size.numel() and size.max().item() < bound:
            is_finite = result.numel() and result.min().item() > -math.inf
            return result.to(dtype) if is_finite else None
    return None


def _is_ordinary(x: Tensor) -> bool:
    """Return whether a tensor holds numbers on the CPU, and is none of another kind."""
    return type(x) in _KINDS and x.is_cpu


_KINDS = (Tensor, Parameter)
