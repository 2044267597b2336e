"""Sums and products of logarithms, against plain log-sum-exp."""

import pytest
import torch
from torch._subclasses import FakeTensorMode
from torch.func import hessian, jacfwd, jacrev, vmap
from torch.fx.experimental.proxy_tensor import make_fx
from torch.testing import assert_close

from ppl.ops.log_space import log_matmul_exp, log_sum_exp


def plain(x, y):
    return torch.logsumexp(x.unsqueeze(-1) + y.unsqueeze(-3), -2)


def factors(kind, dtype=torch.float64):
    """Return two batches of matrices; the rows and columns of "contrast" favour different paths."""
    generator = torch.Generator().manual_seed(0)
    x, y = torch.randn(2, 5, 4, 4, generator=generator, dtype=torch.float64).unbind()
    if kind != "dense":
        x, y = (m.masked_fill(torch.ones(4, 4).tril(-1).bool(), -torch.inf) for m in (x, y))
    if kind == "contrast":  # the paths that stay are lighter by 3000 nats than others
        x, y = (m - 3000 * torch.eye(4) for m in (x, y))
    if kind == "impossible":
        x, y = x.index_fill(-2, torch.tensor([1]), -torch.inf), y - 1e4
    return x.to(dtype), y.to(dtype)


def safe(x, y):
    """Return the same, with gradients where a sum is empty."""
    return log_sum_exp(x.unsqueeze(-1) + y.unsqueeze(-3), -2)


KINDS = ["dense", "forbidden", "contrast", "impossible"]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_product_is_exact_however_far_its_paths_are_apart(kind, dtype):
    x, y = factors(kind, dtype)
    assert_close(log_matmul_exp(x, y), plain(x, y))


@pytest.mark.parametrize("kind", KINDS)
def test_gradients_are_the_probabilities_of_paths(kind):
    x, y = factors(kind)
    result = log_matmul_exp(x.requires_grad_(), y.requires_grad_())
    possible = result > -torch.inf
    got = torch.autograd.grad(torch.where(possible, result, 0.0).sum(), (x, y))
    paths = (x.unsqueeze(-1) + y.unsqueeze(-3)).masked_fill(~possible.unsqueeze(-2), -torch.inf)
    weights = paths.softmax(-2).nan_to_num()
    assert_close(got, (weights.sum(-1), weights.sum(-3)))


@pytest.mark.parametrize("kind", KINDS)
def test_a_recorded_or_vectorized_product_is_the_eager_one(kind):
    x, y = factors(kind)
    assert_close(make_fx(log_matmul_exp)(*factors("dense"))(x, y), log_matmul_exp(x, y))
    assert_close(vmap(log_matmul_exp)(x, y), log_matmul_exp(x, y))


@pytest.mark.parametrize("kind", KINDS)
def test_all_derivatives_of_a_recorded_product_exist(kind):
    """Of both modes and of second order, with more middle states than are summed at a time."""
    x, y = factors(kind)
    x, y = torch.cat([x[:1]] * 3, -1), torch.cat([y[:1]] * 3, -2)
    finite, weights = plain(x, y) > -torch.inf, torch.rand(4, 4, dtype=torch.float64)
    free = [(m > -torch.inf) for m in (x, y)]

    def scalar(function):
        def total(a, b):
            a, b = (torch.where(f, m + d, m) for f, m, d in zip(free, (x, y), (a, b), strict=True))
            return (torch.where(finite, function(a, b), 0.0).sin() * weights).sum()

        return total

    zeros = torch.zeros_like(x), torch.zeros_like(y)
    for derivative in (jacrev, jacfwd, hessian):
        got = derivative(scalar(log_matmul_exp), (0, 1))(*zeros)
        assert_close(got, derivative(scalar(safe), (0, 1))(*zeros))


def test_a_product_needs_no_values_to_have_a_shape():
    assert log_matmul_exp(torch.zeros(0, 2, 3), torch.zeros(0, 3, 4)).shape == (0, 2, 4)
    with FakeTensorMode():
        x, y = torch.zeros(5, 2, 3), torch.zeros(5, 3, 4)
        assert log_matmul_exp(x, y).shape == (5, 2, 4)


def test_an_empty_sum_has_no_gradient():
    x = torch.full((2, 3), -torch.inf, requires_grad=True)
    total = log_sum_exp(x, -1)
    assert (total == -torch.inf).all()
    assert (torch.autograd.grad(total.sum(), x)[0] == 0).all()
