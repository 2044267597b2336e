"""Overdispersed counts."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor
from torch.distributions import constraints

from ppl.distribution import TorchDistribution

from .counts import NegativeBinomial
from .expansion import expand_parameters
from .noise import standard_normal
from .parameters import broadcast_parameters


class LogNormalNegativeBinomial(TorchDistribution):
    """Negative binomial whose logits have normal noise, so that its mean has log-normal noise.

    Its density is an integral over the noise, here by Gauss-Hermite quadrature.

    Args:
        total_count: Number of failures to wait for, positive.
        logits: Log odds of a success without noise.
        multiplicative_noise_scale: Deviation of the noise of the logits, positive.
        num_quad_points: Number of nodes of the quadrature.
        validate_args: Whether to check arguments and values; the global default if ``None``.
    """

    arg_constraints: dict[str, constraints.Constraint] = {
        "total_count": constraints.greater_than_eq(0),
        "logits": constraints.real,
        "multiplicative_noise_scale": constraints.positive,
    }
    support: constraints.Constraint = constraints.nonnegative_integer

    total_count: Tensor
    logits: Tensor
    multiplicative_noise_scale: Tensor

    def __init__(
        self,
        total_count: Tensor | float,
        logits: Tensor | float,
        multiplicative_noise_scale: Tensor | float,
        *,
        num_quad_points: int = 8,
        validate_args: bool | None = None,
    ) -> None:
        if num_quad_points < 1:
            raise ValueError(f"num_quad_points is {num_quad_points}, expected at least 1")
        self.total_count, self.logits, self.multiplicative_noise_scale = broadcast_parameters(
            total_count, logits, multiplicative_noise_scale
        )
        self.num_quad_points = num_quad_points
        super().__init__(self.logits.shape, validate_args=validate_args)

    def expand(self, batch_shape: Any, _instance: Any = None) -> Any:
        return expand_parameters(self, batch_shape, _instance)

    def sample(self, sample_shape: Any = torch.Size()) -> Tensor:
        with torch.no_grad():
            noise = standard_normal(self._extended_shape(sample_shape), self.logits)
            return self._given(noise).sample()

    def log_prob(self, value: Tensor) -> Tensor:
        if self._validate_args:
            self._validate_sample(value)
        nodes, log_weights = _gauss_hermite(self.num_quad_points, self.logits)
        nodes = nodes.reshape((-1,) + (1,) * max(value.dim(), len(self.batch_shape)))
        log_probs: Tensor = self._given(nodes).log_prob(value)  # (node, *sample, *batch)
        return (log_probs.movedim(0, -1) + log_weights).logsumexp(-1)

    def _given(self, noise: Tensor) -> NegativeBinomial:
        """Return the distribution given standard normal noise."""
        logits = self.logits + self.multiplicative_noise_scale * noise
        return NegativeBinomial(self.total_count, logits=logits, validate_args=False)

    @property
    def mean(self) -> Tensor:
        return self.total_count * (self.logits + self.multiplicative_noise_scale.square() / 2).exp()

    @property
    def variance(self) -> Tensor:
        spread = self.multiplicative_noise_scale.square()
        growth = spread.exp() * (1 + 1 / self.total_count) - 1
        return self.mean + self.mean.square() * growth


def _gauss_hermite(num_nodes: int, like: Tensor) -> tuple[Tensor, Tensor]:
    """Return nodes and log weights of the mean over a standard normal (Golub and Welsch 1969)."""
    off_diagonal = torch.arange(1, num_nodes, dtype=torch.float64).sqrt()
    jacobi = off_diagonal.diag(1) + off_diagonal.diag(-1)
    nodes, vectors = torch.linalg.eigh(jacobi)
    log_weights = 2 * vectors[0].abs().clamp(min=math.exp(-350)).log()
    return nodes.to(like), log_weights.to(like)
