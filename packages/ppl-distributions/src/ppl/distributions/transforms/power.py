"""Powers, with the sign of their base."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.distributions.transforms import Transform

from ppl.errors import SupportError

from .. import constraints


class PositivePowerTransform(Transform):
    """Bijection ``y = sign(x) |x| ** exponent`` of the real line.

    Powers above 1 make heavier tails. The derivative at zero is zero for these, and infinite for
    powers below 1, so that the density of an image has a pole there, or a zero.

    Args:
        exponent: Positive.
        cache_size: 1 to remember the last value and its image, 0 not to.
        validate_args: Whether to check the exponent; by default as for distributions.
    Raises:
        SupportError: If the exponent is not positive.

    Example:
        >>> PositivePowerTransform(2.0)(torch.tensor([-3.0, 2.0]))
        tensor([-9.,  4.])
    """

    domain: constraints.Constraint = constraints.real
    codomain: constraints.Constraint = constraints.real
    bijective = True
    sign = +1

    def __init__(
        self,
        exponent: Tensor | float,
        *,
        cache_size: int = 0,
        validate_args: bool | None = None,
    ) -> None:
        super().__init__(cache_size=cache_size)
        if not isinstance(exponent, Tensor):
            exponent = torch.tensor(exponent, dtype=torch.float64)  # all digits, for any argument
        self.exponent = exponent
        default = torch.distributions.Distribution._validate_args
        if (default if validate_args is None else validate_args) and not (exponent > 0).all():
            raise SupportError(
                f"PositivePowerTransform: expected exponent > 0, got {exponent.tolist()}"
            )

    def __eq__(self, other: object) -> bool:
        return isinstance(other, PositivePowerTransform) and torch.equal(
            self.exponent, other.exponent
        )

    def with_cache(self, cache_size: int = 1) -> PositivePowerTransform:
        return PositivePowerTransform(self.exponent, cache_size=cache_size, validate_args=False)

    def _call(self, x: Tensor) -> Tensor:
        return x.abs().pow(self.exponent.to(x)).copysign(x)

    def _inverse(self, y: Tensor) -> Tensor:
        return y.abs().pow(1 / self.exponent.to(y)).copysign(y)

    def log_abs_det_jacobian(self, x: Tensor, y: Tensor) -> Tensor:
        exponent = self.exponent.to(x)
        return exponent.log() + torch.xlogy(exponent - 1, x.abs())

    def forward_shape(self, shape: Any) -> torch.Size:
        return torch.Size(torch.broadcast_shapes(shape, self.exponent.shape))

    inverse_shape = forward_shape
