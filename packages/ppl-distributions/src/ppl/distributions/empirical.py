"""Weighted samples as a distribution."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.distributions import constraints

from ppl.distribution import TorchDistribution
from ppl.distribution.shapes import shape_of_samples
from ppl.errors import ShapeError

from .categorical import Categorical


class Empirical(TorchDistribution):
    """The discrete distribution over given samples, with given weights.

    Args:
        samples: Values, shape ``(*batch, n, *event)``.
        log_weights: Log weights of the ``n`` samples, up to a constant, shape ``(*batch, n)``.
        validate_args: Whether to check values; the global default if ``None``. A check allows
            :meth:`log_prob` to score one value for each batch entry only.
    Raises:
        ShapeError: If the shape of ``log_weights`` is not the leftmost part of that of ``samples``.

    Example:
        >>> d = Empirical(torch.tensor([1.0, 2.0, 2.0]), torch.zeros(3))
        >>> d.log_prob(torch.tensor(2.0)).exp()
        tensor(0.6667)
    """

    arg_constraints: dict[str, constraints.Constraint] = {}
    support: constraints.Constraint = constraints.real
    has_enumerate_support = True

    def __init__(
        self, samples: Tensor, log_weights: Tensor, validate_args: bool | None = None
    ) -> None:
        dim = log_weights.dim()
        if dim == 0 or samples.shape[:dim] != log_weights.shape:
            raise ShapeError(
                f"Empirical: samples have shape {tuple(samples.shape)} and log_weights "
                f"{tuple(log_weights.shape)}; expected (*batch, n, *event) and (*batch, n)"
            )
        self._samples = samples
        self._log_weights = log_weights.log_softmax(-1)
        super().__init__(log_weights.shape[:-1], samples.shape[dim:], validate_args=validate_args)

    def expand(self, batch_shape: Any, _instance: Any = None) -> Any:
        batch_shape = torch.Size(batch_shape)
        samples = self._samples.expand(batch_shape + self._samples.shape[self._batch_dim :])
        log_weights = self._log_weights.expand(batch_shape + self._log_weights.shape[-1:])
        return Empirical(samples, log_weights, self._validate_args)

    @property
    def _batch_dim(self) -> int:
        return len(self.batch_shape)

    @property
    def is_discrete(self) -> bool:
        """True: the samples are isolated, though they may be any real numbers."""
        return True

    @property
    def sample_size(self) -> int:
        """Number of samples of each batch entry."""
        return self._log_weights.shape[-1]

    @property
    def log_weights(self) -> Tensor:
        """Normalized log weights, shape ``(*batch, n)``."""
        return self._log_weights

    def sample(self, sample_shape: Any = torch.Size()) -> Tensor:
        with torch.no_grad():
            shape = shape_of_samples(self, sample_shape)
            chosen = Categorical(logits=self._log_weights).sample(shape)  # (*sample, *batch)
            index = chosen.reshape(chosen.shape + (1,) * (1 + self.event_dim))
            index = index.expand(chosen.shape + (1,) + self.event_shape)
            samples = self._samples.expand(shape + self._samples.shape)
            return samples.gather(chosen.dim(), index).squeeze(chosen.dim())

    def log_prob(self, value: Tensor) -> Tensor:
        """Return the log of the total weight of the samples that equal ``value``.

        Raises:
            ShapeError: If validation is on and ``value`` has another shape than one sample.
        """
        if self._validate_args and value.shape != self.shape():
            raise ShapeError(
                f"Empirical: value has shape {tuple(value.shape)}, but scores one sample of shape "
                f"{tuple(self.shape())} at a time; pass validate_args=False to score a batch"
            )
        equal = value.unsqueeze(-1 - self.event_dim) == self._samples
        equal = equal.flatten(-self.event_dim).all(-1) if self.event_dim else equal
        found = equal.any(-1, keepdim=True)  # the slope of a sum over nothing would be nan
        scores = torch.where(equal, self._log_weights, -torch.inf)
        total = torch.where(found, scores, 0.0).logsumexp(-1)
        return torch.where(found.squeeze(-1), total, -torch.inf)

    def enumerate_support(self, expand: bool = True) -> Tensor:
        """Return the samples along a new leftmost dimension.

        Raises:
            NotImplementedError: If ``expand`` is false but samples differ between batch entries.
        """
        values = self._samples.movedim(self._batch_dim, 0)
        if expand:
            return values
        first = values.flatten(1, self._batch_dim)[:, 0] if self._batch_dim else values
        compact = first.reshape((-1,) + (1,) * self._batch_dim + self.event_shape)
        if not (values == compact).all():
            raise NotImplementedError("Empirical: samples differ between batch entries; use expand")
        return compact

    @property
    def mean(self) -> Tensor:
        return self._average(self._samples)

    @property
    def variance(self) -> Tensor:
        center = self.mean.unsqueeze(self._batch_dim)
        return self._average((self._samples - center).square())

    def _average(self, values: Tensor) -> Tensor:
        """Return the weighted mean over samples, shape ``(*batch, *event)``."""
        shape = self._log_weights.shape + (1,) * self.event_dim
        return (values * self._log_weights.exp().reshape(shape)).sum(self._batch_dim)
