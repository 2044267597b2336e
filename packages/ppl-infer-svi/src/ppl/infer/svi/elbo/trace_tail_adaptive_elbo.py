"""The gradient of an f-divergence that adapts to the tails of the importance weights."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor

import ppl.poutine as poutine
from ppl.errors import ArgumentError
from ppl.infer.util import check_fully_reparametrized

from .log_weights import log_weights
from .trace_elbo import Trace_ELBO

Model = Callable[..., Any]


class TraceTailAdaptive_ELBO(Trace_ELBO):  # the public name is the field's
    """Gradients of the tail-adaptive f-divergence (Wang, Liu & Liu 2018, algorithm 1).

    The particles count by the ranks of their importance weights, ``w ** tail_adaptive_beta`` of the
    share of weights at least as large, which has finite variance whatever the tails. With
    ``tail_adaptive_beta=0`` it is the gradient of the ELBO.

    The loss that is returned has no meaning of its own: watch the fit with :class:`RenyiELBO` or
    :class:`Trace_ELBO`. Plates must not subsample.

    Raises:
        ArgumentError: Unless ``num_particles`` is 2 or more and ``vectorize_particles`` is set.
        SiteError: If a site of the guide is not reparametrized; a NotImplementedError too.
    """

    def loss(self, model: Model, guide: Model, *args: Any, **kwargs: Any) -> float:
        """Return the surrogate whose gradient is followed; its value has no meaning."""
        return self.differentiable_loss(model, guide, *args, **kwargs).item()

    def _get_trace(
        self, model: Model, guide: Model, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[poutine.Trace, poutine.Trace]:
        if self.num_particles < 2 or not self.vectorize_particles:
            raise ArgumentError(
                "TraceTailAdaptive_ELBO compares particles: pass num_particles=10, say, and "
                "vectorize_particles=True"
            )
        return super()._get_trace(model, guide, args, kwargs)

    def _surrogate_loss(self, model_trace: poutine.Trace, guide_trace: poutine.Trace) -> Tensor:
        for name in guide_trace.stochastic_nodes:
            check_fully_reparametrized(guide_trace.nodes[name])
        weights = log_weights([(model_trace, guide_trace)], self.num_particles, by_plate=False)
        log_weight = weights.values.flatten()  # one a particle: nothing is kept apart by plates
        at_least = (log_weight.detach() >= log_weight.detach()[:, None]).float().mean(-1)
        share = at_least**self.tail_adaptive_beta
        return -(share / share.sum() * log_weight).sum()
