"""A model with a loop is sampled like its vectorized twin, and says what became of the loop."""

import warnings

import pytest
import torch
from torch.testing import assert_close

import ppl
import ppl.distributions as dist
from ppl.errors import PPLWarning
from ppl.infer import NUTS
from ppl.infer.mcmc.target import evaluation as potentials
from ppl.infer.mcmc.target.evaluation import evaluate, recorded_potential
from ppl.validation import validation_enabled

from .targets import generator

N = 60
Y = torch.randn(N, generator=generator(0)).double()
GROUP = [i * 7 % 5 for i in range(N)]


def normal(name, loc=0.0, scale=1.0):
    return ppl.sample(name, dist.Normal(torch.tensor(loc).double(), scale))


def scale():
    return ppl.sample("s", dist.HalfNormal(torch.tensor(1.0).double()))


def observe(t, loc, scale):
    ppl.sample(f"y_{t}", dist.Normal(loc, scale), obs=Y[t])


def random_walk():
    s, x = scale(), torch.tensor(0.0).double()
    for t in range(N):
        x = ppl.sample(f"x_{t}", dist.Normal(x, s))
        observe(t, x, 0.5)


def ragged_groups():
    s = scale()
    for t in range(N):
        x = normal(f"x_{t}")
        with ppl.plate(f"rows_{t}", 2 + t % 3):
            ppl.sample(f"y_{t}", dist.Normal(x, s), obs=Y[: 2 + t % 3])


def groups_with_vectors():
    s = scale()
    for t in range(N // 2):
        x = ppl.sample(f"x_{t}", dist.Normal(torch.zeros(3).double(), s).to_event(1))
        weights = ppl.sample(f"w_{t}", dist.Dirichlet(torch.ones(3).double()))
        ppl.sample(f"y_{t}", dist.Normal(x @ weights, 0.3), obs=Y[t])


def mixture():
    weights = ppl.sample("w", dist.Dirichlet(torch.ones(3).double()))
    loc = ppl.sample("loc", dist.Normal(torch.zeros(3).double(), 1.0).to_event(1))
    parts = dist.Categorical(weights), dist.Normal(loc, 1.0)
    for t in range(N):
        ppl.sample(f"y_{t}", dist.MixtureSameFamily(*parts), obs=Y[t])


def correlations():
    for t in range(12):
        factor = ppl.sample(f"factor_{t}", dist.LKJCholesky(3, torch.tensor(2.0).double()))
        law = dist.MultivariateNormal(torch.zeros(3).double(), scale_tril=factor)
        ppl.sample(f"y_{t}", law, obs=Y[3 * t : 3 * t + 3])


def looked_up():
    s = scale()
    a = ppl.sample("a", dist.Normal(torch.zeros(5).double(), 1.0).to_event(1))
    for t in ppl.plate("rows", N):
        ppl.sample(f"y_{t}", dist.StudentT(4.0, a[GROUP[t]], s), obs=Y[t])


def volatility():
    a, b = (ppl.sample(n, dist.Uniform(torch.zeros(()).double(), 0.5)) for n in "ab")
    h = scale()
    for t in range(1, N):
        h = 0.1 + a * Y[t - 1] ** 2 + b * h
        observe(t, 0.0, h.sqrt())


MODELS = [random_walk, ragged_groups, groups_with_vectors, mixture, correlations, looked_up]


def target(model):
    ppl.set_rng_seed(1)
    return NUTS(model).target(2, (), {})


@pytest.mark.parametrize("model", [*MODELS, volatility])
def test_the_batched_potential_is_that_of_the_model(model):
    of_model = target(model)
    with validation_enabled(False):
        recorded = recorded_potential(of_model.potential, of_model.start)
        positions = of_model.start + 0.1
        values, gradients = recorded(positions)
        expected = [evaluate(of_model.potential, z) for z in positions]
    assert "batched as" in recorded.loops
    assert_close(values, torch.stack([x for x, _ in expected]), rtol=1e-10, atol=1e-10)
    assert_close(gradients, torch.stack([x for _, x in expected]), rtol=1e-9, atol=1e-9)


def test_what_is_not_batched_says_why_where_it_is_long(monkeypatch):
    def model():
        s = scale()
        with torch.no_grad():
            s = 2 * s
        for t in range(8):
            observe(t, normal(f"x_{t}"), s)

    monkeypatch.setattr(potentials, "MANY_STEPS", 50)
    of_model = target(model)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", PPLWarning)
        recorded = recorded_potential(of_model.potential, of_model.start)
    assert recorded.loops.startswith("not batched")
    assert "runs without gradient" in str(caught[-1].message)


def test_many_sites_lie_in_the_order_of_the_program():
    names = target(random_walk).layout.names
    assert names == ("s", *(f"x_{t}" for t in range(N)))
    assert target(looked_up).layout.names == ("a", "s")


def test_draws_of_a_loop_are_constrained_as_one_by_one():
    of_model = target(groups_with_vectors)
    draws = torch.randn(1, 300, of_model.layout.dim, generator=generator(1)).double()
    found = of_model.constrain(draws)
    for i in (0, 299):
        one = of_model.constrain_one(of_model.layout.unpack(draws[0, i]))
        assert_close({n: x[0, i] for n, x in found.items()}, dict(one))
