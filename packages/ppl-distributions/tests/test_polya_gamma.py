"""The Polya-Gamma law against its Laplace transform, and draws from it."""

import pytest
import torch
from torch.testing import assert_close

import ppl.distributions as dist
from ppl.distributions.polya_gamma import _SPLIT, _cdf, _log_density
from ppl.distributions.testing.statistics import assert_zero_mean

T = torch.tensor([0.0, 0.5, 1.0, 3.0, 10.0], dtype=torch.float64)


def test_the_density_has_the_laplace_transform_of_polson_scott_and_windle():
    """``E[exp(-w t^2 / 2)] = 1 / cosh(t / 2)``; beyond 2.5 lie 6e-6 of the mass."""
    x = torch.linspace(1e-4, 2.5, 100_001, dtype=torch.float64)
    density = dist.TruncatedPolyaGamma(torch.zeros(()).double()).log_prob(x).exp()
    got = torch.trapezoid(density * (-T.square().unsqueeze(-1) * x / 2).exp(), x)
    assert_close(got, 1 / (T / 2).cosh(), rtol=0, atol=1e-5)


def test_both_series_agree_where_they_meet():
    x = torch.tensor([_SPLIT - 1e-9, _SPLIT], dtype=torch.float64)
    slope = (_cdf(x[1]) - _cdf(x[0])) / 1e-9
    assert_close(*_log_density(x), rtol=0, atol=1e-8)
    assert_close(slope, _log_density(x[1]).exp(), rtol=1e-5, atol=0)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_draws_have_the_laplace_transform(dtype):
    torch.manual_seed(0)
    x = dist.TruncatedPolyaGamma(torch.zeros((), dtype=dtype)).sample((20_000,)).double()
    level = _cdf(x)
    assert_zero_mean(level - 0.5, "cdf")
    assert_zero_mean((level - 0.5).square() - 1 / 12, "square of the cdf")
    for t in T[1:]:
        assert_zero_mean((-t.square() * x / 2).exp() - 1 / (t / 2).cosh(), f"transform at {t}")


def test_a_prototype_gives_a_type_and_no_shape():
    d = dist.TruncatedPolyaGamma(torch.ones(3, 1, dtype=torch.float64))
    assert d.batch_shape == () and d.expand((2,)).sample().dtype == torch.float64
    assert d.expand((2,)).expand((4, 2)).log_prob(torch.ones(2).double()).shape == (4, 2)
