"""Densities with gamma functions against mpmath where ``lgamma`` alone has no digits left.

The law that was missing: the log density of every family whose normalizer is a gamma or a beta
function equals the exact one, in both precisions, from tiny parameters to huge ones.
"""

import inspect
import math

import mpmath
import pytest
import torch
from mpmath import mpf
from torch.fx.experimental.proxy_tensor import make_fx
from torch.testing import assert_close

import ppl.distributions as dist
from ppl.ops.deviance import deviance
from ppl.ops.special import log1p_square, log_beta
from ppl.ops.stirling import digamma_rest, log_factorial_rest, log_gamma_ratio
from ppl.validation import validation_enabled

mpmath.mp.dps = 50
lg, log = mpmath.loggamma, mpmath.log
DOUBLE = torch.float64
SIZES = [1e-6, 1e-2, 0.7, 1.0, 3.0, 40.0, 4095.5, 1e4, 1e6, 1e8, 1e12]


def choose(n, k):
    return lg(n + 1) - lg(k + 1) - lg(n - k + 1)


def lbeta(a, b):
    return lg(a) + lg(b) - lg(a + b)


def student_t(x, v, dim=1):
    peak = lg((v + dim) / 2) - lg(v / 2) - mpf(dim) / 2 * log(mpmath.pi * v)
    return peak - (v + dim) / 2 * mpmath.log1p(x * x / v)


def negative_binomial(x, r, p):
    return lg(x + r) - lg(r) - lg(x + 1) + r * log(1 - p) + x * log(p)


def gamma(x, a, r):
    return a * log(r) - lg(a) + (a - 1) * log(x) - r * x


def beta(x, a, b):
    return (a - 1) * log(x) + (b - 1) * log(1 - x) - lbeta(a, b)


def beta_binomial(x, a, b, n):
    return choose(n, x) + lbeta(x + a, n - x + b) - lbeta(a, b)


def fisher(x, a, b):
    lead = a / 2 * log(a / b) + (a / 2 - 1) * log(x) - (a + b) / 2 * mpmath.log1p(a * x / b)
    return lead - lbeta(a / 2, b / 2)


def logistic(x):
    return 1 / (1 + mpmath.exp(-x))


def lkj_2(x, eta):
    """Return the log density of a correlation, which is a beta variable on (-1, 1)."""
    return beta((1 + x) / 2, eta, eta) - log(2)


# family: (distribution of a value and parameters, exact log density, values and parameters)
FAMILIES = {
    "Beta": (
        lambda x, a, b: dist.Beta(a, b).log_prob(x),
        beta,
        [(0.5, 1e6, 1e6), (0.25, 1e8, 3e8), (0.5, 1e-6, 1e6), (1e-6, 0.5, 1e-6), (0.3, 2, 5)],
    ),
    "BetaBinomial": (
        lambda x, a, b, n: dist.BetaBinomial(a, b, n).log_prob(x),
        beta_binomial,
        [(5, 1e6, 1e6, 10), (4e5, 1e6, 1e6, 1e6), (3, 1e-6, 1e-6, 7), (0, 1e8, 1, 5), (2, 3, 4, 9)],
    ),
    "Binomial": (
        lambda x, n, p: dist.Binomial(n, p).log_prob(x),
        lambda x, n, p: choose(n, x) + x * log(p) + (n - x) * mpmath.log1p(-p),
        [(3e5, 1e7, 0.03125), (0, 1e7, 1e-9), (3730, 5e6, 0.00075), (8, 8, 0.75), (1, 9, 1e-12)],
    ),
    "Binomial_logits": (
        lambda x, n, z: dist.Binomial(n, logits=z).log_prob(x),
        lambda x, n, z: choose(n, x) + x * log(logistic(z)) + (n - x) * log(logistic(-z)),
        [(3730, 5e6, -7.25), (0, 5e6, -30), (5e6, 5e6, 20), (1, 4, -1e4), (2, 4, 1e4), (2, 5, 0.5)],
    ),
    "Chi2": (
        lambda x, v: dist.Chi2(v).log_prob(x),
        lambda x, v: gamma(x, v / 2, mpf(0.5)),
        [(1e6, 1e6), (1e8, 1e8), (1e-10, 1e-6), (3, 2.5), (1e20, 3)],
    ),
    "Dirichlet": (
        lambda x, a, b: dist.Dirichlet(torch.stack([a, b], -1)).log_prob(
            torch.stack([x, 1 - x], -1)
        ),
        beta,
        [(0.5, 1e6, 1e6), (0.25, 1e8, 3e8), (0.5, 1e-6, 1e-6), (0.3, 2, 5)],
    ),
    "DirichletMultinomial": (
        lambda x, a, b, n: dist.DirichletMultinomial(torch.stack([a, b], -1), n).log_prob(
            torch.stack([x, n - x], -1)
        ),
        beta_binomial,
        [(5, 1e6, 1e6, 10), (4e5, 1e6, 1e6, 1e6), (3, 1e-6, 1e-6, 7), (2, 3, 4, 9)],
    ),
    "ExtendedBetaBinomial": (
        lambda x, a, b, n: dist.ExtendedBetaBinomial(a, b, n).log_prob(x),
        beta_binomial,
        [(5, 1e6, 1e6, 10), (4e5, 1e6, 1e6, 1e6)],
    ),
    "ExtendedBinomial": (
        lambda x, n, p: dist.ExtendedBinomial(n, p).log_prob(x),
        lambda x, n, p: choose(n, x) + x * log(p) + (n - x) * mpmath.log1p(-p),
        [(3e5, 1e7, 0.03125), (1, 9, 1e-12)],
    ),
    "FisherSnedecor": (
        lambda x, a, b: dist.FisherSnedecor(a, b).log_prob(x),
        fisher,
        [(1, 1e6, 1e6), (1.0001, 1e8, 1e8), (2, 1e6, 3), (0.5, 1e-6, 1e-6), (3, 2, 5)],
    ),
    "Gamma": (
        lambda x, a, r: dist.Gamma(a, r).log_prob(x),
        gamma,
        [(1e6, 1e6, 1), (1, 1e8, 1e8), (1e-30, 1e-6, 1), (1e20, 2, 1), (0.5, 2, 3)],
    ),
    "GammaPoisson": (
        lambda x, a, r: dist.GammaPoisson(a, r).log_prob(x),
        lambda x, a, r: negative_binomial(x, a, 1 / (1 + r)),
        [(1e6, 1e6, 1), (1e6, 2, 1e-6), (100, 1e8, 1e6), (0, 1e-6, 1e-6), (3, 2, 1)],
    ),
    "InverseGamma": (
        lambda x, a, r: dist.InverseGamma(a, r).log_prob(x),
        lambda x, a, r: a * log(r) - lg(a) - (a + 1) * log(x) - r / x,
        [(1e6, 1e6, 1e12), (1, 1e8, 1e8), (1e20, 1e-6, 1), (1e-10, 2, 1), (0.5, 2, 3)],
    ),
    "LKJ": (
        lambda x, eta: dist.LKJ(2, eta).log_prob(
            torch.stack([torch.ones_like(x), x, x, torch.ones_like(x)], -1).unflatten(-1, (2, 2))
        ),
        lkj_2,
        [(0, 1e6), (2**-10, 1e6), (0.5, 2)],
    ),
    "LKJCholesky": (
        lambda x, eta: dist.LKJCholesky(2, eta).log_prob(
            torch.stack([torch.ones_like(x), 0 * x, x, (1 - x * x).sqrt()], -1).unflatten(
                -1, (2, 2)
            )
        ),
        lkj_2,
        [(0, 1e6), (0.5, 2)],
    ),
    "Multinomial": (
        lambda x, n, p: dist.Multinomial(int(n), torch.stack([p, 1 - p], -1)).log_prob(
            torch.stack([x, n - x], -1)
        ),
        lambda x, n, p: choose(n, x) + x * log(p) + (n - x) * mpmath.log1p(-p),
        [(3125, 1e5, 0.03125), (8, 8, 0.75), (2, 9, 0.5)],
    ),
    "MultivariateStudentT": (
        lambda x, v: dist.MultivariateStudentT(
            v, torch.zeros(2).to(v), torch.eye(2).to(v)
        ).log_prob(torch.stack([x, 0 * x], -1)),
        lambda x, v: student_t(x, v, 2),
        [(1, 1e7), (0, 1e12), (1e25, 4), (1e-3, 1e-3), (1, 3)],
    ),
    "NegativeBinomial": (
        lambda x, r, p: dist.NegativeBinomial(r, p).log_prob(x),
        negative_binomial,
        [(1e6, 1e6, 0.5), (1e6, 2, 1 - 2**-20), (0, 1e8, 1e-6), (5, 1e-6, 0.25), (3, 2, 0.5)],
    ),
    "NegativeBinomial_logits": (
        lambda x, r, z: dist.NegativeBinomial(r, logits=z).log_prob(x),
        lambda x, r, z: negative_binomial(x, r, logistic(z)),
        [(1e6, 10, 11.5), (1e6, 1e6, 0), (1, 4, -1e4), (0, 1e8, -20)],
    ),
    "Poisson": (
        lambda x, r: dist.Poisson(r).log_prob(x),
        lambda x, r: x * log(r) - r - lg(x + 1),
        [(1e6, 1e6), (1e8, 1.0001e8), (0, 1e-6), (3, 1e8), (1e6, 1e-6), (4, 3)],
    ),
    "StudentT": (
        lambda x, v: dist.StudentT(v).log_prob(x),
        student_t,
        [(1, 1e7), (0, 1e12), (1e25, 4), (-1e25, 4), (1, 1e-6), (300, 1e6), (2, 3)],
    ),
    "Wishart": (
        lambda x, v: dist.Wishart(v, torch.eye(1).to(v)).log_prob(x[..., None, None]),
        lambda x, v: gamma(x, v / 2, mpf(0.5)),
        [(1e6, 1e6), (1e6, 1.001e6), (3, 2.5)],
    ),
}
OF_TOTAL = {"BetaBinomial", "DirichletMultinomial", "ExtendedBetaBinomial"}
POINTS = [(name, point) for name, family in FAMILIES.items() for point in family[2]]


@pytest.mark.parametrize("dtype", [torch.float32, DOUBLE], ids=str)
@pytest.mark.parametrize("name,point", POINTS, ids=str)
def test_a_log_density_with_gamma_functions_is_exact(name, point, dtype):
    score, exact, _ = FAMILIES[name]
    args = [torch.tensor(float(number), dtype=dtype) for number in point]
    want = float(exact(*(mpf(x.item()) for x in args)))
    digits = 2e-6 if dtype == torch.float32 else 1e-9
    with validation_enabled(False):
        got = score(*args)
    assert got.dtype == dtype
    assert_close(got.item(), want, rtol=digits, atol=digits)


@pytest.mark.parametrize("name,point", POINTS, ids=str)
def test_its_slope_in_a_parameter_is_exact_as_well(name, point):
    score, exact, _ = FAMILIES[name]
    last = len(point) - (2 if name in OF_TOTAL else 1)  # of the parameters, which a total is none
    args = [torch.tensor(float(x), dtype=DOUBLE) for x in point]
    args[last].requires_grad_()
    with validation_enabled(False):
        (got,) = torch.autograd.grad(score(*args), args[last])
    given = [mpf(x.item()) for x in args]
    step = (given[last] or 1) * mpf("1e-15")
    above, below = (
        exact(*given[:last], given[last] + d, *given[last + 1 :]) for d in (step, -step)
    )
    want, scale = (above - below) / (2 * step), 1 / abs(given[last] or 1)
    assert_close(got.item(), float(want), rtol=1e-7, atol=1e-7 * float(scale))


def names_in_log_prob(name):
    log_prob = inspect.unwrap(getattr(getattr(dist, name), "__dict__", {}).get("log_prob"))
    return log_prob.__code__.co_names if hasattr(log_prob, "__code__") else ()


def test_every_family_of_gamma_functions_is_in_the_table():
    users = {name for name in dir(dist) if "saddle_point" in names_in_log_prob(name)}
    assert users and users <= {name.split("_")[0] for name in FAMILIES}


def of_binomial(p):
    return dist.Binomial(1e7, p).log_prob(torch.tensor(3e5))


def of_multinomial(p):
    d = dist.Multinomial(10**7, torch.stack([p, 1 - p]))
    return d.log_prob(torch.tensor([3e5, 9.7e6]))


COUNTED = {  # score, the best parameter, and the deviation of its likelihood
    "Binomial": (of_binomial, 0.03, 5.4e-5),
    "Multinomial": (of_multinomial, 0.03, 5.4e-5),
    "NegativeBinomial": (
        lambda p: dist.NegativeBinomial(1e7, p).log_prob(torch.tensor(1e7)),
        0.5,
        1e-4,
    ),
    "Poisson": (lambda r: dist.Poisson(r).log_prob(torch.tensor(1e7)), 1e7, 3e3),
}


@pytest.mark.parametrize("name", COUNTED)
def test_differences_between_near_parameters_survive_large_counts(name):
    """Rounding of what does not depend on a parameter must not swamp what does."""
    score, center, deviation = COUNTED[name]
    near = (center + deviation * torch.linspace(-2, 2, 9, dtype=DOUBLE)).float()
    got = torch.stack([score(p) for p in near])
    want = torch.stack([score(p.double()) for p in near])
    assert got.dtype == torch.float32
    assert_close(got - got[4], (want - want[4]).float(), rtol=1e-4, atol=4e-6)


SPECIAL = {
    "digamma_rest": digamma_rest,
    "log1p_square": lambda x: log1p_square(x),
    "log_factorial_rest": log_factorial_rest,
    "log_gamma_ratio": lambda z: log_gamma_ratio(z, z / 3),
}


@pytest.mark.parametrize("name", SPECIAL)
def test_special_functions_have_second_derivatives_and_can_be_recorded(name):
    z = torch.tensor([0.3, 5.0, 4000.0, 5000.0], dtype=DOUBLE)
    assert torch.autograd.gradgradcheck(SPECIAL[name], z.clone().requires_grad_(), atol=1e-6)
    slope = torch.func.vmap(torch.func.grad(SPECIAL[name]))
    assert_close(make_fx(slope)(z)(z.flip(0)), slope(z.flip(0)))


def test_the_deviance_has_exact_slopes_where_a_count_or_a_mean_is_zero():
    x, mean = torch.tensor([0.0, 0.0, 2.0, 2.0]), torch.tensor([0.0, 3.0, 0.0, 2.0])
    slope = torch.func.vmap(torch.func.grad(deviance, argnums=1))(x, mean)
    assert_close(deviance(x, mean), torch.tensor([0.0, 3.0, math.inf, 0.0]))
    assert_close(slope, torch.tensor([1.0, 1.0, -math.inf, 0.0]))


@pytest.mark.parametrize("x", SIZES)
@pytest.mark.parametrize("y", SIZES)
def test_the_log_beta_function_is_exact(x, y):
    got = log_beta(torch.tensor(x, dtype=DOUBLE), torch.tensor(y, dtype=DOUBLE)).item()
    assert_close(got, float(lbeta(mpf(x), mpf(y))), rtol=1e-12, atol=1e-11)
