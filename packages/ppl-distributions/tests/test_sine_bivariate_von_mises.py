"""Pairs of angles that are concentrated, bimodal, or independent, and skewed angles."""

import math

import pytest
import torch
from scipy.special import ive
from torch.testing import assert_close

import ppl.distributions as dist
from ppl.distributions.testing.statistics import assert_zero_mean
from ppl.errors import ShapeError
from ppl.validation import validation_enabled


def pair(*parameters, **correlation):
    tensors = [torch.tensor(p, dtype=torch.float64) for p in parameters]
    return dist.SineBivariateVonMises(*tensors, **correlation)


def test_without_correlation_the_angles_are_independent():
    d = pair(0.3, -1.0, 500.0, 2.0, correlation=0.0)
    x = torch.randn(20, 2, dtype=torch.float64)
    one, other = dist.VonMises(d.phi_loc, 500.0), dist.VonMises(d.psi_loc, 2.0)
    assert_close(d.log_prob(x), one.log_prob(x[:, 0]) + other.log_prob(x[:, 1]))


def test_a_weighted_correlation_is_in_units_of_the_concentrations():
    d = pair(0.0, 0.0, 2.0, 8.0, weighted_correlation=0.5)
    assert_close(d.correlation, torch.tensor(2.0, dtype=torch.float64))
    for wrong in ({}, {"correlation": 1.0, "weighted_correlation": 0.5}):
        with pytest.raises(ValueError, match="exactly one"):
            pair(0.0, 0.0, 2.0, 8.0, **wrong)


@pytest.mark.parametrize(("k1", "k2", "strength"), [(2e4, 3e3, 0.6), (1e7, 1e6, -0.9)])
def test_a_concentrated_law_is_nearly_a_normal(k1, k2, strength):
    """Its precision matrix is ``[[k1, -correlation], [-correlation, k2]]`` (Singh et al. 2002)."""
    torch.manual_seed(0)
    d = pair(3.1, -3.1, k1, k2, weighted_correlation=strength)
    x = d.sample((20_000,))
    x = torch.remainder(x - d.mean + math.pi, 2 * math.pi) - math.pi
    rho = strength * math.sqrt(k1 * k2)
    covariance = torch.tensor([[k1, -rho], [-rho, k2]], dtype=torch.float64).inverse()
    z = x / covariance.diagonal().sqrt()
    want = covariance / covariance.diagonal().sqrt() / covariance.diagonal().sqrt().unsqueeze(-1)
    curvature = 20 / k2  # of the circle, in units of the variance
    assert_zero_mean(z, "mean")
    error = 5 * 2 / 20_000**0.5
    assert ((z.unsqueeze(-1) * z.unsqueeze(-2)).mean(0) - want).abs().max() < error + curvature


def test_two_modes_are_visited_equally():
    torch.manual_seed(0)
    x = pair(0.0, 0.0, 1.0, 1.0, correlation=50.0).sample((20_000,))
    assert (x[:, 0] * x[:, 1] > 0).all()  # both angles near a right angle, to the same side
    assert_zero_mean(x[:, 0].sign(), "side")


def test_batches_expand_and_infer_their_shapes():
    d = dist.SineBivariateVonMises(torch.zeros(3, 1), torch.zeros(2), 1.0, 2.0, 0.5)
    assert d.batch_shape == (3, 2) and d.mean.shape == d.sample().shape == (3, 2, 2)
    shapes = {"phi_loc": (3, 1), "psi_loc": (2,), "phi_concentration": ()}
    assert dist.SineBivariateVonMises.infer_shapes(**shapes) == ((3, 2), (2,))


def test_skewness_moves_mass_to_one_side_of_the_mean():
    torch.manual_seed(0)
    base = dist.Uniform(torch.full((1,), -math.pi), math.pi).to_event(1)
    x = dist.SineSkewed(base, torch.tensor([0.8])).sample((20_000,))
    assert_zero_mean(x.sin() - 0.4, "sine")  # the mean of s sin(x)^2


def test_a_pair_of_angles_can_be_skewed():
    base = pair(0.3, 1.0, 2.0, 3.0, correlation=1.0)
    skewness = torch.tensor([0.5, -0.3], dtype=torch.float64)
    d = dist.SineSkewed(base, skewness)
    x = d.sample((10,))
    factor = 1 + (skewness * (x - base.mean).sin()).sum(-1)
    assert_close(d.log_prob(x), base.log_prob(x) + factor.log())
    assert d.expand((4,)).sample().shape == (4, 2)


def test_too_much_skewness_or_the_wrong_shape_is_refused():
    base = dist.VonMises(torch.zeros(2), 1.0)
    with pytest.raises(ShapeError, match="to_event"):
        dist.SineSkewed(base, torch.zeros(2))
    with validation_enabled(), pytest.raises(ValueError, match="at most 1"):
        dist.SineSkewed(base.to_event(1), torch.tensor([0.7, 0.5]))


def test_the_constant_is_a_public_attribute():
    d = dist.SineBivariateVonMises(*torch.tensor([0.0, 0.0, 1.0, 1.0, 0.5]))
    assert_close(d.log_prob(torch.zeros(2)), 2.0 - d.norm_const)
    assert d.expand((4, 3)).norm_const.shape == (4, 3)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("k", [1.0, 1e3, 1e6, 1e8])
def test_independent_angles_are_two_von_mises_however_sharp(k, dtype):
    parameters = torch.tensor([0.0, 0.0, k, 2 * k, 0.0], dtype=dtype)
    got = dist.SineBivariateVonMises(*parameters).log_prob(torch.zeros(2, dtype=dtype))
    want = -sum(math.log(2 * math.pi * float(ive(0, x))) for x in (k, 2 * k))
    assert_close(got.item(), want, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("k", [1e6, 1e8])
def test_sharp_dependent_angles_are_nearly_normal(k, dtype):
    parameters = torch.tensor([0.0, 0.0, k, k, k / 2], dtype=dtype)
    got = dist.SineBivariateVonMises(*parameters).log_prob(torch.zeros(2, dtype=dtype))
    want = math.log(k * math.sqrt(0.75) / (2 * math.pi))  # with an error of order 1 / k
    assert_close(got.item(), want, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("share", [0.9, 0.999, 1.0, 1.2])
def test_the_constant_of_wide_and_double_peaks_is_that_of_a_fine_grid(share):
    k = torch.tensor(3000.0, dtype=torch.float64)
    got = dist.SineBivariateVonMises(0 * k, 0 * k, k, k, correlation=share * k).norm_const
    phi = torch.linspace(-math.pi, math.pi, 400_001, dtype=torch.float64)[:-1]
    z = k * torch.hypot(torch.ones_like(phi), share * phi.sin())
    log_density = k * phi.cos() + torch.special.i0e(z).log() + z + math.log(2 * math.pi)
    assert_close(got, log_density.logsumexp(0) + math.log(2 * math.pi / len(phi)))
