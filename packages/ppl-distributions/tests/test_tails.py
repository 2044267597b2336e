"""Log probabilities far out in the tails, and their inverses."""

import math

import pytest
import scipy.stats as st
import torch
from torch.func import grad, vmap
from torch.testing import assert_close

import ppl.distributions as dist
from ppl.distributions import tails


def at(number):
    return torch.tensor(number, dtype=torch.float64)


FAMILIES = {  # distribution: (ours, scipy's, a point in each far tail)
    "Cauchy": (dist.Cauchy(at(0.5), at(2.0)), st.cauchy(0.5, 2), -1e20, 1e20),
    "Exponential": (dist.Exponential(at(2.0)), st.expon(0, 0.5), 1e-20, 500.0),
    "Gamma": (dist.Gamma(at(2.0), at(1.5)), st.gamma(2, 0, 1 / 1.5), 0.1, 3.0),
    "Gumbel": (dist.Gumbel(at(0.5), at(2.0)), st.gumbel_r(0.5, 2), -10.0, 300.0),
    "HalfCauchy": (dist.HalfCauchy(at(2.0)), st.halfcauchy(0, 2), 1e-20, 1e20),
    "HalfNormal": (dist.HalfNormal(at(2.0)), st.halfnorm(0, 2), 1e-10, 60.0),
    "Laplace": (dist.Laplace(at(0.5), at(2.0)), st.laplace(0.5, 2), -500.0, 500.0),
    "LogNormal": (dist.LogNormal(at(0.5), at(0.1)), st.lognorm(0.1, 0, math.exp(0.5)), 0.1, 1e2),
    "Logistic": (dist.Logistic(at(0.5), at(2.0)), st.logistic(0.5, 2), -900.0, 900.0),
    "Normal": (dist.Normal(at(0.5), at(2.0)), st.norm(0.5, 2), -200.0, 200.0),
    "Pareto": (dist.Pareto(at(2.0), at(3.0)), st.pareto(3, 0, 2), 2.0001, 1e20),
    "SkewLogistic": (
        dist.SkewLogistic(at(0.5), at(2.0), at(1.5)),
        st.genlogistic(1.5, 0.5, 2),
        -900.0,
        60.0,
    ),
    "Uniform": (dist.Uniform(at(-1.0), at(3.0)), st.uniform(-1, 4), -0.9, 2.9),
    "Weibull": (dist.Weibull(at(2.0), at(1.5)), st.weibull_min(1.5, 0, 2), 1e-3, 100.0),
}
NO_QUANTILES = {"Gamma"}


def points(oracle, low, high):
    """Return a grid between far tails, denser in the bulk."""
    bulk = torch.as_tensor(oracle.ppf([0.01, 0.2, 0.5, 0.7, 0.999]))
    return torch.cat([bulk.new_tensor([low]), bulk, bulk.new_tensor([high])]).sort().values


@pytest.mark.parametrize("name", FAMILIES)
def test_log_masses_equal_those_of_scipy_in_both_tails(name):
    d, oracle, low, high = FAMILIES[name]
    x = points(oracle, low, high)
    assert_close(tails.log_cdf(d, x), torch.as_tensor(oracle.logcdf(x)), rtol=1e-6, atol=1e-12)
    assert_close(tails.log_survival(d, x), torch.as_tensor(oracle.logsf(x)), rtol=1e-6, atol=1e-12)


@pytest.mark.parametrize("name", sorted(set(FAMILIES) - NO_QUANTILES))
def test_the_inverses_undo_the_log_masses(name):
    d, oracle, low, high = FAMILIES[name]
    x = points(oracle, low, high)
    below, above = tails.log_cdf(d, x), tails.log_survival(d, x)
    assert_close(
        tails.inverse_log_cdf(d, below[below < -1e-3]), x[below < -1e-3], rtol=1e-6, atol=0
    )
    assert_close(
        tails.inverse_log_survival(d, above[above < -1e-3]), x[above < -1e-3], rtol=1e-6, atol=0
    )


@pytest.mark.parametrize("name", FAMILIES)
def test_log_masses_have_the_density_for_slope(name):
    d, oracle, low, high = FAMILIES[name]
    x = points(oracle, low, high)[1:-1]
    assert_close(
        vmap(grad(lambda v: tails.log_cdf(d, v)))(x), (d.log_prob(x) - tails.log_cdf(d, x)).exp()
    )
    assert_close(
        vmap(grad(lambda v: -tails.log_survival(d, v)))(x),
        (d.log_prob(x) - tails.log_survival(d, x)).exp(),
    )


@pytest.mark.parametrize("name", ["Exponential", "HalfNormal", "LogNormal", "Pareto", "Weibull"])
def test_below_a_support_there_is_no_mass_and_no_nan(name):
    d = FAMILIES[name][0]
    below = torch.tensor(-1.0, requires_grad=True)
    mass = tails.log_survival(d, below)
    assert mass.abs() < 1e-30 and tails.log_cdf(d, below) < -100
    (gradient,) = torch.autograd.grad(mass + tails.log_cdf(d, below).clamp(min=-1e3), below)
    assert gradient.isfinite()


def test_a_family_without_quantiles_is_known_to_have_none():
    assert not tails.has_quantiles(dist.Gamma(1.0, 1.0))
    for d in (dist.Normal(0.0, 1.0), dist.Uniform(0.0, 1.0)):
        assert tails.has_quantiles(d)


def test_the_inverse_log_cdf_works_where_the_probability_underflows():
    x = torch.linspace(-150.0, 5.0, 1000)  # single precision ends at -13 otherwise
    log_p = tails.log_ndtr(x)
    assert (log_p.exp() == 0).any()
    assert_close(tails.log_ndtri(log_p), x, rtol=1e-5, atol=1e-5)
    slope = vmap(grad(tails.log_ndtri))(log_p)
    assert_close(slope * vmap(grad(tails.log_ndtr))(x), torch.ones_like(x), rtol=1e-4, atol=0)


def test_the_log_of_a_complement_keeps_digits_at_both_ends():
    x = torch.tensor([-1e-30, -1e-5, -0.69, -0.7, -30.0, -200.0], dtype=torch.float64)
    want = [math.log(1e-30), math.log(-math.expm1(-1e-5)), math.log1p(-math.exp(-0.69))]
    want += [math.log1p(-math.exp(x)) for x in (-0.7, -30, -200)]
    assert_close(tails.log1mexp(x), torch.tensor(want, dtype=torch.float64), rtol=1e-14, atol=0)
    assert vmap(grad(tails.log1mexp))(torch.tensor([0.0, 1.0, -math.inf])).eq(0).all()
