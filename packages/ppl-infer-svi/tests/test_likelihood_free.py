"""Fits without densities or without a guide: energy distance, particles."""

from __future__ import annotations

import math

import pytest
import torch
from torch.distributions import constraints
from torch.testing import assert_close

import ppl
import ppl.distributions as dist
from ppl.errors import ArgumentError, UnsupportedModelError
from ppl.infer import SVGD, SVI, EnergyDistance, IMQSteinKernel, RBFSteinKernel
from ppl.optim import Adam

DATA = torch.tensor([1.0, 3.0])


@pytest.fixture(autouse=True)
def _fresh():
    ppl.set_rng_seed(0)
    ppl.clear_param_store()


def model(data):
    z = ppl.sample("z", dist.Normal(0.0, 1.0))
    with ppl.plate("data", len(data)):
        ppl.sample("x", dist.Normal(z, 0.5), obs=data)


def guide(data):
    m = ppl.param("m", torch.tensor(0.3))
    ppl.sample("z", dist.Normal(m, 0.8))


@pytest.mark.parametrize("beta", [0.5, 1.0, 1.5])
@pytest.mark.parametrize("prior_scale", [0.0, 0.1])
def test_the_loss_is_the_energy_distance_of_all_data(beta, prior_scale):
    loss = EnergyDistance(beta, prior_scale, num_particles=10)
    draws = torch.tensor([loss.loss(model, guide, DATA) for _ in range(300)])

    def predict(number):
        z = 0.3 + 0.8 * torch.randn(number)
        return z, z[:, None] + 0.5 * torch.randn(number, 2)

    (z, one), (_, other) = predict(40000), predict(40000)
    terms = (one - DATA).norm(dim=-1) ** beta - (one - other).norm(dim=-1) ** beta / 2
    terms = terms - prior_scale * dist.Normal(0.0, 1.0).log_prob(z)
    error = (draws.var() / len(draws) + terms.var() / len(terms)).sqrt()
    assert abs(draws.mean() - terms.mean()) < 4 * error


def test_a_fit_finds_the_centre_of_what_has_no_density():
    data = 2.0 + dist.Stable(1.8, 0.0).expand([200]).sample()

    def heavy(data):
        loc = ppl.param("loc", torch.tensor(0.0))
        with ppl.plate("data", len(data)):
            ppl.sample("x", dist.Stable(1.8, 0.0, 1.0, loc), obs=data)

    svi = SVI(heavy, lambda data: None, Adam({"lr": 0.05}), EnergyDistance(num_particles=4))
    for _ in range(300):
        svi.step(data)
    assert abs(ppl.param("loc").item() - 2.0) < 0.5


def test_another_model_has_a_nesting_of_its_own():
    def nested(data):
        z = ppl.sample("z", dist.Normal(0.0, 1.0))
        with ppl.plate("rows", 2, dim=-2), ppl.plate("columns", len(data), dim=-1):
            ppl.sample("x", dist.Normal(z, 0.5), obs=data)

    loss, fresh = EnergyDistance(), EnergyDistance()
    loss.loss(model, guide, DATA)
    ppl.set_rng_seed(1)
    found = loss.loss(nested, guide, DATA)
    ppl.set_rng_seed(1)
    assert found == fresh.loss(nested, guide, DATA)


@pytest.mark.parametrize(
    "options", [{"beta": 0.0}, {"beta": 2.0}, {"prior_scale": -1.0}, {"num_particles": 1}]
)
def test_options_out_of_range_are_refused(options):
    with pytest.raises(ValueError, match=next(iter(options))):
        EnergyDistance(**options)


@pytest.mark.parametrize("kernel", [RBFSteinKernel(), IMQSteinKernel(), RBFSteinKernel(0.5)])
def test_the_gradient_of_a_kernel_is_that_of_its_logarithm(kernel):
    x = torch.randn(5, 3, dtype=torch.float64)
    _, bandwidth = kernel._scaled(x)
    kernel._scaled = lambda p: (p[:, None] - p, bandwidth)  # held: the bandwidth is no variable
    log_kernel, grad = kernel.log_kernel_and_grad(x)
    for j in range(5):
        moved = x.clone().requires_grad_()
        other, _ = kernel.log_kernel_and_grad(torch.cat([x[:j], moved[j : j + 1], x[j + 1 :]]))
        (slope,) = torch.autograd.grad(other[(j + 1) % 5, j].sum(), moved)
        assert_close(slope[j], grad[(j + 1) % 5, j])
    assert_close(log_kernel[0, 0], log_kernel[1, 1])


@pytest.mark.parametrize("mode", ["univariate", "multivariate"])
@pytest.mark.parametrize("kernel", [RBFSteinKernel(), IMQSteinKernel()], ids=["rbf", "imq"])
def test_particles_settle_at_the_posterior(kernel, mode):
    def conjugate(data):
        rate = ppl.sample("rate", dist.Gamma(2.0, 1.0))
        z = ppl.sample("z", dist.Normal(torch.zeros(2), 1.0).to_event(1))
        with ppl.plate("data", len(data)):
            ppl.sample("n", dist.Poisson(rate), obs=data)
        ppl.sample("x", dist.Normal(z, 1.0).to_event(1), obs=torch.tensor([2.0, -2.0]))

    counts = torch.tensor([3.0, 5.0, 4.0])
    svgd = SVGD(conjugate, kernel, Adam({"lr": 0.1}), 64, max_plate_nesting=1, mode=mode)
    for _ in range(300):
        sizes = svgd.step(counts)
    found = svgd.get_named_particles()
    assert found["rate"].shape == (64,)
    assert found["z"].shape == (64, 2)
    assert (found["rate"] > 0).all()
    assert abs(found["rate"].mean() - 14 / 4) < 0.2
    assert_close(found["z"].mean(0), torch.tensor([1.0, -1.0]), atol=0.15, rtol=0.0)
    if mode == "univariate":  # products of kernels hold particles apart too little
        assert abs(found["z"].std(0) - math.sqrt(0.5)).max() < 0.25
    assert set(sizes) == {"rate", "z"}


def test_discrete_sites_are_refused_by_name():
    svgd = SVGD(lambda: ppl.sample("k", dist.Poisson(3.0)), RBFSteinKernel(), Adam({}), 4, 0)
    with pytest.raises(UnsupportedModelError, match="'k'.*marginalize"):
        svgd.step()


def test_options_of_particles_are_checked():
    with pytest.raises(ArgumentError, match="bandwidth_factor"):
        RBFSteinKernel(-1.0)
    with pytest.raises(ArgumentError, match="mode"):
        SVGD(model, RBFSteinKernel(), Adam({}), 4, 0, mode="both")
    with pytest.raises(ArgumentError, match="kernel"):
        SVGD(model, None, Adam({}), 4, 0)


def test_a_positive_constraint_is_respected_by_guides_of_predictions():
    def positive(data):
        s = ppl.param("s", torch.tensor(1.0), constraint=constraints.positive)
        with ppl.plate("data", len(data)):
            ppl.sample("x", dist.Normal(0.0, s), obs=data)

    svi = SVI(positive, lambda data: None, Adam({"lr": 0.05}), EnergyDistance(num_particles=8))
    before = svi.evaluate_loss(DATA)
    for _ in range(100):
        svi.step(DATA)
    assert ppl.param("s").item() > 0
    assert math.isfinite(before)
