"""Batch dimensions as event dimensions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from ppl.errors import ShapeError

from .interface import Distribution
from .mixin import TorchDistributionMixin
from .score_parts import ScoreParts
from .util import sum_rightmost

MOST_EVENTS = 2**20


if TYPE_CHECKING:  # what it wraps is a distribution of torch and of ours, which has no one type
    _TorchIndependent = torch.distributions.Independent[Any]
else:
    _TorchIndependent = torch.distributions.Independent


class Independent(_TorchIndependent, TorchDistributionMixin):
    """A distribution with its rightmost batch dimensions made event dimensions.

    Args:
        base_distribution: The distribution to reshape; ``base_dist`` is another spelling.
        reinterpreted_batch_ndims: How many batch dimensions become event dimensions.
        validate_args: Whether to check arguments and values; the global default if ``None``.
    """

    def __init__(
        self,
        base_distribution: Any = None,
        reinterpreted_batch_ndims: int | None = None,
        validate_args: bool | None = None,
        *,
        base_dist: Any = None,
    ) -> None:
        base = base_distribution if base_dist is None else base_dist
        if base is None or reinterpreted_batch_ndims is None:
            raise TypeError(
                "Independent() needs base_distribution (or base_dist) and reinterpreted_batch_ndims"
            )
        super().__init__(base, reinterpreted_batch_ndims, validate_args=validate_args)

    def expand(self, batch_shape: Any, _instance: Any = None) -> Independent:
        new = type(self).__new__(type(self)) if _instance is None else _instance
        return super().expand(batch_shape, new)  # type: ignore[no-any-return, no-untyped-call]

    @property
    def has_rsample(self) -> bool:
        return bool(self.base_dist.has_rsample)

    @has_rsample.setter
    def has_rsample(self, value: bool) -> None:
        self.base_dist.has_rsample = value

    @property
    def has_enumerate_support(self) -> bool:  # type: ignore[override]
        return bool(self.base_dist.has_enumerate_support)

    def enumerate_support(self, expand: bool = True) -> Tensor:
        """Return every event along a new leftmost dimension, the last component fastest.

        Raises:
            ShapeError: If there are more than :data:`MOST_EVENTS`.
        """
        values: Tensor = self.base_dist.enumerate_support(expand=False)
        sizes = self.base_dist.batch_shape[len(self.batch_shape) :]
        own = values.flatten(1)  # (value, *event of the base)
        digits = _digits(len(own), sizes.numel(), self)
        events: Tensor = own[digits.to(own.device)].reshape(
            (len(digits),) + (1,) * len(self.batch_shape) + self.event_shape
        )
        return events.expand((len(digits), *self.shape())) if expand else events

    def log_prob(self, value: Tensor) -> Tensor:
        return sum_rightmost(self.base_dist.log_prob(value), self.reinterpreted_batch_ndims)

    def entropy(self) -> Tensor:
        """Return the sum of the entropies of the components of an event."""
        return sum_rightmost(self.base_dist.entropy(), self.reinterpreted_batch_ndims)

    def conjugate_update(self, other: Distribution) -> tuple[Independent, Tensor]:
        n = self.reinterpreted_batch_ndims
        if not isinstance(other, Independent) or other.reinterpreted_batch_ndims != n:
            return super().conjugate_update(other)
        product, log_normalizer = self.base_dist.conjugate_update(other.base_dist)
        return Independent(product, n), sum_rightmost(log_normalizer, n)

    def score_parts(self, value: Tensor) -> ScoreParts:
        parts = self.base_dist.score_parts(value)
        n = self.reinterpreted_batch_ndims
        score, entropy = (sum_rightmost(part, n) for part in parts[1:])
        return ScoreParts(sum_rightmost(parts.log_prob, n), score, entropy)


def _digits(base: int, places: int, dist: Any) -> Tensor:
    """Return all numbers of so many places, one a row."""
    if base**places > MOST_EVENTS:
        raise ShapeError(
            f"{dist} has {base} ** {places} values, too many to enumerate; enumerate a smaller "
            "event, or independent components in a plate"
        )
    if places == 0:  # one empty event
        return torch.zeros((1, 0), dtype=torch.long)
    return torch.cartesian_prod(*[torch.arange(base)] * places).reshape(-1, places)
