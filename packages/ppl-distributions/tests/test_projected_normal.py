"""Directions of normal vectors, on the far side of the sphere and in many dimensions."""

import math

import mpmath
import pytest
import torch
from torch.func import grad, vmap
from torch.testing import assert_close

import ppl.distributions as dist
from ppl.distributions.projected_normal import log_half_moment
from ppl.errors import ShapeError

T = [-60.0, -20.0, -5.0, -3.01, -2.99, -1.0, 0.0, 0.5, 3.0, 40.0]


def moment(t, order):
    """Return the moment by its closed form, the parabolic cylinder function of order -order - 1."""
    with mpmath.workdps(40):
        factor = mpmath.gamma(order + 1) * mpmath.exp(-(mpmath.mpf(t) ** 2) / 4)
        value = factor * mpmath.pcfd(-order - 1, -mpmath.mpf(t)) / mpmath.sqrt(2 * mpmath.pi)
        return float(mpmath.log(value))


@pytest.mark.parametrize("order", [1, 2, 3, 7])
def test_half_moments_equal_their_closed_form(order):
    t = torch.tensor(T, dtype=torch.float64)
    want = torch.tensor([moment(x, order) for x in T], dtype=torch.float64)
    assert_close(log_half_moment(t, order), want, rtol=2e-12, atol=2e-12)
    assert_close(log_half_moment(t.float(), order), want.float(), rtol=1e-3, atol=1e-3)


def test_the_slope_of_a_log_moment_is_a_ratio_of_moments_less_the_mean():
    """With ``(s - t)`` in the exponent: ``d log M[k] / dt = M[k + 1] / M[k] - t``."""
    t = torch.tensor(T, dtype=torch.float64)
    slope = vmap(grad(lambda x: log_half_moment(x, 2)))(t)
    ratio = (log_half_moment(t, 3) - log_half_moment(t, 2)).exp()
    assert_close(slope, ratio - t, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("dim", [2, 3, 4, 8])
def test_concentration_zero_is_uniform(dim):
    x = torch.nn.functional.normalize(torch.randn(5, dim, dtype=torch.float64), dim=-1)
    log_area = math.log(2) + dim / 2 * math.log(math.pi) - math.lgamma(dim / 2)
    got = dist.ProjectedNormal(torch.zeros(dim, dtype=torch.float64)).log_prob(x)
    assert_close(got, torch.full_like(got, -log_area))


def test_mean_and_mode_are_the_direction_of_the_concentration():
    d = dist.ProjectedNormal(torch.tensor([[3.0, 4.0], [0.0, 0.0]]))
    assert_close(d.mean, torch.tensor([[0.6, 0.8], [1.0, 0.0]]))
    assert d.support.check(d.mode).all()
    assert dist.ProjectedNormal.infer_shapes(concentration=(5, 3)) == ((5,), (3,))
    others = d.sample((100,))
    assert (d.log_prob(d.mode) >= d.log_prob(others) - 1e-6).all()


def test_a_line_has_no_directions():
    with pytest.raises(ShapeError, match=r"dim >= 2, got \(5, 1\)"):
        dist.ProjectedNormal(torch.zeros(5, 1))
