"""A traced function is the function: values, gradients, parameters and draws; only faster."""

import threading

import numpy as np
import pytest
import torch
from torch import nn
from torch.distributions import constraints
from torch.testing import assert_close

import ppl.ops.jit as jit
import ppl.poutine as poutine
from ppl.engine import CaptureError
from ppl.engine.cpp_library import find_compiler
from ppl.errors import PPLWarning
from ppl.poutine.trace_messenger import TraceMessenger
from ppl.primitives import clear_param_store, get_param_store, module, param, plate, sample
from ppl.util import set_rng_seed

from .distribution.families import Gamma, Normal

needs_compiler = pytest.mark.skipif(find_compiler() is None, reason="there is no C++ compiler")
NET = nn.Linear(3, 1)
WEIGHT = torch.arange(3.0, requires_grad=True)


class Rounded(torch.autograd.Function):
    """Passes gradients straight through."""

    @staticmethod
    def forward(ctx, x):
        return x.round()

    @staticmethod
    def backward(ctx, tangent):
        return 3 * tangent


def polynomial(x, y):
    return (x**3 * y + y.exp()).sum()


def several_results(x, y):
    return {"sum": x + y, "nothing": None, "index": x.numel(), "kept": x}


def with_parameters(x, y):
    w = param("w", torch.full((3,), 2.0), constraints.positive)
    return (w * x).sum() + param("b", torch.tensor(1.0)) * y.sum()


def with_a_subsampled_parameter(x, y):
    with plate("rows", 3, subsample=torch.tensor([0, 2])):
        return param("u", lambda: torch.arange(1.0, 4.0), event_dim=0) * x[:2]


def with_subsampling(x, y):
    with plate("rows", 3, subsample_size=2) as rows, poutine.scale(scale=y.exp()[:2]):
        return x[rows] * sample("z", Normal(0.0, 1.0))


def with_a_module(x, y):
    return module("net", NET)(x).sum() * y


def with_a_closure(x, y):
    return (WEIGHT * x).sum() * y


def with_draws(x, y):
    z = sample("z", Normal(x, 1.0))
    return z * sample("k", Gamma(y.exp(), 1.0)) + torch.randn(3)


def with_draws_that_have_no_gradient(x, y):
    return Gamma(x.exp(), 1.0).sample() * y


def with_a_derivative_of_its_own(x, y):
    return Rounded.apply(x * 1.3) * y


def with_a_gradient_inside(x, y):
    z = x.detach().requires_grad_()
    with torch.enable_grad():
        (slope,) = torch.autograd.grad((z.exp() * y.detach()).sum(), z)
    return slope * x + torch.func.grad(lambda a: (a**3).sum())(y)


def with_views_and_writes(x, y):
    out = x.new_zeros(2, 3)
    out[0], out[1, :2] = x, y[:2]
    out.t().mul_(2.0)
    return out.sum(0), x.view(1, 3)


def with_an_elbo(x, y):
    def guide():
        sample("z", Normal(param("loc", torch.tensor(0.5)), 1.0))

    def model():
        z = sample("z", Normal(0.0, 1.0))
        with plate("data", 3):
            sample("x", Normal(z, 1.0), obs=x)

    guide_trace = poutine.trace(guide).get_trace()
    model_trace = poutine.trace(poutine.replay(model, trace=guide_trace)).get_trace()
    return model_trace.log_prob_sum() - guide_trace.log_prob_sum()


FUNCTIONS = [
    polynomial,
    several_results,
    with_parameters,
    with_a_subsampled_parameter,
    with_subsampling,
    with_a_module,
    with_a_closure,
    with_draws,
    with_draws_that_have_no_gradient,
    with_a_derivative_of_its_own,
    with_a_gradient_inside,
    with_views_and_writes,
    with_an_elbo,
]
every_function = pytest.mark.parametrize("fn", FUNCTIONS, ids=lambda fn: fn.__name__)


def arguments(i, requires_grad=True):
    generator = torch.Generator().manual_seed(i)
    return [torch.randn(3, generator=generator).requires_grad_(requires_grad) for _ in range(2)]


def tensors_of(result):
    leaves = torch.utils._pytree.tree_leaves(result)
    return [t for t in leaves if isinstance(t, torch.Tensor)]


def value_and_gradients(fn, x, y):
    """Return the result from a fixed seed, and the gradients of the sum of all its tensors."""
    set_rng_seed(0)
    result = fn(x, y)
    tensors = tensors_of(result)
    leaves = [x, y, WEIGHT, *NET.parameters(), *dict(get_param_store().named_parameters()).values()]
    gradients = torch.autograd.grad(
        sum(t.sum() for t in tensors), list(dict.fromkeys(leaves)), allow_unused=True
    )
    return result, gradients


@every_function
def test_a_traced_function_equals_the_function_with_its_gradients(fn):
    traced = jit.trace(fn)
    for i in range(4):
        expected = value_and_gradients(fn, *arguments(i))
        assert_close(value_and_gradients(traced, *arguments(i)), expected)
    assert len(traced.compiled) == 1


@every_function
def test_without_gradients_a_traced_function_equals_the_function(fn):
    traced = jit.trace(fn)
    with torch.no_grad():
        for i in range(4):
            set_rng_seed(0)
            expected = fn(*arguments(i, requires_grad=False))
            set_rng_seed(0)
            assert_close(traced(*arguments(i, requires_grad=False)), expected)
            assert torch.is_grad_enabled() is False
    assert len(traced.compiled) == 1


def promises(fn, x, y):
    """Return what can be said of a result and of what can be done with it."""
    set_rng_seed(0)
    result = fn(x, y)
    structure, tensors = torch.utils._pytree.tree_structure(result), tensors_of(result)
    said = [(type(t), t.dtype, t.shape, t.requires_grad, t.is_conj(), t.is_neg()) for t in tensors]
    total = sum(t.sum() for t in tensors)
    first = torch.autograd.grad(total, (x, y), retain_graph=True, allow_unused=True)
    again = torch.autograd.grad(total, (x, y), retain_graph=True, allow_unused=True)
    with torch.no_grad():
        for t in tensors:  # a result belongs to the caller
            if t._base is None:
                t.add_(1.0)
    return structure, said, first, again


@pytest.mark.parametrize("make", [jit.trace, jit.compile])
@every_function
def test_a_settled_call_promises_what_a_first_one_does(fn, make):
    """The law that was missing: later calls were compared in their values alone."""
    function = make(fn, ignore_warnings=True)
    for i in range(4):
        expected = promises(fn, *arguments(i))
        structure, said, *gradients = promises(function, *arguments(i))
        assert (structure, said) == expected[:2]
        assert_close(gradients, list(expected[2:]))


CURVED = [polynomial, several_results, with_parameters, with_a_module, with_views_and_writes]


@pytest.mark.parametrize("fn", CURVED, ids=lambda fn: fn.__name__)
def test_second_derivatives_of_settled_calls_are_those_of_first_ones(fn):
    def second(f, x, y):
        total = sum(t.sum() for t in tensors_of(f(x.exp(), y.sin())))
        slopes = torch.autograd.grad(total, (x, y), create_graph=True)
        return torch.autograd.grad(slopes[0].sum() + slopes[1].sum(), (x, y))

    function = jit.trace(fn)
    for i in range(4):
        assert_close(second(function, *arguments(i)), second(fn, *arguments(i)))


def counted(fn):
    """Return a function that counts in ``calls`` how often Python runs it."""

    def wrapper(*args, **kwargs):
        wrapper.calls += 1
        return fn(*args, **kwargs)

    wrapper.calls = 0
    return wrapper


def test_after_two_calls_the_function_is_not_run_any_more():
    fn = counted(polynomial)
    traced = jit.trace(fn)
    for _ in range(2):
        traced(*arguments(0))
    calls = fn.calls
    for _ in range(3):
        traced(*arguments(0))
    assert fn.calls == calls


@pytest.mark.parametrize(
    "change",
    [
        lambda x: (x[:2], {}),
        lambda x: (torch.stack([x, x], -1)[:, 0], {}),
        lambda x: (x.double(), {}),
        lambda x: (x.clone().requires_grad_(), {}),
        lambda x: (x, {"power": 3}),
        lambda x: (x, {"power": 2.0}),
        lambda x: ([x, x], {}),
    ],
    ids=["shape", "strides", "dtype", "requires_grad", "option", "type of option", "nesting"],
)
def test_another_structure_is_recorded_anew(change):
    def fn(x, power=2):
        total = x if isinstance(x, torch.Tensor) else sum(x)
        return total**power

    traced, x = jit.trace(fn), torch.randn(3)
    args, kwargs = change(x)
    for _ in range(3):
        assert_close(traced(x), fn(x))
        assert_close(traced(args, **kwargs), fn(args, **kwargs))
    assert len(traced.compiled) == 2


def test_an_option_that_is_not_hashable_is_refused():
    with pytest.raises(CaptureError, match="type set .* pass a tensor"):
        jit.trace(lambda x: x)({1})


def test_a_tensor_may_lie_otherwise_the_next_time():
    traced = jit.trace(lambda x: 2 * x.reshape(-1))  # records that x can be viewed so
    for x in (torch.randn(2, 3), torch.randn(3, 2).mT):
        for _ in range(3):
            assert_close(traced(x), 2 * x.reshape(-1))


def test_one_tensor_in_two_places_is_two_arguments():
    traced, x = jit.trace(lambda x, y: x - 2 * y), torch.ones(2)
    for _ in range(2):
        traced(x, x)
    assert_close(traced(x, 3 * x), -5 * x)


# parameters


def test_updates_of_parameters_are_seen():
    traced = jit.trace(with_parameters)
    for i in range(4):
        result = traced(*arguments(0))
        assert_close(result, with_parameters(*arguments(0)))
        store = get_param_store()
        store["w"] = torch.full((3,), 1.0 + i)
        with torch.no_grad():
            dict(store.named_parameters())["b"].add_(1.0)


def test_parameters_come_back_after_the_store_was_cleared():
    traced = jit.trace(with_parameters)
    results = [traced(*arguments(0)) for _ in range(3)]
    clear_param_store()
    assert_close(traced(*arguments(0)), results[0])


def test_parameters_of_another_shape_are_recorded_anew():
    traced = jit.trace(lambda: (param("w") ** 2).sum())
    for size in (2, 3):
        param("w", torch.ones(size))
        for _ in range(3):
            assert traced().item() == size
        clear_param_store()


def test_leaves_that_the_function_reaches_by_itself_may_change_their_shape():
    weight = torch.ones(2, requires_grad=True)
    traced = jit.trace(lambda: (weight**2).sum())
    for size in (2, 3):
        weight.data = torch.ones(size)
        for _ in range(3):
            assert traced().item() == size


def test_tied_parameters_have_one_gradient():
    net = nn.Sequential(nn.Linear(2, 2, bias=False), nn.Linear(2, 2, bias=False))
    net[1].weight = net[0].weight
    store = get_param_store()
    store.adopt("one", net[0].weight, constraints.real)
    store.adopt("two", net[0].weight, constraints.real)
    traced = jit.trace(lambda x: (param("one") * x + param("two") ** 2).sum())
    x = torch.ones(2)
    for _ in range(3):
        (gradient,) = torch.autograd.grad(traced(x), net[0].weight)
        assert_close(gradient, x + 2 * net[0].weight)


def test_handlers_around_see_the_parameters_at_each_call():
    traced = jit.trace(with_an_elbo)
    for _ in range(4):
        with TraceMessenger() as outside:
            traced(*arguments(0))
        assert list(outside.trace.nodes) == ["loc"]


def test_handlers_around_may_supply_parameters():
    traced = jit.trace(with_parameters)
    x, y = arguments(0)
    for i in range(4):
        data = {"w": torch.full((3,), float(i))}
        with poutine.substitute(data=data):
            assert_close(traced(x, y), i * x.sum() + y.sum())
        assert_close(traced(x, y), 2 * x.sum() + y.sum())


def test_handlers_around_may_lift_parameters():
    traced = jit.trace(with_parameters)
    prior = {"b": Normal(0.0, 1.0)}
    for i in range(4):
        results = []
        for fn in (traced, with_parameters):
            with poutine.seed(rng_seed=i), poutine.trace() as outside, poutine.lift(prior=prior):
                results.append(fn(*arguments(i)))
            assert outside.trace.nodes["b"]["type"] == "sample"
        assert_close(*results)


# draws


def test_draws_differ_from_call_to_call():
    traced = jit.trace(lambda: sample("x", Normal(torch.zeros(3), 1.0)))
    results = [traced() for _ in range(4)]
    assert all(not torch.equal(a, b) for i, a in enumerate(results) for b in results[:i])


def draws_and_branches(x, y):
    return with_draws(x, y) if torch.rand(()) < 2.0 else y


@pytest.mark.parametrize("function", [with_draws, draws_and_branches])
def test_a_call_draws_as_often_as_the_function(function):
    traced = jit.trace(function, ignore_warnings=True)
    results = []
    for fn in (traced, function):
        set_rng_seed(0)
        results.append([fn(*arguments(0)) for _ in range(4)] + [torch.rand(1)])
    assert_close(*results)


# what cannot be recorded


def branches(x):
    z = sample("z", Normal(x, 1.0))
    return z if z > 0 else -z


def counts(x):
    counts.calls += 1
    return x * counts.calls


def writes(x):
    return x.add_(1.0)


def closes_over_its_argument(x):
    return (x * WEIGHT).sum()


def test_a_branch_on_a_value_runs_as_python_and_the_warning_names_site_and_line():
    traced = jit.trace(branches)
    with pytest.warns(PPLWarning) as warned:
        results = [traced(torch.tensor(x)) for x in (-9.0, 9.0, -8.0)]
    assert all(result > 0 for result in results)
    (warning,) = warned
    message = str(warning.message)
    assert message.startswith("branches runs without recording, which is slow: ")
    line = branches.__code__.co_firstlineno + 2
    assert f"{__file__}:{line}: return z if z > 0 else -z" in message
    assert "after site 'z'" in message
    assert warning.filename == __file__
    assert not traced.compiled


@pytest.mark.parametrize(
    ("fn", "reason"),
    [
        (counts, "other values"),
        (writes, "changes an argument in place"),
        (closes_over_its_argument, "other gradients"),
    ],
)
def test_a_replay_that_would_differ_is_given_up_with_one_warning(fn, reason):
    counts.calls = 0
    traced = jit.trace(fn)
    x = WEIGHT if fn is closes_over_its_argument else torch.ones(3)
    with pytest.warns(PPLWarning, match=reason) as warned:
        for _ in range(4):
            traced(x)
    assert len(warned) == 1
    assert not traced.compiled


def test_a_recording_that_holds_at_one_point_only_is_given_up_at_the_second():
    scale = np.ones(1)  # whose values nobody watches
    traced = jit.trace(lambda x: x * float(scale[0]))
    traced(torch.ones(1))
    scale[0] = 2.0
    with pytest.warns(PPLWarning, match="other values"):
        assert traced(torch.ones(1)).item() == 2.0


@pytest.mark.filterwarnings("error")
def test_warnings_can_be_ignored():
    traced = jit.trace(branches, ignore_warnings=True)
    assert [traced(torch.tensor(x)).item() > 0 for x in (-9.0, 9.0)] == [True, True]


def test_an_error_of_the_function_is_raised_as_it_is():
    def fails(x):
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        jit.trace(fails)(torch.ones(1))


# composition


def test_a_traced_function_inside_a_recording_or_a_transform_is_a_part_of_it():
    inner = jit.trace(lambda x: x.exp().sum())
    outer = jit.trace(lambda x: inner(x) + param("w", torch.tensor(1.0)))
    x = torch.randn(3)
    for _ in range(3):
        assert_close(outer(x), x.exp().sum() + 1.0)
        assert_close(
            torch.func.vmap(torch.func.grad(inner))(torch.stack([x, -x])),
            torch.stack([x, -x]).exp(),
        )


@pytest.mark.parametrize("make", [jit.trace, jit.compile])
def test_it_decorates(make):
    @make(ignore_warnings=True)
    def double(x):
        return 2 * x

    assert isinstance(double, jit.CompiledFunction)
    assert double.__name__ == "double"
    assert double.ignore_warnings


def test_threads_may_record_at_the_same_time():
    results = {}

    def work(i):
        traced = jit.trace(polynomial, ignore_warnings=True)
        results[i] = [traced(*arguments(i)) for _ in range(3)], len(traced.compiled)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [num_compiled for _, num_compiled in results.values()] == [1] * 8


def test_eight_threads_may_share_a_traced_function():
    traced, results = jit.trace(polynomial), {}

    def work(i):
        results[i] = [traced(*arguments(i)) for _ in range(5)]

    threads = [threading.Thread(target=work, args=(i,)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for i in range(8):
        assert_close(results[i], [polynomial(*arguments(i))] * 5)
    assert len(traced.compiled) == 1


# the compiler


COMPILED = [several_results, with_a_module, with_draws, with_subsampling, with_views_and_writes]


@needs_compiler
@pytest.mark.parametrize("fn", COMPILED, ids=lambda fn: fn.__name__)
def test_a_compiled_function_equals_the_function_with_draws_and_gradients(fn):
    compiled = jit.compile(fn)
    for i in range(3):
        expected = value_and_gradients(fn, *arguments(i))
        assert_close(value_and_gradients(compiled, *arguments(i)), expected)
    (program,) = compiled.compiled.values()
    assert not isinstance(program.forward, torch.fx.GraphModule)


@needs_compiler
def test_tangents_of_a_compiled_function_may_lie_anyhow():
    compiled = jit.compile(lambda x: x.exp())
    x = torch.randn(2, 3).requires_grad_()
    compiled(x), compiled(x)
    tangent = torch.randn(3, 2)
    for given in (tangent.mT, tangent.mT.contiguous(), tangent[:1, :1].expand(2, 3)):
        (actual,) = torch.autograd.grad(compiled(x), x, given)
        assert_close(actual, given * x.exp())


@needs_compiler
def test_options_reach_the_compiler():
    compiled = jit.compile(polynomial, jit_options={"no_such_option": 1})
    with pytest.warns(PPLWarning, match="without compiling: .*no_such_option"):
        compiled(*arguments(0))


def fails_to_compile(*args):
    raise OSError("no C++ compiler")


def test_without_a_working_compiler_the_recording_is_replayed(monkeypatch):
    monkeypatch.setattr("ppl.engine.compiled_function.compile_program", fails_to_compile)
    fn = counted(polynomial)
    compiled = jit.compile(fn)
    with pytest.warns(PPLWarning, match="replayed without compiling: no C\\+\\+ compiler") as seen:
        results = [compiled(*arguments(i)) for i in range(4)]
    assert len(seen) == 1
    assert_close(results, [polynomial(*arguments(i)) for i in range(4)])
    assert fn.calls == 3  # run, recorded, run again


def test_a_compiler_that_gets_it_wrong_is_not_believed(monkeypatch):
    monkeypatch.setattr(
        "ppl.engine.compiled_function.compile_program",
        lambda p, *_: lambda *x: [2 * y for y in p(*x)],
    )
    compiled = jit.compile(polynomial)
    with pytest.warns(PPLWarning, match="replayed without compiling: .*other values"):
        results = [compiled(*arguments(i)) for i in range(3)]
    assert_close(results, [polynomial(*arguments(i)) for i in range(3)])
