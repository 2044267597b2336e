"""Bounds on the evidence from Renyi's divergences; the importance-weighted one among them."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from ppl.errors import ArgumentError
from ppl.infer.util import torch_backward

from .log_weights import LogWeights, log_weights
from .trace_elbo import Trace_ELBO

Model = Callable[..., Any]


class RenyiELBO(Trace_ELBO):
    """An estimator of minus the variational Renyi bound (Li & Turner 2016, equation 10).

    With importance weights ``w`` of ``num_particles`` samples of the guide the bound is
    ``log(mean(w ** (1 - alpha))) / (1 - alpha)``: for ``alpha = 0`` that of importance-weighted
    autoencoders (Burda et al. 2016), for ``alpha`` towards 1 the ELBO, above 1 an upper-bound-like
    pessimist. Plates that all sites are in have weights element by element, which is tighter and
    leaves subsampled estimates unbiased; scales of ``poutine.scale`` count as powers of a density.
    Samples that are not reparametrized contribute their score function times the whole bound.

    Args:
        alpha: The order of the divergence, any number but 1.
        num_particles: How many samples make one estimate.
        max_plate_nesting: As of :class:`Trace_ELBO`, and so are the others.
        max_iarange_nesting: The old name of ``max_plate_nesting``.
        vectorize_particles: Draw all samples in one vectorized execution.
        strict_enumeration_warning: Whether to warn of marks for enumeration.

    Raises:
        ArgumentError: If ``alpha`` is 1: use :class:`Trace_ELBO`, whose gradients vary less.

    Example:
        >>> import torch, ppl.distributions as dist
        >>> from ppl.primitives import sample
        >>> def model():
        ...     sample("z", dist.Normal(0.0, 1.0))
        >>> abs(RenyiELBO(alpha=0.5).loss(model, model)) < 1e-6  # the guide is the posterior
        True
    """

    def __init__(
        self,
        alpha: float = 0,
        num_particles: int = 2,
        max_plate_nesting: float = math.inf,
        max_iarange_nesting: int | None = None,
        vectorize_particles: bool = False,
        strict_enumeration_warning: bool = True,
        **unknown: Any,
    ) -> None:
        if alpha == 1:
            raise ArgumentError("alpha must not be 1, where the bound is the ELBO: use Trace_ELBO")
        self.alpha = alpha
        super().__init__(
            num_particles,
            max_plate_nesting,
            max_iarange_nesting,
            vectorize_particles,
            strict_enumeration_warning,
            **unknown,
        )

    def loss(self, model: Model, guide: Model, *args: Any, **kwargs: Any) -> float:
        """Return an estimate of minus the bound, in nats."""
        with torch.no_grad():
            return self.differentiable_loss(model, guide, *args, **kwargs).item()

    def differentiable_loss(self, model: Model, guide: Model, *args: Any, **kwargs: Any) -> Tensor:
        """Return an estimate of minus the bound whose gradient estimates its gradient."""
        traces = list(self._particles(model, guide, args, kwargs))
        num_vectorized = self.num_particles if self.vectorize_particles else 1
        return -self._bound(log_weights(traces, num_vectorized))

    def loss_and_grads(self, model: Model, guide: Model, *args: Any, **kwargs: Any) -> float:
        """Return an estimate of minus the bound and add its gradient to those of parameters."""
        loss = self.differentiable_loss(model, guide, *args, **kwargs)
        torch_backward(loss, self.retain_graph)
        return loss.item()

    def _bound(self, weights: LogWeights) -> Tensor:
        """Return the bound, summed over plates, with the gradient of its estimator."""
        power, values = 1 - self.alpha, weights.values
        mean = (power * values).logsumexp(0) - math.log(len(values))
        bound = weights.scale * mean / power
        if isinstance(weights.score, Tensor):
            cost = bound.detach() * weights.score.sum(0)
            bound = bound + (cost - cost.detach())
        return bound.sum()
