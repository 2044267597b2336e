"""A Gaussian factor in canonical form."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from .batched import Batched
from .matrices import matvecmul
from .quadratic import Quadratic, integrate_ends


@dataclass(frozen=True, eq=False)
class Gaussian(Batched):
    """A Gaussian function that need not be a density, or even integrable.

    Its logarithm is ``log_normalizer + info_vec @ x - x @ precision @ x / 2``, so that a product of
    factors is a sum of attributes. The attributes broadcast with each other: what many factors
    share is stored, and factorized, once.

    Args:
        log_normalizer: Log of the value at zero (nats), shape ``batch``.
        info_vec: Shape ``(*batch, n)``.
        precision: Symmetric, positive semidefinite or not, shape ``(*batch, n, n)``.
    """

    log_normalizer: Tensor
    info_vec: Tensor
    precision: Tensor
    event_dims: ClassVar[tuple[int, ...]] = (0, 1, 2)

    def dim(self) -> int:
        """Return the number of variables."""
        return self.info_vec.shape[-1]

    @property
    def form(self) -> Quadratic:
        """The logarithm without its constant."""
        return Quadratic(self.info_vec, self.precision)

    def event_pad(self, left: int = 0, right: int = 0) -> Gaussian:
        """Return the same function of more variables, constant in the new ones."""
        return Gaussian(self.log_normalizer, *self.form.padded(left, right))

    def event_permute(self, perm: Tensor) -> Gaussian:
        """Return the same function with its variables in the order of the indices ``perm``."""
        return Gaussian(self.log_normalizer, *self.form.permuted(perm))

    def __add__(self, other: Gaussian | Tensor | float) -> Gaussian:
        """Return the product of two factors, or of a factor and the exponential of a number."""
        if not isinstance(other, Gaussian):
            return Gaussian(self.log_normalizer + other, self.info_vec, self.precision)
        return Gaussian(*(x + y for x, y in zip(self.tensors, other.tensors, strict=True)))

    def __sub__(self, other: Tensor | float) -> Gaussian:
        """Return the quotient of a factor and the exponential of a number."""
        return self + -other

    def log_density(self, value: Tensor) -> Tensor:
        """Return the logarithm (nats) at ``value``, of shape ``(*batch, n)``."""
        return self.log_normalizer + self.form.at(value)

    def rsample(self, sample_shape: Any = torch.Size(), noise: Tensor | None = None) -> Tensor:
        """Return reparameterized draws from the density proportional to this factor.

        Args:
            sample_shape: Shape of independent draws.
            noise: Standard normal, shape ``(*sample, *batch, n)``; drawn if absent.
        """
        mean, scale = self.form.mean_and_scale()
        shape = torch.Size(sample_shape) + self.batch_shape + (self.dim(),)
        if noise is None:
            noise = torch.randn(shape, dtype=mean.dtype, device=mean.device)
        return (mean + matvecmul(scale, noise)).expand(shape)

    def condition(self, value: Tensor) -> Gaussian:
        """Return the function of the left variables that fixing the right ones leaves.

        Args:
            value: Of the rightmost variables, shape ``(*batch, k)``.
        """
        at_value, rest = self.form.condition(value)
        return Gaussian(self.log_normalizer + at_value, *rest)

    def left_condition(self, value: Tensor) -> Gaussian:
        """Return the function of the right variables that fixing the left ones leaves."""
        rotated = self.form.rotated(value.shape[-1])
        return Gaussian(self.log_normalizer, *rotated).condition(value)

    def marginalize(self, left: int = 0, right: int = 0) -> Gaussian:
        """Return the integral over the ``left`` leftmost and ``right`` rightmost variables."""
        if left == right == 0:
            return self
        rest, half_square, log_volume = integrate_ends(self.form, left, right)
        return Gaussian(self.log_normalizer + half_square + log_volume, *rest)

    def event_logsumexp(self) -> Tensor:
        """Return the log of the integral over all variables, shape ``batch``."""
        return self.marginalize(right=self.dim()).log_normalizer
