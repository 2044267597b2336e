"""A folded program gives what the recorded one gives, with less to compute."""

import pytest
import torch
from torch.testing import assert_close

from ppl.engine import fold_constants, record
from ppl.poutine import seed

DATA = torch.arange(1.0, 7.0).reshape(2, 3)


def operations(program):
    return sum(node.op == "call_function" for node in program.graph.nodes)


def several_uses(x):
    logs = DATA.log()
    return (x + logs).sum() + logs.sum(-1) * x[0], logs.mean(), x


def several_results_of_one_operation(x):
    values, places = DATA.log().sort()
    return values * x, places, DATA.max(-1).values.sum() * x


def views(x):
    return DATA.mT[1:].log().mT @ x[1:]


@pytest.mark.parametrize("fn", [several_uses, several_results_of_one_operation, views])
def test_a_folded_program_equals_the_recorded_one_at_new_points(fn):
    program = record(fn, torch.ones(3))
    count = operations(program)
    x = torch.tensor([0.3, -1.0, 2.0])
    assert_close(fold_constants(program)(x), fn(x))
    assert operations(program) < count


def draws(x):
    return torch.bernoulli(DATA / 9) * x


def writes(x):
    return DATA.log().add_(x)


def test_draws_are_not_folded():
    program = fold_constants(record(draws, torch.ones(3)))
    for i in range(3):
        x = torch.tensor([0.3, -1.0, 2.0])
        assert_close(seed(program, rng_seed=i)(x), seed(draws, rng_seed=i)(x))


def test_a_program_that_writes_is_left_alone():
    program = fold_constants(record(writes, torch.ones(3)))
    for scale in (1.0, 2.0):
        assert_close(program(scale * torch.ones(3)), writes(scale * torch.ones(3)))


def test_what_is_larger_than_its_constants_is_not_kept():
    data = torch.arange(3.0)
    program = fold_constants(record(lambda x: (data[:, None] - data).exp() * x, torch.ones(3)))
    assert all(buffer.numel() <= 3 for buffer in program.buffers())
    assert_close(program(data), (data[:, None] - data).exp() * data)


def test_a_factor_of_a_matrix_product_is_kept_even_if_it_is_larger():
    data = torch.arange(3.0)

    def distances(x):
        return ((data[:, None] - data).square().reshape(9, 1) + data) @ x[:, None]

    program = fold_constants(record(distances, torch.ones(3)))
    assert operations(program) <= 3  # the product, and what turns its argument and result
    assert_close(program(data), distances(data))
