"""The laws that every handler obeys, as wrapper, decorator and context."""

import asyncio
import copy
import inspect
import pickle
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

import pytest
import torch

import ppl.poutine as poutine
from ppl.distribution import Delta
from ppl.poutine.runtime import am_i_wrapped, stack
from ppl.poutine.trace_messenger import TraceHandler
from ppl.primitives import get_param_store, param, plate, sample
from ppl.util import set_rng_seed

from .distribution.families import Bernoulli, Normal


def model():
    w = param("w", torch.tensor(1.0))
    with plate("data", 3):
        x = sample("x", Normal(w, 1.0))
    sample("y", Normal(x.sum(), 1.0), obs=torch.tensor(0.5))
    return x


SITES = ("w", "data", "x", "y")
X = torch.tensor([0.1, 0.2, 0.3])


def record_of_model():
    with get_param_store().scope(), torch.no_grad():
        return poutine.trace(model).get_trace()


def hint(site):
    return {"seen": site["name"]}


def never(*args):
    return False


def decenter(name, fn, obs):
    noise = sample(f"{name}_noise", Normal(torch.zeros_like(fn.loc), 1.0))
    value = fn.loc + fn.scale * noise
    return Delta(value).mask(False), value


class Endless:
    """A queue of empty traces."""

    def get(self):
        return poutine.Trace()

    def empty(self):
        return False


@dataclass(frozen=True)
class Case:
    """A handler, arguments for it, and the sites of the model in sight inside and outside of it."""

    name: str
    kwargs: dict[str, Any] = field(default_factory=dict)
    outside: tuple[str, ...] = SITES
    inside: tuple[str, ...] = SITES
    idempotent: bool = True
    context: bool = True
    reentrant: bool = False

    def __call__(self, fn=None):
        return getattr(poutine, self.name)(fn, **self.kwargs)

    def __str__(self):
        return self.name


NOISY = ("w", "data", "x_noise", "x", "y")
CASES = [
    Case("block", {"hide": ["x"]}, outside=("w", "data", "y")),
    Case("broadcast"),
    Case("collapse", {"sites": [f"{name} mean" for name in "abcdefgh"]}),
    Case("condition", {"data": {"x": X}}),
    Case("do", {"data": {"x": X}}, idempotent=False),  # it warns of a second intervention
    Case("enum", {"first_available_dim": -2}),
    Case("equalize", {"sites": "x|y|.[02]"}),
    Case("escape", {"escape_fn": never}),
    Case("infer_config", {"config_fn": hint}),
    Case("lift", {"prior": {"w": Normal(0.0, 1.0)}}),
    Case("markov", reentrant=True),
    Case("mask", {"mask": torch.tensor([True, False, True])}),
    Case("queue", {"queue": Endless(), "escape_fn": never}, context=False),
    Case("reparam", {"config": {"x": decenter}}, NOISY, NOISY, idempotent=False),
    Case("replay", {"trace": record_of_model()}),
    Case("scale", {"scale": 2.0}, idempotent=False),
    Case("seed", {"rng_seed": 3}),
    Case("substitute", {"data": {"x": X, "w": torch.tensor(2.0)}}),
    Case("trace"),
    Case("uncondition"),
]
every_handler = pytest.mark.parametrize("handler", CASES, ids=str)
every_context = pytest.mark.parametrize("handler", [c for c in CASES if c.context], ids=str)


def run(program):
    """Return what a program records and returns, from a fixed seed and an empty store."""
    set_rng_seed(1)
    with get_param_store().scope():
        trace = poutine.trace(program).get_trace()
    return [_facts(site) for site in trace.nodes.values()]


def _facts(site):
    keys = ("name", "type", "is_observed", "scale", "mask", "infer", "cond_indep_stack", "value")
    return {key: _plain(site[key]) for key in keys if key in site}


def _plain(x):
    """Tensors as lists, so that records can be compared with ==."""
    if isinstance(x, dict):
        return {key: _plain(value) for key, value in x.items()}
    return x.tolist() if isinstance(x, torch.Tensor) else x


# three forms of one thing


def test_every_public_handler_has_a_case():
    functions = (name for name, value in vars(poutine).items() if inspect.isfunction(value))
    public = {name for name in functions if not name.startswith("_")}
    helpers = {"enable_validation", "get_mask", "is_validation_enabled", "unwrap"}
    assert {case.name for case in CASES} == public - helpers


@every_handler
def test_wrapper_and_decorator_mean_the_same(handler):
    @handler()
    def decorated():
        return model()

    assert run(decorated) == run(handler(model))


@every_context
def test_wrapper_and_context_mean_the_same(handler):
    def in_context():
        with handler():
            return model()

    assert run(in_context) == run(handler(model))


@every_handler
def test_a_handler_wraps_callables_only(handler):
    with pytest.raises(ValueError, match=f"{handler.name} wraps a callable.*got 3"):
        handler(3)


@every_handler
def test_the_function_of_a_handler_is_documented_and_takes_the_program_first(handler):
    function = getattr(poutine, handler.name)
    assert function.__name__ == handler.name
    assert function.__doc__
    assert next(iter(inspect.signature(function).parameters)) == "fn"


@every_context
def test_unwrap_finds_the_program(handler):
    assert poutine.unwrap(poutine.trace(handler(model))) is model


# composition


@every_handler
def test_sites_are_recorded_outside_unless_hidden(handler):
    facts = run(handler(model))
    assert [site["name"] for site in facts] == ["_INPUT", *handler.outside, "_RETURN"]


@every_handler
def test_a_trace_inside_sees_every_site_once(handler):
    inside = poutine.trace(model)
    handler(inside)()
    names = [name.removesuffix("__CF") for name in inside.trace.nodes]
    assert names == ["_INPUT", *handler.inside, "_RETURN"]


@every_handler
def test_a_block_outside_hides_all_and_changes_nothing_inside(handler):
    [_, returned] = run(poutine.block(handler(model)))
    assert returned == run(handler(model))[-1]


@every_handler
def test_the_density_under_a_handler_is_finite(handler):
    trace = poutine.trace(handler(model)).get_trace()
    assert torch.isfinite(torch.as_tensor(trace.log_prob_sum()))


@pytest.mark.parametrize("handler", [c for c in CASES if c.idempotent], ids=str)
def test_a_handler_within_itself_is_the_handler(handler):
    assert run(handler(handler(model))) == run(handler(model))


@every_handler
def test_a_wrapped_program_can_be_called_again(handler):
    wrapped = handler(model)
    assert run(wrapped) == run(wrapped)


@every_handler
def test_a_wrapped_program_may_call_itself(handler):
    depths = []

    @handler()
    def count_down(n):
        sample(f"n{n}", Normal(0.0, 1.0))
        depths.append(len(stack()))
        return count_down(n - 1) if n else "done"

    assert count_down(3) == "done"
    assert stack() == ()
    assert depths == sorted(set(depths))  # each level is handled once more


@every_context
def test_only_a_reentrant_handler_can_be_entered_while_it_is_active(handler):
    context = handler()
    with context:
        before = stack()
        if handler.reentrant:
            with context:
                assert len(stack()) == len(before) + 1
        else:
            with pytest.raises(ValueError, match="already active"), context:
                pass
        assert stack() == before


# exits


@every_handler
def test_an_exception_leaves_the_stack_empty(handler):
    def failing():
        model()
        raise KeyError("on purpose")

    for program in (handler(failing), handler()(failing)):
        with pytest.raises(KeyError, match="on purpose"):
            program()
        assert stack() == ()


@every_context
def test_an_exception_in_a_context_leaves_the_stack_empty(handler):
    def failing():
        with handler():
            model()
            raise KeyError

    with pytest.raises(KeyError):
        failing()
    assert stack() == ()


@every_context
def test_a_nonlocal_exit_leaves_what_is_outside_as_it_was(handler):
    def leave_at_y(site):
        return site["name"] == "y"

    with poutine.block(), handler() as outside:
        around = stack()
        with pytest.raises(poutine.NonlocalExit) as left:
            poutine.escape(model, escape_fn=leave_at_y)()
        left.value.reset_stack()
        assert stack() == around
        model()  # the handlers begin anew
        if handler.name == "trace":
            assert tuple(outside.trace.nodes) == handler.inside
    assert stack() == ()


LOOPS = {
    "plate": lambda name: plate(name, 3),
    "markov": lambda name: poutine.markov(range(3)),
}


def _leave_by_break(outer, inner):
    for _ in LOOPS[outer]("outer"):
        for _ in LOOPS[inner]("inner"):
            break
        assert len(stack()) == 1
        break


def _leave_by_return(outer, inner):
    for _ in LOOPS[outer]("outer"):
        for _ in LOOPS[inner]("inner"):
            return


def _raise_in(loop):
    for _ in loop:
        raise KeyError


def _leave_by_exception(outer, inner):
    with pytest.raises(KeyError):
        _raise_in(_raise_in(LOOPS[inner]("inner")) for _ in LOOPS[outer]("outer"))


def _leave_the_inner_loop_by_exception(outer, inner):
    for _ in LOOPS[outer]("outer"):
        with pytest.raises(KeyError):
            _raise_in(LOOPS[inner]("inner"))
        assert len(stack()) == 1


def _leave_at_the_end(outer, inner):
    for _ in LOOPS[outer]("outer"):
        for _ in LOOPS[inner]("inner"):
            assert len(stack()) == 2


@pytest.mark.parametrize("outer", LOOPS)
@pytest.mark.parametrize("inner", LOOPS)
@pytest.mark.parametrize(
    "leave",
    [
        _leave_by_break,
        _leave_by_return,
        _leave_by_exception,
        _leave_the_inner_loop_by_exception,
        _leave_at_the_end,
    ],
)
def test_loops_leave_the_stack_as_they_found_it(leave, outer, inner):
    leave(outer, inner)
    assert not am_i_wrapped()


# threads, tasks, processes


def chain(name, turn):
    with plate("data", 3):
        for t in poutine.markov(range(4)):
            turn()
            sample(f"{name}{t}", Bernoulli(0.5), infer={"enumerate": "parallel"})
            turn()
    mean = sample(f"{name} mean", Normal(0.0, 1.0))
    turn()
    sample(f"{name} datum", Normal(mean, 1.0), obs=torch.tensor(0.5))


def record_of_chain(program, name, turn):
    """Return what is recorded of the chain, but for the random values."""
    recorder = program if isinstance(program, TraceHandler) else poutine.trace(program)
    return shapes(recorder.get_trace(name, turn))


def shapes(trace):
    return [
        (name, getattr(site.get("value"), "shape", None), site.get("infer"))
        for name, site in trace.nodes.items()
    ]


@every_handler
def test_eight_threads_that_share_a_wrapped_program_do_not_disturb_each_other(handler):
    program, names = handler(chain), "abcdefgh"
    alone = [record_of_chain(program, name, never) for name in names]
    meet = threading.Barrier(len(names), timeout=30)
    with ThreadPoolExecutor(len(names)) as pool:
        together = pool.map(lambda name: record_of_chain(program, name, meet.wait), names)
        assert list(together) == alone
    assert stack() == ()


def test_threads_that_share_a_program_decorated_with_a_plate_keep_their_dims():
    meet = threading.Barrier(8, timeout=30)

    @plate("inner", 3)
    def program():
        meet.wait()
        return sample("x", Normal(0.0, 1.0)).shape

    def in_plates(depth):
        with ExitStack() as plates:
            for i in range(depth):
                plates.enter_context(plate(f"outer {i}", 2))
            return program()

    with ThreadPoolExecutor(8) as pool:
        shapes = list(pool.map(in_plates, [0, 1, 2, 3] * 2))
    assert shapes == [(3, *[2] * depth) for depth in [0, 1, 2, 3] * 2]


@every_context
def test_tasks_that_take_turns_do_not_disturb_each_other(handler):
    async def task(name, mine, theirs):
        with poutine.trace() as outside, handler():
            for t in poutine.markov(range(3)):
                await mine.get()
                sample(f"{name}{t}", Bernoulli(0.5), infer={"enumerate": "parallel"})
                theirs.put_nowait("your turn")
        return shapes(outside.trace), stack()

    async def both():
        a, b = asyncio.Queue(), asyncio.Queue()
        a.put_nowait("your turn")
        return await asyncio.gather(task("a", a, b), task("b", b, a))

    async def alone(name):
        mine = asyncio.Queue()
        mine.put_nowait("your turn")
        return await task(name, mine, mine)

    assert asyncio.run(both()) == [asyncio.run(alone(name)) for name in "ab"]


@every_context
def test_other_threads_do_not_see_an_active_handler(handler):
    entered, checked = threading.Event(), threading.Event()

    def wait_inside():
        with handler():
            entered.set()
            return checked.wait(timeout=30)

    with ThreadPoolExecutor(1) as pool:
        inside = pool.submit(wait_inside)
        assert entered.wait(timeout=30)
        assert stack() == ()
        checked.set()
        assert inside.result()


@every_handler
@pytest.mark.parametrize("copied", [copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))])
def test_a_copy_of_a_wrapped_program_means_the_same(handler, copied):
    assert run(copied(handler(model))) == run(handler(model))
