"""Densities with known answers, as potentials of flat positions `(chain, dim)`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Target:
    """A potential with exact draws; `marginal` is the cdf of the first coordinate."""

    name: str
    potential: Callable[[Tensor], Tensor]  # (dim,) -> ()
    draw: Callable[[int, torch.Generator], Tensor]  # (n, dim)

    def __str__(self) -> str:
        return self.name

    @property
    def potential_and_grad(self):
        both = torch.func.vmap(torch.func.grad_and_value(self.potential))

        def potential_and_grad(position: Tensor) -> tuple[Tensor, Tensor]:
            gradient, potential = both(position)
            return potential, gradient

        return potential_and_grad


def normals(n: int, dim: int, generator: torch.Generator) -> Tensor:
    return torch.randn(n, dim, generator=generator, dtype=torch.float64)


def _skewed_potential(z: Tensor) -> Tensor:
    """log of a Gamma(2, 1) variable."""
    return (z.exp() - 2 * z).sum()


def _skewed_draw(n: int, generator: torch.Generator) -> Tensor:
    uniforms = torch.rand(n, 2, generator=generator, dtype=torch.float64)
    return (-uniforms.log().sum(-1, keepdim=True)).log()


def _heavy_potential(z: Tensor) -> Tensor:
    """Student's t with three degrees of freedom."""
    return 2 * torch.log1p(z**2 / 3).sum()


def _heavy_draw(n: int, generator: torch.Generator) -> Tensor:
    x = normals(n, 4, generator)
    return x[:, :1] / (x[:, 1:] ** 2).mean(-1, keepdim=True).sqrt()


CORRELATION = 0.8
COVARIANCE = torch.tensor([[1.0, 2 * CORRELATION], [2 * CORRELATION, 4.0]], dtype=torch.float64)
PRECISION = torch.linalg.inv(COVARIANCE)


def _correlated_potential(z: Tensor) -> Tensor:
    return 0.5 * z @ PRECISION.to(z.dtype) @ z


def _correlated_draw(n: int, generator: torch.Generator) -> Tensor:
    return normals(n, 2, generator) @ torch.linalg.cholesky(COVARIANCE).mT


def _funnel_potential(z: Tensor) -> Tensor:
    """Neal's funnel, gently: the sd of z[1] is exp(z[0] / 2)."""
    return 0.5 * z[0] ** 2 + 0.5 * z[1] ** 2 * torch.exp(-z[0]) + 0.5 * z[0]


def _funnel_draw(n: int, generator: torch.Generator) -> Tensor:
    x = normals(n, 2, generator)
    return torch.stack((x[:, 0], x[:, 1] * (0.5 * x[:, 0]).exp()), -1)


def normal(dim: int) -> Target:
    return Target(f"normal{dim}", lambda z: 0.5 * (z**2).sum(), lambda n, g: normals(n, dim, g))


NORMAL = normal(1)
SKEWED = Target("skewed", _skewed_potential, _skewed_draw)
HEAVY = Target("heavy", _heavy_potential, _heavy_draw)
CORRELATED = Target("correlated", _correlated_potential, _correlated_draw)
FUNNEL = Target("funnel", _funnel_potential, _funnel_draw)
ALL = [NORMAL, SKEWED, HEAVY, CORRELATED, FUNNEL, normal(20)]


def generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)
