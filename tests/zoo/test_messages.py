"""Inference tells a mistake with the name of the site and the line of the model."""

from __future__ import annotations

import pytest
import torch

import ppl
import ppl.distributions as dist
from ppl.errors import NotFiniteError, PPLError, ShapeError, SupportError
from ppl.infer import MCMC, NUTS, SVI, Trace_ELBO
from ppl.infer.autoguide import AutoNormal
from ppl.optim import Adam

HERE = __file__


@pytest.fixture(autouse=True)
def _fresh_state():
    ppl.set_rng_seed(0)
    with ppl.param_store(), ppl.validation_enabled():
        yield


def trace(model):
    return ppl.poutine.trace(model).get_trace().log_prob_sum()


def svi(model):
    return SVI(model, lambda: None, Adam({"lr": 0.1}), Trace_ELBO()).step()


def svi_with_an_automatic_guide(model):
    return SVI(model, AutoNormal(model), Adam({"lr": 0.1}), Trace_ELBO()).step()


def nuts(model):
    return MCMC(NUTS(model), num_samples=2, warmup_steps=1).run()


def batch_without_plate():
    with ppl.plate("data", 10):
        ppl.sample("y", dist.Normal(torch.zeros(3), 1.0))


def data_of_another_length():
    ppl.sample("mean", dist.Normal(0.0, 1.0))
    with ppl.plate("data", 3):
        ppl.sample("y", dist.Normal(0.0, 1.0), obs=torch.zeros(4))


def impossible_data():
    ppl.sample("mean", dist.Normal(0.0, 1.0))
    ppl.sample("y", dist.LogNormal(0.0, 1.0), obs=torch.tensor(-1.0))


def nan_factor():
    x = ppl.sample("x", dist.Normal(0.0, 1.0))
    ppl.factor("y", (-x.exp()).log())


MISTAKES = {
    batch_without_plate: (ShapeError, 2),
    data_of_another_length: (ShapeError, 3),
    impossible_data: (SupportError, 2),
    nan_factor: (NotFiniteError, 2),
}


@pytest.mark.parametrize("infer", [trace, svi, svi_with_an_automatic_guide, nuts])
@pytest.mark.parametrize("model", MISTAKES, ids=lambda model: model.__name__)
def test_a_mistake_is_told_with_site_and_line_whatever_runs_the_model(model, infer):
    error, offset = MISTAKES[model]
    with pytest.raises(error) as caught:
        infer(model)
    message = str(caught.value)
    assert message.startswith("site 'y': ")
    assert f"\nat {HERE}:{model.__code__.co_firstlineno + offset}: ppl." in message
    assert message.count("Trace Shapes:") == 1
    assert len(message.splitlines()) < 20


@pytest.mark.parametrize("infer", [svi, nuts])
def test_the_result_of_a_model_is_no_model(infer):
    with pytest.raises(PPLError, match="the model itself, not what it returns"):
        infer(data_without_mistake())


def data_without_mistake():
    ppl.sample("y", dist.Normal(0.0, 1.0))


def shorter_data(data):
    with ppl.plate("data", len(data)):
        z = ppl.sample("z", dist.Normal(0.0, 1.0))
        ppl.sample("y", dist.Normal(z, 1.0), obs=data)


def test_a_trace_replayed_with_other_shapes_names_the_site():
    recorded = ppl.poutine.trace(shorter_data).get_trace(torch.zeros(5))
    again = ppl.poutine.trace(ppl.poutine.replay(shorter_data, trace=recorded))
    with pytest.raises(PPLError) as caught:
        again.get_trace(torch.zeros(4)).log_prob_sum()
    assert "'z'" in str(caught.value) or "'y'" in str(caught.value)
    assert f"\nat {HERE}:" in str(caught.value)


def test_discrete_sites_under_nuts_are_named_with_a_cure():
    with pytest.raises(PPLError, match="'k'.*discrete"):
        nuts(lambda: ppl.sample("k", dist.Poisson(3.0)))
