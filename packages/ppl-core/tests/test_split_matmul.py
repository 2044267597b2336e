"""A product in parts is the product."""

import pytest
import torch
from torch.testing import assert_close

from ppl.engine import record, split_products
from ppl.engine.split_matmul import by_columns, by_terms

ROWS = torch.randn(6000, 50, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def products(weights):
    logits = weights @ ROWS.mT
    return logits, logits.sigmoid() @ ROWS


def count(program, target):
    return len(program.graph.find_nodes(op="call_function", target=target))


@pytest.mark.parametrize("num_threads", [2, 3, 16])
def test_a_split_program_equals_the_recorded_one_at_new_points(num_threads):
    program = split_products(record(products, torch.ones(4, 50).double()), num_threads)
    assert count(program, by_columns) == count(program, by_terms) == 1
    weights = torch.linspace(-1, 1, 200, dtype=torch.float64).reshape(4, 50)
    assert_close(program(weights), products(weights))


@pytest.mark.parametrize(
    ("num_rows", "num_threads"), [(6000, 1), (100, 2), (5987, 2)], ids=["thread", "small", "prime"]
)
def test_what_cannot_gain_is_left_alone(num_rows, num_threads):
    rows = ROWS[:num_rows]
    program = record(lambda weights: weights @ rows.mT, torch.ones(4, 50).double())
    assert count(split_products(program, num_threads), by_columns) == 0
