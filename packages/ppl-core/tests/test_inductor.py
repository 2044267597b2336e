"""Compiled programs give what the recorded ones give."""

import os
import subprocess
import sys
import threading
from functools import partial

import pytest
import torch
from torch.testing import assert_close
from torch.utils._pytree import tree_leaves

from ppl.engine import fail_with_nan, inductor, record
from ppl.engine.cpp_library import find_compiler
from ppl.engine.inductor import compile_program, lift_constants
from ppl.util import set_rng_seed

needs_compiler = pytest.mark.skipif(find_compiler() is None, reason="there is no C++ compiler")
DATA = torch.arange(6.0).reshape(2, 3)


@pytest.fixture(autouse=True)
def empty_memory(monkeypatch):
    monkeypatch.setattr(inductor, "_generated", type(inductor._generated)())


@pytest.fixture
def compilations(monkeypatch):
    """Return a list of what is given to the compiler, which only pretends to compile."""
    calls = []

    def pretend(program, *others):
        calls.append((program, *others))
        return lambda inputs: tree_leaves(program(*inputs))

    monkeypatch.setattr(inductor, "_compile", pretend)
    return calls


def program(x):
    return [(x * DATA).sin() + DATA, (x @ DATA.mT).cumsum(-1)]


def test_constants_become_inputs_once_each():
    recorded = record(program, torch.ones(3))
    lifted, (constant,) = lift_constants(recorded)
    assert torch.equal(constant, DATA)
    x = torch.tensor([0.3, -1.0, 2.0])
    assert_close(lifted(x, constant), recorded(x))
    assert not torch.equal(lifted(x, constant + 1)[0], program(x)[0])


def turned(x):
    return [x.reshape(-1), (x @ DATA.mT).mT, DATA.mT.reshape(-1) + x.sum(), x.mT]


def written(x):
    filled = x.new_zeros(2, 3)
    filled[0], filled[1] = x, DATA[1]
    filled.t().mul_(2.0)
    return [filled.sum(0), x.view(1, 3), x]


def without_arguments():
    return [DATA.exp()]


def branching(x):
    return [torch.cond(x.sum() > 0, lambda x: x + 1, lambda x: x * 2, (x,))]


def drawing(x):
    return [x + torch.randn(3), torch.rand(2), torch.poisson(x.exp())]


@needs_compiler
@pytest.mark.parametrize(
    ("fn", "example"),
    [
        (program, [torch.ones(3)]),
        (turned, [torch.arange(6.0).reshape(3, 2).mT]),
        (written, [torch.ones(3)]),
        (without_arguments, []),
        (branching, [torch.ones(3)]),
        (drawing, [torch.ones(3)]),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_a_compiled_program_equals_the_recorded_one_at_new_points(fn, example):
    compiled = compile_program(record(fn, *example), example)
    for scale in (-1.0, 0.3, 2.0):
        inputs = [scale * x for x in example]
        results = []
        for one in (compiled, fn):
            set_rng_seed(0)
            results.append([*one(*inputs), torch.rand(1)])
        assert_close(*results)


@needs_compiler
def test_a_failed_factorization_is_an_error_unless_it_shall_be_nan():
    good, bad = torch.eye(2), -torch.eye(2)
    for make in (lambda p: p, fail_with_nan):
        recorded = record(lambda x: [torch.linalg.cholesky(x)], good)
        compiled = compile_program(make(recorded), [good])
        assert_close(compiled(4 * good)[0], 2 * good)
        if make is fail_with_nan:
            assert compiled(bad)[0].isnan().any()
        else:
            with pytest.raises(torch.linalg.LinAlgError, match="not positive-definite"):
                compiled(bad)


# which programs are compiled anew


def test_programs_that_differ_in_their_data_alone_are_compiled_once(compilations):
    for data, size in ((DATA, 3), (DATA + 1, 3), (DATA[:, :2], 2)):
        x = torch.ones(size)
        compile_program(record(partial(torch.add, data), x), [x])
    assert len(compilations) == 2


X = torch.ones(2, 2)


@pytest.mark.parametrize(
    ("fn", "x", "options"),
    [
        (torch.exp, torch.ones(2, 3), {}),
        (torch.exp, X.mT, {}),
        (torch.exp, X.double(), {}),
        (torch.sin, X, {}),
        (torch.exp, X, {"size_asserts": True}),
    ],
    ids=["shape", "strides", "dtype", "operation", "option"],
)
def test_what_differs_otherwise_is_compiled_anew(compilations, fn, x, options):
    for _ in range(2):
        compile_program(record(torch.exp, X), [X])
        compile_program(record(fn, x), [x], options)
    assert len(compilations) == 2


def test_programs_that_differ_in_a_branch_alone_are_different(compilations):
    for branch in (torch.sin, torch.cos):
        choose = partial(torch.cond, true_fn=branch, false_fn=torch.neg, operands=(X,))
        compile_program(record(choose, torch.tensor(True)), [torch.tensor(True)])
    assert len(compilations) == 2


def test_another_number_of_threads_compiles_anew(compilations, monkeypatch):
    for count in (1, 2):
        monkeypatch.setattr(torch, "get_num_threads", lambda count=count: count)
        compile_program(record(torch.exp, X), [X])
    assert len(compilations) == 2


def test_the_programs_that_were_not_used_for_longest_are_forgotten(compilations, monkeypatch):
    monkeypatch.setattr(inductor, "MAX_PROGRAMS", 2)
    a, b, c = (record(fn, X) for fn in (torch.sin, torch.cos, torch.exp))
    for recorded in (a, b, a, c, a):  # the third forgets b
        compile_program(recorded, [X])
    assert len(compilations) == len(inductor._generated) + 1 == 3
    compile_program(b, [X])
    assert len(compilations) == 4


@needs_compiler
def test_threads_that_want_one_program_compile_it_once(monkeypatch):
    generate, calls, results = inductor._generate, [], []

    def counted(*args):
        calls.append(args)
        return generate(*args)

    def work():
        results.append(compile_program(record(program, torch.ones(3)), [torch.ones(3)]))

    monkeypatch.setattr(inductor, "_generate", counted)
    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(calls) == 1
    for compiled in results:
        assert_close(list(compiled(torch.ones(3))), program(torch.ones(3)))


# torch


def fail(*args, **kwargs):
    raise TypeError("of another version")


@needs_compiler
@pytest.mark.parametrize(
    "absent", ["torch._inductor.compile_fx.compile_fx_inner", "torch._inductor.compile"]
)
def test_torch_compiles_by_its_inner_door_or_by_its_documented_one(monkeypatch, absent):
    monkeypatch.setattr(absent, fail)
    compiled = compile_program(record(program, torch.ones(3)), [torch.ones(3)])
    x = torch.tensor([0.3, -1.0, 2.0])
    assert_close(list(compiled(x)), program(x))


def test_an_option_that_does_not_exist_is_refused():
    with pytest.raises(Exception, match="no_such_option"):
        compile_program(record(torch.exp, X), [X], {"no_such_option": 1})


@needs_compiler
def test_torch_is_left_as_it_was():
    from torch._inductor import config, cpu_vec_isa

    flag, trust = torch.distributions.Distribution._validate_args, config.cpp.vec_isa_ok
    compile_program(record(program, torch.ones(3)), [torch.ones(3)])
    assert torch.distributions.Distribution._validate_args is flag
    assert config.cpp.vec_isa_ok is trust
    assert cpu_vec_isa.valid_vec_isa_list.cache_info().currsize == 0


SECOND = """
import torch
from torch._dynamo.utils import counters
from ppl.engine import record
from ppl.engine.inductor import compile_program

x = torch.ones(5)
compiled = compile_program(record(lambda x: [(x.exp() + torch.arange(5.0)).sum(0)], x), [x])
found = counters["inductor"]
print(found["fxgraph_cache_hit"], found["fxgraph_cache_miss"], float(compiled(0 * x)[0]))
"""


@needs_compiler
def test_a_second_process_finds_the_program_on_disk(tmp_path):
    environment = {**os.environ, "TORCHINDUCTOR_CACHE_DIR": str(tmp_path)}
    outputs = [
        subprocess.run(
            [sys.executable, "-c", SECOND], env=environment, capture_output=True, check=True
        ).stdout.split()
        for _ in range(2)
    ]
    assert outputs == [[b"0", b"1", b"15.0"], [b"1", b"0", b"15.0"]]
