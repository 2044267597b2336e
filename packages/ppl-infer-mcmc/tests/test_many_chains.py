"""A thousand chains need little memory, and are run as one is."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

STATUS = Path("/proc/self/status")
PROGRAM = """
import warnings
from pathlib import Path

import torch

import ppl.distributions as dist
from ppl.infer.mcmc import MCMC, NUTS
from ppl.primitives import deterministic, plate, sample

EFFECTS = torch.tensor([28.0, 8.0, -3.0, 7.0, -1.0, 1.0, 18.0, 12.0])
ERRORS = torch.tensor([15.0, 10.0, 16.0, 11.0, 9.0, 11.0, 10.0, 18.0])

def eight_schools():
    mu = sample("mu", dist.Normal(0.0, 5.0))
    tau = sample("tau", dist.HalfCauchy(5.0))
    with plate("schools", 8):
        theta = deterministic("theta", mu + tau * sample("eta", dist.Normal(0.0, 1.0)))
        sample("y", dist.Normal(theta, ERRORS), obs=EFFECTS)

def peak():  # in MB; getrusage would count the parent's
    [line] = [x for x in Path("/proc/self/status").read_text().splitlines() if "VmHWM" in x]
    return int(line.split()[1]) / 1024

warnings.simplefilter("ignore")
for num_chains in (1, 4, 1024):
    before = peak()
    torch.manual_seed(0)
    mcmc = MCMC(NUTS(eight_schools), 20, 20, num_chains=num_chains, disable_progbar=True)
    mcmc.run()
    draws = mcmc.get_samples(group_by_chain=True)
    print(num_chains, *draws["theta"].shape, float(draws["mu"].mean()), peak() - before)
"""


@pytest.mark.skipif(not STATUS.exists(), reason="the system does not tell the peak of the memory")
def test_a_thousand_chains_of_eight_schools_need_less_than_a_gigabyte():
    printed = subprocess.run(
        [sys.executable, "-c", PROGRAM], check=True, capture_output=True, text=True
    ).stdout
    rows = [list(map(float, line.split())) for line in printed.splitlines()]
    assert [row[:4] for row in rows] == [[n, n, 20, 8] for n in (1, 4, 1024)]
    mean, growth = rows[-1][4:]
    # the posterior mean is 4.4 and its standard deviation 3.3; 1024 chains are independent
    assert abs(mean - 4.4) < 5 * 3.3 / 1024**0.5
    assert growth < 1000
