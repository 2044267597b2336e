"""Textbook formulas, which ordinary arguments are given, are as exact as the exact ones.

The law that was missing: how a density is evaluated - with a look at its arguments or recorded
without one, in single or in double precision, below or above the bound from which on a log-gamma
function loses digits - changes neither its value nor its slopes.
"""

import math

import pytest
import torch
from torch.func import grad_and_value, vmap
from torch.fx.experimental.proxy_tensor import make_fx
from torch.testing import assert_close

from ppl.distributions import real_line, saddle_point, textbook, trials, unit_interval
from ppl.ops.small import SMALL, plain_if_small

N = 12
SIZES = [1e-3, 1.0, 2.0**4, 2.0**6, 2.0**13, 1e9]  # tiny, small, at two bounds, large


def unit():
    return torch.rand(N) * 0.98 + 0.01


def near(size):
    """Return positive numbers like draws of a gamma variable of that mean."""
    return size * (1 + 0.2 * (torch.rand(N) - 0.5))


def counts(size):
    return near(size).round()


def rows(size):
    return size * (torch.rand(N, 3) + 0.1)


def simplex():
    return torch.rand(N, 3, dtype=torch.float64).softmax(-1)


def covariance(size):
    return size * (torch.eye(2) + 0.3 * torch.rand(N, 1, 1))


def of_total(size):
    total = counts(max(size, 2.0))
    return (total * unit()).round(), total


def gamma_poisson(size):
    return counts(size), near(size), near(1.0)


ARGUMENTS = {  # of the functions, by size
    "bernoulli": lambda s: (torch.rand(N).round(), unit()),
    "bernoulli_of_logits": lambda s: (torch.rand(N).round(), torch.randn(N) * 5),
    "beta": lambda s: (unit() * 0.1 + 0.45, near(s), near(s)),
    "beta_binomial": lambda s: (of_total(s)[0] * 0 + 3, near(s), near(s), counts(max(s, 5.0))),
    "binomial": lambda s: (*of_total(s), unit()),
    "binomial_of_logits": lambda s: (*of_total(s), torch.randn(N)),
    "cauchy": lambda s: (torch.randn(N) * s, torch.randn(N), near(1.0)),
    "correlation_volume": lambda s: (near(s),),
    "dirichlet": lambda s: (simplex(), rows(s)),
    "dirichlet_multinomial": lambda s: (torch.tensor([[2.0, 0, 3]]), rows(s), torch.tensor(5.0)),
    "fisher_snedecor": lambda s: (near(1.0), near(s), near(s)),
    "gamma": lambda s: (near(s), near(s), near(1.0)),
    "gamma_poisson": gamma_poisson,
    "inverse_gamma": lambda s: (near(1.0), near(s), near(s)),
    "multinomial": lambda s: ((simplex() * max(s, 9.0)).round(), simplex()),
    "multinomial_of_logits": lambda s: ((simplex() * max(s, 9.0)).round(), simplex().log()),
    "multivariate_student_t": lambda s: (torch.randn(N, 2), near(s)),
    "negative_binomial": lambda s: (counts(s), near(s), unit() * 0.1 + 0.45),
    "negative_binomial_of_logits": lambda s: (counts(s), near(s), torch.randn(N) * 0.1),
    "poisson": lambda s: (counts(s), near(s)),
    "relaxed_bernoulli": lambda s: (unit(), near(0.7), torch.randn(N)),
    "student_t": lambda s: (torch.randn(N), near(s), torch.randn(N), near(1.0)),
    "wishart": lambda s: (covariance(s + 2), near(s) + 2, covariance(1.0).tril()),
}
ELSEWHERE = {
    "bernoulli": trials._log_trial,
    "bernoulli_of_logits": trials._log_trial_of_logits,
    "cauchy": real_line._cauchy,
    "relaxed_bernoulli": unit_interval._relaxed_bernoulli,
}
# matrices and points of the simplex: slopes across the support are whatever a formula says
WITHOUT_SLOPES = {"dirichlet": {0}, "wishart": {0}}


def public(module):
    return {name for name in vars(module) if callable(getattr(module, name)) and name[0].islower()}


def density(name):
    return ELSEWHERE.get(name) or getattr(saddle_point, name)


def slots(name):
    """Return which arguments have slopes: parameters, and values of continuous families."""
    args = ARGUMENTS[name](3.3)
    is_count = {i for i, x in enumerate(args) if (x == x.round()).all()}
    return tuple(set(range(len(args))) - is_count - WITHOUT_SLOPES.get(name, set()))


def looked_at(function, args, which):
    args = [x.clone().requires_grad_(i in which) for i, x in enumerate(args)]
    value = function(*args)
    return torch.autograd.grad(value.sum(), [args[i] for i in which]), value.detach()


def transformed(function, args, which):
    """Return the same where values cannot be looked at, as in a recording."""

    def score(*given):
        value = function(*given)
        return value.sum(), value

    slopes, (_, value) = grad_and_value(score, argnums=which, has_aux=True)(*args)
    return slopes, value


def test_every_textbook_formula_is_in_the_table():
    helpers = {"logsigmoid", "binary_cross_entropy_with_logits", "annotations"}
    assert public(textbook) - helpers == ARGUMENTS.keys()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("name", ARGUMENTS)
def test_densities_are_the_same_looked_at_and_recorded(name, size, dtype):
    torch.manual_seed(1)
    args = [x.to(dtype) for x in ARGUMENTS[name](size)]
    which = slots(name)
    slopes, want = transformed(density(name), [x.double() for x in args], which)
    # a log-gamma function at the bound is rounded there; beyond it, the result is
    bound, eps = SMALL[dtype][0][1], torch.finfo(dtype).eps
    rounding = 4 * eps * math.lgamma(bound)
    for evaluate in (looked_at, transformed):
        got_slopes, got = evaluate(density(name), args, which)
        assert got.dtype == dtype
        assert_close(got.double(), want, rtol=8 * eps, atol=rounding + 1e-10)
        for got_slope, slope in zip(got_slopes, slopes, strict=True):
            scale = slope.abs().max().item() + 1 / min(size, 1.0)  # which is that of a digamma
            assert_close(got_slope.double(), slope, rtol=64 * eps, atol=64 * eps * scale)


def test_an_exact_function_is_called_where_arguments_are_large_at_edges_or_not_to_be_seen():
    calls = []

    @plain_if_small(lambda x: (x.log(), x))
    def log(x):
        calls.append(x)
        return x.log().clamp(min=-1e3)

    def num_calls(run):
        calls.clear()
        run()
        return len(calls)

    x = torch.tensor([1.0, 2.0])
    assert num_calls(lambda: log(x)) == 0
    assert num_calls(lambda: log(torch.nn.Parameter(x))) == 0
    assert num_calls(lambda: log(x * 1e5)) == 0  # in double precision
    assert num_calls(lambda: log(x * 1e9)) == 1
    assert num_calls(lambda: log(x * 0)) == 1
    assert num_calls(lambda: log(x.half())) == 1
    assert num_calls(lambda: log(x[:0])) == 1
    assert num_calls(lambda: vmap(log)(x)) == 1
    assert num_calls(lambda: make_fx(log)(x)) == 1
    assert log(torch.tensor([1e5])).dtype == torch.float32
