"""What is wrapped around the family of a site: events, masks, expansion."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor

from ppl.distribution import Delta, ExpandedDistribution, MaskedDistribution
from ppl.distributions import TransformedDistribution, constraints

from .reparam import Reparam, ReparamMessage, ReparamResult


class Layers(NamedTuple):
    """A distribution taken apart: the family itself, and its wrappers from the outside inwards."""

    core: Any
    wrappers: tuple[Any, ...]

    def wrap(self, core: Any) -> Any:
        """Return another distribution of the same batch shape in the same wrappers."""
        for wrapper in reversed(self.wrappers):
            if isinstance(wrapper, MaskedDistribution):
                core = core.mask(wrapper._mask)
            elif isinstance(wrapper, ExpandedDistribution):
                core = core.expand(wrapper.batch_shape)
            else:
                core = core.to_event(wrapper.reinterpreted_batch_ndims)
        return core

    def computed(self, value: Tensor, log_density: Tensor | None = None) -> ReparamResult:
        """Return the result of a rule whose site is a function of auxiliary sites.

        Args:
            value: The value.
            log_density: What the site adds to the log density, shape of the batch of the core or
                broadcastable to it; nothing if None.
        """
        if log_density is None:
            event_dim = self.core.event_dim + self._event_dim
            point = Delta(value, event_dim=event_dim, validate_args=False)
            return {"fn": point.mask(False), "value": value, "is_observed": True}
        point = Delta(value, log_density, self.core.event_dim, validate_args=False)
        inner = Layers(self.core, tuple(w for w in self.wrappers if not _only_expands(w)))
        return {"fn": inner.wrap(point), "value": value, "is_observed": True}

    @property
    def _event_dim(self) -> int:
        return sum(getattr(w, "reinterpreted_batch_ndims", 0) for w in self.wrappers)


def _only_expands(wrapper: Any) -> bool:
    return isinstance(wrapper, ExpandedDistribution)


def peel(fn: Any) -> Layers:
    """Return a distribution taken apart."""
    wrappers: list[Any] = []
    while isinstance(
        fn, (torch.distributions.Independent, MaskedDistribution, ExpandedDistribution)
    ):
        wrappers.append(fn)
        fn = fn.base_dist
    return Layers(fn, tuple(wrappers))


def peel_to(rule: Reparam, msg: ReparamMessage, family: type, needed: str) -> Layers:
    """Return the distribution of a site taken apart, whose core must be of a family.

    Raises:
        UnsupportedDistributionError: If it is of another; says what the rule needs.
    """
    layers = peel(msg["fn"])
    if not isinstance(layers.core, family):
        raise rule._refuse(msg, msg["fn"], needed)
    return layers


def has_real_base(core: Any) -> bool:
    """Return whether a family is a bijective image of one over the reals."""
    if not isinstance(core, torch.distributions.TransformedDistribution):
        return False
    support: Any = core.base_dist.support
    while hasattr(support, "base_constraint"):
        support = support.base_constraint
    return support in (constraints.real, constraints.real_vector) and all(
        transform.bijective for transform in core.transforms
    )


def is_composed(core: Any) -> bool:
    """Return whether a distribution is a program's own composition of a base and bijections."""
    is_plain = type(core) in (TransformedDistribution, torch.distributions.TransformedDistribution)
    return is_plain and all(transform.bijective for transform in core.transforms)
