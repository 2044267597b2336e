"""Gaussian fields over areas, each similar to its neighbours."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from ppl.distribution import TorchDistribution
from ppl.distribution.util import broadcast_shape

from . import constraints
from .expansion import expand_parameters
from .neighborhood import Neighborhood, neighborhood
from .noise import standard_normal
from .parameters import as_parameter

_LOG_2_PI = math.log(2 * math.pi)


class CAR(TorchDistribution):
    """Conditional autoregression (Besag 1974): a normal with a sparse precision matrix.

    Given all others, entry ``i`` has mean ``loc[i]`` plus ``correlation`` times the weighted mean
    of the deviations of its neighbours, and precision ``conditional_precision * degree[i]``. The
    precision matrix is ``conditional_precision * (D - correlation * W)`` with ``W`` the adjacency
    matrix and ``D`` its row sums. A density costs as much as there are edges: the determinant comes
    from eigenvalues (Jin, Carlin and Banerjee 2005, section 2.1), found once for each tensor that
    is passed as ``adj_matrix``.

    Args:
        loc: Mean, shape ``(*batch, n)``.
        correlation: Strength of the dependence, between -1 and 1, shape ``batch``.
        conditional_precision: Positive, shape ``batch``.
        adj_matrix: Symmetric weights of the neighbours, each area with at least one, dense or
            sparse, shape ``(n, n)``.
        validate_args: Whether to check arguments and values; the global default if ``None``.

    Example:
        >>> ring = torch.eye(4).roll(1, 0) + torch.eye(4).roll(-1, 0)
        >>> CAR(torch.zeros(4), 0.5, 1.0, ring).variance
        tensor([0.5833, 0.5833, 0.5833, 0.5833])
    """

    has_rsample = True
    support: constraints.Constraint = constraints.real_vector
    arg_constraints: dict[str, constraints.Constraint] = {
        "loc": constraints.real_vector,
        "correlation": constraints.interval(-1.0, 1.0),
        "conditional_precision": constraints.positive,
    }

    def __init__(
        self,
        loc: Tensor,
        correlation: Tensor | float,
        conditional_precision: Tensor | float,
        adj_matrix: Tensor,
        validate_args: bool | None = None,
    ) -> None:
        correlation = as_parameter(correlation, loc)
        precision = as_parameter(conditional_precision, loc)
        self._graph = neighborhood(adj_matrix)
        n = len(self._graph.degree)
        shape = broadcast_shape(loc.shape, correlation.shape + (1,), precision.shape + (1,), (n,))
        batch_shape = torch.Size(shape[:-1])
        self.loc: Tensor = loc.expand(shape)
        self.correlation: Tensor = correlation.expand(batch_shape)
        self.conditional_precision: Tensor = precision.expand(batch_shape)
        self.adj_matrix = adj_matrix
        super().__init__(batch_shape, torch.Size([n]), validate_args=validate_args)

    def expand(self, batch_shape: Any, _instance: Any = None) -> Any:
        return expand_parameters(self, batch_shape, _instance)

    def rsample(self, sample_shape: Any = torch.Size()) -> Tensor:
        vectors, scales = self._modes()
        noise = standard_normal(self._extended_shape(sample_shape), self.loc) * scales
        return self.loc + (vectors @ noise.unsqueeze(-1)).squeeze(-1)

    def log_prob(self, value: Tensor) -> Tensor:
        if self._validate_args:
            self._validate_sample(value)
        log_det = (
            self._damping().log().sum(-1)
            + self._graph.degree.to(self.loc).log().sum(-1)
            + self.event_shape[0] * (self.conditional_precision.log() - _LOG_2_PI)
        )
        roughness = self._graph.roughness(value - self.loc, self.correlation)
        return (log_det - self.conditional_precision * roughness) / 2

    def _damping(self) -> Tensor:
        """Return the eigenvalues of ``I - correlation D^-1/2 W D^-1/2``, ``(*batch, n)``."""
        values = self._graph.relative_spectrum.values.to(self.loc)
        return 1 - self.correlation.unsqueeze(-1) * values

    def _modes(self) -> tuple[Tensor, Tensor]:
        """Return vectors in columns, ``(n, n)``, whose sum with random weights is a draw.

        The deviations of the weights have shape ``(*batch, n)``.
        """
        vectors = self._graph.relative_spectrum.vectors.to(self.loc)
        root = self._graph.degree.to(self.loc).sqrt().unsqueeze(-1)
        precision = self.conditional_precision.unsqueeze(-1) * self._damping()
        return vectors / root, precision.rsqrt()

    @property
    def mean(self) -> Tensor:
        return self.loc

    @property
    def variance(self) -> Tensor:
        vectors, scales = self._modes()
        return scales.square() @ vectors.square().T


class ICAR(TorchDistribution):
    """Intrinsic autoregression (Besag and Kooperberg 1995): neighbours differ little, any level.

    The density is ``exp(-roughness / (2 scale ** 2))`` with the weighted sum of the squared
    differences between neighbours, the limit of :class:`CAR` for correlation 1. It leaves the
    level open, which a model gives in another term, and so the entries sum to zero: exactly, with
    a density over the hyperplane of such vectors; or, with ``mean_scale``, up to a normal mean.
    Either way it is normalized. The graph is connected.

    Args:
        scale: Deviation of the difference of two areas that have no other neighbours, positive,
            shape ``batch``.
        adj_matrix: Symmetric weights of the neighbours, dense or sparse, shape ``(n, n)``.
        mean_scale: Deviation of the mean of the entries; they sum to zero if ``None``.
        validate_args: Whether to check arguments and values; the global default if ``None``.

    Example:
        >>> ring = torch.eye(4).roll(1, 0) + torch.eye(4).roll(-1, 0)
        >>> ICAR(1.0, ring).variance
        tensor([0.3125, 0.3125, 0.3125, 0.3125])
    """

    has_rsample = True
    arg_constraints: dict[str, constraints.Constraint] = {"scale": constraints.positive}

    def __init__(
        self,
        scale: Tensor | float,
        adj_matrix: Tensor,
        mean_scale: float | None = None,
        validate_args: bool | None = None,
    ) -> None:
        self.scale: Tensor = torch.as_tensor(scale)
        self.mean_scale = mean_scale
        self.adj_matrix = adj_matrix
        self._graph: Neighborhood = neighborhood(adj_matrix)
        event_shape = self._graph.degree.shape
        super().__init__(self.scale.shape, event_shape, validate_args=validate_args)

    @constraints.dependent_property(is_discrete=False, event_dim=1)
    def support(self) -> Any:
        return constraints.zero_sum if self.mean_scale is None else constraints.real_vector

    def expand(self, batch_shape: Any, _instance: Any = None) -> Any:
        return expand_parameters(self, batch_shape, _instance)

    def rsample(self, sample_shape: Any = torch.Size()) -> Tensor:
        noise = standard_normal(self._extended_shape(sample_shape), self.scale)
        modes, level = self._modes()
        return self.scale.unsqueeze(-1) * (noise[..., 1:] @ modes.T) + level * noise[..., :1]

    def log_prob(self, value: Tensor) -> Tensor:
        if self._validate_args:
            self._validate_sample(value)
        n = self.event_shape[0]
        log_det = self._graph.laplacian_spectrum.values[1:].to(self.scale).log().sum()
        log_normalizer = (n - 1) * (self.scale.log() + _LOG_2_PI / 2) - log_det / 2
        roughness = self._graph.roughness(value) / self.scale.square()
        density = -roughness / 2 - log_normalizer
        if self.mean_scale is None:
            return density
        level = value.mean(-1) / self.mean_scale
        # lengths along the diagonal are sqrt(n) times those of the mean
        return density - (level.square() + _LOG_2_PI + math.log(n * self.mean_scale**2)) / 2

    def _modes(self) -> tuple[Tensor, float]:
        """Return the vectors whose random sum is a draw of scale 1, ``(n, n - 1)``, and a level."""
        values, vectors = self._graph.laplacian_spectrum.to(self.scale)
        level = 0.0 if self.mean_scale is None else self.mean_scale
        return vectors[:, 1:] / values[1:].sqrt(), level

    @property
    def mean(self) -> Tensor:
        return self.scale.new_zeros(self._extended_shape())

    @property
    def variance(self) -> Tensor:
        modes, level = self._modes()
        return self.scale.square().unsqueeze(-1) * modes.square().sum(-1) + level**2
