"""The estimator that gives each score function only the costs that depend on its sample."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor

import ppl.poutine as poutine
from ppl.infer.util import MultiFrameTensor
from ppl.ops.provenance import detach_provenance, get_provenance, track_provenance
from ppl.poutine.messenger import Messenger

from .baselines import Baselines
from .trace_elbo import Trace_ELBO

Model = Callable[..., Any]
SCORES = ("log_prob", "unscaled_log_prob", "log_prob_sum", "score_parts", "value")


class TraceGraph_ELBO(Trace_ELBO):  # the public name is the field's
    """An estimator of ``-ELBO`` that knows which terms depend on which samples.

    A sample that is not reparametrized needs its score function times the terms of the log density
    that are computed from it, and no others (Schulman et al. 2015, theorem 1): what depends on what
    is read from the tensors themselves, and from plates. This can lower the variance of gradients
    by much; see Mnih & Gregor (2014) for baselines, which lower it further and leave the gradient
    unbiased. They are chosen by site, in the guide: ``sample(..., infer={"baseline": {...}})`` with

    - ``"use_decaying_avg_baseline": True``, the average of the cost over past steps, with
      ``"baseline_beta"`` (0.9) the weight of the past;
    - ``"nn_baseline"`` and ``"nn_baseline_input"``, a network, registered by :func:`ppl.module` in
      the guide, that learns the cost from an input by least squares;
    - ``"baseline_value"``, a tensor that broadcasts with the cost.

    What is computed outside of torch (by numpy, by Python's floats) hides what it depends on.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._baselines = Baselines()

    def _get_trace(
        self, model: Model, guide: Model, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[poutine.Trace, poutine.Trace]:
        with _Mark():
            traces = super()._get_trace(model, guide, args, kwargs)
        for trace in traces:
            for site in trace.nodes.values():
                if "log_prob" in site:
                    site["depends_on"] = get_provenance(site["log_prob"])
                    site.update(
                        {key: detach_provenance(site[key]) for key in SCORES if key in site}
                    )
        return traces

    def _surrogate_loss(self, model_trace: poutine.Trace, guide_trace: poutine.Trace) -> Tensor:
        loss = super()._surrogate_loss(model_trace, guide_trace)
        misfit = self._baselines.take_misfit()
        return loss if misfit is None else loss + (misfit - misfit.detach())

    def _costs(
        self, model_trace: poutine.Trace, guide_trace: poutine.Trace
    ) -> Callable[[str], Tensor]:
        def costs(name: str) -> Tensor:
            site, terms = guide_trace.nodes[name], MultiFrameTensor()
            for trace, sign in ((model_trace, 1), (guide_trace, -1)):
                for other in trace.nodes.values():
                    if name in other.get("depends_on", ()):
                        terms.add((other["cond_indep_stack"], sign * other["log_prob"].detach()))
            downstream = terms.sum_to(site["cond_indep_stack"])
            assert downstream is not None  # the site itself is a term
            return self._baselines.subtract(site, downstream)

        return costs


class _Mark(Messenger):
    """Marks the samples of a program that are not reparametrized with the names of their sites."""

    def _pyro_post_sample(self, msg: Any) -> None:
        is_certain = msg["is_observed"] or getattr(msg["fn"], "has_rsample", False)
        if not is_certain and isinstance(msg["value"], Tensor):
            msg["value"] = track_provenance(msg["value"], frozenset({msg["name"]}))
