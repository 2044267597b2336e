"""The entropy of independent sites."""

import pytest
import torch
from torch.testing import assert_close

import ppl.distributions as dist
from ppl.infer.autoguide import mean_field_entropy
from ppl.primitives import deterministic, factor, plate, sample

NORMAL = 1.4189385332046727


def model(size):
    a = sample("a", dist.Normal(0.0, 1.0))
    with plate("p", size, subsample_size=2):
        sample("b", dist.Normal(torch.zeros(2, 3), 1.0).to_event(1))
    factor("f", torch.tensor(3.0))
    deterministic("d", 2.0 * a)


@pytest.mark.parametrize(("whitelist", "count"), [(None, 7), (["a"], 1), (["b"], 6), ([], 0)])
def test_the_entropies_of_all_elements_of_all_sites_are_added(whitelist, count):
    assert_close(mean_field_entropy(model, (4,), whitelist), torch.tensor(count * NORMAL))
