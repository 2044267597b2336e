"""A program that is replayed many times, from C++."""

from __future__ import annotations

import pytest
import torch

from ppl.engine import record
from ppl.engine.cpp_library import find_compiler
from ppl.engine.inductor import compile_program
from ppl.engine.iterate import Iterated
from ppl.engine.replay import Replay, ReplayError

pytestmark = pytest.mark.skipif(find_compiler() is None, reason="needs a C++ compiler")


def step(rate, state):
    noise = torch.randn(3).square() + torch.rand(3)
    new = state + rate * noise
    return [new, new.sum(), new.sum() < 100.0]


@pytest.fixture(scope="module")
def compiled():
    inputs = [torch.ones(()), torch.zeros(3)]
    return compile_program(record(step, *inputs), inputs)


def made(compiled, draws=True):
    replay = Replay(compiled, [torch.ones(()), torch.zeros(3)], draws=draws)
    return replay, Iterated(replay, {0: 1}, given=[0], noted=[1], goes_on=2)


def test_times_in_cpp_are_times_in_python(compiled):
    rates = torch.tensor([1.0, 2.0, 0.5, 3.0])
    replay, iterated = made(compiled)
    torch.manual_seed(0)
    number, (sums,) = iterated(4, [rates])
    torch.manual_seed(0)
    state, expected = torch.zeros(3), []
    for rate in rates:
        state, total, _ = compiled(rate, state)
        expected.append(total)
    assert number == 4 and torch.equal(sums[:4], torch.stack(expected))
    assert torch.equal(replay.inputs[1], state)


def test_a_time_that_does_not_go_on_changes_no_state(compiled):
    replay, iterated = made(compiled)
    number, (sums,) = iterated(3, [torch.tensor([1.0, 1e6, 1.0])])
    assert number == 1 and sums[1] >= 100.0
    assert replay.inputs[1].abs().max() < 100.0


def test_draws_are_refused_unless_they_are_wanted(compiled):
    before = torch.get_rng_state()
    with pytest.raises(ReplayError, match="draws at random"):
        made(compiled, draws=False)
    made(compiled)
    assert torch.equal(before, torch.get_rng_state())
