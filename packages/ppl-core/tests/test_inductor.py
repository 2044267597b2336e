"""Compiled programs give what the recorded ones give."""

import pytest
import torch
from torch.testing import assert_close

from ppl.capture import record
from ppl.inductor import compile_program, find_compiler, lift_constants

DATA = torch.arange(6.0).reshape(2, 3)


def program(x):
    return [(x * DATA).sin() + DATA, (x @ DATA.mT).cumsum(-1)]


def test_constants_become_inputs_once_each():
    recorded = record(program, torch.ones(3))
    (constant,) = lift_constants(recorded)
    assert torch.equal(constant, DATA)
    x = torch.tensor([0.3, -1.0, 2.0])
    assert_close(recorded(x, constant), program(x))
    assert not torch.equal(recorded(x, constant + 1)[0], program(x)[0])


@pytest.mark.skipif(find_compiler() is None, reason="there is no C++ compiler")
def test_a_compiled_program_equals_the_recorded_one_at_new_points():
    compiled = compile_program(record(program, torch.ones(3)), [torch.ones(3)])
    for seed in range(3):
        x = torch.randn(3, generator=torch.Generator().manual_seed(seed))
        assert_close(list(compiled(x)), program(x))
