"""Counts of categories whose probabilities are a Dirichlet variable."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.distributions import constraints

from ppl.distribution import TorchDistribution
from ppl.distribution.util import broadcast_shape

from . import saddle_point
from .expansion import expand_parameters
from .simplex import Dirichlet


class DirichletMultinomial(TorchDistribution):
    """Multinomial whose probabilities are drawn from a Dirichlet distribution.

    Args:
        concentration: Concentrations of the Dirichlet distribution, positive, ``(*batch, k)``.
        total_count: Number of draws, a nonnegative integer or a tensor of shape ``batch``.
        is_sparse: Whether counts are mostly zero. Then :meth:`log_prob` evaluates the other ones
            only, which is faster but reads the values, so that it cannot be recorded.
        validate_args: Whether to check arguments and values; the global default if ``None``.

    Example:
        >>> DirichletMultinomial(torch.tensor([1.0, 3.0]), total_count=8).mean
        tensor([2., 6.])
    """

    arg_constraints: dict[str, constraints.Constraint] = {
        "concentration": constraints.independent(constraints.positive, 1),
        "total_count": constraints.nonnegative_integer,
    }

    def __init__(
        self,
        concentration: Tensor,
        total_count: Tensor | int = 1,
        is_sparse: bool = False,
        validate_args: bool | None = None,
    ) -> None:
        total_count = torch.as_tensor(total_count, device=concentration.device)
        batch_shape = torch.Size(broadcast_shape(concentration.shape[:-1], total_count.shape))
        concentration = concentration.expand(batch_shape + concentration.shape[-1:])
        self._dirichlet = Dirichlet(concentration, validate_args=False)
        self.total_count: Tensor = total_count.to(concentration.dtype).expand(batch_shape)
        self.is_sparse = is_sparse
        super().__init__(batch_shape, concentration.shape[-1:], validate_args=validate_args)

    @classmethod
    def infer_shapes(
        cls, concentration: tuple[int, ...], total_count: tuple[int, ...] = ()
    ) -> tuple[torch.Size, torch.Size]:
        batch_shape = broadcast_shape(concentration[:-1], total_count)
        return torch.Size(batch_shape), torch.Size(concentration[-1:])

    def expand(self, batch_shape: Any, _instance: Any = None) -> Any:
        new = expand_parameters(self, batch_shape, _instance)
        new._dirichlet = self._dirichlet.expand(batch_shape)
        return new

    @property
    def concentration(self) -> Tensor:
        """Concentrations of the Dirichlet distribution."""
        concentration: Tensor = self._dirichlet.concentration
        return concentration

    @constraints.dependent_property(is_discrete=True, event_dim=1)
    def support(self) -> Any:
        return constraints.multinomial(self.total_count)

    def sample(self, sample_shape: Any = ()) -> Tensor:
        """Return counts, category by category: each is binomial among the draws that are left."""
        with torch.no_grad():
            probs = self._dirichlet.sample(sample_shape)
            tails = probs.flip(-1).cumsum(-1).flip(-1)
            left, counts = self.total_count + torch.zeros_like(probs[..., 0]), []
            for share in (probs[..., :-1] / tails[..., :-1]).clamp(max=1.0).unbind(-1):
                counts.append(torch.binomial(left, share))
                left = left - counts[-1]
            return torch.stack([*counts, left], -1)

    def log_prob(self, value: Tensor) -> Tensor:
        if self._validate_args:
            self._validate_sample(value)
        return saddle_point.dirichlet_multinomial(
            value, self.concentration, self.total_count, is_sparse=self.is_sparse
        )

    @property
    def mean(self) -> Tensor:
        return self._dirichlet.mean * self.total_count.unsqueeze(-1)

    @property
    def variance(self) -> Tensor:
        size, count = self.concentration.sum(-1, keepdim=True), self.total_count.unsqueeze(-1)
        probs = self._dirichlet.mean
        return count * probs * (1 - probs) * (count + size) / (1 + size)
