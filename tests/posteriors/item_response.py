"""A hundred persons answer twenty questions, simulated: the two-parameter logistic model."""

from __future__ import annotations

from torch import Tensor

import ppl
import ppl.distributions as dist

from .posterior import Posterior, tensor


def model(correct: Tensor) -> None:
    """Abilities, discriminations and difficulties; ``correct`` is ``(item, person)``, 0 or 1."""
    num_items, num_persons = correct.shape
    zero, two = correct.new_zeros(()), correct.new_full((), 2.0)
    sigma_theta = ppl.sample("sigma_theta", dist.HalfCauchy(two))
    sigma_a = ppl.sample("sigma_a", dist.HalfCauchy(two))
    mu_b = ppl.sample("mu_b", dist.Normal(zero, 5.0))
    sigma_b = ppl.sample("sigma_b", dist.HalfCauchy(two))
    with ppl.plate("abilities", num_persons):
        theta = ppl.sample("theta", dist.Normal(zero, sigma_theta))
    with ppl.plate("questions", num_items):
        a = ppl.sample("a", dist.LogNormal(zero, sigma_a))
        b = ppl.sample("b", dist.Normal(mu_b, sigma_b))
    logits = a[:, None] * (theta - b[:, None])
    with ppl.plate("items", num_items, dim=-2), ppl.plate("persons", num_persons, dim=-1):
        ppl.sample("correct", dist.Bernoulli(logits=logits), obs=correct)


ITEM_RESPONSE = Posterior(
    "irt_2pl-irt_2pl",
    model,
    lambda data: {"correct": tensor(data["y"])},
    {"target_accept_prob": 0.9},  # a few divergences at the default
    num_samples=3000,  # the scales of abilities and discriminations nearly cancel
)
