"""Sparse scoring and counts that differ within a batch."""

import pytest
import torch
from torch.testing import assert_close

from ppl.distributions import BetaBinomial, DirichletMultinomial, ExtendedBetaBinomial

CONCENTRATION = torch.tensor([[1.5, 2.0, 0.8, 0.1], [3.0, 1.0, 2.0, 4.0]])
TOTAL = torch.tensor([7, 2])


def test_sparse_scores_equal_dense_ones():
    torch.manual_seed(0)
    dense = DirichletMultinomial(CONCENTRATION, TOTAL)
    sparse = DirichletMultinomial(CONCENTRATION, TOTAL, is_sparse=True)
    x = dense.sample((20,))
    assert (x.sum(-1) == TOTAL).all()
    assert_close(sparse.log_prob(x), dense.log_prob(x))
    assert_close(
        sparse.expand((3, 2)).log_prob(x[:, None]), dense.log_prob(x)[:, None].expand(20, 3, 2)
    )


def test_two_categories_are_beta_binomial():
    x = torch.arange(8.0)
    pair = DirichletMultinomial(CONCENTRATION[0, :2], 7).log_prob(torch.stack([x, 7 - x], -1))
    assert_close(pair, BetaBinomial(*CONCENTRATION[0, :2], total_count=7).log_prob(x))


def test_shapes_are_inferred():
    infer = DirichletMultinomial.infer_shapes
    assert infer(concentration=(3, 1, 4), total_count=(2,)) == ((3, 2), (4,))
    assert infer(concentration=(4,)) == ((), (4,))


def test_counts_that_differ_are_not_enumerated_in_lockstep():
    with pytest.raises(NotImplementedError, match="lockstep"):
        BetaBinomial(1.0, 2.0, TOTAL).enumerate_support()


def test_impossible_counts_have_no_probability_and_no_nan_gradient():
    a = torch.tensor(1.5, requires_grad=True)
    d = ExtendedBetaBinomial(a, 2.0, torch.tensor([-3.0, 4.0, 4.0]))
    log_prob = d.log_prob(torch.tensor([0.0, 5.0, 2.0]))
    assert (log_prob[:2] == -torch.inf).all() and log_prob[2].isfinite()
    assert torch.autograd.grad(log_prob[2], a)[0].isfinite()
