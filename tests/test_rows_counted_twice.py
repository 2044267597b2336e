"""A column of data in a plate of rows is refused by whatever infers, never scored rows times rows.

Ten observations of shape (10, 1) broadcast against a plate of ten to a hundred, so that a posterior
deviation of 0.31 comes out as 0.10; nothing else tells that anything is wrong.
"""

from __future__ import annotations

from functools import partial

import pytest
import torch

import ppl
import ppl.distributions as dist
from ppl.errors import ShapeError
from ppl.infer import (
    MCMC,
    NUTS,
    SMC,
    SVI,
    Importance,
    Predictive,
    Search,
    StreamingMCMC,
    config_enumerate,
    infer_discrete,
    log_likelihood,
)
from ppl.infer.autoguide import AutoNormal
from ppl.infer.mcmc import HMC, DiscreteGibbs, Gibbs, RandomWalkKernel

ROWS = 10


def of_rows(data):
    mean = ppl.sample("mean", dist.Normal(0.0, 10.0))
    with ppl.plate("rows", ROWS):
        ppl.sample("y", dist.Normal(mean, 1.0), obs=data)


@config_enumerate
def of_rows_by_a_coin(data):
    mean = ppl.sample("mean", dist.Bernoulli(0.5))
    with ppl.plate("rows", ROWS):
        ppl.sample("y", dist.Normal(mean, 1.0), obs=data)


def run(kernel, data, driver=MCMC, **options):
    driver(kernel, num_samples=3, warmup_steps=3, disable_progbar=True, **options).run(data)


def nothing(*_):
    pass


def step(loss, data):
    SVI(of_rows, AutoNormal(of_rows), ppl.optim.Adam({"lr": 0.1}), loss).step(data)


def predict(data):
    Predictive(of_rows, {"mean": torch.zeros(3)})(data)


METHODS = {
    "NUTS": lambda y: run(NUTS(of_rows), y),
    "NUTS, draw by draw": lambda y: run(NUTS(of_rows), y, hook_fn=nothing),
    "HMC, one by one": lambda y: run(HMC(of_rows), y, num_chains=2, chain_method="sequential"),
    "a random walk": lambda y: run(RandomWalkKernel(of_rows), y),
    "a random walk, streamed": lambda y: run(RandomWalkKernel(of_rows), y, StreamingMCMC),
    "Gibbs": lambda y: run(Gibbs([(NUTS, ["mean"])], of_rows), y),
    "Gibbs, a discrete site": lambda y: run(DiscreteGibbs(of_rows_by_a_coin), y),
    "SMC": lambda y: SMC(of_rows, 10).run(y),
    "Importance": lambda y: Importance(of_rows, num_samples=10).run(y),
    "Importance, one by one": lambda y: Importance(of_rows, num_samples=2, vectorize=False).run(y),
    "Search": lambda y: Search(of_rows_by_a_coin).run(y),
    "infer_discrete": lambda y: infer_discrete(of_rows_by_a_coin, first_available_dim=-3)(y),
    "Predictive": predict,
    "log_likelihood": lambda y: log_likelihood(of_rows, {"mean": torch.zeros(3)}, y),
    **{
        loss: partial(step, loss)
        for loss in ("Trace_ELBO", "TraceGraph_ELBO", "TraceEnum_ELBO", "TraceMeanField_ELBO")
    },
}


@pytest.mark.parametrize("method", METHODS.values(), ids=METHODS)
@pytest.mark.filterwarnings("ignore")  # short chains are not to be trusted
def test_a_column_in_a_plate_of_rows_is_refused(method):
    with ppl.get_param_store().scope():
        method(torch.zeros(ROWS))
    with ppl.get_param_store().scope(), pytest.raises(ShapeError, match="'y'"):
        method(torch.zeros(ROWS, 1))


@pytest.mark.filterwarnings("ignore")
def test_a_value_that_cannot_be_is_named_before_a_random_walk_begins():
    data = torch.zeros(ROWS)
    data[3] = torch.nan
    with pytest.raises(ValueError, match="(?s)'y'.*1 of 10"):
        run(RandomWalkKernel(of_rows), data)
