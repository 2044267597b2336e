"""Compiled programs replayed from C++ give the same bits, or are refused."""

from __future__ import annotations

import threading

import pytest
import torch
from torch.fx.experimental import proxy_tensor

from ppl.engine import record
from ppl.engine.cpp_library import find_compiler
from ppl.engine.factorization import fail_with_nan
from ppl.engine.inductor import compile_program
from ppl.engine.replay import Replay, ReplayError
from ppl.engine.torch_internals import cheap_values

pytestmark = pytest.mark.skipif(find_compiler() is None, reason="nothing can be compiled")

DATA = torch.randn(40, 6, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def matrix(x):
    return x.new_tensor(0.1) * torch.eye(6, dtype=x.dtype) + x[:, None] * x


FUNCTIONS = {
    "elementwise": lambda x: (x.exp().sin() / (1 + x.square())).log1p(),
    "reductions": lambda x: (x - x.mean()).square().sum() / x.var(),
    "vector product": lambda x: (DATA.to(x) @ x).sigmoid().sum(),
    "matrix products": lambda x: DATA.to(x) @ matrix(x) @ DATA.to(x).mT,
    "batched product": lambda x: torch.bmm(*[matrix(y).expand(3, 6, 6) for y in (x, x.sin())]),
    "product and sum": lambda x: torch.addmm(matrix(x), matrix(x), matrix(x), beta=0.5, alpha=2.0),
    "index": lambda x: x[torch.tensor([0, 2, 2, 5])].cumsum(0),
    "factors": lambda x: torch.linalg.cholesky(matrix(x)).diagonal().log().sum(),
    "solution": lambda x: torch.linalg.solve_triangular(matrix(x).tril(), x[:, None], upper=False),
    "distances": lambda x: torch.cdist(x[:, None], x[:, None].sin(), p=3.0),
    "several": lambda x: (x.sum(), x.exp(), DATA.to(x) @ x),
    "argument itself": lambda x: (x * 1, x.flip(0)),
}  # fmt: skip


def compiled(fn, x, with_gradient=False):
    if with_gradient:
        inner = fn
        fn = torch.func.grad_and_value(lambda x: sum(t.sum() for t in flat(inner(x))))
    program = fail_with_nan(record(lambda x: flat(fn(x)), x))
    return compile_program(program, [x], {"cpp.threads": 1})


def flat(result):
    return [t.contiguous() for t in torch.utils._pytree.tree_leaves(result)]


def points(dtype):
    generator = torch.Generator().manual_seed(1)
    return [torch.randn(6, generator=generator, dtype=torch.float64).to(dtype) for _ in range(4)]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("with_gradient", [False, True])
@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_replay_gives_the_bits_of_the_compiled_program(name, with_gradient, dtype):
    first, *others = points(dtype)
    program = compiled(FUNCTIONS[name], first, with_gradient)
    replay = Replay(program, [first])
    for x in others:
        for mine, theirs in zip(replay(x), program(x), strict=True):
            assert torch.equal(mine, theirs)


def test_replays_in_several_threads_do_not_mix():
    first, *others = points(torch.float64)
    program = compiled(FUNCTIONS["factors"], first, with_gradient=True)
    expected = [[t.clone() for t in program(x)] for x in others]
    wrong = []

    def work(number):
        replay = Replay(program, [first])
        for _ in range(200):
            found = replay(others[number])
            if not all(map(torch.equal, found, expected[number])):
                wrong.append(number)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_results_are_copies():
    first, second, *_ = points(torch.float64)
    replay = Replay(compiled(torch.exp, first), [first])
    (before,) = replay(first)
    replay(second)
    assert torch.equal(before, first.exp())


@pytest.mark.parametrize(
    "fn,reason",
    [
        (lambda x: torch.conv1d(x[None, None], x[None, None, :3]), "convolution"),
        (lambda x: torch.linalg.eigvalsh(matrix(x)), "_linalg_eigh.* argument UPLO='L'"),
        (lambda x: x * torch.rand(6, dtype=x.dtype), ".*"),
        (lambda x: (x.long() // (x.long().abs() + 1)).to(x), "divides integers"),
        (lambda x: x.flip(0).reshape(2, 3).mT.exp(), "not contiguous"),
    ],
)
def test_what_cpp_cannot_repeat_is_refused(fn, reason):
    x = points(torch.float32)[0]
    program = compile_program(record(lambda x: [fn(x)], x), [x], {"cpp.threads": 1})
    with pytest.raises(ReplayError, match=reason):
        Replay(program, [x])


def test_a_call_that_fails_is_an_error():
    x = torch.arange(6.0)
    program = record(lambda x: [x[x.long()]], x)
    replay = Replay(compile_program(program, [x], {"cpp.threads": 1}), [x])
    with pytest.raises(RuntimeError, match="failed"):
        replay(x + 100)
    assert torch.equal(replay(x)[0], x)


# what is taken from torch's inner parts


def test_a_recording_notes_shapes_and_types_without_memory():
    program = record(
        lambda x: torch.linalg.slogdet(matrix(x))[1] * x.long(), points(torch.float64)[0]
    )
    values = [node.meta["val"] for node in program.graph.nodes if node.op == "call_function"]
    tensors = [v for v in values if isinstance(v, torch.Tensor)]
    assert len(tensors) > 5
    assert {t.device.type for t in tensors} == {"meta"}
    assert (tensors[-1].shape, tensors[-1].dtype) == ((6,), torch.float64)


def test_other_threads_record_as_ever_and_torch_is_left_as_it_was():
    usual, found = proxy_tensor.extract_val, []
    with cheap_values():
        thread = threading.Thread(
            target=lambda: found.append(proxy_tensor.extract_val(torch.ones(2)))
        )
        thread.start()
        thread.join()
        mine = proxy_tensor.extract_val(torch.ones(2))
    assert (found[0].device.type, mine.device.type) == ("cpu", "meta")
    assert proxy_tensor.extract_val is usual
