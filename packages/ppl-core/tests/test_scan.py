"""A loop as one operation has the values and gradients of its rounds, wherever it runs."""

import pytest
import torch
from torch.testing import assert_close

from ppl.engine import record
from ppl.engine.inductor import compile_program
from ppl.engine.loops import batch_loops, compile_loops
from ppl.engine.loops.rounds_operation import Loop
from ppl.engine.loops.scan import scan
from ppl.engine.replay import Replay
from ppl.errors import PPLError

ROUNDS = 60
POSITIONS = torch.randn(3, 5 + ROUNDS, generator=torch.Generator().manual_seed(0)).double()
DATA = torch.randn(ROUNDS, 2, generator=torch.Generator().manual_seed(1)).double()


def first_order(z):
    state, total = z[:2], 0.0
    for t in range(ROUNDS):
        state = (state * z[2] + DATA[t] + z[5 + t]).tanh()
        total = total + (state**2).sum()
    return total


def second_order(z):
    before, state = z[:2].unbind()
    total = 0.0
    for t in range(ROUNDS):
        before, state = state, (state * z[2]).sin() - 0.5 * before.cos() * z[5 + t]
        total = total + state * DATA[t, 0]
    return total


def only_the_end(z):
    state = z[:2]
    for t in range(ROUNDS):
        state = torch.logsumexp(state[:, None] + z[1:5].reshape(2, 2), 0) + DATA[t]
    return torch.logsumexp(state, 0)


FUNCTIONS = [first_order, second_order, only_the_end]


def with_gradient(fn):
    return torch.func.vmap(torch.func.grad_and_value(fn))


def steps(program):
    return [node.target for node in program.graph.nodes if node.op == "call_function"]


@pytest.mark.parametrize("fn", FUNCTIONS)
def test_a_recurrence_is_one_operation_and_its_derivative_another(fn):
    program = record(with_gradient(batch_loops(fn, POSITIONS[0])), POSITIONS)
    assert steps(program).count(torch.ops.ppl.rounds.default) == 2
    assert len(steps(program)) < 3 * ROUNDS
    assert_close(program(POSITIONS + 0.1), with_gradient(fn)(POSITIONS + 0.1))


def test_compiled_rounds_replayed_from_c_have_the_values_of_plain_ones():
    program = record(with_gradient(batch_loops(second_order, POSITIONS[0])), POSITIONS)
    compile_loops(program)
    compiled = compile_program(program, [POSITIONS])
    replay = Replay(compiled, [POSITIONS])
    for shift in (0.0, 0.3):
        expected = list(with_gradient(second_order)(POSITIONS + shift))
        for way in (program, compiled, replay):
            assert_close(list(way(POSITIONS + shift)), expected)


def double(state, given, shared):
    return [2 * state[0]], [state[0] + given[0] * shared[0]]


LOOP = Loop(double, 3, num_state=1, num_given=1)


def run(state, given, shared):
    return scan(LOOP, [state], [given], [shared])[0]


def plain(state, given, shared):
    return torch.stack([state * 2**r + given[r] * shared for r in range(3)])


def gradients_of(fn, dims):
    return torch.func.vmap(torch.func.grad(lambda *x: fn(*x).sin().sum(), (0, 1, 2)), dims)


@pytest.mark.parametrize("dims", [(0, None, None), (None, 1, None), (None, None, 0), (0, 1, 0)])
def test_any_part_of_a_loop_can_be_batched(dims):
    shapes = [(), (3,), ()]
    for i, dim in enumerate(dims):
        if dim is not None:
            shapes[i] = (*shapes[i][:dim], 4, *shapes[i][dim:])
    given = [torch.randn(s, generator=torch.Generator().manual_seed(2)) for s in shapes]
    assert_close(torch.func.vmap(run, dims)(*given), torch.func.vmap(plain, dims)(*given))
    found, expected = (gradients_of(fn, dims)(*given) for fn in (run, plain))
    assert_close(found, expected)


def test_a_second_derivative_is_refused():
    def value(x):
        return run(x, torch.ones(3), torch.ones(())).sin().sum()

    with pytest.raises(PPLError, match="differentiated again"):
        torch.func.grad(torch.func.grad(value))(torch.ones(()))


def test_a_loop_of_another_process_is_told_apart():
    with pytest.raises(PPLError, match="another process"):
        torch.ops.ppl.rounds(1, [torch.ones(1)], [], [])


def test_equal_loops_are_one_and_others_are_not():
    def number(fn):
        program = record(fn, torch.ones(()), torch.ones(3), torch.ones(()))
        return next(
            n.args[0] for n in program.graph.nodes if n.target is torch.ops.ppl.rounds.default
        )

    def shifted(by):
        constant = torch.tensor(by)
        loop = Loop(lambda s, g, h: ([s[0] + constant], [s[0]]), 3, 1, 1)
        return lambda *given: scan(loop, *([x] for x in given))[0]

    assert number(shifted(1.0)) == number(shifted(1.0))
    assert len({number(run), number(shifted(1.0)), number(shifted(2.0))}) == 3
