"""Tails of cdf and icdf, and draws, at the ends of single precision.

The laws that were missing, for every family: a quantile of 0 or 1 is the end of the support with
its sign; the cdf undoes the icdf in both tails; and a draw can be scored, however extreme the
parameters: it is in the support and its log density is finite.
"""

import math

import pytest
import scipy.stats as st
import torch
from torch import tensor
from torch.testing import assert_close

import ppl.distributions as dist
from ppl.validation import validation_enabled

INF = math.inf
QUANTILES = {  # distribution, lower end, upper end
    "AsymmetricLaplace": (dist.AsymmetricLaplace(1.0, 2.0, 3.0), -INF, INF),
    "Cauchy": (dist.Cauchy(1.0, 2.0), -INF, INF),
    "ContinuousBernoulli": (dist.ContinuousBernoulli(tensor(0.3)), 0, 1),
    "Exponential": (dist.Exponential(tensor(2.0)), 0, INF),
    "GeneralizedPareto": (dist.GeneralizedPareto(1.0, 2.0, 0.5), 1, INF),
    "GeneralizedPareto_bounded": (dist.GeneralizedPareto(1.0, 2.0, -0.5), 1, 5),
    "GeneralizedPareto_exponential": (dist.GeneralizedPareto(1.0, 2.0, 0.0), 1, INF),
    "Gumbel": (dist.Gumbel(1.0, 2.0), -INF, INF),
    "HalfCauchy": (dist.HalfCauchy(tensor(2.0)), 0, INF),
    "HalfNormal": (dist.HalfNormal(tensor(2.0)), 0, INF),
    "Kumaraswamy": (dist.Kumaraswamy(2.0, 3.0), 0, 1),
    "Laplace": (dist.Laplace(1.0, 2.0), -INF, INF),
    "LogNormal": (dist.LogNormal(1.0, 2.0), 0, INF),
    "Logistic": (dist.Logistic(1.0, 2.0), -INF, INF),
    "NanMaskedNormal": (dist.NanMaskedNormal(tensor(1.0), tensor(2.0)), -INF, INF),
    "Normal": (dist.Normal(1.0, 2.0), -INF, INF),
    "Pareto": (dist.Pareto(2.0, 3.0), 2, INF),
    "SkewLogistic": (dist.SkewLogistic(1.0, 2.0, 0.3), -INF, INF),
    "SoftAsymmetricLaplace": (dist.SoftAsymmetricLaplace(1.0, 2.0, 1.5, 0.5), -INF, INF),
    "SoftLaplace": (dist.SoftLaplace(1.0, 2.0), -INF, INF),
    "Truncated": (dist.Truncated(dist.Normal(0.0, 1.0), -1.0, 2.0), -1, 2),
    "Uniform": (dist.Uniform(1.0, 2.0), 1, 2),
    "Weibull": (dist.Weibull(2.0, 3.0), 0, INF),
}


def has_icdf(name):
    return isinstance(getattr(dist, name), type) and "icdf" in vars(getattr(dist, name))


def test_every_family_with_quantiles_of_its_own_is_in_the_table():
    named = {name for name in dir(dist) if not name.startswith("_") and has_icdf(name)}
    wrappers = {"TransformedDistribution", "Independent", "Censored"}
    assert named - wrappers <= QUANTILES.keys()


@pytest.mark.parametrize("name", QUANTILES)
def test_quantiles_of_zero_and_one_are_the_ends_of_the_support(name):
    d, low, high = QUANTILES[name]
    assert_close(d.icdf(tensor([0.0, 1.0])), tensor([low, high], dtype=torch.float32))


@pytest.mark.parametrize("name", QUANTILES)
def test_the_cdf_undoes_the_icdf_in_both_tails(name):
    d, low, _ = QUANTILES[name]
    p = tensor([1e-30, 1e-8, 1e-3, 0.2, 0.5, 0.7, 0.999])
    if name == "ContinuousBernoulli" or low != 0 and low > -INF:  # no room for a tiny number
        p = p[2:]
    assert_close(d.cdf(d.icdf(p)), p, rtol=1e-3 if p[0] < 1e-9 else 1e-4, atol=0.0)


def test_a_normal_tail_keeps_its_digits_in_single_precision():
    x = tensor([-10.0, -5.0, 0.0, 3.0])
    want = torch.as_tensor(st.norm.cdf(x.numpy())).float()
    assert_close(dist.Normal(0.0, 1.0).cdf(x), want, rtol=1e-5, atol=0.0)


@pytest.mark.parametrize("name", ["AsymmetricLaplace", "SoftAsymmetricLaplace"])
def test_the_slope_of_a_quantile_in_its_probability_is_one_over_the_density(name):
    p = tensor([0.01, 0.3, 0.6, 0.99], requires_grad=True)
    x = QUANTILES[name][0].icdf(p)
    (slope,) = torch.autograd.grad(x.sum(), p)
    assert_close(slope * QUANTILES[name][0].log_prob(x).exp(), torch.ones(4), rtol=1e-4, atol=0.0)


def test_a_gamma_is_truncated_far_in_its_upper_tail():
    x = tensor(31.0)
    base = st.gamma(2)
    want = base.logpdf(31) - math.log(base.sf(30) - base.sf(40))
    got = dist.Truncated(dist.Gamma(2.0, 1.0), 30.0, 40.0).log_prob(x)
    assert_close(got.item(), want, rtol=1e-5, atol=0.0)


def test_squares_of_heavy_tails_do_not_overflow():
    far = tensor(1e25)
    wide = dist.Cauchy(0.0, 1.0).log_prob(far).item()
    assert_close(wide, st.cauchy.logpdf(1e25), rtol=1e-6, atol=0)
    half = dist.HalfCauchy(tensor(1e-25)).log_prob(tensor(1.0)).item()
    assert_close(half, math.log(2e-25 / math.pi), rtol=1e-6, atol=0)
    narrow = dist.Cauchy(0.0, 1e-25).log_prob(tensor(1e30)).item()
    assert_close(narrow, math.log(1e-25 / math.pi) - 2 * math.log(1e30), rtol=1e-6, atol=0)


EXTREME = {
    "Beta": lambda: dist.Beta(tensor([1e-3, 0.05, 1e6]), tensor([1e-3, 0.01, 1e6])),
    "Cauchy": lambda: dist.Cauchy(0.0, tensor([1e-30, 1e20])),
    "Chi2": lambda: dist.Chi2(tensor([1e-4, 1e8])),
    "Dirichlet": lambda: dist.Dirichlet(tensor([[1e-4, 1e-4, 1e-4], [1e6, 1e-3, 1.0]])),
    "Exponential": lambda: dist.Exponential(tensor([1e-30, 1e30])),
    "FisherSnedecor": lambda: dist.FisherSnedecor(tensor([1e-3, 1e7]), tensor([1e-3, 1e-2])),
    "Gamma": lambda: dist.Gamma(tensor([1e-4, 1e-2, 1e8]), tensor([1e10, 1e-10, 1.0])),
    "GeneralizedPareto": lambda: dist.GeneralizedPareto(1.0, 2.0, tensor([-3.0, 1e-8, 8.0])),
    "Gumbel": lambda: dist.Gumbel(0.0, tensor([1e-20, 1e20])),
    "HalfCauchy": lambda: dist.HalfCauchy(tensor([1e-30, 1e20])),
    "InverseGamma": lambda: dist.InverseGamma(tensor([1e-2, 1e-4, 1e8]), 1.0),
    "Kumaraswamy": lambda: dist.Kumaraswamy(tensor([0.2, 0.01]), tensor([0.2, 0.01])),
    "LKJCholesky": lambda: dist.LKJCholesky(3, tensor([1e-2, 1e6])),
    "LogNormal": lambda: dist.LogNormal(0.0, tensor([1e-6, 60.0])),
    "LogisticNormal": lambda: dist.LogisticNormal(torch.zeros(2, 3), tensor([[20.0], [200.0]])),
    "Logistic": lambda: dist.Logistic(0.0, tensor([1e-20, 1e20])),
    "Pareto": lambda: dist.Pareto(1.0, tensor([1e-2, 1e6])),
    "RelaxedBernoulli": lambda: dist.RelaxedBernoulli(tensor(0.02), tensor([1e-3, 0.5])),
    "RelaxedOneHotCategorical": lambda: dist.RelaxedOneHotCategorical(
        tensor(0.05), tensor([[0.1, 0.2, 0.7], [1e-6, 0.5, 0.5]])
    ),
    "SkewLogistic": lambda: dist.SkewLogistic(0.0, 1.0, tensor([1e-3, 1e6])),
    "SoftLaplace": lambda: dist.SoftLaplace(0.0, tensor([1e-20, 1e20])),
    "StudentT": lambda: dist.StudentT(tensor([0.05, 1e9])),
    "VonMises": lambda: dist.VonMises(tensor([3.0, -3.1]), tensor([1e-6, 1e7])),
    "Weibull": lambda: dist.Weibull(1.0, tensor([0.05, 0.01, 1e4])),
    "Wishart": lambda: dist.Wishart(tensor(3.001), torch.eye(4).mul(1e4)[:4, :4] + 1.0),
}


@pytest.mark.parametrize("name", EXTREME)
def test_a_draw_at_extreme_parameters_is_in_the_support_and_has_a_density(name):
    torch.manual_seed(0)
    with validation_enabled(False):
        d = EXTREME[name]()
        x = d.sample((2000,))
    assert d.support.check(x).all(), "a draw outside"
    assert d.log_prob(x).isfinite().all(), "a draw without a density"


def test_rare_ones_of_very_many_categories_are_drawn():
    torch.manual_seed(0)
    k = 2**24 + 2
    weights = torch.full((k,), 1e-3 / (k // 2))
    weights[: k // 2] = 1 / (k // 2)
    x = dist.Categorical(weights).sample((100_000,))
    rare = (x >= k // 2).double().mean().item()
    assert abs(rare - 0.001 / 1.001) < 5 * (0.001 / 100_000) ** 0.5  # false alarm 1e-6
    assert x.min() >= 0 and x.max() < k


def test_many_categories_are_drawn_with_their_probabilities_in_a_batch():
    torch.manual_seed(0)
    weights = torch.zeros(2, 5000)
    weights[0, 17], weights[0, 4999], weights[1, 3] = 1.0, 3.0, 1.0
    x = dist.Categorical(weights).sample((4000,))
    assert x.shape == (4000, 2) and (x[:, 1] == 3).all()
    assert set(x[:, 0].unique().tolist()) == {17, 4999}
    assert abs((x[:, 0] == 17).double().mean() - 0.25) < 5 * (0.25 * 0.75 / 4000) ** 0.5
