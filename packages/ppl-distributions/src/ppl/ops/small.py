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
SMALL: dict[torch.dtype | None, tuple[tuple[torch.dtype, float], ...]] = {
    torch.float32: ((torch.float32, 2.0**6), (torch.float64, 2.0**26)),
    torch.float64: ((torch.float64, 2.0**13),),
}
Function = Callable[..., Tensor]
Plain = Callable[..., tuple[Tensor, Tensor | None]]


def plain_if_small(plain: Plain, widen: bool = True) -> Callable[[Function], Function]:
    """Decorate an exact log density with a textbook formula for ordinary arguments.

    The formula takes a fraction of the time. It is used where the values may be looked at, so
    neither in recordings nor under ``vmap``, where the exact function always is right. Edges are
    left to the exact function: it is called where a result of the formula is -inf or nan.

    Args:
        plain: Takes the same arguments, all of one type, and returns the result with the largest
            argument of a log-gamma function in it, or with None.
        widen: Whether the formula in double precision is exact for larger arguments of single
            precision. It is not where they are rounded off a surface that they should lie on.

    Example:
        >>> log_density = plain_if_small(lambda x: (-x.log(), None))(lambda x: -x.log())
        >>> log_density(torch.tensor(1.0))
        tensor(-0.)
    """

    def decorated(exact: Function) -> Function:
        @wraps(exact)
        def evaluated(*args: Tensor, **options: Any) -> Tensor:
            given = _of_one_type(args) if may_look() else ()
            dtype = given[0].dtype if given else None
            for wide, bound in SMALL.get(dtype, ()):
                if wide is not dtype:
                    if not widen:
                        break
                    given = tuple(x.to(wide) for x in given)
                result, size = plain(*given, **options)
                if not result.numel() or size is not None and not size.max().item() < bound:
                    continue
                if not result.min().item() > -math.inf:
                    break
                return result if wide is dtype else result.to(dtype)
            return exact(*args, **options)

        return evaluated

    return decorated


def _of_one_type(args: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    """Return numbers on the CPU as such of one type, nothing if some are elsewhere."""
    dtype, is_mixed = args[0].dtype, False
    for x in args:
        if not (x.is_cpu and type(x) in _KINDS):
            return ()
        is_mixed = is_mixed or x.dtype is not dtype
    if is_mixed:
        dtype = common_type(args)
        return tuple(x.to(dtype) for x in args)
    return args


_KINDS = (Tensor, Parameter)
