"""Numbers that are nan or infinite: questions and warnings, about gradients too."""

from __future__ import annotations

import math
import sys
import warnings
from typing import Any, TypeVar

import torch
from torch import Tensor

from .errors import PPLWarning

Number = TypeVar("Number")


def torch_isnan(x: Any) -> Any:
    """Return whether a number, or any element of a tensor, is nan."""
    return x.isnan().any() if isinstance(x, Tensor) else math.isnan(x)


def torch_isinf(x: Any) -> Any:
    """Return whether a number, or any element of a tensor, is infinite."""
    return x.isinf().any() if isinstance(x, Tensor) else math.isinf(x)


def warn_if_nan(
    value: Number, msg: str = "", *, filename: str | None = None, lineno: int | None = None
) -> Number:
    """Return a number or tensor unchanged, and warn if it holds nan, now or in its gradient.

    Args:
        value: A number or tensor. If it requires a gradient, that is looked at in backward.
        msg: What the value is, for the warning.
        filename: Which file the warning points at; default: where the caller's code is.
        lineno: Which line of that file.

    Example:
        >>> import warnings
        >>> with warnings.catch_warnings(record=True) as caught:
        ...     _ = warn_if_nan(torch.tensor([1.0, torch.nan]), "loss")
        >>> print(caught[0].message)
        loss: nan
    """
    _watch(value, msg, ["nan"], filename, lineno)
    return value


def warn_if_inf(
    value: Number,
    msg: str = "",
    allow_posinf: bool = False,
    allow_neginf: bool = False,
    *,
    filename: str | None = None,
    lineno: int | None = None,
) -> Number:
    """Return a number or tensor unchanged, and warn if it holds infinity, now or in its gradient.

    Args:
        value: A number or tensor. If it requires a gradient, that is looked at in backward.
        msg: What the value is, for the warning.
        allow_posinf: Whether ``+inf`` is as it should be.
        allow_neginf: Whether ``-inf`` is as it should be.
        filename: Which file the warning points at; default: where the caller's code is.
        lineno: Which line of that file.
    """
    allowed = {"+inf": allow_posinf, "-inf": allow_neginf}
    _watch(value, msg, [kind for kind in allowed if not allowed[kind]], filename, lineno)
    return value


_HOLDS = {
    "nan": lambda x: x.isnan(),
    "+inf": lambda x: x == math.inf,
    "-inf": lambda x: x == -math.inf,
}


def _watch(
    value: Any, msg: str, unwanted: list[str], filename: str | None, lineno: int | None
) -> None:
    if filename is None:  # of this statement, also for the gradient, which is computed elsewhere
        frame = sys._getframe(2)
        filename, lineno = frame.f_code.co_filename, frame.f_lineno

    def complain(x: Any, what: str) -> None:
        x = torch.as_tensor(x)
        for kind in unwanted:
            if bool(_HOLDS[kind](x).any()):
                warnings.warn_explicit(f"{what}: {kind}", PPLWarning, filename, lineno or 1)

    if isinstance(value, Tensor) and value.requires_grad:
        value.register_hook(lambda gradient: complain(gradient, f"gradient of {msg or 'a value'}"))
    complain(value.detach() if isinstance(value, Tensor) else value, msg or "a value")
