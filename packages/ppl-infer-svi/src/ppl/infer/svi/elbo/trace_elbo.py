"""The basic estimator: pathwise gradients of reparametrized samples, score functions elsewhere."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

import ppl.poutine as poutine
from ppl.distribution.util import is_identically_zero
from ppl.infer.elbo import ELBO
from ppl.infer.match import check_pair
from ppl.infer.site_shapes import check_declared
from ppl.infer.util import MultiFrameTensor, torch_backward, torch_item
from ppl.poutine.util import prune_subsample_sites
from ppl.validation import is_validation_enabled

Model = Callable[..., Any]


class Trace_ELBO(ELBO):  # the public name is the field's
    """An estimator of ``-ELBO`` from traces of the guide, replayed in the model.

    The gradient is that of ``log model - log guide`` along reparametrized samples (Kingma & Welling
    2014), plus, for each sample that is not, its score function times the terms of the log density
    that its plates do not make independent of it (Ranganath et al. 2014; Schulman et al. 2015).

    Example:
        >>> import torch, ppl.distributions as dist
        >>> from ppl.primitives import sample
        >>> def model():
        ...     sample("z", dist.Normal(0.0, 1.0))
        >>> Trace_ELBO().loss(model, model)  # the guide is the posterior: the bound is tight
        0.0
    """

    def loss(self, model: Model, guide: Model, *args: Any, **kwargs: Any) -> float:
        """Return an estimate of ``-ELBO``, in nats."""
        return sum(
            -torch_item(self._elbo(*traces)) / self._divisor()
            for traces in self._particles(model, guide, args, kwargs)
        )

    def differentiable_loss(self, model: Model, guide: Model, *args: Any, **kwargs: Any) -> Tensor:
        """Return an estimate of ``-ELBO`` whose gradient estimates its gradient."""
        losses = [
            self._surrogate_loss(*traces) for traces in self._particles(model, guide, args, kwargs)
        ]
        return sum(losses[1:], losses[0]) / self._divisor()

    def loss_and_grads(self, model: Model, guide: Model, *args: Any, **kwargs: Any) -> float:
        """Return an estimate of ``-ELBO`` and add its gradient to ``.grad`` of the parameters."""
        total = 0.0
        for traces in self._particles(model, guide, args, kwargs):
            loss = self._surrogate_loss(*traces) / self._divisor()
            total += loss.item()
            torch_backward(loss, self.retain_graph)
        return total

    def _divisor(self) -> int:
        """How many summands to average; a vectorized execution is averaged by its scale."""
        return 1 if self.vectorize_particles else self.num_particles

    def _get_trace(
        self, model: Model, guide: Model, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[poutine.Trace, poutine.Trace]:
        """Return the traces of the guide and of the model replayed at it, scored."""
        guide_trace = poutine.trace(guide).get_trace(*args, **kwargs)
        model_trace = poutine.trace(poutine.replay(model, trace=guide_trace)).get_trace(
            *args, **kwargs
        )
        dims = self._batch_dims()
        if is_validation_enabled():
            check_pair(model_trace, guide_trace, dims, self.strict_enumeration_warning)
        guide_trace, model_trace = (
            prune_subsample_sites(guide_trace),
            prune_subsample_sites(model_trace),
        )
        model_trace.compute_log_prob()
        guide_trace.compute_score_parts()
        if is_validation_enabled():
            check_declared(model_trace, dims)
            check_declared(guide_trace, dims)
        return model_trace, guide_trace

    # what kinds of estimators differ in

    def _elbo(self, model_trace: poutine.Trace, guide_trace: poutine.Trace) -> Tensor | float:
        return model_trace.log_prob_sum() - guide_trace.log_prob_sum()

    def _surrogate_loss(self, model_trace: poutine.Trace, guide_trace: poutine.Trace) -> Tensor:
        """A tensor with the value of ``-ELBO`` and the gradient of its estimator."""
        surrogate = torch.as_tensor(model_trace.log_prob_sum())
        costs = self._costs(model_trace, guide_trace)
        for name in guide_trace.stochastic_nodes:
            site = guide_trace.nodes[name]
            _, score_function, entropy_term = site["score_parts"]
            if not is_identically_zero(entropy_term):
                surrogate = surrogate - entropy_term.sum()
            if not is_identically_zero(score_function):
                surrogate = surrogate + (costs(name) * score_function).sum()
        value = torch.as_tensor(self._elbo(model_trace, guide_trace))
        return -(surrogate + (value - surrogate).detach())

    def _costs(
        self, model_trace: poutine.Trace, guide_trace: poutine.Trace
    ) -> Callable[[str], Tensor]:
        """Return what tells the terms of ``log model - log guide`` that depend on a site.

        Here these are all but those that plates make independent of it.
        """
        log_ratio: list[MultiFrameTensor] = []

        def costs(name: str) -> Tensor:
            if not log_ratio:
                log_ratio.append(_log_ratio(model_trace, guide_trace))
            downstream = log_ratio[0].sum_to(guide_trace.nodes[name]["cond_indep_stack"])
            assert downstream is not None  # the site itself is a term
            return downstream

        return costs


def _log_ratio(model_trace: poutine.Trace, guide_trace: poutine.Trace) -> MultiFrameTensor:
    """``log model - log guide`` by plates."""
    log_ratio = MultiFrameTensor()
    for trace, sign in ((model_trace, 1), (guide_trace, -1)):
        for name in trace.stochastic_nodes + trace.observation_nodes:
            site = trace.nodes[name]
            log_ratio.add((site["cond_indep_stack"], sign * site["log_prob"].detach()))
    return log_ratio
