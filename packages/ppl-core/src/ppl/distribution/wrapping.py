"""Distributions of torch, and of anybody who extends torch, as distributions of ours."""

from __future__ import annotations

from contextlib import suppress
from functools import cache
from types import new_class
from typing import Any

import torch

from ppl import plugins
from ppl.errors import PPLError

from .independent import Independent
from .interface import Distribution
from .mixin import TorchDistributionMixin


def wrap(dist: Any) -> Distribution:
    """Return ``dist`` as one of our distributions; one that is ours already is returned unchanged.

    The result is a shallow copy that is still an instance of the class of ``dist``.

    Raises:
        TypeError: If ``dist`` is no distribution.

    Example:
        >>> wrap(torch.distributions.Normal(torch.zeros(3), 1.0)).to_event(1).event_shape
        torch.Size([3])
    """
    if isinstance(dist, Distribution):
        return dist
    if not isinstance(dist, torch.distributions.Distribution):
        raise TypeError(
            f"expected a distribution, got {type(dist).__name__}; a sample site takes an object "
            "with sample() and log_prob(), such as ppl.distributions.Normal(0., 1.)"
        )
    if type(dist) is torch.distributions.Independent:
        return Independent(wrap(dist.base_dist), dist.reinterpreted_batch_ndims)
    cls: Any = type(dist)
    ours: Distribution = _recast(dist, _class_for(cls))
    return ours


def _recast(dist: Any, cls: Any) -> Any:
    """Return a copy of another class: wrappers add methods to torch's classes, never state."""
    new = cls.__new__(cls)
    new.__dict__.update(dist.__dict__)
    return new


@cache
def _class_for(cls: Any) -> type:
    """Return our registered wrapper of a class of torch, or make one."""
    if cls.__name__ in plugins.entries("ppl.distributions"):
        with suppress(PPLError):  # others may quarrel over the name
            ours = plugins.load("ppl.distributions", cls.__name__)
            if isinstance(ours, type) and cls in ours.__bases__:
                return ours
    members: dict[str, Any] = {
        "__module__": cls.__module__,
        "__doc__": cls.__doc__,
        # pickle finds classes by name, and this name is that of the original: wrap it again
        "__reduce__": lambda self: (wrap, (_recast(self, cls),)),
    }
    if cls.expand is torch.distributions.Distribution.expand:
        members["expand"] = TorchDistributionMixin.expand
    return new_class(
        cls.__name__, (cls, TorchDistributionMixin), exec_body=lambda ns: ns.update(members)
    )
