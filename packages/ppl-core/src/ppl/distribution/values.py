"""What people pass for values: numbers, lists, arrays and columns of a table are like tensors."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from dataclasses import is_dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ppl.arguments import TENSOR, wrong_type

from .ends import cdf_everywhere, icdf_of_probabilities

METHODS = ("log_prob", "cdf", "icdf")


def take_values_of_every_kind(cls: type) -> None:
    """Let the methods of a class that take a value take whatever numbers people have."""
    for name in METHODS:
        method: Any = getattr(cls, name, None)
        is_missing = method in (None, getattr(torch.distributions.Distribution, name))
        if not is_missing and not getattr(method, "_takes_every_kind", False):
            setattr(cls, name, _converting(_AT_THE_ENDS.get(name, _as_it_is)(method)))


def _cdf(method: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(method)
    def cdf(self: Any, value: Tensor) -> Tensor:
        return cdf_everywhere(self, value, method)

    return cdf


def _icdf(method: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(method)
    def icdf(self: Any, value: Tensor) -> Tensor:
        return icdf_of_probabilities(self, value, method)

    return icdf


def _as_it_is(method: Callable[..., Any]) -> Callable[..., Any]:
    return method


_AT_THE_ENDS = {"cdf": _cdf, "icdf": _icdf}


def _converting(method: Callable[..., Any]) -> Callable[..., Any]:
    wrap = _of_value if list(inspect.signature(method).parameters)[1:] == ["value"] else _of_first
    converting: Any = functools.wraps(method)(wrap(method))
    converting._takes_every_kind = True
    return converting  # type: ignore[no-any-return]


def _of_value(method: Callable[..., Any]) -> Callable[..., Any]:
    """The common case, spelled out for speed: a density of ten numbers takes 4 microseconds."""

    def call(self: Any, value: Any) -> Any:
        if not isinstance(value, Tensor):
            value = as_value_of(self, value, method.__name__)
        try:
            return method(self, value)
        except RuntimeError:  # torch subtracts no booleans; to look before would cost each call
            if value.dtype is not torch.bool:
                raise
        return method(self, as_value_of(self, value, method.__name__))

    return call


def _of_first(method: Callable[..., Any]) -> Callable[..., Any]:
    def call(self: Any, *args: Any, **kwargs: Any) -> Any:
        if args:
            args = (as_value_of(self, args[0], method.__name__), *args[1:])
        return method(self, *args, **kwargs)

    return call


def as_value_of(dist: Any, value: Any, method: str = "log_prob") -> Tensor:
    """Return numbers as a tensor with the type of the parameters of ``dist``.

    Integers and booleans stay whole where the values of ``dist`` are; a tensor, unless of booleans,
    is returned as it is.

    Raises:
        SiteTypeError: If they are no numbers, or ragged; it is a ValueError, as torch's, too.
    """
    if not isinstance(value, Tensor):
        value = _as_tensor(dist, value, method)
    elif value.dtype is not torch.bool:
        return value
    if value.is_complex():
        return value  # type: ignore[no-any-return]
    if method != "icdf" and not value.is_floating_point() and _is_discrete(dist):
        return value.long()  # type: ignore[no-any-return]
    return value.to(dtype_of_parameters(dist) or torch.get_default_dtype())  # type: ignore


def _as_tensor(dist: Any, value: Any, method: str) -> Tensor:
    if isinstance(value, Tensor):
        return value
    if isinstance(value, list | tuple) and any(isinstance(part, Tensor) for part in value):
        return torch.stack([_as_tensor(dist, part, method) for part in value])  # with gradients
    try:
        return torch.as_tensor(np.array(value))  # a copy: torch takes no reversed array
    except (TypeError, ValueError, RuntimeError) as error:
        raise wrong_type(f"{type(dist).__name__}.{method}", TENSOR, value) from error


def _is_discrete(dist: Any) -> bool:
    try:
        return bool(dist.is_discrete)
    except NotImplementedError:
        return False


def dtype_of_parameters(dist: Any) -> torch.dtype | None:
    """Return the floating-point type of the parameters, and so of a density, if there are any."""
    for value in vars(dist).values():
        if isinstance(value, Tensor) and value.is_floating_point():
            return value.dtype
        is_part = isinstance(value, torch.distributions.Distribution) or is_dataclass(value)
        if is_part and (dtype := dtype_of_parameters(value)):
            return dtype
    return None
