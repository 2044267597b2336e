"""Unit vectors as directions of real ones."""

from __future__ import annotations

import math

from torch import Tensor

from .vectors import Normalize


class SphereTransform(Normalize):
    """Direction of a real vector whose length is an independent chi variable.

    No bijection reaches the whole sphere, so one dimension is added: under the uniform law of the
    direction the vector is standard normal, easy to explore everywhere (Muller 1959). What
    ``log_abs_det_jacobian`` returns stands in for a Jacobian: an integral over the sphere is one
    over real vectors with that log weight. :attr:`inv` returns the vector of length one.

    Example:
        >>> import torch
        >>> SphereTransform()(torch.tensor([3.0, 4.0]))
        tensor([0.6000, 0.8000])
    """

    def __init__(self, cache_size: int = 0) -> None:
        super().__init__(cache_size=cache_size)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, SphereTransform)

    def with_cache(self, cache_size: int = 1) -> SphereTransform:
        return SphereTransform(cache_size)

    def log_abs_det_jacobian(self, x: Tensor, y: Tensor) -> Tensor:
        half = x.shape[-1] / 2
        log_area_over_normalizer = (1 - half) * math.log(2) - math.lgamma(half)
        return log_area_over_normalizer - x.square().sum(-1) / 2
