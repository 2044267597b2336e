"""Sums over plates, plate nesting."""

import pytest
import torch

import ppl
import ppl.distributions as dist
from ppl.infer.util import MultiFrameTensor, guess_max_plate_nesting, torch_item, zero_grads
from ppl.poutine.indep_messenger import CondIndepStackFrame

ROWS = CondIndepStackFrame("rows", -2, 3, 0, 3)
COLUMNS = CondIndepStackFrame("columns", -1, 4, 0, 4)


@pytest.mark.parametrize("target", [(), (COLUMNS,), (ROWS,), (ROWS, COLUMNS)], ids=str)
def test_a_sum_keeps_just_the_plates_of_the_target(target):
    torch.manual_seed(0)
    scalar, column, both = torch.randn(()), torch.randn(4), torch.randn(3, 4)
    total = MultiFrameTensor(((), scalar), ((COLUMNS,), column), ((ROWS, COLUMNS), both)).sum_to(
        target
    )
    summed = [dim for frame, dim in ((ROWS, 0), (COLUMNS, 1)) if frame not in target]
    expected = both.sum(summed, keepdim=True) if summed else both
    expected = expected + (column if COLUMNS in target else column.sum()) + scalar
    torch.testing.assert_close(total.expand(expected.shape), expected)


def test_an_empty_sum_is_none():
    assert MultiFrameTensor(((ROWS,), 0)).sum_to(()) is None


def test_plate_nesting_counts_batch_dimensions_of_vectorized_plates():
    def model():
        with ppl.plate("a", 2, dim=-3):
            ppl.sample("x", dist.Normal(0.0, 1.0))
        for _ in ppl.plate("b", 2):
            pass

    assert guess_max_plate_nesting(model, (), {}) == 3
    assert guess_max_plate_nesting(lambda: ppl.sample("y", dist.Normal(0.0, 1.0)), (), {}) == 0


def test_items_and_gradients():
    x = torch.tensor(2.0, requires_grad=True)
    (x**2).backward()
    zero_grads([x, torch.zeros(1)])
    assert (torch_item(x), torch_item(3.0), x.grad.item()) == (2.0, 3.0, 0.0)
