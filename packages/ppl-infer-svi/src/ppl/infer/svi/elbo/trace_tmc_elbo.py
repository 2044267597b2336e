"""Importance sampling with all combinations of the samples of all sites."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

import ppl.poutine as poutine
from ppl.errors import UnsupportedModelError
from ppl.infer.enumerated_sites import (
    check_plates,
    log_proposal,
    variables_of,
    weight_of,
    weighted_factors,
)
from ppl.infer.enumeration import Factor, factors_of, log_sum_of, variable_of
from ppl.ops.packed import dims_of, scale_and_mask, with_dims

from .enum_costs import is_sequential
from .trace_enum_elbo import TraceEnum_ELBO

Model = Callable[..., Any]


class TraceTMC_ELBO(TraceEnum_ELBO):  # the public name is the field's
    """An estimator of minus the log evidence by tensor Monte Carlo (Aitchison 2019).

    Each site marked ``infer={"enumerate": "parallel", "num_samples": n}``, of the guide or of the
    model, has ``n`` samples, and the evidence is estimated by importance sampling over all their
    combinations, which variable elimination sums as it does values that are enumerated. Sites that
    are enumerated without ``num_samples`` are summed exactly, sites that are not marked have one
    sample; a latent site that is only in the model is drawn from its prior. The estimate of the
    evidence is unbiased, that of its logarithm a lower bound in expectation, the tighter the more
    samples there are.

    Gradients are pathwise for reparametrized samples. Elsewhere, those of samples of the guide are
    score functions times the whole bound, and those of samples of the model are gradients of
    importance weights, whose bias goes to zero with many samples.

    Raises:
        IntractableError: If a sum would be exponential in the size of a plate, or a site depends on
            an enumerated one from outside of its plate.
        SiteError: If sites that depend on each other have different scales.
        UnsupportedModelError: If a site is enumerated sequentially.

    References:
        Aitchison 2019, "Tensor Monte Carlo: particle methods for the GPU era".

    Example:
        >>> import ppl.distributions as dist
        >>> from ppl.primitives import sample
        >>> from ppl.util import set_rng_seed
        >>> set_rng_seed(0)
        >>> def model():
        ...     infer = {"enumerate": "parallel", "num_samples": 1000}
        ...     z = sample("z", dist.Normal(0.0, 1.0), infer=infer)
        ...     sample("x", dist.Normal(z, 1.0), obs=torch.tensor(0.5))
        >>> exact = dist.Normal(0.0, 2.0**0.5).log_prob(torch.tensor(0.5))
        >>> bool(abs(TraceTMC_ELBO().loss(model, lambda: None) + exact) < 0.1)
        True
    """

    def _loss(self, model_trace: poutine.Trace, guide_trace: poutine.Trace) -> Tensor:
        given = variables_of(guide_trace)
        own = {s: v for s, v in variables_of(model_trace).items() if s not in given}
        factors = list(weighted_factors(model_trace, own))
        check_plates([*factors, *factors_of(guide_trace)], {**given, **own})
        drawn = set(model_trace.stochastic_nodes) - set(guide_trace.nodes)
        drawn -= {variable.name for variable in own.values()}
        factors = [_of_prior(f, model_trace) if f.name in drawn else f for f in factors]
        proposals = list(_proposals(guide_trace))
        single = [*_scaled(factors, model_trace), *_scaled(proposals, guide_trace)]
        joint = log_sum_of(f for f in (*factors, *proposals) if f.variables)
        return -_with_scores(torch.as_tensor(sum(single) + joint), guide_trace)


def _scaled(factors: list[Factor], trace: poutine.Trace) -> Iterator[Tensor]:
    """Iterate over the sums of the factors that depend on no variable."""
    for factor in factors:
        if not factor.variables:
            scale = trace.nodes[factor.name]["packed"]["scale"]
            yield scale_and_mask(factor.log_prob, scale).sum()


def _of_prior(factor: Factor, trace: poutine.Trace) -> Factor:
    """Return the weight of a sample from the prior: one, with the gradient of the density."""
    log_prob, dims = factor.log_prob, dims_of(factor.log_prob)
    is_pathwise = getattr(trace.nodes[factor.name]["fn"], "has_rsample", False)
    weight = torch.zeros_like(log_prob) if is_pathwise else log_prob - log_prob.detach()
    return replace(factor, log_prob=with_dims(weight, dims))


def _proposals(trace: poutine.Trace) -> Iterator[Factor]:
    """Iterate over what the sites of a guide divide an importance weight by."""
    for factor in factors_of(trace):
        site = trace.nodes[factor.name]
        if is_sequential(site):
            raise UnsupportedModelError(
                f"site {factor.name!r} is enumerated sequentially, which TraceTMC_ELBO does not "
                "do; enumerate it in parallel",
                site=factor.name,
            )
        if variable_of(site) is None:
            yield _of(factor, -factor.log_prob, dims_of(factor.log_prob))
        elif site["infer"].get("num_samples") is not None:
            unscaled = weight_of(trace, factor.name)
            log_q = log_proposal(site["packed"]["unscaled_log_prob"], site)
            log_q = scale_and_mask(log_q, mask=site["packed"]["mask"])
            count = math.log(site["infer"]["num_samples"])
            yield _of(unscaled, -log_q - count, dims_of(log_q))


def _of(factor: Factor, log_prob: Tensor, dims: str) -> Factor:
    variables = factor.variables & set(dims)
    return replace(factor, log_prob=with_dims(log_prob, dims), variables=variables)


def _with_scores(bound: Tensor, guide_trace: poutine.Trace) -> Tensor:
    """Return a bound with the gradient that samples have which are not reparametrized."""
    for _, site in guide_trace.iter_stochastic_nodes():
        score = site["score_parts"].score_function
        is_exact = variable_of(site) is not None and site["infer"].get("num_samples") is None
        if isinstance(score, Tensor) and not is_exact:
            total = score.sum()
            bound = bound + bound.detach() * (total - total.detach())
    return bound
