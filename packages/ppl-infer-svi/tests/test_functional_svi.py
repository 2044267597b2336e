"""The functional face: the same numbers as the object, and nothing global touched."""

from __future__ import annotations

import math
import random

import numpy as np
import pytest
import torch
from torch.testing import assert_close

import ppl
import ppl.distributions as dist
import ppl.optim
import ppl.optim.functional as pure
from ppl.errors import MissingSiteError, NotRunError
from ppl.infer import SVI as Stepwise
from ppl.infer import JitTrace_ELBO, RenyiELBO, Trace_ELBO, TraceGraph_ELBO, TraceMeanField_ELBO
from ppl.infer.functional import SVI, SVIState, elbo

from .conjugate import ZERO, guide, model

DATA = torch.tensor([0.5, 1.5, 1.0, 0.7], dtype=torch.float64)


@pytest.fixture(autouse=True)
def _fresh():
    ppl.set_rng_seed(0)
    ppl.clear_param_store()


def train(svi, num_steps, seed=0, data=DATA):
    state, _ = svi.init(seed, model_args=(data,))
    losses = []
    for _ in range(num_steps):
        state, loss = svi.update(state, model_args=(data,))
        losses.append(loss)
    return state, torch.stack(losses)


OPTIMIZERS = {
    "functional": pure.Adam(lambda count: 0.05 * 0.996**count),
    "object": ppl.optim.ClippedAdam({"lr": 0.05, "lrd": 0.996}),
}


@pytest.mark.parametrize("optim", OPTIMIZERS.values(), ids=OPTIMIZERS)
def test_a_conjugate_model_reaches_the_exact_posterior(optim):
    svi = SVI(model, guide, TraceMeanField_ELBO(), optim)
    params = svi.get_params(train(svi, 1000)[0])
    assert params["m"].item() == pytest.approx(DATA.sum().item() / 5, abs=0.05)
    assert params["s"].item() == pytest.approx(1 / math.sqrt(5), abs=0.05)


def test_steps_are_those_of_the_object_with_the_same_noise():
    svi = SVI(model, guide, elbo, pure.SGD(0.01))
    state, get_params = svi.init(3, model_args=(DATA,))
    stepwise = Stepwise(model, lambda data: guide(), ppl.optim.SGD({"lr": 0.01}), Trace_ELBO())
    for _ in range(5):
        ppl.set_rng_seed(int(state.rng))
        torch.randint(2**62, ())
        expected = stepwise.step(DATA)
        state, loss = svi.update(state, model_args=(DATA,))
        assert loss.item() == pytest.approx(expected, rel=1e-12)
        for name, value in get_params(state).items():
            assert_close(value, ppl.param(name).detach(), rtol=1e-12, atol=0.0)


LOSSES = [elbo, Trace_ELBO(), "ELBO", Trace_ELBO, TraceGraph_ELBO(), JitTrace_ELBO(), RenyiELBO()]


@pytest.mark.parametrize("loss", LOSSES, ids=range(7))
def test_a_fit_is_a_function_of_its_seed_and_touches_nothing_global(loss):
    ppl.param("m", torch.tensor(7.0))
    states = torch.get_rng_state(), random.getstate(), np.random.get_state()[1].tolist()
    svi = SVI(model, guide, loss, pure.Adam(0.05))
    results = [train(svi, 3, seed) for seed in (1, 1, 2)]
    assert torch.equal(results[0][1], results[1][1])
    assert not torch.equal(results[0][1], results[2][1])
    assert list(ppl.get_param_store()) == ["m"] and ppl.param("m") == 7.0
    assert torch.equal(torch.get_rng_state(), states[0]) and random.getstate() == states[1]
    assert np.random.get_state()[1].tolist() == states[2]


def test_an_evaluation_is_the_loss_of_the_next_step():
    svi = SVI(model, guide, elbo, pure.Adam(0.05))
    first = svi.init(torch.Generator().manual_seed(3), model_args=(DATA,))
    assert svi.evaluate(first, (DATA,)) == svi.evaluate(first[0], (DATA,))
    assert svi.evaluate(first, (DATA,)) == svi.update(first, (DATA,))[1]


def test_a_state_is_not_changed_and_can_be_rebuilt_from_plain_tensors():
    svi = SVI(model, guide, elbo, pure.Adam(0.05))
    state, _ = train(svi, 3)
    again = SVIState(state.optim_state, state.rng.clone())
    assert svi.update(state, (DATA,))[1] == svi.update(again, (DATA,))[1]


def test_modules_are_run_with_the_values_of_the_state():
    net = torch.nn.Linear(1, 1).double()
    before = [x.detach().clone() for x in net.parameters()]

    def regression(x, y):
        ppl.module("net", net)
        ppl.sample("y", dist.Normal(net(x), 0.1).to_event(2), obs=y)

    x = torch.linspace(-1, 1, 11, dtype=torch.float64)[:, None]
    svi = SVI(regression, lambda: None, elbo, pure.Adam(0.1))
    state, get_params = svi.init(0, (x, 2 * x + 1))
    for _ in range(300):
        state, _ = svi.update(state, (x, 2 * x + 1))
    weight, bias = get_params(state).values()
    assert_close(weight.item(), 2.0, atol=1e-2, rtol=0.0)
    assert_close(bias.item(), 1.0, atol=1e-2, rtol=0.0)
    assert all(map(torch.equal, before, net.parameters()))


def test_the_elbo_is_exact_where_the_guide_is_the_posterior():
    scale = torch.tensor(1 / math.sqrt(5), dtype=torch.float64)
    values = {"m": (DATA.sum() / 5).requires_grad_(), "s": scale}
    evidence = torch.distributions.MultivariateNormal(
        DATA.new_zeros(4), torch.eye(4, dtype=torch.float64) + 1
    ).log_prob(DATA)
    noise = torch.randn((), dtype=torch.float64)
    ppl.set_rng_seed(0)
    loss = elbo(values, model, guide, (DATA,), (), {})
    loss.backward()
    assert_close(loss, -evidence, rtol=1e-12, atol=0.0)
    assert_close(values["m"].grad, 5 * scale * noise, rtol=1e-12, atol=0.0)


def test_misuse_is_told():
    with pytest.raises(TypeError, match="the order is"):
        SVI(model, guide, pure.Adam(0.1), elbo)
    with pytest.raises(TypeError, match="the order is"):
        SVI(model, guide, ppl.optim.Adam({"lr": 0.1}), Trace_ELBO())
    svi = SVI(model, guide, elbo, pure.Adam(0.1))
    with pytest.raises(TypeError, match="rng must be"):
        svi.init("seed")
    state = SVIState(pure.Adam(0.1).init({"m": ZERO}), torch.tensor(0))
    with pytest.raises(NotRunError, match="init"):
        svi.update(state, (DATA,))
    svi.init(0, (DATA,))
    with pytest.raises(MissingSiteError, match="parameter 's'"):
        svi.update(state, (DATA,))
