"""Integrals of densities over one to three unconstrained coordinates."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import torch
from torch import Tensor


class Unconstrained(NamedTuple):
    """A distribution pulled back to unconstrained coordinates, shape ``(*sample, dim)``."""

    dist: Any
    transform: Any

    def from_draws(self, x: Tensor) -> Tensor:
        """Return the coordinates of values of shape ``(n, *event)``."""
        u: Tensor = self.transform.inv(x)
        return u.reshape(u.shape[0], -1)

    def log_density(self, u: Tensor) -> Tensor:
        """Return the log density at coordinates of shape ``(n, dim)``.

        It is -inf where the value is not representable: there the density is not to be trusted.
        """
        if self.transform.domain.event_dim == 0:
            u = u.squeeze(-1)
        x = self.transform(u)
        density = self.dist.log_prob(x) + self.transform.log_abs_det_jacobian(u, x)
        faithful = torch.isclose(self.transform.inv(x), u, rtol=1e-3, atol=1e-3)
        if self.transform.domain.event_dim == 1:
            faithful = faithful.all(-1)
        return torch.where(faithful, density, -torch.inf)


class Grid(NamedTuple):
    """Points, shape ``(n, dim)``, and the weight of each in an integral."""

    points: Tensor
    weights: Tensor


def grid(draws: Tensor) -> Grid:
    """Return a grid for densities of which ``draws``, shape ``(n, dim)``, are typical.

    The trapezoid rule under ``u = center + spread * sinh(c sinh(t))`` (Takahasi and Mori 1974)
    converges exponentially for smooth densities, whatever the weight of their tails.
    """
    dim = draws.shape[-1]
    steps, reach = {1: (4001, 4.0), 2: (161, 3.0), 3: (61, 2.6)}[dim]
    t = torch.linspace(-reach, reach, steps, dtype=draws.dtype)
    c = math.pi / 2
    node, slope = (c * t.sinh()).sinh(), c * t.cosh() * (c * t.sinh()).cosh()
    center = draws.median(0).values
    spread = 2 * (draws - center).abs().median(0).values
    points = torch.cartesian_prod(*[node] * dim).reshape(-1, dim)
    weights = torch.cartesian_prod(*[slope * (t[1] - t[0])] * dim).reshape(-1, dim).prod(-1)
    return Grid(center + spread * points, weights * spread.prod())
