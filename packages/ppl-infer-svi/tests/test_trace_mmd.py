"""The loss with a kernel discrepancy, against its closed form for normal distributions."""

from __future__ import annotations

import math

import pytest
import torch
from torch.testing import assert_close

import ppl
import ppl.distributions as dist
from ppl.errors import ArgumentError, MissingSiteError, SiteError
from ppl.infer import SVI, Trace_MMD
from ppl.infer.svi.elbo.trace_mmd import squared_mmd
from ppl.optim import Adam


@pytest.fixture(autouse=True)
def _fresh():
    ppl.set_rng_seed(0)
    ppl.clear_param_store()


def rbf(one, other):
    return torch.exp(-0.5 * torch.cdist(one, other).square())


def model():
    z = ppl.sample("z", dist.Normal(0.0, 1.0))
    ppl.sample("x", dist.Normal(z, 1.0), obs=torch.tensor(2.0))


def guide():
    ppl.sample("z", dist.Normal(ppl.param("m", torch.tensor(1.0)), 1.0))


def closed_form(shift, scale, num):
    """The expectation of the loss for a normal guide of scale 1; kernel means from convolutions."""
    same, apart = 1 / math.sqrt(3), math.exp(-(shift**2) / 6) / math.sqrt(3)
    mmd = 2 * (1 / num + (1 - 1 / num) * same) - 2 * apart
    return 0.5 * math.log(2 * math.pi) + 0.5 * ((2 - shift) ** 2 + 1) + scale * mmd


@pytest.mark.parametrize("vectorize", [True, False])
def test_the_loss_is_its_closed_form_on_average(vectorize):
    elbo = Trace_MMD(rbf, 3.0, num_particles=5, vectorize_particles=vectorize)
    losses = torch.tensor([elbo.loss(model, guide) for _ in range(400)])
    z = (losses.mean() - closed_form(1.0, 3.0, 5)) / (losses.std() / 20)
    assert abs(z) < 4.0  # false alarm 6e-5


def test_the_gradient_is_that_of_the_closed_form_on_average():
    elbo, found = Trace_MMD(rbf, 3.0, num_particles=20), []
    for _ in range(400):
        elbo.loss_and_grads(model, guide)
        leaf = ppl.param("m").unconstrained()
        found.append(leaf.grad.clone())
        leaf.grad = None
    draws = torch.stack(found)
    exact = -1.0 + 3.0 * 2 * math.exp(-1 / 6) / math.sqrt(3) / 3
    assert abs((draws.mean() - exact) / (draws.std() / 20)) < 4.0


def test_equal_points_have_no_discrepancy_and_it_is_never_negative():
    points = torch.randn(7, 3, dtype=torch.float64)
    assert_close(squared_mmd(points, points, rbf), points.new_zeros(()))
    assert squared_mmd(points, points + 1, rbf) > 0


def test_all_values_of_a_site_are_one_point():
    def wide():
        with ppl.plate("rows", 4):
            ppl.sample("z", dist.Normal(torch.zeros(3), 1.0).to_event(1))

    shapes = []

    def kernel(one, other):
        shapes.append((*one.shape, *other.shape))
        return rbf(one, other)

    assert Trace_MMD({"z": kernel}, {"z": 2.0}, num_particles=6).loss(wide, wide) > 0
    assert set(shapes) == {(6, 12, 6, 12)}


def test_a_large_weight_keeps_the_guide_at_the_prior():
    found = []
    for weight in (0.0, 100.0):
        ppl.clear_param_store()
        svi = SVI(model, guide, Adam({"lr": 0.05}), Trace_MMD(rbf, weight))
        svi.fit(200, disable_progbar=True)
        found.append(ppl.param("m").item())
    assert found[0] > 1.5 and abs(found[1]) < 0.5


def test_misuse_is_told():
    with pytest.raises(TypeError, match="kernel must be a function"):
        Trace_MMD("rbf")
    with pytest.raises(ArgumentError, match="mmd_scale"):
        Trace_MMD(rbf, -1.0)
    with pytest.raises(ArgumentError, match="num_particles"):
        Trace_MMD(rbf, num_particles=1)
    with pytest.raises(MissingSiteError, match="'z'; did you mean 'Z'"):
        Trace_MMD({"Z": rbf}).loss(model, guide)

    def discrete():
        ppl.sample("z", dist.Bernoulli(0.5))

    with pytest.raises(SiteError, match="z"):
        Trace_MMD(rbf).loss(discrete, discrete)
