"""Distribution functions, densities, entropies and divergences at the ends of their range."""

import math

import mpmath as mp
import pytest
import scipy.stats as st
import torch
from torch import tensor
from torch.testing import assert_close

import ppl.distributions as dist
from ppl.distributions import kl_divergence
from ppl.validation import validation_enabled

from .cases import CASES

INF = math.inf
# an image has the support of its last map, which may be larger than what it reaches
NUMBERS = [
    c
    for c in CASES
    if c.has_cdf and c.dist().event_dim == 0 and c.name != "TransformedDistribution"
]


def ends(family):
    low, high = (
        torch.as_tensor(getattr(family.support, name, default)).expand(family.batch_shape)
        for name, default in (("lower_bound", -INF), ("upper_bound", INF))
    )
    return low.double(), high.double()


@pytest.mark.parametrize("case", NUMBERS, ids=str)
def test_beyond_the_support_lies_no_probability(case):
    with validation_enabled(False):
        family = case.dist()
        low, high = ends(family)
        for below in (low - 1, torch.full_like(low, -INF)):
            assert_close(family.cdf(below), torch.zeros_like(low), rtol=0.0, atol=0.0)
        for above in (high, high + 1, torch.full_like(high, INF)):
            assert_close(family.cdf(above), torch.ones_like(high), rtol=0.0, atol=0.0)
        assert family.cdf(torch.full_like(low, math.nan)).isnan().all()


@pytest.mark.parametrize("case", NUMBERS, ids=str)
def test_beyond_the_support_a_distribution_function_is_flat(case):
    with validation_enabled(False):
        family = case.dist()
        low, _ = ends(family)
        x = (low.nan_to_num(neginf=0.0) - 1).requires_grad_()
        (slope,) = torch.autograd.grad(family.cdf(x).sum(), x)
        assert slope.isfinite().all() and (slope[low.isfinite()] == 0).all()


@pytest.mark.parametrize("case", [c for c in NUMBERS if c.has_icdf], ids=str)
def test_quantiles_reach_from_end_to_end_and_no_further(case):
    family = case.dist()
    with validation_enabled(False):
        for p in (-0.1, 1.1, math.nan):
            assert family.icdf(torch.full(family.batch_shape, p).double()).isnan().all()
        low, high = (family.icdf(torch.full(family.batch_shape, p).double()) for p in (0.0, 1.0))
        assert_close(family.cdf(low), torch.zeros_like(low), rtol=0.0, atol=1e-12)
        assert_close(family.cdf(high), torch.ones_like(high), rtol=0.0, atol=1e-12)


@pytest.mark.parametrize("low, high", [(-1.0, 2.0), (None, 0.5), (0.7, None), (2.0, 4.0)])
def test_a_truncated_distribution_begins_and_ends_at_its_bounds(low, high):
    d = dist.Truncated(dist.Normal(tensor([0.3, -1.0]), tensor([1.0, 2.0])), low, high)
    for bound, level in ((low, 0.0), (high, 1.0)):
        if bound is not None:
            assert d.cdf(torch.full((2,), bound)).tolist() == [level, level]
            assert_close(
                d.icdf(torch.full((2,), level)), torch.full((2,), bound), rtol=0.0, atol=0.0
            )


def test_densities_at_an_end_are_their_limits():
    with validation_enabled(False):
        loc = tensor(0.0, requires_grad=True)
        at_zero = dist.LogNormal(loc, 1.0).log_prob(tensor([0.0, INF]))
        assert at_zero.tolist() == [-INF, -INF]
        (slope,) = torch.autograd.grad(
            dist.LogNormal(loc, 1.0).log_prob(tensor([0.0, 1.0])).sum(), loc
        )
        assert slope == 0
        upper = dist.GeneralizedPareto(0.0, 2.0, tensor([-0.5, -1.0, -2.0, 0.5]))
        got = upper.log_prob(tensor([4.0, 2.0, 1.0, INF]))
        assert_close(got, tensor([-INF, -math.log(2), INF, -INF]))


ENTROPIES = {  # family of large parameters, and its normal approximation, right to 1e-6
    "Gamma": (lambda: dist.Gamma(tensor(1e8), tensor(1.0)), st.gamma(1e8).entropy()),
    "Chi2": (lambda: dist.Chi2(tensor(1e8)), st.chi2(1e8).entropy()),
    "StudentT": (lambda: dist.StudentT(tensor(1e8)), st.norm().entropy()),
    "Beta": (lambda: dist.Beta(tensor(1e6), tensor(1e6)), st.norm(0, 8e6**-0.5).entropy()),
    "Dirichlet": (lambda: dist.Dirichlet(tensor([1e6, 1e6])), st.norm(0, 8e6**-0.5).entropy()),
    "InverseGamma": (
        lambda: dist.InverseGamma(tensor(1e7), tensor(1e7)),
        st.norm(0, 1e7**-0.5).entropy(),
    ),
}


@pytest.mark.parametrize("name", ENTROPIES)
def test_entropies_of_large_parameters_keep_their_digits(name):
    make, want = ENTROPIES[name]
    assert_close(make().entropy().item(), float(want), rtol=1e-5, atol=0.0)


def log_beta(a, b):
    return mp.loggamma(a) + mp.loggamma(b) - mp.loggamma(a + b)


def kl_beta(a, b, c, d):
    shift = (a - c) * mp.digamma(a) + (b - d) * mp.digamma(b)
    return log_beta(c, d) - log_beta(a, b) + shift + (c - a + d - b) * mp.digamma(a + b)


def kl_gamma(a, r, c, s):
    shapes = (a - c) * mp.digamma(a) - mp.loggamma(a) + mp.loggamma(c)
    return shapes + c * (mp.log(r) - mp.log(s)) + a * (s - r) / r


A, B = 1_000_000, 1_001_000  # exact in single precision
DIVERGENCES = {
    "Beta": (lambda a: dist.Beta(a, tensor(float(A))), lambda: kl_beta(A, A, B, A)),
    "Dirichlet": (
        lambda a: dist.Dirichlet(torch.stack([a, tensor(float(A))])),
        lambda: kl_beta(A, A, B, A),
    ),
    "Gamma": (lambda a: dist.Gamma(a, tensor(float(A))), lambda: kl_gamma(A, A, B, A)),
    "Chi2": (lambda a: dist.Chi2(2 * a), lambda: kl_gamma(A, 1, B, 1)),
    "Poisson": (lambda a: dist.Poisson(a), lambda: A * mp.log(mp.mpf(A) / B) - A + B),
    "Exponential": (
        lambda a: dist.Exponential(a),
        lambda: mp.log(mp.mpf(A) / B) + mp.mpf(B) / A - 1,
    ),
}


@pytest.mark.parametrize("name", DIVERGENCES)
def test_divergences_of_large_parameters_keep_their_digits(name):
    make, want = DIVERGENCES[name]
    with mp.workdps(50):
        exact = float(want())
    got = kl_divergence(make(tensor(float(A))), make(tensor(float(B))))
    assert got.dtype == torch.float32
    assert_close(got.item(), exact, rtol=1e-5, atol=0.0)


@pytest.mark.parametrize("length", [1e6, 1e25])
def test_a_sharp_density_on_the_sphere_keeps_its_digits(length):
    d = dist.VonMises3D(tensor([length, 0.0, 0.0]))
    got = d.log_prob(tensor([1.0, 0.0, 0.0])).item()
    assert_close(got, math.log(float(tensor(length)) / (2 * math.pi)), rtol=1e-6, atol=0.0)
