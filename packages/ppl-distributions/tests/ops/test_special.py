"""Special functions against SciPy, autograd and the distributions that they belong to."""

import math

import numpy as np
import pytest
import scipy.special
import torch
from torch.fx.experimental.proxy_tensor import make_fx
from torch.testing import assert_close
from torch.utils._python_dispatch import TorchDispatchMode

from ppl.ops.special import (
    get_quad_rule,
    log_beta,
    log_binomial,
    log_I1,
    safe_log,
    sparse_multinomial_likelihood,
)

POSITIVE = torch.logspace(-2, 4, 13, dtype=torch.float64)


class OperationCount(TorchDispatchMode):
    """Counts what torch is asked to compute."""

    total = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.total += 1
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("tol, allowed", [(0.0, 1e-9), (0.001, 0.001), (0.02, 0.02), (0.5, 0.5)])
def test_log_beta_and_log_binomial_err_by_no_more_than_asked_for(tol, allowed):
    x, y = POSITIVE[:, None], POSITIVE
    want = torch.from_numpy(scipy.special.betaln(x.numpy(), y.numpy()))
    assert (log_beta(x, y, tol) - want).abs().max() <= allowed
    n, k = torch.arange(50.0).double()[:, None], torch.arange(50.0).double()
    n, k = torch.broadcast_tensors(torch.maximum(n, k), torch.minimum(n, k))
    want = torch.from_numpy(np.log(scipy.special.comb(n.numpy(), k.numpy())))
    assert (log_binomial(n, k, tol) - want).abs().max() <= allowed


def test_safe_log_is_log_with_a_finite_gradient():
    x = torch.tensor([0.0, 1e-300, 1e-20, 1e-3, 2.0], dtype=torch.float64, requires_grad=True)
    (gradient,) = torch.autograd.grad(safe_log(x).sum(), x)
    eps = torch.finfo(torch.float64).eps
    assert_close(safe_log(x).detach(), x.detach().log())
    assert_close(gradient, 1 / x.detach().clamp(min=eps))
    assert_close(
        make_fx(torch.func.vmap(torch.func.grad(safe_log)))(x.detach())(x.detach()), gradient
    )


@pytest.mark.parametrize("value", [0.01, 1.0, 40.0, 249.0, 251.0, 3000.0])
def test_log_I1_equals_scipy_on_both_sides_of_its_switch(value):
    want = np.log(scipy.special.ive(np.arange(41), value)) + value
    got = log_I1(40, torch.tensor([value], dtype=torch.float64)).squeeze(-1)
    assert_close(got, torch.from_numpy(want), rtol=1e-11, atol=1e-11)


def test_log_I1_takes_a_scalar_for_a_vector_of_one():
    assert_close(log_I1(3, torch.tensor(0.6)), log_I1(3, torch.tensor([0.6])))


@pytest.mark.parametrize("tol", [0.0, 1e-12, 1e-6, 0.019, 0.02, 0.1, 1.0])
def test_a_tolerance_bounds_the_error_and_the_work(tol):
    """Below some tolerance the exact formula is the cheaper one, so there work does not grow."""
    x, y = torch.tensor([0.3, 2.0, 50.0]).double(), torch.tensor([3.0, 0.7, 9.0]).double()
    with OperationCount() as count:
        got = log_beta(x, y, tol=tol)
    want = torch.from_numpy(scipy.special.betaln(x.numpy(), y.numpy()))
    assert (got - want).abs().max() <= tol + 1e-12
    assert count.total < 100


def test_log_I1_keeps_the_shape_of_its_argument_and_has_the_right_gradient():
    value = torch.tensor([[0.5, 30.0, 300.0]], dtype=torch.float64, requires_grad=True)
    assert log_I1(3, value).shape == (4, 1, 3)
    assert torch.autograd.gradcheck(lambda x: log_I1(3, x), value)


@pytest.mark.parametrize("num_quad", [1, 4, 20])
def test_quadrature_is_exact_for_polynomials_below_twice_the_number_of_nodes(num_quad):
    nodes, log_weights = get_quad_rule(num_quad, torch.zeros(1, dtype=torch.float64))
    for degree in range(min(2 * num_quad, 12)):
        moment = math.prod(range(degree - 1, 0, -2)) if degree % 2 == 0 else 0
        assert_close(
            float((nodes**degree * log_weights.exp()).sum()), float(moment), atol=1e-6, rtol=1e-9
        )


def test_sparse_multinomial_likelihood_equals_the_dense_one():
    counts = torch.tensor([[1.0, 2.0, 0.0], [2.0, 0.0, 2.0]])
    logits = torch.randn(2, 3, generator=torch.Generator().manual_seed(0)).log_softmax(-1)
    where = counts.nonzero(as_tuple=True)
    got = sparse_multinomial_likelihood(counts.sum(-1), logits[where], counts[where])
    dense = torch.distributions.Multinomial
    want = sum(
        dense(int(c.sum()), logits=p).log_prob(c) for c, p in zip(counts, logits, strict=True)
    )
    assert_close(got, want)
