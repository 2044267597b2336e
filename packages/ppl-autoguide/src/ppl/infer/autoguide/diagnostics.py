"""How far to believe a guide."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from statistics import NormalDist
from typing import Any

import torch
from torch import Tensor
from torch.distributions import biject_to

import ppl.poutine as poutine
from ppl.distribution import Delta
from ppl.errors import ArgumentError, NotFiniteError, SiteError
from ppl.infer.arguments import positive_int
from ppl.infer.particles import vectorize
from ppl.infer.util import guess_max_plate_nesting
from ppl.ops.pareto import psis
from ppl.poutine.util import prune_subsample_sites

from .whole_data import refuse_subsamples

Program = Callable[..., Any]
Values = dict[str, Tensor]

TOO_NARROW = 1.1  # times the deviation of the guide
FALSE_ALARM = 0.001  # chance that noise alone makes a guide too narrow


@dataclass(frozen=True)
class GuideDiagnostics:
    """What draws of a guide say about its distance from the posterior.

    Attributes:
        elbo: The evidence lower bound, in nats.
        elbo_error: The Monte-Carlo standard error of ``elbo``.
        log_evidence: The log evidence, estimated by importance sampling, in nats.
        pareto_k: The shape of the tail of the importance weights. Below ``good_k`` they correct
            the guide; above, the guide misses parts of the posterior, and ``log_evidence`` and
            ``effective_draws`` may be far off.
        good_k: The bound for this number of draws.
        effective_draws: How many draws of the posterior the weighted draws are worth.
        num_draws: The number of draws.
        spread: How many times the standard deviation of the guide that of the posterior is, by
            site, on the unconstrained scale and of the component where this is most. It is
            estimated by the weighted draws, and for a guide of independent normals by linear
            response.
        narrow_sites: The sites for which the guide is too narrow: their spread is clearly above 1.
        has_linear_response: Whether ``guide.linear_response()`` has wider covariances.
    """

    elbo: float
    elbo_error: float
    log_evidence: float
    pareto_k: float
    good_k: float
    effective_draws: float
    num_draws: int
    spread: Mapping[str, float] = field(default_factory=dict)
    narrow_sites: tuple[str, ...] = ()
    has_linear_response: bool = False

    @property
    def divergence(self) -> float:
        """How far the guide is from the posterior: ``KL(guide, posterior)``, in nats."""
        return self.log_evidence - self.elbo

    @property
    def is_reliable(self) -> bool:
        """Whether importance weights correct the guide, so that what they say can be believed."""
        return self.pareto_k < self.good_k

    def __str__(self) -> str:
        bound, verdict = ("below", "good") if self.is_reliable else ("above", "parts are missed")
        return (
            f"ELBO {self.elbo:.2f} with standard error {self.elbo_error:.2g}, "
            f"{self.divergence:.2f} below the evidence; {self.num_draws} draws are worth "
            f"{self.effective_draws:.0f}; Pareto k {self.pareto_k:.2f} is {bound} "
            f"{self.good_k:.2f}: {verdict}{self._narrowness()}"
        )

    def _narrowness(self) -> str:
        if not self.narrow_sites:
            return ""
        sites = ", ".join(f"{n!r} ({self.spread[n]:.1f} times)" for n in self.narrow_sites)
        cure = "guide.linear_response() returns a normal with wider covariances"
        cure = cure if self.has_linear_response else "use a guide with more covariances"
        return f". It is too narrow at {sites}; {cure}"


@torch.no_grad()
def diagnose(
    model: Program,
    guide: Program,
    *args: Any,
    num_draws: int = 1000,
    parallel: bool = False,
    **kwargs: Any,
) -> GuideDiagnostics:
    """Return how far to believe a guide of a model, with all of the data.

    The ratios of posterior and guide at draws of the guide are the weights of importance sampling;
    a Pareto distribution is fitted to the largest of them (Yao et al. 2018, "Yes, but did it work?:
    evaluating variational inference", section 3.1; Vehtari et al. 2024, "Pareto smoothed importance
    sampling").

    Args:
        model: The model.
        guide: The guide.
        args: The arguments of both.
        num_draws: How many draws of the guide.
        parallel: Whether model and guide can be run for all draws at once, in a plate.
        kwargs: The arguments of both, by name.

    Raises:
        SiteError: If a latent site of the model is not in the guide.
        ArgumentError: If a plate is subsampled, or the guide is a point.
        NotFiniteError: If a log density is nan.

    Example:
        >>> import ppl.distributions as dist
        >>> from ppl.infer.autoguide import AutoNormal
        >>> from ppl.primitives import sample
        >>> from ppl.util import set_rng_seed
        >>> set_rng_seed(0)
        >>> def model():
        ...     sample("x", dist.Normal(0.0, 1.0))
        >>> diagnose(model, AutoNormal(model, init_scale=0.1)).is_reliable
        False
        >>> found = diagnose(model, AutoNormal(model, init_scale=1.1))
        >>> found.is_reliable, abs(found.divergence) < 0.05
        (True, True)
    """
    num_draws = positive_int("num_draws", num_draws, at_least=2)
    if parallel:
        weights, values = _together(model, guide, num_draws, args, kwargs)
    else:
        pairs = [_log_weight(model, guide, args, kwargs) for _ in range(num_draws)]
        weights = torch.stack([weight for weight, _ in pairs])
        values = {name: torch.stack([x[name] for _, x in pairs]) for name in pairs[0][1]}
    weights = weights.double()
    if bool(weights.isnan().any()):
        raise NotFiniteError(
            f"{int(weights.isnan().sum())} of {num_draws} log weights are nan; ppl.check(model, "
            "guide) finds the site"
        )
    smoothed, k = psis(weights)
    spread, narrow = _spread(smoothed.exp(), values)
    return GuideDiagnostics(
        elbo=weights.mean().item(),
        elbo_error=weights.std().item() / math.sqrt(num_draws),
        log_evidence=weights.logsumexp(0).item() - math.log(num_draws),
        pareto_k=k.item(),
        good_k=min(0.7, 1 - 1 / math.log10(num_draws)),
        effective_draws=1 / smoothed.exp().square().sum().item(),
        num_draws=num_draws,
        spread=spread,
        narrow_sites=narrow,
    )


def _spread(weights: Tensor, values: Values) -> tuple[dict[str, float], tuple[str, ...]]:
    """Return the spread of each site, and those where it is above 1 by more than its error.

    Args:
        weights: Of the draws, with sum one.
        values: Draws on the unconstrained scale, ``(draw, *site)``.
    """
    spread, narrow = {}, []
    total = sum(x[0].numel() for x in values.values())
    limit = NormalDist().inv_cdf(1 - FALSE_ALARM / max(total, 1))
    for name, value in values.items():
        x = value.reshape(len(weights), -1).double()
        square = (x - weights @ x).square()
        variance = weights @ square
        ratio = (variance / x.var(0)).sqrt()
        error = (weights.square() @ (square - variance).square()).sqrt() / variance / 2
        spread[name] = ratio.max().item()
        if bool((ratio * (1 - limit * error) > 1).logical_and(ratio > TOO_NARROW).any()):
            narrow.append(name)
    return spread, tuple(narrow)


def _together(
    model: Program, guide: Program, num_draws: int, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> tuple[Tensor, Values]:
    """Return the log weights and the values of all draws, from one run in a plate."""
    nesting = guess_max_plate_nesting(model, args, kwargs)
    model, guide = (vectorize(program, num_draws, nesting) for program in (model, guide))
    pair = _traces(model, guide, args, kwargs)
    model_sum, guide_sum = (
        sum(
            site["log_prob"].flatten(site["log_prob"].dim() - nesting).sum(-1)
            if nesting
            else site["log_prob"]
            for site in _scored(trace)
        )
        for trace in pair
    )
    values = {
        name: x for name, x in _free_values(pair[0]).items() if len(x) == num_draws
    }  # and not those of sites that the guide has at one point
    return torch.as_tensor(model_sum - guide_sum), values


def _log_weight(
    model: Program, guide: Program, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> tuple[Tensor, Values]:
    model_trace, guide_trace = _traces(model, guide, args, kwargs)
    weight = torch.as_tensor(model_trace.log_prob_sum() - guide_trace.log_prob_sum())
    return weight, _free_values(model_trace)


def _free_values(trace: poutine.Trace) -> Values:
    """Return the values of the continuous latent sites, on the unconstrained scale."""
    return {
        name: biject_to(site["fn"].support).inv(site["value"])
        for name, site in trace.iter_stochastic_nodes()
        if not site["fn"].support.is_discrete
    }


def _traces(
    model: Program, guide: Program, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> tuple[poutine.Trace, poutine.Trace]:
    guide_trace = poutine.trace(guide).get_trace(*args, **kwargs)
    model_trace = poutine.trace(poutine.replay(model, trace=guide_trace)).get_trace(*args, **kwargs)
    pair = (prune_subsample_sites(model_trace), prune_subsample_sites(guide_trace))
    missing = sorted(set(pair[0].stochastic_nodes) - set(pair[1].nodes))
    if missing:
        raise SiteError(
            f"the latent sites {missing} of the model are not in the guide; a guide can be judged "
            "only if it has them all: sum them out of the model, or add them to the guide"
        )
    if all(isinstance(site["fn"], Delta) for site in _scored(pair[1])):
        raise ArgumentError(
            "the guide is a point, which is no approximation of a posterior; of the point of "
            "AutoLaplaceApproximation, laplace_approximation() makes one"
        )
    for trace in pair:
        refuse_subsamples(trace)
        trace.compute_log_prob()
    return pair


def _scored(trace: poutine.Trace) -> list[dict[str, Any]]:
    return [trace.nodes[n] for n in trace.stochastic_nodes + trace.observation_nodes]
