"""Distributions whose density counts only where a mask holds."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.distributions import constraints

from ppl.arguments import as_tensor

from .feasible import may_be_drawn, stand_in
from .interface import Distribution
from .mixin import TorchDistribution, TorchDistributionMixin
from .score_parts import ScoreParts
from .util import broadcast_shape, is_identically_zero, scale_and_mask
from .values import dtype_of_parameters


class MaskedDistribution(TorchDistribution):
    """A distribution with a log density of zero where ``mask`` is false.

    Sampling is that of the base distribution. Values under a false mask never reach its density:
    they may be nan, and no gradient flows from them. With ``mask=False`` it is not evaluated.

    Args:
        base_dist: The distribution to mask.
        mask: A boolean, or a boolean tensor that broadcasts with ``base_dist.batch_shape``.

    Example:
        >>> from ppl.distribution import Delta
        >>> d = Delta(torch.zeros(2)).mask(torch.tensor([True, False]))
        >>> d.log_prob(torch.tensor([0.0, torch.nan]))
        tensor([0., 0.])
    """

    arg_constraints: dict[str, constraints.Constraint] = {}

    def __init__(self, base_dist: TorchDistributionMixin, mask: Tensor | bool) -> None:
        if not isinstance(mask, bool):
            mask = as_tensor(mask, f"the mask of {type(base_dist).__name__}")
            shape = torch.Size(broadcast_shape(mask.shape, base_dist.batch_shape))
            if mask.shape != shape:
                mask = mask.expand(shape)
            if base_dist.batch_shape != shape:
                base_dist = base_dist.expand(shape)
            mask = mask.bool()
        self.base_dist = base_dist
        self._mask = mask
        super().__init__(base_dist.batch_shape, base_dist.event_shape, validate_args=False)

    def expand(self, batch_shape: Any, _instance: object = None) -> MaskedDistribution:
        mask = self._mask.expand(batch_shape) if isinstance(self._mask, Tensor) else self._mask
        return MaskedDistribution(self.base_dist.expand(batch_shape), mask)

    @property
    def has_rsample(self) -> bool:
        return self.base_dist.has_rsample

    @has_rsample.setter
    def has_rsample(self, value: bool) -> None:
        self.base_dist.has_rsample = value

    @property
    def has_enumerate_support(self) -> bool:  # type: ignore[override]
        return self.base_dist.has_enumerate_support

    @constraints.dependent_property
    def support(self) -> Any:
        return self.base_dist.support

    def sample(self, sample_shape: Any = torch.Size()) -> Tensor:
        x: Tensor = self.base_dist.sample(sample_shape)
        return x

    def rsample(self, sample_shape: Any = torch.Size()) -> Tensor:
        return self.base_dist.rsample(sample_shape)

    def log_prob(self, value: Tensor) -> Tensor:
        if self._mask is False:
            return self._zeros(value)
        if self._mask is True:
            return self.base_dist.log_prob(value)
        return scale_and_mask(self.base_dist.log_prob(self._counted(value)), mask=self._mask)

    def score_parts(self, value: Tensor) -> ScoreParts:
        """Return the parts: a hidden value has no density, but was drawn all the same.

        So it keeps its score function, which multiplies what the value does elsewhere; but for a
        value that cannot have been drawn, outside the support.
        """
        if self._mask is True:
            return self.base_dist.score_parts(value)
        parts = self.base_dist.score_parts(self._counted(value)).scale_and_mask(mask=self._mask)
        if is_identically_zero(parts.score_function):
            return parts
        possible = may_be_drawn(value, self.base_dist) | torch.as_tensor(self._mask)
        score = self.base_dist.score_parts(stand_in(value, possible, self.base_dist)).score_function
        return parts._replace(score_function=scale_and_mask(score, mask=possible))

    def _counted(self, value: Tensor) -> Tensor:
        """Replace hidden values: a nan or infinite gradient would survive the product with 0."""
        return stand_in(value, self._mask, self.base_dist)

    def _zeros(self, value: Tensor) -> Tensor:
        shape = broadcast_shape(value.shape[: value.dim() - self.event_dim], self.batch_shape)
        dtype = value.dtype if value.is_floating_point() else dtype_of_parameters(self.base_dist)
        return value.new_zeros((), dtype=dtype or torch.get_default_dtype()).expand(shape)

    def enumerate_support(self, expand: bool = True) -> Tensor:
        return self.base_dist.enumerate_support(expand=expand)

    def conjugate_update(self, other: Distribution) -> tuple[MaskedDistribution, Tensor]:
        """Return the normalized product; where the mask is false, ``other`` does not count."""
        product, log_normalizer = self.base_dist.conjugate_update(other)
        return MaskedDistribution(product, self._mask), scale_and_mask(
            log_normalizer, mask=self._mask
        )

    def entropy(self) -> Tensor:
        """Return the entropy, zero where the mask is false."""
        entropy: Tensor = self.base_dist.entropy()
        return scale_and_mask(entropy, mask=self._mask)

    @property
    def mean(self) -> Tensor:
        return self.base_dist.mean

    @property
    def variance(self) -> Tensor:
        return self.base_dist.variance

    def __repr__(self) -> str:
        mask = tuple(self._mask.shape) if isinstance(self._mask, Tensor) else self._mask
        return f"{type(self).__name__}({self.base_dist}, mask={mask})"
