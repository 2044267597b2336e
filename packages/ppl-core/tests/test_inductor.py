"""Compiled programs give what the recorded ones give."""

from functools import partial

import pytest
import torch
from torch.testing import assert_close

from ppl import inductor
from ppl.capture import record
from ppl.cpp import find_compiler
from ppl.inductor import compile_program, lift_constants

DATA = torch.arange(6.0).reshape(2, 3)


def program(x):
    return [(x * DATA).sin() + DATA, (x @ DATA.mT).cumsum(-1)]


def test_constants_become_inputs_once_each():
    recorded = record(program, torch.ones(3))
    lifted, (constant,) = lift_constants(recorded)
    assert torch.equal(constant, DATA)
    x = torch.tensor([0.3, -1.0, 2.0])
    assert_close(lifted(x, constant), recorded(x))
    assert not torch.equal(lifted(x, constant + 1)[0], program(x)[0])


@pytest.mark.skipif(find_compiler() is None, reason="there is no C++ compiler")
def test_a_compiled_program_equals_the_recorded_one_at_new_points():
    compiled = compile_program(record(program, torch.ones(3)), [torch.ones(3)])
    for seed in range(3):
        x = torch.randn(3, generator=torch.Generator().manual_seed(seed))
        assert_close(list(compiled(x)), program(x))


@pytest.mark.skipif(find_compiler() is None, reason="there is no C++ compiler")
def test_programs_that_differ_in_their_data_alone_are_compiled_once(monkeypatch):
    compilations = []
    monkeypatch.setattr(inductor, "_compiled", {})
    monkeypatch.setattr(inductor, "_compile", lambda *args: compilations.append(args))
    for data, size in ((DATA, 3), (DATA + 1, 3), (DATA[:, :2], 2)):
        x = torch.ones(size)
        compile_program(record(partial(torch.add, data), x), [x])
    assert len(compilations) == 2
