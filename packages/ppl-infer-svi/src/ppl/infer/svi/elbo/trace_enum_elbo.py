"""The estimator that sums over discrete sites, of the guide and of the model."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor

import ppl.poutine as poutine
from ppl.errors import SiteError, UnsupportedModelError, warn
from ppl.infer.backward_sampling import BackwardSampleMessenger
from ppl.infer.elbo import ELBO
from ppl.infer.enum import iter_discrete_traces
from ppl.infer.posterior_marginals import Marginals, posterior_marginals
from ppl.infer.site_shapes import check_declared
from ppl.infer.util import torch_backward
from ppl.matching import check_model_guide_match, check_traceenum_requirements
from ppl.poutine.util import prune_subsample_sites
from ppl.validation import is_validation_enabled

from .enum_costs import guide_costs, is_sequential, model_costs
from .guide_expectation import GuideExpectation

Model = Callable[..., Any]
Traces = tuple[poutine.Trace, poutine.Trace]


class TraceEnum_ELBO(ELBO):  # the public name is the field's
    """An estimator of ``-ELBO`` that sums exactly over enumerated sites.

    Sites marked by :func:`~ppl.infer.enum.config_enumerate`, or ``infer={"enumerate": ...}``, are

    - in the model, and absent from the guide: summed out of the model's density, ``"parallel"``
      only, by variable elimination that takes account of plates and of ``markov`` (Obermeyer et al.
      2019, "Tensor variable elimination for plated factor graphs");
    - in the guide: summed over in the expectation, each term of the ELBO over those sites only that
      it depends on; ``"parallel"`` along a tensor dimension, ``"sequential"`` by one execution a
      value. With ``"num_samples"`` such a site has many draws in place of all values.

    All other sites of the guide are drawn. Gradients are pathwise where samples are reparametrized,
    and by score functions where they are not, for the terms that come after the sample; they are
    unbiased. Sites that are summed together must have one scale.

    Raises:
        IntractableError: If a sum would be exponential in the size of a plate, or a site depends on
            an enumerated one from outside of its plate.
        SiteError: If sites of one sum have different scales, or a site cannot be enumerated.

    Example:
        >>> import ppl.distributions as dist
        >>> from ppl.infer import config_enumerate
        >>> from ppl.primitives import sample
        >>> @config_enumerate
        ... def model():
        ...     z = sample("z", dist.Bernoulli(0.25))
        ...     sample("x", dist.Bernoulli(0.5 + 0.4 * z), obs=torch.tensor(1.0))
        >>> elbo = TraceEnum_ELBO()
        >>> round(-elbo.loss(model, lambda: None), 4)  # log(0.75 * 0.5 + 0.25 * 0.9)
        -0.5108
    """

    def loss(self, model: Model, guide: Model, *args: Any, **kwargs: Any) -> float:
        """Return an estimate of ``-ELBO``, in nats."""
        with torch.no_grad():
            return self._total(model, guide, args, kwargs).item()

    def differentiable_loss(self, model: Model, guide: Model, *args: Any, **kwargs: Any) -> Tensor:
        """Return an estimate of ``-ELBO`` whose gradient estimates its gradient.

        Raises:
            SiteError: If it does not depend on anything that requires a gradient.
        """
        return require_gradient(self._total(model, guide, args, kwargs))

    def loss_and_grads(self, model: Model, guide: Model, *args: Any, **kwargs: Any) -> float:
        """Return an estimate of ``-ELBO`` and add its gradient to ``.grad`` of the parameters."""
        total = 0.0
        for loss in self._losses(model, guide, args, kwargs):
            total += loss.item()
            torch_backward(loss, self.retain_graph)
        return total

    def compute_marginals(self, model: Model, guide: Model, *args: Any, **kwargs: Any) -> Marginals:
        """Return the posterior marginal of each site that only the model enumerates.

        They are those given the observations and one draw of the guide; see
        :func:`~ppl.infer.posterior_marginals.posterior_marginals`.

        Raises:
            UnsupportedModelError: If there are several particles, or the guide enumerates sites.
        """
        traces = self._at_a_draw(model, guide, args, kwargs)
        for name, site in traces[1].iter_stochastic_nodes():
            if site["infer"].get("enumerate") is not None:
                raise UnsupportedModelError(
                    f"site {name!r} is enumerated in the guide, and marginals are those at a draw "
                    "of the guide; leave it out of the guide, or do not enumerate it",
                    site=name,
                )
        return posterior_marginals(*traces)

    def sample_posterior(self, model: Model, guide: Model, *args: Any, **kwargs: Any) -> Any:
        """Return what the model returns, its enumerated sites drawn from their joint posterior.

        It is that given the observations and one draw of the guide.

        Raises:
            UnsupportedModelError: If there are several particles.
        """
        with BackwardSampleMessenger(*self._at_a_draw(model, guide, args, kwargs)):
            return model(*args, **kwargs)

    def _at_a_draw(
        self, model: Model, guide: Model, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Traces:
        """Return an execution of the guide, of which nothing is enumerated, and of the model."""
        if self.num_particles != 1:
            raise UnsupportedModelError(
                f"posteriors are those at one draw of the guide, but num_particles is "
                f"{self.num_particles}; use TraceEnum_ELBO() and call it once for each draw"
            )
        nesting = self._nesting(model, args, kwargs)
        guide_trace = poutine.trace(guide).get_trace(*args, **kwargs)
        replayed = poutine.replay(model, trace=guide_trace)
        enumerated = poutine.enum(replayed, first_available_dim=-1 - nesting)
        model_trace = poutine.trace(enumerated).get_trace(*args, **kwargs)
        return self._scored(model_trace, guide_trace, nesting)

    def _total(
        self, model: Model, guide: Model, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Tensor:
        return torch.stack(list(self._losses(model, guide, args, kwargs))).sum()

    def _losses(
        self, model: Model, guide: Model, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Iterator[Tensor]:
        """Yield the share of each particle in the loss."""
        nesting = self._nesting(model, args, kwargs)
        is_vectorized = self.vectorize_particles and self.num_particles > 1
        if is_vectorized:
            model, guide = (self._vectorized(program, nesting) for program in (model, guide))
        repeats = 1 if is_vectorized else self.num_particles
        for _ in range(repeats):
            traces = self._traces(model, guide, nesting + is_vectorized, args, kwargs)
            losses = [self._loss(*pair) for pair in traces]
            yield sum(losses[1:], losses[0]) / repeats

    def _traces(
        self,
        model: Model,
        guide: Model,
        nesting: int,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
    ) -> Iterator[Traces]:
        """Yield a pair of traces for each choice of the guide's sequentially enumerated sites."""
        enumerated = poutine.enum(guide, first_available_dim=-1 - nesting)
        for guide_trace in iter_discrete_traces("flat", enumerated, *args, **kwargs):
            replayed = poutine.enum(poutine.replay(model, trace=guide_trace))
            model_trace = poutine.trace(replayed).get_trace(*args, **kwargs)
            yield self._scored(model_trace, guide_trace, nesting)

    def _scored(
        self, model_trace: poutine.Trace, guide_trace: poutine.Trace, nesting: int
    ) -> Traces:
        if is_validation_enabled():
            self._check(model_trace, guide_trace, nesting)
        model_trace, guide_trace = map(prune_subsample_sites, (model_trace, guide_trace))
        model_trace.compute_log_prob()
        guide_trace.compute_score_parts()
        if is_validation_enabled():
            check_declared(model_trace, nesting)
            check_declared(guide_trace, nesting)
        guide_trace.pack_tensors()
        model_trace.pack_tensors(guide_trace.plate_to_symbol)
        return model_trace, guide_trace

    def _check(self, model_trace: poutine.Trace, guide_trace: poutine.Trace, nesting: int) -> None:
        _refuse_sequential(model_trace, guide_trace)
        check_model_guide_match(model_trace, guide_trace, nesting)
        check_traceenum_requirements(model_trace, guide_trace)
        sites = [*model_trace.nodes.values(), *guide_trace.nodes.values()]
        is_enumerated = any(site.get("infer", {}).get("enumerate") for site in sites)
        if self.strict_enumeration_warning and not is_enumerated:
            warn(
                f"{type(self).__name__} found no site to enumerate; mark some by config_enumerate, "
                "or use Trace_ELBO"
            )

    def _loss(self, model_trace: poutine.Trace, guide_trace: poutine.Trace) -> Tensor:
        """Return the loss, with the gradient of its estimator, of one pair of traces."""
        expectation = GuideExpectation(guide_trace, _plate_sizes(model_trace, guide_trace))
        costs = [*model_costs(model_trace, guide_trace), *guide_costs(guide_trace)]
        return -torch.as_tensor(expectation.of(costs))


def _refuse_sequential(model_trace: poutine.Trace, guide_trace: poutine.Trace) -> None:
    """Refuse sequential enumeration of a model, and of what has no finite support."""
    for name, site in model_trace.iter_stochastic_nodes():
        if is_sequential(site) and name not in guide_trace:
            raise SiteError(
                f"site {name!r} of the model is marked infer={{'enumerate': 'sequential'}}, which "
                "is for sites of the guide; mark it 'parallel', or add it to the guide",
                site=name,
            )
    for name, site in guide_trace.iter_stochastic_nodes():
        if is_sequential(site) and not getattr(site["fn"], "has_enumerate_support", False):
            raise SiteError(
                f"site {name!r} is marked infer={{'enumerate': 'sequential'}}, but the support of "
                f"{site['fn']} is not finite; remove the mark",
                site=name,
            )


def _plate_sizes(*traces: poutine.Trace) -> dict[str, int]:
    """Return the sizes of plates by symbol, of traces that were packed together."""
    return {
        trace.plate_to_symbol[frame.name]: frame.size
        for trace in traces
        for site in trace.nodes.values()
        if site["type"] == "sample"
        for frame in site["cond_indep_stack"]
        if frame.vectorized
    }


def require_gradient(loss: Tensor) -> Tensor:
    """Return a loss.

    Raises:
        SiteError: If it does not depend on anything that requires a gradient.
    """
    if not loss.requires_grad:
        raise SiteError(
            "the ELBO is not differentiable: nothing in model or guide requires a gradient; "
            "add a param statement, or call loss for its value"
        )
    return loss
