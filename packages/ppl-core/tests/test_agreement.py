"""Every compiled or rearranged program is compared with its recording before it is used."""

import copy
import pickle

import pytest
import torch
from torch.func import grad_and_value, vmap
from torch.testing import assert_close
from torch.utils._pytree import tree_leaves

from ppl.engine import agree, inductor, optimize, points_near, record, same_function
from ppl.engine.cpp_library import find_compiler
from ppl.engine.inductor import MiscompiledError, compile_program
from ppl.errors import PPLWarning

needs_compiler = pytest.mark.skipif(find_compiler() is None, reason="there is no C++ compiler")
K = torch.arange(40) % 5
PAIRS = torch.stack([K, (K + 1) % 5], -1)
WEIGHTS = torch.linspace(-1.0, 1.0, 40)

LOOK_UPS = {
    "index_select": lambda a: a.index_select(0, K),
    "index": lambda a: a[K],
    "gather": lambda a: a.gather(0, K),
    "take": lambda a: a.take(K),
    "take_along_dim": lambda a: a.take_along_dim(K, 0),
    "embedding": lambda a: torch.nn.functional.embedding(K, a[:, None])[:, 0],
    "pairs": lambda a: a[PAIRS].sum(-1),
    "columns": lambda a: torch.stack([a, a**2])[:, K].sum(0),
    "index_select of columns": lambda a: torch.stack([a, a**2]).index_select(1, K).sum(0),
    "index_add": lambda a: a.new_zeros(40).index_add(0, 7 * torch.arange(5), a),
    "scatter_add": lambda a: a.new_zeros(40).scatter_add(0, 7 * torch.arange(5), a),
    "index_put": lambda a: a.new_zeros(40).index_put((7 * torch.arange(5),), a),
    "index_copy": lambda a: a.new_zeros(40).index_copy(0, 7 * torch.arange(5), a),
    "cumsum": lambda a: a.cumsum(0)[K],
    "repeat": lambda a: a.repeat(8),
    "masked": lambda a: a[K].masked_fill(K == 2, 0.0),
    "diagonal": lambda a: torch.outer(a, a).diagonal()[K],
    "unfold": lambda a: a.repeat(9).unfold(0, 6, 1).sum(-1),
}


@needs_compiler
@pytest.mark.parametrize("look_up", LOOK_UPS.values(), ids=LOOK_UPS)
def test_compiled_look_ups_equal_their_recording_and_the_function_with_gradients(look_up):
    def potential(a):
        return ((look_up(a) - WEIGHTS) ** 2).sum()

    z = torch.randn(4, 5, generator=torch.Generator().manual_seed(0))
    fn = vmap(grad_and_value(potential))
    program = record(fn, z)
    compiled = compile_program(program, [z])
    for point in (0.3 * z, z.flip(0)):
        assert_close(tree_leaves(compiled(point)), tree_leaves(program(point)))
        assert_close(program(point), fn(point))


EXPANDED = {
    "zeros": lambda x: torch.zeros(5).expand(4, 5),
    "number": lambda x: torch.zeros(()).expand(4, 5),
    "computed": lambda x: (2 * x).expand(4, 5),
    "argument": lambda x: x.expand(4, 5),
}


@needs_compiler
@pytest.mark.parametrize("expand", EXPANDED.values(), ids=EXPANDED)
def test_what_is_written_into_expanded_memory_is_written_once(expand):
    k = torch.tensor([0, 2, 2, 4])

    def fn(x, y):
        a = expand(x)
        return [
            a.index_add(1, k, y),
            a.index_put((torch.arange(4)[:, None], k[None]), y, accumulate=True),
            a.index_fill(1, k, 3.0),
            a.diagonal_scatter(y[0]),
            a.select_scatter(y[:, 0], 1, 1),
            a.slice_scatter(y[:, :2], 1, 1, 3),
            a.scatter_add(1, k.expand(4, 4), y),
        ]

    x, y = torch.arange(5.0), torch.arange(16.0).reshape(4, 4)
    assert_close(list(compile_program(record(fn, x, y), [x, y])(x, y)), fn(x, y))


WRONG = {
    "value": lambda v: [v[0] * 1.01, v[1]],
    "gradient": lambda v: [v[0], v[1] * 1.01],
    "one number": lambda v: [v[0], v[1] + 0.01 * (torch.arange(3) == 1)],
    "nan": lambda v: [v[0], v[1] * torch.nan],
}


@pytest.mark.parametrize("spoil", WRONG.values(), ids=WRONG)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_program_that_was_compiled_wrongly_is_refused(monkeypatch, spoil, dtype):
    monkeypatch.setattr(inductor, "_generated", type(inductor._generated)())
    monkeypatch.setattr(
        inductor, "_compile", lambda p, *_: lambda inputs: spoil(tree_leaves(p(*inputs)))
    )
    x = torch.ones(3, dtype=dtype)
    with pytest.raises(MiscompiledError, match="other values"):
        compile_program(record(lambda x: [(x**2).sum(), 2 * x], x), [x])


def test_a_comparison_costs_no_random_numbers():
    torch.manual_seed(0)
    expected = torch.rand(3)
    torch.manual_seed(0)
    assert same_function(lambda x: x + torch.rand(3), lambda x: x + torch.rand(3), points_near([X]))
    assert torch.equal(torch.rand(3), expected)


X = torch.tensor([1.0, 2.0, 3.0])


def test_a_difference_that_rounding_explains_is_none():
    def sum_of_large_terms(x):
        return (x + 1e4).sum() - 3e4

    assert same_function(lambda x: x.sum(), sum_of_large_terms, points_near([X]))
    assert not same_function(lambda x: 1.01 * x.sum(), torch.sum, points_near([X]))


@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e6])
def test_small_numbers_beside_large_ones_are_compared_too(scale):
    trusted = scale * torch.tensor([1e3, 1.0])
    assert agree(trusted * (1 + 1e-7), trusted)
    assert not agree(trusted + scale * torch.tensor([0.0, 0.01]), trusted)


def test_points_keep_layout_and_indices():
    x = torch.ones(2, 3).mT
    for point in points_near([x, K]):
        assert point[0].stride() == x.stride()
        assert torch.equal(point[1], K)


def fails(program):
    raise AttributeError("no such thing")


def spoils(program):
    for node in program.graph.find_nodes(op="call_function", target=torch.ops.aten.exp.default):
        node.target = torch.ops.aten.expm1.default
    program.recompile()
    return program


@pytest.mark.parametrize(("change", "cause"), [(fails, "no such thing"), (spoils, "other values")])
def test_a_pass_that_goes_wrong_is_left_out_with_one_warning(change, cause):
    program = record(lambda x: x.exp(), X)
    with pytest.warns(PPLWarning, match=f"without {change.__name__}.*{cause}") as seen:
        assert_close(optimize(program, [X], [change])(-X), (-X).exp())
    assert len(seen) == 1


@needs_compiler
def test_a_compiled_program_is_pickled_as_its_recording_and_copied_as_itself():
    compiled = compile_program(record(lambda x: [x.exp()], X), [X])
    assert copy.deepcopy(compiled) is compiled
    assert_close(pickle.loads(pickle.dumps(compiled))(X), [X.exp()])
