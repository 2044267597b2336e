"""Matrix products of recorded programs keep the batch in front."""

import torch
from torch.testing import assert_close

from ppl.engine import batch_first, record

DATA = torch.arange(12.0, dtype=torch.float64).reshape(4, 3) / 5

aten = torch.ops.aten


def loss(w):
    return (DATA @ w).tanh().sum() + w.square().sum()


def num_turned_batches(program):
    products = program.graph.find_nodes(op="call_function", target=aten.mm.default)
    factors = (product.args[1] for product in products)
    transposes = (aten.permute.default, aten.t.default)
    return sum(f.target in transposes and f.args[0].op != "get_attr" for f in factors)


def test_products_of_a_batch_are_the_same_numbers_without_turning_them_round():
    vectors = torch.randn(5, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    program = record(torch.func.vmap(torch.func.grad_and_value(loss)), vectors)
    assert num_turned_batches(program)
    turned = batch_first(program)
    assert not num_turned_batches(turned)
    gradient, value = turned(vectors + 1)
    assert_close(value, torch.stack([loss(v) for v in vectors + 1]))
    assert_close(gradient, torch.func.vmap(torch.func.grad(loss))(vectors + 1))


def test_a_product_that_is_used_both_ways_is_right_in_both():
    def both_ways(x):
        product = DATA @ x.mT
        return product.mT.exp(), product.sin()

    x = torch.arange(6.0, dtype=torch.float64).reshape(2, 3)
    program = batch_first(record(both_ways, x))
    assert not num_turned_batches(program)
    assert_close(program(x), both_ways(x))
