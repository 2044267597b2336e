"""A simulated mixture of two normals whose means are ordered."""

from __future__ import annotations

import torch
from torch import Tensor

import ppl
import ppl.distributions as dist
from ppl.distributions import constraints

from .posterior import Posterior, tensor


def model(y: Tensor) -> None:
    """Indicators summed out; ``theta`` is the weight of the component with the smaller mean."""
    two = y.new_full((2,), 2.0)
    mu = ppl.sample("mu", dist.ImproperUniform(constraints.ordered_vector, (), (2,)))
    ppl.factor("mu_prior", dist.Normal(0.0, two).to_event(1).log_prob(mu))
    sigma = ppl.sample("sigma", dist.HalfNormal(two).to_event(1))
    theta = ppl.sample("theta", dist.Beta(y.new_full((), 5.0), 5.0))
    weights = dist.Categorical(torch.stack([theta, 1 - theta]))
    with ppl.plate("observations", len(y)):
        ppl.sample("y", dist.MixtureSameFamily(weights, dist.Normal(mu, sigma)), obs=y)


MIXTURE = Posterior(
    "low_dim_gauss_mix-low_dim_gauss_mix",
    model,
    lambda data: {"y": tensor(data["y"])},
    # there is a minor mode with nearly equal means, some 450 nats lower
    start={"mu": tensor([-2.0, 2.0]), "sigma": tensor([1.0, 1.0]), "theta": tensor(0.5)},
)
