"""Weighted samples as a distribution."""

import pytest
import torch
from torch.testing import assert_close

from ppl.distributions import Empirical
from ppl.errors import ShapeError
from ppl.validation import validation_enabled


def test_weights_of_equal_samples_add_up():
    d = Empirical(torch.tensor([1.0, 2.0, 2.0]), torch.tensor([0.5, 0.2, 0.3]).log())
    assert_close(d.log_prob(torch.tensor(2.0)).exp(), torch.tensor(0.5))
    assert d.log_prob(torch.tensor(3.0)) == -torch.inf


def test_samples_and_weights_share_their_batch():
    samples = torch.randn(2, 3, 10)
    d = Empirical(samples, torch.ones(2, 3))
    assert d.batch_shape == (2,) and d.event_shape == (10,) and d.sample_size == 3
    assert_close(d.enumerate_support(), samples.movedim(1, 0))
    assert_close(d.mean, samples.mean(1))
    assert_close(d.variance, samples.var(1, correction=0))
    x = d.sample((50,))
    assert (x.unsqueeze(-2) == samples).all(-1).any(-1).all()


def test_one_sample_is_scored_at_a_time_under_validation():
    d = Empirical(torch.randn(4), torch.zeros(4))
    with validation_enabled(), pytest.raises(ShapeError, match="one sample"):
        Empirical(torch.randn(4), torch.zeros(4)).log_prob(torch.zeros(7))
    with validation_enabled(False):
        assert Empirical(torch.randn(4), torch.zeros(4)).log_prob(d.sample((7,))).shape == (7,)


def test_a_batch_of_other_samples_is_not_enumerated_in_lockstep():
    with pytest.raises(NotImplementedError, match="differ"):
        Empirical(torch.randn(2, 3), torch.zeros(2, 3)).enumerate_support(expand=False)


def test_whole_numbers_stay_whole():
    assert Empirical(torch.tensor([1, 5]), torch.zeros(2)).sample((3,)).dtype == torch.int64


@pytest.mark.parametrize("weights", [(), (3,), (4, 3)])
def test_weights_of_another_shape_are_refused(weights):
    with pytest.raises(ShapeError, match="Empirical"):
        Empirical(torch.zeros(4), torch.zeros(weights))
