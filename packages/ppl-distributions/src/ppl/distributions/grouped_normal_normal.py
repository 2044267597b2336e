"""Observations in groups that share a normal mean, which is integrated out."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor
from torch.distributions import constraints

from ppl.distribution import TorchDistribution
from ppl.distribution.util import broadcast_shape
from ppl.errors import ShapeError

from .expansion import expand_parameters
from .noise import standard_normal
from .real_line import Normal


class GroupedNormalNormal(TorchDistribution):
    """Normal observations around the mean of their group, which is normal itself.

    Args:
        prior_loc: Mean of the group means, shape ``(*batch, group)``.
        prior_scale: Deviation of the group means, positive, shape ``(*batch, group)``.
        obs_scale: Deviation of each observation, positive, shape ``(*batch, n)``.
        group_idx: Group of each observation, integers of shape ``(n,)``.
        validate_args: Whether to check arguments and values; the global default if ``None``.
    Raises:
        ShapeError: If ``group_idx`` has another shape.

    Example:
        >>> one = torch.ones(1)
        >>> d = GroupedNormalNormal(0 * one, one, one, torch.zeros(3, dtype=torch.long))
        >>> d.get_posterior(torch.tensor([2.0, 4.0, 6.0])).mean
        tensor([3.])
    """

    arg_constraints: dict[str, constraints.Constraint] = {
        "prior_loc": constraints.real_vector,
        "prior_scale": constraints.independent(constraints.positive, 1),
        "obs_scale": constraints.independent(constraints.positive, 1),
    }
    support: constraints.Constraint = constraints.real_vector

    def __init__(
        self,
        prior_loc: Tensor,
        prior_scale: Tensor,
        obs_scale: Tensor,
        group_idx: Tensor,
        validate_args: bool | None = None,
    ) -> None:
        if group_idx.dim() != 1:
            raise ShapeError(
                f"GroupedNormalNormal: group_idx has shape {tuple(group_idx.shape)}, expected one "
                "index for each observation, (n,)"
            )
        groups = broadcast_shape(prior_loc.shape, prior_scale.shape)
        data = broadcast_shape(obs_scale.shape, group_idx.shape)
        batch_shape = torch.Size(broadcast_shape(groups[:-1], data[:-1]))
        self.prior_loc: Tensor = prior_loc.expand(batch_shape + groups[-1:])
        self.prior_scale: Tensor = prior_scale.expand(batch_shape + groups[-1:])
        self.obs_scale: Tensor = obs_scale.expand(batch_shape + data[-1:])
        self.group_idx = group_idx
        super().__init__(batch_shape, torch.Size(data[-1:]), validate_args=validate_args)

    def expand(self, batch_shape: Any, _instance: Any = None) -> Any:
        return expand_parameters(self, batch_shape, _instance)

    def sample(self, sample_shape: Any = ()) -> Tensor:
        with torch.no_grad():
            shape = self._extended_shape(sample_shape)
            group_shape = shape[:-1] + self.prior_loc.shape[-1:]
            means = self.prior_loc + self.prior_scale * standard_normal(group_shape, self.prior_loc)
            return means[..., self.group_idx] + self.obs_scale * standard_normal(shape, means)

    def get_posterior(self, value: Tensor) -> Normal:
        """Return the distribution of the group means given observations, shape ``(*, group)``."""
        precision = self._total(self.obs_scale**-2) + self.prior_scale**-2
        shift = self._total((value - self._loc) / self.obs_scale.square()) / precision
        return Normal(self.prior_loc + shift, precision**-0.5)

    def log_prob(self, value: Tensor) -> Tensor:
        """Return the log density of observations, shape ``(*sample, *batch)``.

        The covariance is diagonal plus one rank for each group, so its inverse and determinant are
        those of numbers (the matrix inversion lemma).
        """
        if self._validate_args:
            self._validate_sample(value)
        residual = (value - self._loc) / self.obs_scale
        posterior = self.get_posterior(value)
        shrunk = ((posterior.mean - self.prior_loc) / posterior.scale).square().sum(-1)
        log_det = self.obs_scale.log().sum(-1) + (self.prior_scale / posterior.scale).log().sum(-1)
        constant = self.event_shape[0] / 2 * math.log(2 * math.pi)
        return (shrunk - residual.square().sum(-1)) / 2 - log_det - constant

    @property
    def mean(self) -> Tensor:
        return self._loc

    @property
    def variance(self) -> Tensor:
        return self.obs_scale.square() + self.prior_scale.square()[..., self.group_idx]

    @property
    def _loc(self) -> Tensor:
        """Prior mean of each observation."""
        return self.prior_loc[..., self.group_idx]

    def _total(self, x: Tensor) -> Tensor:
        """Return the sum over each group, ``(*, n)`` to ``(*, group)``."""
        zeros = x.new_zeros(x.shape[:-1] + self.prior_loc.shape[-1:])
        return zeros.index_add(-1, self.group_idx, x)
