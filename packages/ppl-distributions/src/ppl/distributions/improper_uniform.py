"""A flat density without a normalizer."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.distributions import constraints

from ppl.distribution import TorchDistribution
from ppl.distribution.shapes import as_shape
from ppl.distribution.util import broadcast_shape


class ImproperUniform(TorchDistribution):
    """Density one over a whole support, however large.

    It cannot be sampled. Inference draws initial values in unconstrained space instead, and
    ``ppl.factor`` adds any other density.

    Args:
        support: The support, a constraint.
        batch_shape: Shape of independent values.
        event_shape: Shape of one value.

    Example:
        >>> d = ImproperUniform(constraints.positive, (), ())
        >>> d.log_prob(torch.tensor([0.1, 1e6]))
        tensor([0., 0.])
    """

    arg_constraints: dict[str, constraints.Constraint] = {}

    def __init__(self, support: Any, batch_shape: Any, event_shape: Any) -> None:
        self._support = support
        what = "a shape of ImproperUniform"
        super().__init__(as_shape(what, batch_shape), as_shape(what, event_shape))

    @constraints.dependent_property
    def support(self) -> Any:
        return self._support

    def expand(self, batch_shape: Any, _instance: Any = None) -> Any:
        new = self._get_checked_instance(ImproperUniform, _instance)
        new._support = self._support
        super(ImproperUniform, new).__init__(
            torch.Size(batch_shape), self.event_shape, validate_args=False
        )
        new._validate_args = self._validate_args
        return new

    def log_prob(self, value: Tensor) -> Tensor:
        if self._validate_args:
            self._validate_sample(value)
        sample_batch = value.shape[: value.dim() - self.event_dim]
        return value.new_zeros(broadcast_shape(sample_batch, self.batch_shape))

    def sample(self, sample_shape: Any = torch.Size()) -> Tensor:
        raise NotImplementedError(
            "ImproperUniform has no draws, for its density has no integral; give the site a value, "
            "or a proper prior"
        )
