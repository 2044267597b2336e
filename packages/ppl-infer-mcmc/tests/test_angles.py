"""Angles are sampled on a circle, and what a mask of observations leaves out under its prior.

The law that was missing: every unconstrained coordinate has a proper density, so none runs away.
"""

from __future__ import annotations

import math
import warnings

import pytest
import torch

import ppl.distributions as dist
from ppl.infer.mcmc import MCMC, NUTS
from ppl.infer.mcmc.target.angles import Direction
from ppl.primitives import plate, sample

CASES = {
    "in the middle": dist.VonMises(0.5, 2.0),
    "at the cut": dist.VonMises(3.1, 4.0),
    "nearly uniform": dist.VonMises(0.0, 0.01),
    "narrow": dist.VonMises(-1.0, 200.0),
}


def run(model, num_samples=400, num_chains=4):
    torch.manual_seed(0)
    mcmc = MCMC(NUTS(model), num_samples, 300, num_chains=num_chains, disable_progbar=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        mcmc.run()
    return mcmc


@pytest.mark.parametrize("name", CASES)
def test_angles_are_drawn_on_the_circle(name):
    law = CASES[name]
    mcmc = run(lambda: sample("x", law))
    x = mcmc.get_samples()["x"].double()
    assert (x.abs() <= math.pi).all()
    resultant = 1 - float(law.variance)
    for found, expected in (
        ((x - law.loc).cos().mean(), resultant),
        ((x - law.loc).sin().mean(), 0.0),
    ):
        assert abs(float(found) - expected) < 4 / 400**0.5  # 400 effective draws, deviation <= 1
    assert mcmc.get_extra_fields()["num_steps"].double().mean() < 63


def test_vectors_of_angles_lie_on_the_torus():
    x = run(lambda: sample("x", dist.VonMises(torch.tensor([3.0, -3.0]), 2.0).to_event(1)), 50)
    assert x.get_samples()["x"].shape == (200, 2)
    pair = run(lambda: sample("x", dist.SineBivariateVonMises(3.0, -3.0, 2.0, 2.0, 0.5)), 50)
    assert pair.get_samples()["x"].shape == (200, 2)
    assert (pair.get_samples()["x"].abs() <= math.pi).all()


def test_the_density_of_the_length_is_normalized():
    grid = torch.linspace(-4.0, 4.0, 2001, dtype=torch.float64)
    vectors = torch.cartesian_prod(grid, grid)
    log_density = Direction().log_abs_det_jacobian(vectors, vectors[:, 0]) - math.log(2 * math.pi)
    assert abs(float(log_density.exp().sum()) * float(grid[1] - grid[0]) ** 2 - 1) < 1e-3


def test_where_something_is_observed_nothing_runs_away():
    is_observed = torch.arange(6) < 3

    def model():
        with plate("rows", 6):
            z = dist.Normal(1.0, 1.0)
            sample("z", z, obs=torch.zeros(6), obs_mask=is_observed)

    mcmc = run(model)
    assert mcmc.get_extra_fields()["num_steps"].double().mean() < 16
    z = mcmc.get_samples()["z"]
    assert (z[:, :3] == 0).all()
    assert (z[:, 3:].mean(0) - 1).abs().max() < 4 / 400**0.5
    assert mcmc.get_samples()["z_unobserved"].abs().max() < 7


DIRECTIONS = {
    "uniform": dist.ProjectedNormal(torch.zeros(3)),
    "projected": dist.ProjectedNormal(torch.tensor([1.0, 2.0, 0.0])),
    "projected, of the plane": dist.ProjectedNormal(torch.tensor([1.0, -1.0])),
    "von Mises": dist.VonMises3D(torch.tensor([2.0, -1.0, 0.0])),
}


@pytest.mark.parametrize("name", DIRECTIONS)
def test_directions_are_drawn_on_the_sphere(name):
    law = DIRECTIONS[name]
    mcmc = run(lambda: sample("x", law))
    x = mcmc.get_samples()["x"]
    torch.testing.assert_close(x.norm(dim=-1), torch.ones(len(x)))
    truth = law.sample((100_000,))
    for found, expected in ((x, truth), (x.square(), truth.square())):
        error = (found.mean(0) - expected.mean(0)).abs()
        assert (error < 4 / 400**0.5 * found.std(0)).all()  # 400 effective draws at least
