"""Rearrangements and rotations of the entries along one dimension; all preserve volume."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.distributions.transforms import Transform

from ppl.errors import ShapeError
from ppl.ops.tensor_utils import dct, haar_transform, idct, inverse_haar_transform

from .. import constraints


class _AlongDim(Transform):
    """Bijection of the entries along ``dim``, a negative number, that preserves volume."""

    bijective = True
    volume_preserving = True

    def __init__(self, dim: int, cache_size: int) -> None:
        super().__init__(cache_size=cache_size)
        if dim >= 0:
            name = type(self).__name__
            raise ValueError(f"{name}: dim counts from the right and is negative, got {dim}")
        self.dim = dim

    @constraints.dependent_property(is_discrete=False)
    def domain(self) -> Any:
        return constraints.independent(constraints.real, -self.dim)

    @constraints.dependent_property(is_discrete=False)
    def codomain(self) -> Any:
        return constraints.independent(constraints.real, -self.dim)

    def log_abs_det_jacobian(self, x: Tensor, y: Tensor) -> Tensor:
        return x.new_zeros(x.shape[: self.dim])

    def forward_shape(self, shape: Any) -> torch.Size:
        return torch.Size(shape)

    inverse_shape = forward_shape


class Permute(_AlongDim):
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

    def __init__(self, permutation: Tensor, *, dim: int = -1, cache_size: int = 1) -> None:
        super().__init__(dim, cache_size)
        self.permutation = permutation

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, Permute)
            and self.dim == other.dim
            and torch.equal(self.permutation, other.permutation)
        )

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


class DiscreteCosineTransform(_AlongDim):
    """Bijection of signals to their frequencies, by the cosine transform of type II.

    Args:
        dim: The dimension of the signal, negative.
        smooth: Frequency ``k`` is multiplied by ``(k + 1/2) ** smooth``, up to a factor that keeps
            the volume, so that the frequencies of a smooth signal become alike: with 0 those of
            white noise, with 1 of Brownian motion, with 2 of its integral.
        cache_size: 1 to remember the last value and its image, 0 not to.
    Raises:
        ValueError: If ``dim`` is not negative.

    Example:
        >>> DiscreteCosineTransform()(torch.ones(4)).round(decimals=6).abs()
        tensor([2., 0., 0., 0.])
    """

    def __init__(self, dim: int = -1, smooth: float = 0.0, cache_size: int = 0) -> None:
        super().__init__(dim, cache_size)
        self.smooth: float = float(smooth)

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, DiscreteCosineTransform)
            and self.dim == other.dim
            and self.smooth == other.smooth
        )

    def with_cache(self, cache_size: int = 1) -> DiscreteCosineTransform:
        return DiscreteCosineTransform(self.dim, self.smooth, cache_size)

    def _call(self, x: Tensor) -> Tensor:
        return self._roughness(x) * dct(x, self.dim)

    def _inverse(self, y: Tensor) -> Tensor:
        return idct(y / self._roughness(y), self.dim)

    def _roughness(self, x: Tensor) -> Tensor:
        """Return the factors of the frequencies, of geometric mean 1, along ``dim``."""
        frequency = torch.arange(x.shape[self.dim], dtype=x.dtype, device=x.device) + 0.5
        log_factor = self.smooth * frequency.log()
        factor = (log_factor - log_factor.mean()).exp()
        return factor.reshape((-1,) + (1,) * (-self.dim - 1))


class HaarTransform(_AlongDim):
    """Bijection of signals to their Haar wavelets, from coarse to fine; an isometry.

    Args:
        dim: The dimension of the signal, negative.
        flip: Whether to reverse the signal first, so that its last entries are the ones that an
            odd length leaves unpaired.
        cache_size: 1 to remember the last value and its image, 0 not to.
    Raises:
        ValueError: If ``dim`` is not negative.

    Example:
        >>> HaarTransform()(torch.tensor([1.0, 1.0, 1.0, 1.0]))
        tensor([2., 0., 0., 0.])
    """

    def __init__(self, dim: int = -1, flip: bool = False, cache_size: int = 0) -> None:
        super().__init__(dim, cache_size)
        self.flip = flip

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, HaarTransform) and self.dim == other.dim and self.flip == other.flip
        )

    def with_cache(self, cache_size: int = 1) -> HaarTransform:
        return HaarTransform(self.dim, self.flip, cache_size)

    def _call(self, x: Tensor) -> Tensor:
        signal = x.flip(self.dim) if self.flip else x
        return haar_transform(signal.movedim(self.dim, -1)).movedim(-1, self.dim)

    def _inverse(self, y: Tensor) -> Tensor:
        signal = inverse_haar_transform(y.movedim(self.dim, -1)).movedim(-1, self.dim)
        return signal.flip(self.dim) if self.flip else signal


def permute(
    input_dim: int | Sequence[int], permutation: Tensor | None = None, dim: int = -1
) -> Permute:
    """Return a :class:`Permute`, a random one by default.

    Args:
        input_dim: The number of entries along ``dim``, or all sizes from there on.
        permutation: Where each entry comes from; random by default.
        dim: The dimension to reorder, negative.
    Raises:
        ShapeError: If there are not as many sizes as dimensions.
    """
    if not isinstance(input_dim, int):
        if len(input_dim) != -dim:
            raise ShapeError(f"permute: expected {-dim} sizes for dim={dim}, got {input_dim}")
        input_dim = input_dim[dim]
    if permutation is None:
        permutation = torch.randperm(input_dim)
    return Permute(permutation, dim=dim)
