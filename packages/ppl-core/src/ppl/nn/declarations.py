"""What a PyroModule is told about an attribute: that it is learnable, or random."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor
from torch.distributions import constraints

from ..distribution import Distribution
from ..distribution.refusals import refuse_class
from ..errors import SiteError

if TYPE_CHECKING:
    from .module import PyroModule


class _Param(NamedTuple):
    init_value: Tensor | float | Callable[..., Any] | None = None
    constraint: constraints.Constraint = constraints.real
    event_dim: int | None = None


class PyroParam(_Param):
    """Declares a learnable attribute of a PyroModule; also a decorator of methods.

    The module keeps the unconstrained value as an ``nn.Parameter`` that is named
    ``<attribute>_unconstrained``. A decorated method computes the initial value when the attribute
    is first read.

    Args:
        init_value: The initial (constrained) value, or a function without arguments that returns
            it.
        constraint: What the value must fulfil.
        event_dim: The number of rightmost dimensions that plates leave alone; those to their left
            are subsampled by enclosing plates that subsample.

    Example:
        >>> from ppl.nn import PyroModule
        >>> class Scales(PyroModule):
        ...     @PyroParam(constraint=constraints.positive)
        ...     def scale(self):
        ...         return torch.full((2,), 3.0)
        >>> scales = Scales()
        >>> scales.shift = PyroParam(torch.zeros(2))
        >>> (scales.shift + scales.scale).tolist()
        [3.0, 3.0]
    """

    attribute: str

    def __call__(self, init_value: Callable[[Any], Any]) -> PyroParam:
        """Return this declaration with a method that computes the initial value."""
        return PyroParam(init_value, self.constraint, self.event_dim)

    def __set_name__(self, owner: type, name: str) -> None:
        self.attribute = name

    def __get__(self, module: PyroModule | None, owner: type | None = None) -> Any:
        return self if module is None else _read(module._read_declared_param, self.attribute, self)


class _Sample(NamedTuple):
    prior: Any


class PyroSample(_Sample):
    """Declares a random attribute of a PyroModule; also a decorator of methods.

    Args:
        prior: A distribution, or a function of the module that returns one (or a tensor, which is
            then recorded as a deterministic site).

    Raises:
        SiteError: If the prior is neither; the class of a distribution is a SiteTypeError.

    Example:
        >>> from ppl.distribution import Delta
        >>> from ppl.nn import PyroModule
        >>> class Walk(PyroModule):
        ...     @PyroSample
        ...     def end(self):
        ...         return Delta(self.start + 1)
        >>> walk = Walk()
        >>> walk.start = PyroSample(Delta(torch.tensor(2.0)))
        >>> walk.end
        tensor(3.)
    """

    attribute: str

    def __new__(cls, prior: Any) -> PyroSample:
        refuse_class("the prior of a PyroSample", prior)
        if callable(prior) or is_distribution(prior):
            return super().__new__(cls, prior)
        raise SiteError(
            "the prior of a PyroSample is a distribution, or a function of the module that returns "
            f"one; got {prior!r}"
        )

    def __set_name__(self, owner: type, name: str) -> None:
        self.attribute = name

    def __get__(self, module: PyroModule | None, owner: type | None = None) -> Any:
        return self if module is None else _read(module._read_declared_sample, self.attribute, self)


def is_distribution(prior: Any) -> bool:
    """Return whether a prior is a distribution, ours or of torch, rather than a function."""
    return isinstance(prior, (Distribution, torch.distributions.Distribution))


def _read(read: Callable[[str, Any], Any], attribute: str, declared: PyroParam | PyroSample) -> Any:
    """Read an attribute; an AttributeError would make Python claim that there is no such one."""
    try:
        return read(attribute, declared)
    except AttributeError as error:
        raise SiteError(f"the method that declares {attribute!r} failed: {error}") from error
