"""Values, densities and gradients."""

from __future__ import annotations

import torch

import ppl
import ppl.distributions as dist

from .entry import Exhibition

shown = Exhibition()
COUNTS = torch.tensor([1.0, 0.0, 4.0])


@shown(("PPL301", "y"), args=(torch.tensor([0.5, -1.0, 2.0]),))
def negative_waiting_time(times):
    with ppl.plate("data", 3):
        ppl.sample("y", dist.Gamma(2.0, 1.0), obs=times)


@shown(("PPL301", "y"), args=(torch.tensor(2.0),))
def outcome_two_of_a_coin(outcome):
    ppl.sample("y", dist.Bernoulli(0.5), obs=outcome)


@shown(("PPL301", "y"), args=(torch.tensor([0.2, float("nan")]),))
def missing_data_not_masked(data):
    with ppl.plate("data", 2):
        ppl.sample("y", dist.Normal(0.0, 1.0), obs=data)


@shown(("PPL302", "penalty"))
def log_of_a_negative_number():
    x = ppl.sample("x", dist.Normal(-8.0, 1.0))
    ppl.factor("penalty", x.log())


@shown(("PPL303", "y"), args=(torch.tensor(5.0),))
def impossible_data(y):
    top = ppl.sample("top", dist.Beta(2.0, 2.0))
    ppl.factor("y", torch.where(y < top, 0.0, -torch.inf))


@shown(("PPL304", "x"))
def square_root_at_zero():
    x = ppl.sample("x", dist.Normal(0.0, 1.0))
    ppl.factor("penalty", -(x - x).sqrt())


@shown(("PPL305", None))
def negative_scale():
    scale = ppl.sample("scale", dist.Normal(-8.0, 1.0))
    ppl.sample("y", dist.Normal(0.0, scale), obs=torch.tensor(0.3))


@shown(("PPL305", None))
def covariance_that_is_none():
    ppl.sample("y", dist.MultivariateNormal(torch.zeros(2), torch.tensor([[1.0, 2.0], [2.0, 1.0]])))


@shown(("PPL306", None))
def kernel_without_jitter():
    gram = torch.ones(3, 3)
    ppl.sample(
        "f", dist.MultivariateNormal(torch.zeros(3), scale_tril=torch.linalg.cholesky(gram - 1e-3))
    )


@shown(("PPL307", "y"), args=(torch.tensor([3, 1, 2]),))
def integers_under_a_normal(counts):
    with ppl.plate("data", 3):
        ppl.sample("y", dist.Normal(0.0, 1.0), obs=counts)
