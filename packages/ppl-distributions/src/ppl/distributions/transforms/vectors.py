"""Fixed transforms of vectors."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.distributions.transforms import Transform

from .. import constraints


class OrderedTransform(Transform):
    """Bijection from real vectors to increasing ones, ``y[i] = x[0] + sum(exp(x[1:i+1]))``.

    Example:
        >>> OrderedTransform()(torch.zeros(3))
        tensor([0., 1., 2.])
    """

    domain: constraints.Constraint = constraints.real_vector
    codomain: constraints.Constraint = constraints.ordered_vector
    bijective = True
    sign = +1

    def __eq__(self, other: object) -> bool:
        return isinstance(other, OrderedTransform)

    def _call(self, x: Tensor) -> Tensor:
        return torch.cat([x[..., :1], x[..., 1:].exp()], -1).cumsum(-1)

    def _inverse(self, y: Tensor) -> Tensor:
        return torch.cat([y[..., :1], (y[..., 1:] - y[..., :-1]).log()], -1)

    def log_abs_det_jacobian(self, x: Tensor, y: Tensor) -> Tensor:
        return x[..., 1:].sum(-1)


class Normalize(Transform):
    """Projection of real vectors onto the sphere of unit ``p``-norm; not injective.

    The zero vector, which has no direction, goes to the first axis.

    Example:
        >>> Normalize()(torch.tensor([3.0, 4.0]))
        tensor([0.6000, 0.8000])
    """

    domain: constraints.Constraint = constraints.real_vector
    codomain: constraints.Constraint = constraints.sphere
    bijective = False

    def __init__(self, p: float = 2, cache_size: int = 0) -> None:
        super().__init__(cache_size=cache_size)
        self.p = p

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Normalize) and self.p == other.p

    def with_cache(self, cache_size: int = 1) -> Normalize:
        return Normalize(self.p, cache_size)

    def _call(self, x: Tensor) -> Tensor:
        first = torch.arange(x.shape[-1], device=x.device) == 0
        undecided = (x == 0).all(-1, keepdim=True)
        return torch.nn.functional.normalize(torch.where(undecided, first.to(x), x), self.p, -1)

    def _inverse(self, y: Tensor) -> Tensor:
        return y


class LowerCholeskyAffine(Transform):
    """Bijection ``y = scale_tril @ x + loc`` of real vectors.

    Args:
        loc: Shape ``(*batch, n)``.
        scale_tril: Lower triangular with a nonzero diagonal, shape ``(*batch, n, n)``.
        cache_size: 1 to remember the last value and its image, 0 not to.
    """

    domain: constraints.Constraint = constraints.real_vector
    codomain: constraints.Constraint = constraints.real_vector
    bijective = True
    volume_preserving = False

    def __init__(self, loc: Tensor, scale_tril: Tensor, cache_size: int = 0) -> None:
        super().__init__(cache_size=cache_size)
        self.loc = loc
        self.scale_tril = scale_tril

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, LowerCholeskyAffine)
            and torch.equal(self.loc, other.loc)
            and torch.equal(self.scale_tril, other.scale_tril)
        )

    def with_cache(self, cache_size: int = 1) -> LowerCholeskyAffine:
        return LowerCholeskyAffine(self.loc, self.scale_tril, cache_size)

    def _call(self, x: Tensor) -> Tensor:
        image: Tensor = (self.scale_tril @ x.unsqueeze(-1)).squeeze(-1)
        return image + self.loc

    def _inverse(self, y: Tensor) -> Tensor:
        shift = (y - self.loc).unsqueeze(-1)
        x: Tensor = torch.linalg.solve_triangular(self.scale_tril, shift, upper=False)
        return x.squeeze(-1)

    def log_abs_det_jacobian(self, x: Tensor, y: Tensor) -> Tensor:
        log_det = self.scale_tril.diagonal(dim1=-2, dim2=-1).abs().log().sum(-1)
        return log_det.expand(torch.broadcast_shapes(log_det.shape, x.shape[:-1]))

    def forward_shape(self, shape: Any) -> torch.Size:
        parameters = self.loc.shape, self.scale_tril.shape[:-1]
        return torch.Size(torch.broadcast_shapes(shape, *parameters))

    inverse_shape = forward_shape
