"""Arithmetic on random variables is that of their draws, and their densities follow."""

import operator

import pytest
import scipy.stats as st
import torch
from torch.testing import assert_close

import ppl.distributions as dist

X = torch.tensor([0.3, 0.8], dtype=torch.float64)
LOC, SCALE = X.new_tensor(0.5), X.new_tensor(1.5)


def normal():
    return dist.Normal(LOC, SCALE).rv


@pytest.mark.parametrize(
    "variable,oracle",
    [
        (lambda: normal() + 2.0, st.norm(2.5, 1.5)),
        (lambda: 2.0 + normal(), st.norm(2.5, 1.5)),
        (lambda: normal() - 2.0, st.norm(-1.5, 1.5)),
        (lambda: 2.0 - normal(), st.norm(1.5, 1.5)),
        (lambda: normal() * -2.0, st.norm(-1.0, 3.0)),
        (lambda: 3 * normal(), st.norm(1.5, 4.5)),
        (lambda: normal() / 3.0, st.norm(0.5 / 3, 0.5)),
        (lambda: -normal(), st.norm(-0.5, 1.5)),
        (lambda: normal().exp(), st.lognorm(1.5, scale=2.718281828459045**0.5)),
        (lambda: normal().exp() ** 2.0, st.lognorm(3.0, scale=2.718281828459045)),
        (lambda: normal().exp().log(), st.norm(0.5, 1.5)),
        (lambda: dist.Logistic(X.new_zeros(()), 1.0).rv.sigmoid(), st.uniform(0, 1)),
    ],
)
def test_the_density_is_that_of_the_result(variable, oracle):
    assert_close(variable().dist.log_prob(X), torch.as_tensor(oracle.logpdf(X)))


@pytest.mark.parametrize("fn", [operator.abs, lambda x: x.tanh(), lambda x: x.abs()])
def test_a_draw_is_the_function_of_a_draw(fn):
    torch.manual_seed(0)
    x = dist.Normal(LOC, SCALE)()
    torch.manual_seed(0)
    assert_close(fn(normal())(), fn(x))


def test_softmax_draws_lie_on_the_simplex():
    draws = dist.Normal(torch.zeros(3), 1.0).to_event(1).rv.softmax()((5,))
    assert_close(draws.sum(-1), torch.ones(5))
