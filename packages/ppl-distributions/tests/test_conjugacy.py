"""Products of densities of one family."""

import pytest
import torch
from torch.testing import assert_close

import ppl.distributions as dist

A, B = torch.tensor([1.5, 2.0]), torch.tensor([3.0, 1.2])
MASK = torch.tensor([True, False])
PAIRS = {
    "beta": (dist.Beta(A, B), dist.Beta(B, A)),
    "gamma": (dist.Gamma(A, B), dist.Gamma(B, A)),
    "dirichlet": (dist.Dirichlet(torch.stack([A, B])), dist.Dirichlet(torch.stack([B, B]))),
    "independent": (dist.Beta(A, B).to_event(1), dist.Beta(B, A).to_event(1)),
    "expanded": (dist.ExpandedDistribution(dist.Gamma(2.0, 1.0), (2,)), dist.Gamma(B, A)),
    "masked": (dist.Beta(A, B).mask(MASK), dist.Beta(B, A).mask(MASK)),
}


@pytest.mark.parametrize("name", PAIRS)
def test_the_product_and_its_normalizer_restore_both_factors(name):
    first, second = PAIRS[name]
    base = second.base_dist if name == "masked" else second
    product, log_normalizer = first.conjugate_update(base)
    x = first.sample()
    want = first.log_prob(x) + second.log_prob(x)
    assert_close(product.log_prob(x) + log_normalizer, want, rtol=1e-4, atol=1e-4)
    assert product.batch_shape == log_normalizer.shape == first.batch_shape


@pytest.mark.parametrize("name", PAIRS)
def test_other_families_are_not_conjugate(name):
    with pytest.raises(NotImplementedError, match="no conjugate update"):
        PAIRS[name][0].conjugate_update(dist.Normal(0.0, 1.0))
