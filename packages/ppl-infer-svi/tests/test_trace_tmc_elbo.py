"""Tensor Monte Carlo: the evidence is unbiased, and so are the gradients of the bound."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from torch.testing import assert_close

import ppl
import ppl.distributions as dist
from ppl.distributions.testing import fakes
from ppl.errors import UnsupportedModelError
from ppl.infer import TraceTMC_ELBO, config_enumerate

from .plated_models import DOUBLE

START = torch.tensor([0.3, 0.7], dtype=DOUBLE)
STEP = torch.tensor([[0.9, 0.1], [0.4, 0.6]], dtype=DOUBLE)
DATA = torch.tensor([0.2, 1.4, 0.7], dtype=DOUBLE)
GUIDE_START, GUIDE_STEP = torch.tensor([0.5, 0.5]), torch.tensor([[0.6, 0.4], [0.3, 0.7]])


@pytest.fixture(autouse=True)
def _fresh():
    ppl.set_rng_seed(0)
    ppl.clear_param_store()


def nothing():
    pass


def model():
    """A site, its children in a plate, and theirs."""
    a = ppl.sample("a", dist.Categorical(START))
    with ppl.plate("rows", 3):
        b = ppl.sample("b", dist.Categorical(STEP[a]))
        c = ppl.sample("c", dist.Categorical(STEP[b]))
        ppl.sample("x", dist.Normal((2 * c + a).to(DOUBLE), 1.0), obs=DATA)


def guide():
    a = ppl.sample("a", dist.Categorical(GUIDE_START))
    with ppl.plate("rows", 3):
        ppl.sample("b", dist.Categorical(GUIDE_STEP[a]))


def evidence():
    total = 0.0
    for a in (0, 1):
        c = STEP[a] @ STEP
        fit = (
            dist.Normal(2 * torch.tensor([0.0, 1.0], dtype=DOUBLE) + a, 1.0)
            .log_prob(DATA[:, None])
            .exp()
        )
        total += START[a] * (c * fit).sum(-1).prod()
    return total


OPTIONS = [
    {"num_samples": 3, "expand": True},
    {"num_samples": 3},
    {"num_samples": 3, "tmc": "mixture"},
    {"num_samples": 1},
]


@pytest.mark.parametrize("options", OPTIONS, ids=str)
@pytest.mark.parametrize("has_guide", [False, True], ids=["prior", "guide"])
def test_the_evidence_is_estimated_without_bias(has_guide, options):
    """Fails by chance once in 2,000 runs of all these cases."""
    marked = config_enumerate(guide, **options) if has_guide else nothing
    program = config_enumerate(model, **options)
    elbo = TraceTMC_ELBO(max_plate_nesting=1)
    draws = torch.tensor([-elbo.loss(program, marked) for _ in range(200)], dtype=DOUBLE).exp()
    error = draws.std() / math.sqrt(len(draws))
    assert abs(draws.mean() - evidence()) < 4 * error + 1e-10


def test_values_that_are_all_enumerated_give_the_evidence():
    loss = TraceTMC_ELBO().loss(config_enumerate(model), config_enumerate(guide))
    assert loss == pytest.approx(-math.log(evidence()), rel=1e-10)


@pytest.mark.parametrize("family", [dist.Normal, fakes.NonreparameterizedNormal])
def test_more_samples_make_the_bound_tighter(family):
    def program(num_samples):
        infer = {"enumerate": "parallel", "num_samples": num_samples}
        z = ppl.sample("z", family(torch.tensor(0.0), torch.tensor(1.0)), infer=infer)
        with ppl.plate("rows", 2):
            y = ppl.sample("y", dist.Normal(z, 1.0), infer=infer)
            ppl.sample("x", dist.Normal(y, 1.0), obs=torch.tensor([0.5, -1.0]))

    covariance = 2 * torch.eye(2) + 1
    exact = dist.MultivariateNormal(torch.zeros(2), covariance).log_prob(torch.tensor([0.5, -1.0]))
    gaps = []
    for num_samples in (2, 10, 100):
        elbo = TraceTMC_ELBO(num_particles=100, vectorize_particles=True)
        gaps.append(elbo.loss(program, lambda n: None, num_samples) + exact.item())
    assert gaps[0] > gaps[1] > gaps[2]
    assert abs(gaps[2]) < 0.03


def test_gradients_of_the_bound_are_unbiased_for_samples_of_a_guide():
    """The expectation over all samples is written out; fails by chance once in 15,000 runs."""
    num_samples, fit = 2, torch.tensor([-1.0, 0.5], dtype=DOUBLE)

    def target():
        z = ppl.sample("z", dist.Bernoulli(torch.tensor(0.3, dtype=DOUBLE)))
        ppl.factor("fit", fit[z.long()])

    def proposal():
        logit = ppl.param("logit", torch.tensor(0.4, dtype=DOUBLE))
        infer = {"enumerate": "parallel", "num_samples": num_samples}
        ppl.sample("z", dist.Bernoulli(logits=logit), infer=infer)

    elbo, rows = TraceTMC_ELBO(max_plate_nesting=0), []
    for _ in range(800):
        loss = elbo.differentiable_loss(target, proposal)
        rows += torch.autograd.grad(loss, ppl.param("logit").unconstrained())
    logit = torch.tensor(0.4, dtype=DOUBLE, requires_grad=True)
    log_p = fit + torch.tensor([0.7, 0.3], dtype=DOUBLE).log()
    log_q = torch.stack([-logit, logit]).sigmoid().log()
    exact = 0.0
    for z in itertools.product([0, 1], repeat=num_samples):
        index = torch.tensor(z)
        bound = (log_p - log_q)[index].logsumexp(0) - math.log(num_samples)
        exact = exact - log_q[index].sum().exp() * bound
    (slope,) = torch.autograd.grad(exact, logit)
    draws = torch.stack(rows)
    assert abs(draws.mean() - slope) < 4 * draws.std() / math.sqrt(len(draws))


def test_gradients_of_pathwise_samples_agree_with_those_of_the_evidence():
    """With many samples: the gradient of ``log N(x; loc, sqrt(2))``."""
    loc = torch.tensor(0.3, requires_grad=True)

    def program():
        infer = {"enumerate": "parallel", "num_samples": 4000}
        z = ppl.sample("z", dist.Normal(loc, 1.0), infer=infer)
        ppl.sample("x", dist.Normal(z, 1.0), obs=torch.tensor(1.0))

    (found,) = torch.autograd.grad(TraceTMC_ELBO().differentiable_loss(program, nothing), loc)
    (exact,) = torch.autograd.grad(-dist.Normal(loc, 2**0.5).log_prob(torch.tensor(1.0)), loc)
    assert_close(found, exact, atol=0.06, rtol=0)


def test_sequential_enumeration_is_refused():
    def program():
        ppl.sample("z", dist.Bernoulli(0.5), infer={"enumerate": "sequential"})

    with pytest.raises(UnsupportedModelError, match="site 'z' is enumerated sequentially"):
        TraceTMC_ELBO().loss(program, program)
