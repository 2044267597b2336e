"""A gradient that is not the slope of the density is noticed, and its sites are named.

The law that was missing: what the sampler follows is compared with what it samples.
"""

from __future__ import annotations

import warnings

import pytest
import torch

import ppl.distributions as dist
from ppl.errors import PPLWarning
from ppl.infer.mcmc import NUTS
from ppl.primitives import plate, sample

DATA = torch.tensor([3.0, -2.0])


def two_sites(join):
    def model():
        a, b = (sample(name, dist.Normal(0.0, 10.0)) for name in "ab")
        sample("y", dist.Normal(join(a, b), 0.1).to_event(1), obs=DATA)

    return model


def without_gradient(a, b):
    with torch.no_grad():
        return torch.stack([a, b]) * 1


LOST = {
    "tensor of a list": (lambda a, b: torch.tensor([a, b]), "['a', 'b']"),
    "float": (lambda a, b: torch.stack([torch.tensor(float(a)), b]), "['a']"),
    "detach": (lambda a, b: torch.stack([a, b.detach()]), "['b']"),
    "no_grad": (without_gradient, "['a', 'b']"),
}


def caught(model):
    torch.manual_seed(0)
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always", PPLWarning)
        NUTS(model).target(2, (), {})
    return [str(w.message) for w in found if "no gradient reaches" in str(w.message)]


@pytest.mark.parametrize("name", LOST)
def test_the_sites_that_a_gradient_does_not_reach_are_named(name):
    join, sites = LOST[name]
    (message,) = caught(two_sites(join))
    assert f"the sites {sites} " in message
    assert "torch.stack" in message


def regression(dtype):
    x = torch.linspace(1960.0, 2020.0, 200, dtype=dtype)
    y = (0.02 * (x - 1990)).sin() + 3

    def model():
        zero = torch.zeros((), dtype=dtype)
        a, b = (sample(name, dist.Normal(zero, 10.0)) for name in "ab")
        s = sample("s", dist.HalfNormal(zero + 1.0))
        with plate("rows", 200):
            sample("y", dist.Normal(a + b * x, s), obs=y)

    return model


def kinked():
    z = sample("z", dist.Laplace(torch.zeros(20), 1.0).to_event(1))
    sample("y", dist.Normal(z.relu().sum(), 1.0), obs=torch.tensor(3.0))


SOUND = {
    "stack": two_sites(lambda a, b: torch.stack([a, b])),
    "single": regression(torch.float32),
    "double": regression(torch.float64),
    "kinks": kinked,
    "simplex": lambda: sample("p", dist.Dirichlet(torch.ones(4))),
    "steps": lambda: float(sample("x", dist.Normal(0.0, 1.0))),
}


@pytest.mark.parametrize("name", SOUND)
def test_sound_gradients_are_no_reason_for_a_warning(name):
    assert not caught(SOUND[name])
