"""A linear map with independent Gaussian noise."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from .batched import Batched
from .gaussian_factor import Gaussian
from .matrices import matvecmul


@dataclass(frozen=True, eq=False)
class AffineNormal(Batched):
    """The density of y given x where ``y = x @ matrix + loc + scale * noise``.

    As a function of (x, y) it is a :class:`Gaussian` factor, but its noise is diagonal: with more
    observations than states, conditioning is far cheaper than in the joint form.

    Args:
        matrix: Shape ``(*batch, n, m)``.
        loc: Shape ``(*batch, m)``.
        scale: Positive, shape ``(*batch, m)``.
    """

    matrix: Tensor
    loc: Tensor
    scale: Tensor
    event_dims: ClassVar[tuple[int, ...]] = (2, 1, 1)

    def dim(self) -> int:
        """Return the number of variables, of x and y together."""
        return sum(self.matrix.shape[-2:])

    def to_gaussian(self) -> Gaussian:
        """Return the factor over (x, y)."""
        whole = self.expand(self.batch_shape)
        at_zero = whole.condition(torch.zeros_like(whole.loc))
        weights = whole.scale.square().reciprocal()
        cross = -whole.matrix * weights.unsqueeze(-2)
        top = torch.cat([at_zero.precision, cross], -1)
        bottom = torch.cat([cross.mT, weights.diag_embed()], -1)
        info_vec = torch.cat([at_zero.info_vec, whole.loc * weights], -1)
        return Gaussian(at_zero.log_normalizer, info_vec, torch.cat([top, bottom], -2))

    def condition(self, value: Tensor) -> Gaussian:
        """Return the likelihood of x that an observation of all of y gives.

        Args:
            value: Shape ``(*batch, m)``; fewer than ``m`` variables leave a factor over the others.
        """
        if value.shape[-1] != self.loc.shape[-1]:
            return self.to_gaussian().condition(value)
        weights = self.matrix / self.scale.unsqueeze(-2)
        residual = (value - self.loc) / self.scale
        log_volume = self.scale.log().sum(-1) + value.shape[-1] / 2 * math.log(2 * math.pi)
        return Gaussian(
            -residual.square().sum(-1) / 2 - log_volume,
            matvecmul(weights, residual),
            weights @ weights.mT,
        )

    def left_condition(self, value: Tensor) -> AffineNormal | Gaussian:
        """Return the density of y at a value of all of x, a map from no variable.

        Args:
            value: Shape ``(*batch, n)``; fewer than ``n`` variables leave a factor over the others.
        """
        if value.shape[-1] != self.matrix.shape[-2]:
            return self.to_gaussian().left_condition(value)
        loc = matvecmul(self.matrix.mT, value) + self.loc
        return AffineNormal(self.matrix[..., :0, :], loc, self.scale)

    def rsample(self, sample_shape: Any = torch.Size(), noise: Tensor | None = None) -> Tensor:
        """Return reparameterized draws of y, once :meth:`left_condition` has fixed x.

        Args:
            sample_shape: Shape of independent draws.
            noise: Standard normal, shape ``(*sample, *batch, m)``; drawn if absent.
        """
        if self.matrix.shape[-2] > 0:
            raise NotImplementedError("AffineNormal.rsample: fix x first, by left_condition(x)")
        shape = torch.Size(sample_shape) + self.batch_shape + self.loc.shape[-1:]
        if noise is None:
            noise = torch.randn(shape, dtype=self.loc.dtype, device=self.loc.device)
        return self.loc + self.scale * noise

    def event_permute(self, perm: Tensor) -> Gaussian:
        """Return the factor with the variables of (x, y) in the order of the indices ``perm``."""
        return self.to_gaussian().event_permute(perm)

    def marginalize(self, left: int = 0, right: int = 0) -> Gaussian:
        """Return the integral over the ``left`` leftmost and ``right`` rightmost variables."""
        if left == 0 and right == self.loc.shape[-1]:  # a density of y integrates to one
            info_vec = torch.zeros_like(self.matrix[..., 0])
            precision = torch.zeros_like(self.matrix @ self.matrix.mT)
            return Gaussian(torch.zeros_like(info_vec[..., 0]), info_vec, precision)
        return self.to_gaussian().marginalize(left, right)
