"""Distributions sampled by rejection."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.distributions import constraints

from ppl.distribution import ScoreParts, TorchDistribution, TorchDistributionMixin
from ppl.errors import ShapeError


class Rejector(TorchDistribution):
    """Proposals that are kept with a probability that depends on their value.

    The density is that of the proposal times the probability to keep it, over the mean of that
    probability. A draw is reparameterized as far as its proposal is; for the rest
    :meth:`score_parts` gives a score function (Naesseth et al. 2017, equation 6). Sampling repeats
    until all values are kept, so it cannot be recorded.

    Args:
        propose: The distribution of proposals.
        log_prob_accept: Takes proposals and returns the log probabilities to keep them.
        log_scale: Log of the mean of these probabilities, in the batch shape or a number.
        batch_shape: To expand the proposals to; theirs by default.
        event_shape: That of the proposals, which may be said again.
        validate_args: Whether to check values; the global default if ``None``.
    Raises:
        ShapeError: If the proposals have another event shape.

    Example:
        >>> from ppl.distributions import Exponential
        >>> d = Rejector(Exponential(1.0), lambda x: -x, -torch.tensor(2.0).log())
        >>> d.log_prob(torch.tensor(0.3)), Exponential(2.0).log_prob(torch.tensor(0.3))
        (tensor(0.0931), tensor(0.0931))
    """

    arg_constraints: dict[str, constraints.Constraint] = {}
    has_rsample = True

    def __init__(
        self,
        propose: Any,
        log_prob_accept: Callable[[Tensor], Tensor],
        log_scale: Tensor | float,
        *,
        batch_shape: Any = None,
        event_shape: Any = None,
        validate_args: bool | None = None,
    ) -> None:
        shape = propose.batch_shape if batch_shape is None else torch.Size(batch_shape)
        event = propose.event_shape if event_shape is None else torch.Size(event_shape)
        if event != propose.event_shape:
            raise ShapeError(
                f"Rejector: event_shape is {tuple(event)}, but proposals have "
                f"{tuple(propose.event_shape)}; leave it out, or use propose.to_event(n)"
            )
        self.propose: TorchDistributionMixin = (
            propose if shape == propose.batch_shape else propose.expand(shape)
        )
        self.log_prob_accept = log_prob_accept
        self.log_scale = log_scale
        super().__init__(shape, event, validate_args=validate_args)

    def expand(self, batch_shape: Any, _instance: Any = None) -> Any:
        return Rejector(
            self.propose.expand(batch_shape),
            self.log_prob_accept,
            self.log_scale,
            validate_args=self._validate_args,
        )

    @constraints.dependent_property
    def support(self) -> Any:
        return self.propose.support

    def rsample(self, sample_shape: Any = torch.Size()) -> Tensor:
        x: Tensor = self.propose(sample_shape)
        kept = self._coin(x)
        while not kept.all():
            proposal = self.propose(sample_shape)
            x = torch.where(kept.reshape(kept.shape + (1,) * self.event_dim), x, proposal)
            kept = kept | self._coin(proposal)
        return x

    def _coin(self, x: Tensor) -> Tensor:
        """Return whether each proposal is kept, in the shape of its log density."""
        with torch.no_grad():
            log_prob = self.log_prob_accept(x)
            return torch.rand_like(log_prob).log() < log_prob

    def log_prob(self, x: Tensor) -> Tensor:
        if self._validate_args:
            self._validate_sample(x)
        log_prob: Tensor = self.propose.log_prob(x) + self._log_excess(x)
        return log_prob

    def score_parts(self, x: Tensor) -> ScoreParts:
        log_excess = self._log_excess(x)
        log_prob = self.propose.log_prob(x) + log_excess
        return ScoreParts(log_prob, score_function=log_excess, entropy_term=log_prob)

    def _log_excess(self, x: Tensor) -> Tensor:
        """Return the log of the density over that of the proposal."""
        return self.log_prob_accept(x) - self.log_scale
