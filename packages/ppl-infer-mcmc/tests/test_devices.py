"""Chains are the same on every device: their noise is a function of seeds and steps alone."""

from __future__ import annotations

import pytest
import torch
from torch.testing import assert_close

import ppl.distributions as dist
from ppl import settings
from ppl.infer.mcmc import HMC, MCMC, NUTS
from ppl.primitives import deterministic, plate, sample

DEVICES = [
    "cpu",
    pytest.param(
        "cuda",
        marks=[
            pytest.mark.cuda,
            pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA"),
        ],
    ),
]
DATA = torch.tensor([0.5, 1.5, 1.0, 0.7, -0.4, 2.2], dtype=torch.float64)
KERNELS = {
    "nuts": NUTS,
    "dense": lambda model: NUTS(model, full_mass=True),
    "hmc": lambda model: HMC(model, step_size=0.3, num_steps=5),
}


def model(data):
    zero = torch.zeros((), dtype=data.dtype, device=data.device)
    mean = sample("mean", dist.Normal(zero, 3.0))
    scale = sample("scale", dist.LogNormal(zero, 1.0))
    deterministic("ratio", mean / scale)
    with plate("data", len(data)):
        sample("x", dist.Normal(mean, scale), obs=data)


def run(kernel, device, tier, num_chains):
    torch.manual_seed(0)
    mcmc = MCMC(KERNELS[kernel](model), 10, 25, num_chains=num_chains, disable_progbar=True)
    with settings.context(mcmc_execution=tier):
        mcmc.run(DATA.to(device))
    return mcmc


@pytest.mark.filterwarnings("ignore::ppl.errors.PPLWarning")  # short chains are not to be trusted
@pytest.mark.parametrize("num_chains", [4, 32])
@pytest.mark.parametrize("tier", ["graph", "inductor"])
@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("device", DEVICES)
def test_draws_do_not_depend_on_the_device(device, kernel, tier, num_chains):
    expected = run(kernel, "cpu", "graph", num_chains)
    found = run(kernel, device, tier, num_chains)
    samples = found.get_samples(group_by_chain=True)
    assert all(x.device.type == device for x in samples.values())
    for name, values in expected.get_samples(group_by_chain=True).items():
        first = samples[name].cpu()[:, :5]  # later on, trajectories amplify the errors of rounding
        assert_close(first, values[:, :5], rtol=1e-5, atol=1e-6)
