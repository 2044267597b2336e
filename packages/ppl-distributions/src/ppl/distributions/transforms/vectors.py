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

    domain = constraints.real_vector
    codomain = constraints.ordered_vector
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
    """Projection of nonzero real vectors onto the sphere of unit ``p``-norm; not injective.

    Example:
        >>> Normalize()(torch.tensor([3.0, 4.0]))
        tensor([0.6000, 0.8000])
    """

    domain = constraints.real_vector
    codomain = constraints.sphere
    bijective = False

    def __init__(self, p: float = 2, cache_size: int = 0) -> None:
        super().__init__(cache_size=cache_size)
        self.p = p

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Normalize) and self.p == other.p

    def with_cache(self, cache_size: int = 1) -> Normalize:
        return Normalize(self.p, cache_size)

    def _call(self, x: Tensor) -> Tensor:
        return torch.nn.functional.normalize(x, p=self.p, dim=-1)

    def _inverse(self, y: Tensor) -> Tensor:
        return y


class Permute(Transform):
    """Bijection that reorders the entries along a dimension; it preserves volume.

    Args:
        permutation: Where each entry comes from, shape ``(n,)``.
        dim: The dimension to reorder, negative.
        cache_size: 1 to remember the last value and its image, 0 not to.
    Raises:
        ValueError: If ``dim`` is not negative.

    Example:
        >>> Permute(torch.tensor([2, 0, 1]))(torch.tensor([10.0, 20.0, 30.0]))
        tensor([30., 10., 20.])
    """

    bijective = True
    volume_preserving = True

    def __init__(self, permutation: Tensor, *, dim: int = -1, cache_size: int = 1) -> None:
        super().__init__(cache_size=cache_size)
        if dim >= 0:
            raise ValueError(f"Permute: dim counts from the right and is negative, got {dim}")
        self.permutation = permutation
        self.dim = dim

    @constraints.dependent_property(is_discrete=False)
    def domain(self) -> Any:
        return constraints.independent(constraints.real, -self.dim)

    @constraints.dependent_property(is_discrete=False)
    def codomain(self) -> Any:
        return constraints.independent(constraints.real, -self.dim)

    @property
    def inv_permutation(self) -> Tensor:
        """The permutation that undoes this one."""
        return self.permutation.argsort()

    def with_cache(self, cache_size: int = 1) -> Permute:
        return Permute(self.permutation, dim=self.dim, cache_size=cache_size)

    def _call(self, x: Tensor) -> Tensor:
        return x.index_select(self.dim, self.permutation.to(x.device))

    def _inverse(self, y: Tensor) -> Tensor:
        return y.index_select(self.dim, self.inv_permutation.to(y.device))

    def log_abs_det_jacobian(self, x: Tensor, y: Tensor) -> Tensor:
        return x.new_zeros(x.shape[: self.dim])


class LowerCholeskyAffine(Transform):
    """Bijection ``y = scale_tril @ x + loc`` of real vectors.

    Args:
        loc: Shape ``(*batch, n)``.
        scale_tril: Lower triangular with a nonzero diagonal, shape ``(*batch, n, n)``.
        cache_size: 1 to remember the last value and its image, 0 not to.
    """

    domain = constraints.real_vector
    codomain = constraints.real_vector
    bijective = True
    volume_preserving = False

    def __init__(self, loc: Tensor, scale_tril: Tensor, cache_size: int = 0) -> None:
        super().__init__(cache_size=cache_size)
        self.loc = loc
        self.scale_tril = scale_tril

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


def permute(input_dim: int, permutation: Tensor | None = None, dim: int = -1) -> Permute:
    """Return a :class:`Permute` of ``input_dim`` entries, a random one by default."""
    if permutation is None:
        permutation = torch.randperm(input_dim)
    return Permute(permutation, dim=dim)
