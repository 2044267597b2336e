"""A family of distributions at given parameters, and what may be asked of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.distributions import biject_to

from .quadrature import Unconstrained

Parameters = Mapping[str, Tensor]


@dataclass(frozen=True)
class Case:
    """A family, its parameters and its oracle.

    Attributes:
        name: Shown in test names.
        make: Builds the distribution from ``params`` as keyword arguments.
        params: Tensors with a leftmost batch dimension of at least 2; converted to float64.
        oracle: Takes the parameters of one batch member as numpy arrays, in their order, and
            returns an object with ``logpdf`` or ``logpmf``: a frozen distribution of scipy.
        values: For a discrete family without ``enumerate_support``: the values that carry all but
            1e-9 of the probability, shape ``(n, *event)``.
        coordinates: Takes a distribution and returns a bijection from unconstrained space onto its
            support; ``biject_to(support)`` by default.
        has_moments: Whether ``mean`` and ``variance`` exist and the fourth moment is finite.
        has_cdf: Whether ``cdf`` is implemented.
        has_icdf: Whether ``icdf`` is implemented.
        is_pathwise: Whether reparameterized gradients are exact (not so for straight-through).
        is_rejected: Whether draws are reparameterized up to a score function, as those of a
            rejection sampler are.
        has_atoms: Whether single values have positive probability beside a density, so that neither
            an integral nor a sum exhausts the distribution.
        has_jumps: Whether the density jumps inside the support, where neither rules of quadrature
            nor integration by parts hold.
        moving_support: Whether the support depends on the parameters.
    """

    name: str
    make: Callable[..., Any]
    params: Parameters
    oracle: Callable[..., Any] | None = None
    values: Tensor | None = None
    coordinates: Callable[[Any], Any] = lambda dist: biject_to(dist.support)
    has_moments: bool = True
    has_cdf: bool = False
    has_icdf: bool = False
    is_pathwise: bool = True
    is_rejected: bool = False
    has_atoms: bool = False
    has_jumps: bool = False
    moving_support: bool = False

    def __str__(self) -> str:
        return self.name

    def parameters(self, dtype: torch.dtype = torch.float64) -> dict[str, Tensor]:
        """Return the parameters in another floating-point type."""
        return {name: p.detach().clone().to(dtype) for name, p in self.params.items()}

    def dist(self, dtype: torch.dtype = torch.float64) -> Any:
        """Return the distribution with the batch shape of the parameters."""
        return self.make(**self.parameters(dtype))

    def members(self) -> list[Any]:
        """Return one distribution of empty batch shape per entry of the leftmost dimension."""
        size = next(iter(self.params.values())).shape[0]
        return [self.make(**{k: v[i] for k, v in self.parameters().items()}) for i in range(size)]

    def all_values(self, dist: Any) -> Tensor:
        """Return the values that carry the probability of a discrete member, ``(n, *event)``."""
        values: Tensor = dist.enumerate_support() if self.values is None else self.values
        return values

    def space(self, dist: Any) -> Unconstrained:
        """Return a continuous member in unconstrained coordinates."""
        return Unconstrained(dist, self.coordinates(dist))

    def coordinates_of(self, dist: Any, num_draws: int) -> Tensor:
        """Return unconstrained coordinates of draws of a member, shape ``(num_draws, dim)``."""
        torch.manual_seed(0)
        return self.space(dist).from_draws(dist.sample((num_draws,)))

    def num_coordinates(self) -> int:
        """Return the number of unconstrained coordinates of an event."""
        return self.coordinates_of(self.members()[0], 2).shape[-1]
