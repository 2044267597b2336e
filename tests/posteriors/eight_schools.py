"""Coaching in eight schools (Rubin 1981), in two parametrizations of one posterior."""

from __future__ import annotations

from torch import Tensor

import ppl
import ppl.distributions as dist

from .posterior import Posterior, tensor


def population(like: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation of the schools' effects."""
    mu = ppl.sample("mu", dist.Normal(like.new_zeros(()), 5.0))
    tau = ppl.sample("tau", dist.HalfCauchy(like.new_full((), 5.0)))
    return mu, tau


def centered(y: Tensor, sigma: Tensor) -> None:
    """Effects drawn from the population: a funnel that NUTS cannot explore."""
    mu, tau = population(y)
    with ppl.plate("schools", len(y)):
        theta = ppl.sample("theta", dist.Normal(mu, tau))
        ppl.sample("y", dist.Normal(theta, sigma), obs=y)


def noncentered(y: Tensor, sigma: Tensor) -> None:
    """Standardized effects, scaled to the population: the same posterior without the funnel."""
    mu, tau = population(y)
    with ppl.plate("schools", len(y)):
        theta_trans = ppl.sample("theta_trans", dist.Normal(y.new_zeros(()), 1.0))
        theta = mu + tau * theta_trans
        ppl.sample("y", dist.Normal(theta, sigma), obs=y)
    ppl.deterministic("theta", theta)


def _prepare(data: dict[str, list[float]]) -> dict[str, Tensor]:
    return {"y": tensor(data["y"]), "sigma": tensor(data["sigma"])}


CENTERED = Posterior("eight_schools-eight_schools_centered", centered, _prepare)
NONCENTERED = Posterior(
    "eight_schools-eight_schools_noncentered",
    noncentered,
    _prepare,
    {"target_accept_prob": 0.95},  # the long tail of tau
    num_samples=2000,
)
