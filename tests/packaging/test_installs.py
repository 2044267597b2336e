"""Partial installs work, and say what is missing."""

from __future__ import annotations

from collections.abc import Callable

import pytest

NUTS_ON_A_TINY_MODEL = """
import ppl, torch
import ppl.distributions as dist
from ppl.infer import MCMC, NUTS

def model(data):
    mean = ppl.sample("mean", dist.Normal(0.0, 10.0))
    with ppl.plate("data", len(data)):
        ppl.sample("obs", dist.Normal(mean, 1.0), obs=data)

ppl.set_rng_seed(0)
data = torch.tensor([1.0, 2.0, 3.0, 4.0])
mcmc = MCMC(NUTS(model), num_samples=500, warmup_steps=200, disable_progbar=True)
mcmc.run(data)
print(float(mcmc.get_samples()["mean"].mean()))
"""
SVI_ON_A_TINY_MODEL = """
import ppl, torch
import ppl.distributions as dist
from ppl.infer import SVI, Trace_ELBO
from ppl.optim import Adam

def model(data):
    mean = ppl.sample("mean", dist.Normal(0.0, 10.0))
    with ppl.plate("data", len(data)):
        ppl.sample("obs", dist.Normal(mean, 1.0), obs=data)

def guide(data):
    loc = ppl.param("loc", torch.tensor(0.0))
    ppl.sample("mean", dist.Normal(loc, 0.5))

ppl.set_rng_seed(0)
data = torch.tensor([1.0, 2.0, 3.0, 4.0])
svi = SVI(model, guide, Adam({"lr": 0.05}), loss=Trace_ELBO(num_particles=4))
for _ in range(300):
    svi.step(data)
print(float(ppl.param("loc")))
"""
CAUGHT = """
try:
    {line}
except ImportError as error:
    print(type(error).__name__, error)
"""
# Normal(0, 10) prior, four observations of mean 2.5 and unit noise: precision 4.01, sum 10.
POSTERIOR_MEAN = 10 / 4.01


def test_core_alone_runs_a_model(fresh: Callable) -> None:
    program = """
import ppl
from ppl.distribution import Delta
import torch
trace = ppl.poutine.trace(lambda: ppl.sample("x", Delta(torch.tensor(2.0)))).get_trace()
print(trace.nodes["x"]["value"].item())
"""
    assert fresh("ppl-core").run(program).strip() == "2.0"


def test_mcmc_runs_without_svi_and_names_what_svi_needs(fresh: Callable) -> None:
    environment = fresh("ppl-infer-mcmc")
    assert float(environment.run(NUTS_ON_A_TINY_MODEL)) == pytest.approx(POSTERIOR_MEAN, abs=0.15)
    message = environment.run(CAUGHT.format(line="from ppl.infer import SVI"))
    assert message.startswith("MissingDistributionError")
    assert "pip install ppl-infer-svi" in message


def test_svi_runs_without_mcmc_and_names_what_mcmc_needs(fresh: Callable) -> None:
    environment = fresh("ppl-infer-svi")
    assert float(environment.run(SVI_ON_A_TINY_MODEL)) == pytest.approx(POSTERIOR_MEAN, abs=0.15)
    message = environment.run(CAUGHT.format(line="from ppl.infer import NUTS"))
    assert "pip install ppl-infer-mcmc" in message


def test_core_alone_names_what_the_rest_needs(fresh: Callable) -> None:
    environment = fresh("ppl-core")
    for package, provider in [
        ("distributions", "ppl-distributions"),
        ("infer", "ppl-infer"),
        ("optim", "ppl-optim"),
    ]:
        message = environment.run(CAUGHT.format(line=f"from ppl import {package}"))
        assert f"pip install {provider}" in message


def test_uninstalling_one_distribution_leaves_the_others_whole(fresh: Callable) -> None:
    environment = fresh("ppl-all")
    environment.uninstall("ppl-infer-svi", "ppl-autoguide", "ppl-contrib-flows")
    assert float(environment.run(NUTS_ON_A_TINY_MODEL)) == pytest.approx(POSTERIOR_MEAN, abs=0.15)
