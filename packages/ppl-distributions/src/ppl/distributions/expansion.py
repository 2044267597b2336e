"""Expansion of a distribution by expanding its parameters."""

from __future__ import annotations

from typing import Any

import torch


def expand_parameters(dist: Any, batch_shape: Any, instance: Any = None) -> Any:
    """Return a distribution of the same class with parameters expanded to ``batch_shape``.

    Every attribute that ``arg_constraints`` names is expanded on the left of its event dimensions,
    and so is the base distribution of a wrapper; all other state is shared. A class about which
    its parameters say all can delegate its ``expand`` here.

    Example:
        >>> from ppl.distributions import Logistic
        >>> expand_parameters(Logistic(torch.zeros(2), 1.0), (3, 2)).scale.shape
        torch.Size([3, 2])
    """
    cls: Any = type(dist)
    new = cls.__new__(cls) if instance is None else instance
    batch_shape = torch.Size(batch_shape)
    new.__dict__.update(dist.__dict__)
    for name, constraint in dist.arg_constraints.items():
        parameter = dist.__dict__.get(name)
        if parameter is not None:
            event_shape = parameter.shape[parameter.dim() - constraint.event_dim :]
            setattr(new, name, parameter.expand(batch_shape + event_shape))
    for name in {"base_dist", "base_distribution"} & dist.__dict__.keys():
        setattr(new, name, getattr(dist, name).expand(batch_shape))
    new._batch_shape = batch_shape
    new._unexpanded = unexpanded(dist)
    return new


def unexpanded(dist: Any) -> Any:
    """Return the distribution that ``dist`` was expanded from by its parameters, or itself.

    A costly constant is computed for the parameters as they were given, and then expanded: a plate
    of a thousand rows does not multiply its price.
    """
    return dist.__dict__.get("_unexpanded", dist)
