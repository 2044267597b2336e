"""Posteriors in closed form of conjugate pairs.

Each rule adds weighted sufficient statistics of the data to the parameters of the prior (Diaconis &
Ylvisaker 1979, "Conjugate priors for exponential families"; Gelman et al. 2013, chapters 2 and 3).
A weight multiplies the log likelihood of a datum.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch import distributions as dist
from torch.nn.functional import one_hot

Rule = Callable[[Any, Any, Tensor, Tensor], dict[str, Tensor]]


def _beta_bernoulli(prior: Any, fn: Any, y: Tensor, weight: Tensor) -> dict[str, Tensor]:
    a, b = prior.concentration1, prior.concentration0
    return {
        "concentration1": a + _sum_to(weight * y, a),
        "concentration0": b + _sum_to(weight * (1 - y), b),
    }


def _beta_binomial(prior: Any, fn: Any, y: Tensor, weight: Tensor) -> dict[str, Tensor]:
    a, b = prior.concentration1, prior.concentration0
    return {
        "concentration1": a + _sum_to(weight * y, a),
        "concentration0": b + _sum_to(weight * (fn.total_count - y), b),
    }


def _gamma_poisson(prior: Any, fn: Any, y: Tensor, weight: Tensor) -> dict[str, Tensor]:
    a, b = prior.concentration, prior.rate
    return {"concentration": a + _sum_to(weight * y, a), "rate": b + _sum_to(weight, b)}


def _gamma_exponential(prior: Any, fn: Any, y: Tensor, weight: Tensor) -> dict[str, Tensor]:
    a, b = prior.concentration, prior.rate
    return {"concentration": a + _sum_to(weight, a), "rate": b + _sum_to(weight * y, b)}


def _dirichlet_categorical(prior: Any, fn: Any, y: Tensor, weight: Tensor) -> dict[str, Tensor]:
    return _dirichlet_multinomial(prior, fn, one_hot(y, prior.event_shape[-1]), weight)


def _dirichlet_multinomial(prior: Any, fn: Any, y: Tensor, weight: Tensor) -> dict[str, Tensor]:
    a = prior.concentration
    return {"concentration": a + _sum_to(weight.unsqueeze(-1) * y, a)}


def _normal_normal(prior: Any, fn: Any, y: Tensor, weight: Tensor) -> dict[str, Tensor]:
    prior_precision, precision = prior.scale**-2, weight * fn.scale**-2
    posterior_precision = prior_precision + _sum_to(precision, prior.loc)
    loc = (prior_precision * prior.loc + _sum_to(precision * y, prior.loc)) / posterior_precision
    return {"loc": loc, "scale": posterior_precision**-0.5}


# families of prior and likelihood, and the parameter of the likelihood that has the prior
_RULES: dict[tuple[type, type, str], Rule] = {
    (dist.Beta, dist.Bernoulli, "probs"): _beta_bernoulli,
    (dist.Beta, dist.Binomial, "probs"): _beta_binomial,
    (dist.Dirichlet, dist.Categorical, "probs"): _dirichlet_categorical,
    (dist.Dirichlet, dist.Multinomial, "probs"): _dirichlet_multinomial,
    (dist.Gamma, dist.Exponential, "rate"): _gamma_exponential,
    (dist.Gamma, dist.Poisson, "rate"): _gamma_poisson,
    (dist.Normal, dist.Normal, "loc"): _normal_normal,
}


def has_rules(prior: Any) -> bool:
    """Return whether any conjugate likelihood is known for a prior."""
    return any(isinstance(prior, family) for family, _, _ in _RULES)


def find_rule(prior: Any, fn: Any, parameter: str) -> Rule | None:
    """Return the rule for a likelihood with a parameter drawn from a prior, or None."""
    for (prior_family, family, name), rule in _RULES.items():
        if isinstance(prior, prior_family) and isinstance(fn, family) and parameter == name:
            return rule
    return None


def _sum_to(statistic: Tensor, parameter: Tensor) -> Tensor:
    """Return a statistic summed over the dimensions along which the parameter is shared."""
    shape = torch.broadcast_shapes(statistic.shape, parameter.shape)
    return statistic.expand(shape).sum_to_size(parameter.shape)
