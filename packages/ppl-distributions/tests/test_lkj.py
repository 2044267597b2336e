"""The former name of LKJCholesky, and the integral that both share."""

import pytest
import torch
from torch.testing import assert_close

from ppl.distributions import LKJ, LKJCholesky, LKJCorrCholesky

ETA = torch.tensor([0.7, 2.5]).double()


def former(dim):
    with pytest.warns(DeprecationWarning, match="LKJCholesky"):
        return LKJCorrCholesky(d=dim, eta=ETA)


def test_the_former_name_is_the_same_distribution():
    d = former(4)
    x = d.sample()
    assert_close(d.log_prob(x), LKJCholesky(4, ETA).log_prob(x))
    assert_close(d.expand((3, 2)).eta, ETA.expand(3, 2))


@pytest.mark.parametrize("dim", [2, 3, 5])
def test_the_constant_normalizes_the_density_of_correlations(dim):
    """At the identity the determinant is 1."""
    eye = torch.eye(dim).double()
    assert_close(LKJ(dim, ETA).log_prob(eye), -former(dim).lkj_constant(ETA, dim))


def test_two_variables_have_a_beta_correlation():
    corr = torch.tensor([[1.0, 0.4], [0.4, 1.0]]).double()
    beta = torch.distributions.Beta(ETA, ETA).log_prob(torch.tensor(0.7).double())
    assert_close(LKJ(2, ETA).log_prob(corr), beta - torch.tensor(2.0).log())
