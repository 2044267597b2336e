"""Products of sequences, against the loop that they replace."""

import math
from functools import reduce

import pytest
import torch
from torch.testing import assert_close

from ppl.ops.scan import Sequence, associative_reduce, associative_scan, linear_recurrence

LENGTHS = [*range(1, 12), 31, 64, 65, 127, 128, 130, 255]


def matmul(x, y):
    return (x[0] @ y[0],)


def rotations(*shape):
    angle = torch.rand(*shape, dtype=torch.float64)
    rows = torch.stack([angle.cos(), -angle.sin(), angle.sin(), 1.1 * angle.cos()], -1)
    return rows.unflatten(-1, (2, 2))


@pytest.mark.parametrize("length", LENGTHS)
def test_a_reduction_is_the_product_from_left_to_right(length):
    torch.manual_seed(0)
    x = rotations(3, length)
    (product,) = associative_reduce(matmul, Sequence((x,), (2,)))
    assert_close(product.squeeze(-3), reduce(torch.matmul, x.unbind(1)))


@pytest.mark.parametrize("length", LENGTHS)
@pytest.mark.parametrize("until", [1, 5, 64])
def test_a_reduction_that_ends_early_has_the_same_product(length, until):
    torch.manual_seed(0)
    x = rotations(3, length)
    (few,) = associative_reduce(matmul, Sequence((x,), (2,)), until)
    assert min(length, until / 2) <= few.shape[1] <= until
    assert_close(reduce(torch.matmul, few.unbind(1)), reduce(torch.matmul, x.unbind(1)))


@pytest.mark.parametrize("length", LENGTHS)
def test_a_scan_is_the_reduction_of_every_beginning(length):
    torch.manual_seed(0)
    x = rotations(3, length)
    (products,) = associative_scan(matmul, Sequence((x,), (2,)))
    beginnings = [reduce(torch.matmul, x[:, : t + 1].unbind(1)) for t in range(length)]
    assert_close(products, torch.stack(beginnings, 1))


@pytest.mark.parametrize("length", [2, 3, 64, 65, 100, 1000])
def test_depth_is_logarithmic(length):
    depth = 0

    def count(x, y):
        nonlocal depth
        depth += 1
        return (x[0] + y[0],)

    x = torch.ones(length)
    assert associative_reduce(count, Sequence((x,), (0,)))[0] == length
    assert depth <= math.log2(length) + 2


@pytest.mark.parametrize("length", LENGTHS)
@pytest.mark.parametrize("function", [associative_reduce, associative_scan])
def test_what_all_elements_share_need_not_be_repeated(function, length):
    torch.manual_seed(0)
    matrix, offset = rotations(1), torch.randn(3, length, 2, dtype=torch.float64)

    def affine(x, y):
        return x[0] @ y[0], (x[1].unsqueeze(-2) @ y[0]).squeeze(-2) + y[1]

    shared = function(affine, Sequence((matrix, offset), (2, 1)))
    repeated = function(affine, Sequence((matrix.expand(length, 2, 2), offset), (2, 1)))
    for x, y in zip(shared, repeated, strict=True):
        assert_close(x, y)


@pytest.mark.parametrize("length", LENGTHS)
@pytest.mark.parametrize("is_shared", [True, False])
def test_a_linear_recurrence_equals_its_loop(length, is_shared):
    torch.manual_seed(0)
    matrix, offset = rotations(1 if is_shared else length), torch.randn(3, length, 2).double()
    state, states = torch.zeros(3, 2, dtype=torch.float64), []
    for step, x in zip(matrix.expand(length, 2, 2), offset.unbind(1), strict=True):
        state = state @ step + x
        states.append(state)
    assert_close(linear_recurrence(matrix, offset), torch.stack(states, 1))
