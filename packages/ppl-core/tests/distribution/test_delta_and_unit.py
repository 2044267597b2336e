"""The constant and the factor."""

import pytest
import torch
from torch.testing import assert_close

from ppl.distribution import Delta, Unit
from ppl.errors import ShapeError
from ppl.validation import validation_enabled


@pytest.mark.parametrize("event_dim", [0, 1, 2])
def test_delta_splits_the_shape_of_its_point(event_dim):
    v = torch.randn(3, 2, dtype=torch.float64)
    d = Delta(v, log_density=1.5, event_dim=event_dim)
    assert d.batch_shape == v.shape[: 2 - event_dim] and d.event_shape == v.shape[2 - event_dim :]
    assert_close(d.log_prob(v), torch.full(d.batch_shape, 1.5, dtype=torch.float64))
    off = v.clone()
    off[0, 0] += 1
    scores = d.log_prob(off).flatten()
    assert scores[0] == -torch.inf and (scores[1:] == 1.5).all()


def test_delta_passes_gradients_to_its_point_and_its_density():
    v, density = torch.zeros(3, requires_grad=True), torch.tensor(0.5, requires_grad=True)
    d = Delta(v, log_density=density).expand((2, 3))
    (d().sum() + d.log_prob(torch.zeros(2, 3)).sum()).backward()
    assert_close(v.grad, torch.full((3,), 2.0))
    assert density.grad == 6


def test_delta_broadcasts_its_density_with_its_point():
    d = Delta(torch.zeros(3, 2), log_density=torch.zeros(4, 1), event_dim=1)
    assert d.batch_shape == (4, 3) and d.sample().shape == (4, 3, 2)
    assert d.mean.shape == (4, 3, 2) and (d.variance == 0).all()


def test_delta_of_integers_has_a_floating_density():
    d = Delta(torch.arange(3))
    assert d.sample().dtype == torch.int64
    assert_close(d.log_prob(torch.tensor([0, 0, 2])), torch.tensor([0.0, -torch.inf, 0.0]))


def test_delta_refuses_shapes_that_do_not_fit():
    with pytest.raises(ShapeError, match=r"event_dim is 2.*\(3,\)"):
        Delta(torch.zeros(3), event_dim=2)
    with pytest.raises(ShapeError, match=r"\(3,\) vs \(2,\)"):
        Delta(torch.zeros(3), log_density=torch.zeros(2))


def test_validation_catches_a_nan_point():
    with validation_enabled(), pytest.raises(ValueError, match="parameter v"):
        Delta(torch.tensor(torch.nan))
    with validation_enabled(False):
        assert Delta(torch.tensor(torch.nan)).sample().isnan()


@pytest.mark.parametrize("has_rsample", [None, True, False])
def test_unit_carries_its_factor_and_its_flag(has_rsample):
    d = Unit(torch.tensor([-1.0, 2.0]), has_rsample=has_rsample)
    assert d.sample((5,)).shape == (5, 2, 0) and d.batch_shape == (2,) and d.event_shape == (0,)
    assert d.has_rsample is bool(has_rsample)
    expanded = d.expand((3, 2))
    assert expanded.has_rsample is bool(has_rsample)
    assert_close(expanded.log_prob(expanded.sample()), torch.tensor([-1.0, 2.0]).expand(3, 2))
