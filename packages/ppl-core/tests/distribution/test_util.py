"""Shapes, sums and masks."""

import itertools

import pytest
import torch
from torch.testing import assert_close

from ppl.distribution.util import (
    broadcast_shape,
    is_identically_one,
    is_identically_zero,
    logsumexp,
    scale_and_mask,
    sum_leftmost,
    sum_rightmost,
)
from ppl.errors import ShapeError

SHAPES = [(), (1,), (3,), (2, 1), (2, 3), (4, 1, 3)]


@pytest.mark.parametrize("a,b", list(itertools.product(SHAPES, SHAPES)), ids=str)
def test_broadcast_shape_agrees_with_torch(a, b):
    assert broadcast_shape(a, b) == tuple(torch.broadcast_shapes(a, b))


def test_broadcast_shape_names_shapes_that_disagree():
    with pytest.raises(ShapeError, match=r"\(2, 3\) vs \(4,\)"):
        broadcast_shape((2, 3), (4,))
    with pytest.raises(ShapeError):
        broadcast_shape((2, 3), (1,), strict=True)
    assert broadcast_shape((2, 3), (3,), strict=True) == (2, 3)


@pytest.mark.parametrize("dim", range(-4, 4))
def test_rightmost_and_leftmost_sums_drop_or_keep_dimensions(dim):
    x = torch.randn(2, 3, 4, dtype=torch.float64)
    dropped = dim if dim >= 0 else max(3 + dim, 0)
    assert_close(sum_rightmost(x, dim), x.reshape(x.shape[: 3 - dropped] + (-1,)).sum(-1))
    assert_close(sum_leftmost(x, dim), x.reshape((-1,) + x.shape[dropped:]).sum(0))
    assert sum_rightmost(2.5, dim) == sum_leftmost(2.5, dim) == 2.5


@pytest.mark.parametrize("scale", [1.0, 2.0, torch.tensor([2.0, 3.0])], ids=str)
@pytest.mark.parametrize("mask", [None, True, False, torch.tensor([True, False])], ids=str)
def test_scale_and_mask_multiply_where_the_mask_holds(scale, mask):
    x = torch.tensor([torch.e, 5.0])
    kept = torch.as_tensor(True if mask is None else mask)
    assert_close(scale_and_mask(x, scale, mask), x * scale * kept)


def test_scale_and_mask_hide_infinities_and_leave_zero_alone():
    hidden = scale_and_mask(torch.tensor([1.0, -torch.inf]), 2.0, torch.tensor([True, False]))
    assert_close(hidden, torch.tensor([2.0, 0.0]))
    assert scale_and_mask(0, torch.ones(3)) == 0


def test_only_python_numbers_are_identically_zero_or_one():
    assert is_identically_zero(0) and is_identically_zero(0.0) and is_identically_one(1.0)
    assert not is_identically_zero(torch.zeros(())) and not is_identically_one(torch.ones(()))
    assert not is_identically_zero(1) and not is_identically_one(None)


def test_logsumexp_defaults_to_the_last_dimension():
    x = torch.randn(2, 3)
    assert_close(logsumexp(x), x.exp().sum(-1).log())
