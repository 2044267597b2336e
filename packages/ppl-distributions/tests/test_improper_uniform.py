"""A flat density that can be scored but not sampled."""

import copy
import pickle

import pytest
import torch

import ppl.distributions as dist
from ppl.distributions import biject_to, constraints
from ppl.validation import validation_enabled


@pytest.mark.parametrize(
    ("support", "batch_shape", "event_shape"),
    [
        (constraints.real, (), ()),
        (constraints.positive, (3,), ()),
        (constraints.simplex, (), (4,)),
        (constraints.ordered_vector, (2, 3), (4,)),
        (constraints.corr_cholesky, (2,), (3, 3)),
    ],
)
def test_all_of_the_support_is_equal(support, batch_shape, event_shape):
    transform = biject_to(support)
    d = dist.ImproperUniform(support, batch_shape, event_shape)
    assert d.batch_shape == batch_shape and d.event_shape == event_shape
    shape = torch.Size((5,)) + batch_shape + event_shape
    value = transform(torch.randn(transform.inverse_shape(shape), dtype=torch.float64))
    for twin in (d, copy.deepcopy(d), pickle.loads(pickle.dumps(d))):
        score = twin.log_prob(value)
        assert score.shape == (5, *batch_shape) and score.dtype == value.dtype
        assert (score == 0).all()
    wide = d.expand((7, *batch_shape))
    assert type(wide) is type(d) and wide.log_prob(value[:1]).shape == (7, *batch_shape)


def test_values_outside_are_refused_and_draws_as_well():
    d = dist.ImproperUniform(constraints.positive, (), ())
    with validation_enabled(), pytest.raises(ValueError, match="support"):
        dist.ImproperUniform(constraints.positive, (), ()).log_prob(torch.tensor(-1.0))
    with pytest.raises(NotImplementedError, match="no draws"):
        d.sample()
