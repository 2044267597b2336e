"""Parameters, and what algorithms need."""

from __future__ import annotations

import torch
from torch.distributions import constraints

import ppl
import ppl.distributions as dist

from .entry import Exhibition

shown = Exhibition()
Y = torch.tensor(0.3)


def normal_model():
    z = ppl.sample("z", dist.Normal(0.0, 1.0))
    ppl.sample("y", dist.Normal(z, 1.0), obs=Y)


@shown(("PPL501", "offset"))
class ParameterNotUsed:
    model = staticmethod(normal_model)

    @staticmethod
    def guide():
        ppl.param("offset", torch.tensor(0.0))
        ppl.sample("z", dist.Normal(ppl.param("loc", torch.tensor(0.0)), 1.0))


@shown(("PPL501", "loc"))
class ParameterDetached:
    model = staticmethod(normal_model)

    @staticmethod
    def guide():
        loc = ppl.param("loc", torch.tensor(0.0)).detach()
        scale = ppl.param("scale", torch.tensor(1.0), constraints.positive)
        ppl.sample("z", dist.Normal(loc, scale))


@shown(("PPL502", "scale"))
def constraint_by_chance():
    wide = bool(torch.rand(()) < 0.5)
    scale = ppl.param(
        "scale", torch.tensor(0.5), constraints.positive if wide else constraints.unit_interval
    )
    ppl.sample("y", dist.Normal(0.0, scale), obs=Y)


@shown(("PPL503", "scale"))
def negative_initial_value():
    scale = ppl.param("scale", torch.tensor(-1.0), constraints.positive)
    ppl.sample("y", dist.Normal(0.0, scale), obs=Y)


@shown(("PPL504", "scael"))
def misspelt_parameter():
    ppl.param("scale", torch.tensor(1.0), constraints.positive)
    ppl.sample("y", dist.Normal(0.0, ppl.param("scael")), obs=Y)


def mixture():
    k = ppl.sample("k", dist.Bernoulli(0.5))
    ppl.sample("y", dist.Normal(k, 1.0), obs=Y)


@shown(("PPL601", "k"), algorithm="TraceMeanField_ELBO")
class ScoreFunctionNeeded:
    model = staticmethod(mixture)

    @staticmethod
    def guide():
        ppl.sample("k", dist.Bernoulli(logits=ppl.param("logit", torch.tensor(0.0))))


@shown(("PPL602", "k"), algorithm="NUTS")
def discrete_site_under_nuts():
    mixture()


@shown(("PPL602", "n"), algorithm="HMC")
def counts_under_hmc():
    n = ppl.sample("n", dist.Poisson(3.0))
    ppl.sample("y", dist.Normal(n, 1.0), obs=Y)


@shown(("PPL603", "n"))
def enumerated_counts():
    n = ppl.sample("n", dist.Poisson(3.0), infer={"enumerate": "parallel"})
    ppl.sample("y", dist.Normal(n, 1.0), obs=Y)


@shown(("PPL604", None), algorithm="NUTS")
def nothing_to_sample():
    ppl.sample("y", dist.Normal(0.0, 1.0), obs=Y)


@shown(("PPL605", "data"), algorithm="NUTS", args=(torch.linspace(0.0, 1.0, 10),))
def minibatches_under_nuts(data):
    mean = ppl.sample("mean", dist.Normal(0.0, 1.0))
    with ppl.plate("data", 10, subsample_size=4) as index:
        ppl.sample("y", dist.Normal(mean, 1.0), obs=data[index])


@shown(("PPL302", "penalty"), algorithm="NUTS")
def start_without_density():
    x = ppl.sample("x", dist.Normal(50.0, 1.0))
    ppl.factor("penalty", (x - 20.0).log())
