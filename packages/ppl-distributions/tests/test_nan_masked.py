"""Normal distributions that leave out missing observations."""

import math

import pytest
import torch
from torch.func import grad
from torch.testing import assert_close

import ppl.distributions as dist
from ppl.validation import validation_enabled

LOC = torch.tensor([0.5, -1.0, 2.0], dtype=torch.float64)
TRIL = torch.tensor([[1.0, 0.0, 0.0], [0.5, 0.8, 0.0], [-0.3, 0.1, 1.2]], dtype=torch.float64)
PATTERNS = [(), (0,), (1,), (2,), (0, 1), (0, 2), (1, 2), (0, 1, 2)]


@pytest.mark.parametrize("kept", PATTERNS)
def test_missing_entries_are_integrated_out(kept):
    x = torch.tensor([0.1, 0.7, -0.4], dtype=torch.float64)
    hidden = torch.tensor([i not in kept for i in range(3)])
    with validation_enabled():
        got = dist.NanMaskedMultivariateNormal(LOC, scale_tril=TRIL).log_prob(
            x.masked_fill(hidden, math.nan)
        )
    index = torch.tensor(kept, dtype=torch.long)
    covariance = (TRIL @ TRIL.T)[index][:, index]
    marginal = dist.MultivariateNormal(LOC[index], covariance) if kept else None
    assert_close(got, marginal.log_prob(x[index]) if marginal else torch.zeros_like(got))


def test_a_batch_may_have_many_patterns_and_gradients_stay_finite():
    x = torch.randn(20, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    x[x > 0.5] = math.nan

    def total(loc, tril):
        return dist.NanMaskedMultivariateNormal(loc, scale_tril=tril.tril()).log_prob(x).sum()

    loc, tril = LOC.clone().requires_grad_(), TRIL.clone().requires_grad_()
    assert torch.autograd.gradcheck(total, (loc, tril))


def test_a_missing_number_counts_nothing():
    x = torch.tensor([math.nan, 0.3])
    with validation_enabled():
        density = dist.NanMaskedNormal(torch.zeros(2), 1.0).log_prob(x)
    assert_close(density, torch.stack([torch.zeros(()), dist.Normal(0.0, 1.0).log_prob(x[1])]))
    slope = grad(lambda loc: dist.NanMaskedNormal(loc, 1.0).log_prob(x).sum())(torch.tensor(0.0))
    assert_close(slope, torch.tensor(0.3))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("small", [1e-2, 1e-3, 1e-4])
def test_a_badly_conditioned_factor_keeps_its_digits(dtype, small):
    """A factor must not be squared into a covariance, which loses half of the digits."""
    tril = torch.tensor([[small, 0.0], [1.0, small]], dtype=dtype)
    x = torch.tensor([small, 1.0], dtype=dtype)
    got = dist.NanMaskedMultivariateNormal(torch.zeros(2, dtype=dtype), scale_tril=tril).log_prob(x)
    assert_close(
        got, dist.MultivariateNormal(torch.zeros(2, dtype=dtype), scale_tril=tril).log_prob(x)
    )


def test_several_vectors_may_share_a_batch_of_factors():
    tril = torch.stack([TRIL, 2 * TRIL])
    x = torch.randn(4, 2, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    want = dist.MultivariateNormal(LOC, scale_tril=tril).log_prob(x)
    assert_close(dist.NanMaskedMultivariateNormal(LOC, scale_tril=tril).log_prob(x), want)
