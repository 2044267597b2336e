"""Posteriors with known moments are recovered to within Monte Carlo error.

Each test looks at `n` standardized errors and allows five standard errors; by the effective sample
sizes below (hundreds and more) that is a false alarm with probability less than 1e-6 times `n`.
"""

from __future__ import annotations

import warnings

import pytest
import torch

import ppl.distributions as dist
from ppl.errors import PPLWarning
from ppl.infer.mcmc import HMC, MCMC, NUTS
from ppl.ops import stats
from ppl.primitives import factor, plate, sample

KERNELS = {
    "nuts": lambda model: NUTS(model),
    "slice": lambda model: NUTS(model, use_multinomial_sampling=False),
    "dense": lambda model: NUTS(model, full_mass=True),
    "hmc": lambda model: HMC(model, trajectory_length=2.0),
}


def draws_of(kernel, num_chains=20, num_samples=100, warmup_steps=200):
    """Many short chains: a step costs about the same for twenty as for four."""
    torch.manual_seed(0)
    mcmc = MCMC(kernel, num_samples, warmup_steps, num_chains=num_chains, disable_progbar=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PPLWarning)
        mcmc.run()
    return {name: x.double() for name, x in mcmc.get_samples(group_by_chain=True).items()}


def assert_mean(draws, expected):
    """Check the mean of draws ``(chain, draw, *event)``, by standard errors that know the ESS."""
    error = (draws.mean((0, 1)) - torch.as_tensor(expected)) / stats.mcse_mean(draws)
    assert float(error.abs().max()) < 5.0, error


SCALES = torch.tensor([0.5, 1.0, 3.0])
CORRELATION = torch.tensor([[1.0, 0.9, 0.0], [0.9, 1.0, -0.3], [0.0, -0.3, 1.0]])
COVARIANCE = CORRELATION * SCALES * SCALES[:, None]
LOC = torch.tensor([1.0, -2.0, 6.0])


@pytest.mark.parametrize("kernel", KERNELS)
def test_moments_of_a_correlated_normal_of_different_scales(kernel):
    def model():
        sample("z", dist.MultivariateNormal(LOC, COVARIANCE))

    z = (draws_of(KERNELS[kernel](model))["z"] - LOC) / SCALES
    assert_mean(z, torch.zeros(3))
    assert_mean(z[..., :, None] * z[..., None, :], CORRELATION)


@pytest.mark.parametrize("kernel", KERNELS)
def test_moments_of_constrained_sites(kernel):
    concentration = torch.tensor([0.8, 2.0, 5.0])

    def model():
        sample("gamma", dist.Gamma(3.0, 2.0))
        sample("beta", dist.Beta(2.0, 5.0))
        sample("simplex", dist.Dirichlet(concentration))
        sample("interval", dist.Uniform(-1.0, 3.0))

    draws = draws_of(KERNELS[kernel](model))
    assert_mean(draws["gamma"], 1.5)
    assert_mean(draws["gamma"] ** 2, 3.0)
    assert_mean(draws["beta"], 2 / 7)
    total = concentration.sum()
    assert_mean(draws["simplex"], concentration / total)
    assert_mean(draws["simplex"] ** 2, concentration * (concentration + 1) / total / (total + 1))
    assert_mean(draws["interval"], 1.0)
    assert_mean((draws["interval"] - 1.0) ** 2, 16 / 12)


@pytest.mark.parametrize("kernel", ["nuts", "slice", "hmc"])
def test_quantiles_of_a_heavy_tail(kernel):
    student = dist.StudentT(3.0, 0.0, 1.0)
    draws = draws_of(KERNELS[kernel](lambda: sample("t", student)))["t"]
    for cut, probability in ((0.0, 0.5), (1.0, 0.8044989), (3.0, 0.9711656)):
        assert_mean((draws < cut).double(), probability)


@pytest.mark.parametrize("kernel", KERNELS)
def test_the_posterior_of_a_conjugate_model(kernel):
    data = torch.tensor([1.2, 0.3, 2.2, 1.9, 0.4])

    def model():
        mean = sample("mean", dist.Normal(0.0, 2.0))
        with plate("data", 5):
            sample("x", dist.Normal(mean, 1.0), obs=data)

    draws = draws_of(KERNELS[kernel](model))["mean"]
    precision = 1 / 4 + 5
    assert_mean(draws, data.sum() / precision)
    assert_mean((draws - data.sum() / precision) ** 2, 1 / precision)


def test_an_improper_prior_gives_the_likelihood():
    def model():
        z = sample("z", dist.Normal(0.0, 1.0).expand([3]).to_event(1).mask(False))
        sample("x", dist.Normal(z, 2.0).to_event(1), obs=LOC)

    draws = draws_of(NUTS(model))["z"]
    assert_mean(draws, LOC)
    assert_mean((draws - LOC) ** 2, torch.full((3,), 4.0))


def test_a_matrix_that_sometimes_cannot_be_factorized_does_not_stop_the_run():
    def model():
        z = sample("z", dist.Uniform(-2.0, 2.0))
        matrix = torch.stack((torch.stack((torch.ones(()), z)), torch.stack((z, torch.ones(())))))
        root = torch.linalg.cholesky(matrix)
        # the determinant of the matrix is 1 - z^2: the density becomes its square
        sample("x", dist.MultivariateNormal(torch.zeros(2), scale_tril=root), obs=torch.zeros(2))
        factor("smooth", 2.5 * (1 - z**2).clamp(min=1e-30).log())

    draws = draws_of(NUTS(model))["z"]
    assert (draws.abs() < 1.0).all()
    assert_mean(draws, 0.0)
    assert_mean(draws**2, 1 / 7)
