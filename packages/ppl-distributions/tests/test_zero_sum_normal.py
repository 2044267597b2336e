"""Vectors that sum to zero, and their coordinates."""

import pytest
import torch
from torch.testing import assert_close

import ppl.distributions as dist
from ppl.distributions import biject_to, constraints, transform_to
from ppl.distributions.transforms import ZeroSumTransform
from ppl.validation import validation_enabled


@pytest.mark.parametrize("size", [1, 2, 3, 10, 1000])
def test_coordinates_keep_lengths_and_round_trip(size):
    x = torch.randn(5, size - 1, dtype=torch.float64)
    transform = biject_to(constraints.zero_sum)
    y = transform(x)
    assert y.shape == transform.forward_shape(x.shape) == (5, size)
    assert transform.inverse_shape(y.shape) == x.shape
    assert constraints.zero_sum.check(y).all()
    assert_close(y.norm(dim=-1), x.norm(dim=-1))
    assert_close(transform.inv(y), x)
    assert (transform.log_abs_det_jacobian(x, y) == 0).all()
    assert transform == transform_to(constraints.zero_sum) == ZeroSumTransform()


def test_the_constraint_tolerates_rounding_and_nothing_else():
    x = torch.randn(100, 50)
    assert constraints.zero_sum.check(1e6 * (x - x.mean(-1, keepdim=True))).all()
    assert not constraints.zero_sum.check(torch.tensor([1.0, -1.0 + 1e-4]))
    with validation_enabled(), pytest.raises(ValueError, match="support"):
        dist.ZeroSumNormal(1.0, 2).log_prob(torch.ones(2))


def test_the_density_is_that_of_its_coordinates():
    x = torch.randn(5, 4, dtype=torch.float64)
    scale = torch.tensor(1.7, dtype=torch.float64)
    d = dist.ZeroSumNormal(scale, 5)
    want = dist.Normal(torch.zeros_like(scale), scale).log_prob(x).sum(-1)
    assert_close(d.log_prob(ZeroSumTransform()(x)), want)


def test_draws_have_the_covariance_of_centred_normals():
    torch.manual_seed(0)
    x = dist.ZeroSumNormal(2.0, 4).sample((50_000,)).double()
    want = 4 * (torch.eye(4) - 1 / 4).double()
    error = 4 / 50_000**0.5  # of an entry, at most 3 / 4 of the square root of 2 of it
    assert (torch.cov(x.T) - want).abs().max() < 5 * error
