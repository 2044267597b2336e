"""Functional SVI: pure steps that reach the posterior."""

from __future__ import annotations

import pickle

import pytest
import torch
from torch.distributions import constraints
from torch.testing import assert_close

import ppl
import ppl.distributions as dist
from ppl.errors import MissingSiteError
from ppl.infer import Trace_ELBO, TraceEnum_ELBO, TraceMeanField_ELBO, config_enumerate
from ppl.infer.functional import SVI, SVIState, elbo
from ppl.nn import PyroModule
from ppl.optim import functional as optim

DATA = torch.ones(5)
ESTIMATORS = [elbo, Trace_ELBO(), TraceMeanField_ELBO(), Trace_ELBO(num_particles=3)]
OPTIMIZERS = [optim.Adam(0.05), optim.SGD(0.02), optim.Momentum(0.005), optim.Adagrad(0.3)]


def model(data, scale=1.0):
    z = ppl.sample("z", dist.Normal(0.0, 1.0))
    ppl.sample("x", dist.Normal(z, scale).expand([5]).to_event(1), obs=data)


def guide(scale=1.0):
    spread = ppl.param("s", torch.tensor(1.0), constraint=constraints.positive)
    ppl.sample("z", dist.Normal(ppl.param("m", torch.tensor(0.0)), spread))


def fit(loss, optimizer, seed=0, num_steps=400):
    svi = SVI(model, guide, loss, optimizer)
    state, get_params = svi.init(seed, model_args=(DATA,))
    for _ in range(num_steps):
        state, _ = svi.update(state, model_args=(DATA,))
    return svi, state, get_params


@pytest.mark.parametrize("optimizer", OPTIMIZERS, ids=range(4))
def test_the_exact_posterior_is_found(optimizer):
    """It is Normal(5 / 6, 1 / sqrt(6)), and the mean-field guide contains it."""
    svi, state, _ = fit(TraceMeanField_ELBO(num_particles=10), optimizer)
    params = svi.get_params(state)
    assert_close(params["m"], torch.tensor(5 / 6), atol=0.1, rtol=0)
    assert_close(params["s"], torch.tensor(6.0).rsqrt(), atol=0.05, rtol=0)


@pytest.mark.parametrize("loss", ESTIMATORS, ids=range(4))
def test_a_step_is_a_function_of_its_state(loss):
    svi, state, get_params = fit(loss, optim.Adam(0.05), num_steps=3)
    kept = pickle.dumps(state)
    one, first = svi.update(state, model_args=(DATA,))
    torch.rand(3)
    other, again = svi.update(pickle.loads(kept), model_args=(DATA,))
    assert_close((one, first), (other, again), rtol=0, atol=0)
    assert pickle.dumps(state) == kept
    assert_close(svi.evaluate(state, model_args=(DATA,)), first, rtol=0, atol=0)
    assert_close(get_params(svi.optim.get_params(one.optim_state)), svi.get_params(one))


def test_nothing_global_is_read_or_written():
    ppl.clear_param_store()
    ppl.param("m", torch.tensor(100.0))
    ppl.set_rng_seed(1)
    expected = torch.rand(2)
    ppl.set_rng_seed(1)
    svi, state, _ = fit(elbo, optim.Adam(0.05), num_steps=2)
    svi.evaluate(state, model_args=(DATA,))
    assert_close(torch.rand(2), expected, rtol=0, atol=0)
    assert dict(ppl.get_param_store()) == {"m": torch.tensor(100.0)}
    assert abs(svi.get_params(state)["m"]) < 1


def test_seeds_and_generators_make_runs():
    def losses(rng):
        svi = SVI(model, guide, elbo, optim.Adam(0.05))
        state, _ = svi.init(rng, model_args=(DATA,))
        return [float(svi.update(state, model_args=(DATA,))[1])]

    assert losses(3) == losses(3) != losses(4)
    assert losses(torch.Generator().manual_seed(3)) == losses(torch.Generator().manual_seed(3))


def test_the_gradient_of_elbo_is_exact_on_average():
    """At m = 0, s = 1 the gradient in m is -5 (data) + 6 m."""
    torch.manual_seed(0)
    m = torch.tensor(0.0, requires_grad=True)
    total = sum(
        elbo({"m": m, "s": torch.tensor(1.0)}, model, guide, (DATA,), (), {}) for _ in range(2000)
    )
    (slope,) = torch.autograd.grad(total / 2000, m)
    assert abs(slope + 5) < 5 * 6 / 2000**0.5  # sd of a draw is 6: false alarm 6e-7


def test_static_arguments_reach_model_and_guide():
    svi = SVI(model, guide, elbo, optim.Adam(0.05), scale=2.0)
    state, _ = svi.init(0, model_args=(DATA,))
    plain = SVI(model, guide, elbo, optim.Adam(0.05))
    other, _ = plain.init(0, model_args=(DATA,))
    assert svi.evaluate(state, (DATA,)) != plain.evaluate(other, (DATA,))


def test_the_pair_that_init_returns_is_a_state():
    svi = SVI(model, guide, elbo, optim.Adam(0.05))
    pair = svi.init(0, model_args=(DATA,))
    assert_close(svi.evaluate(pair, (DATA,)), svi.evaluate(pair[0], (DATA,)))
    assert isinstance(svi.update(pair, (DATA,))[0], SVIState)


def test_modules_keep_their_own_values():
    net = PyroModule[torch.nn.Linear](1, 1)
    before = [p.detach().clone() for p in net.parameters()]

    def regression(x):
        ppl.sample("y", dist.Normal(net(x), 1.0).to_event(2), obs=2 * x)

    x = torch.linspace(-1, 1, 9)[:, None]
    svi = SVI(regression, lambda: None, Trace_ELBO(), optim.Adam(0.1))
    state, _ = svi.init(0, model_args=(x,))
    for _ in range(200):
        state, _ = svi.update(state, model_args=(x,))
    assert_close(svi.get_params(state)["weight"], torch.tensor([[2.0]]), atol=0.05, rtol=0)
    for p, value in zip(net.parameters(), before, strict=True):
        assert_close(p.detach(), value)


def test_discrete_sites_are_summed_out():
    @config_enumerate
    def mixture():
        p = ppl.param("p", torch.tensor(0.5), constraint=constraints.unit_interval)
        z = ppl.sample("z", dist.Bernoulli(p))
        ppl.sample("x", dist.Normal(4.0 * z, 1.0), obs=torch.tensor(4.0))

    svi = SVI(mixture, lambda: None, TraceEnum_ELBO(), optim.Adam(0.1))
    state, _ = svi.init(0)
    for _ in range(100):
        state, _ = svi.update(state)
    assert svi.get_params(state)["p"] > 0.95


def test_a_parameter_that_comes_later_is_not_left_untrained():
    svi = SVI(model, guide, elbo, optim.Adam(0.05))
    state, _ = svi.init(0, model_args=(DATA,))

    def grown(data):
        ppl.param("late", torch.tensor(1.0))
        model(data)

    svi.model = grown
    with pytest.raises(MissingSiteError, match="'late' was not there when init ran"):
        svi.update(state, model_args=(DATA,))
