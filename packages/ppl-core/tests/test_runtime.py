"""The effect stack: in what order messages travel, and who shares a stack with whom."""

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

import ppl.poutine as poutine
from ppl.poutine.messenger import Messenger, block_messengers
from ppl.poutine.runtime import (
    NonlocalExit,
    am_i_wrapped,
    apply_stack,
    effectful,
    get_mask,
    get_plates,
    new_message,
    stack,
)
from ppl.primitives import plate, sample

from .distribution.families import Normal


@effectful(type="double")
def double(x):
    return 2 * x


class Logger(Messenger):
    """Writes down what it sees."""

    def __init__(self, name, log, stop=False):
        self.name, self.log, self.stop = name, log, stop

    def _pyro_double(self, msg):
        self.log.append(f"{self.name} out")
        msg["stop"] = self.stop

    def _pyro_post_double(self, msg):
        self.log.append(f"{self.name} back")


def test_a_message_travels_from_the_innermost_handler_out_and_back():
    log = []
    with Logger("outer", log), Logger("inner", log):
        assert double(2) == 4
    assert log == ["inner out", "outer out", "outer back", "inner back"]


def test_a_stopped_message_is_invisible_further_out_in_both_directions():
    log = []
    with Logger("outer", log), Logger("stopper", log, stop=True), Logger("inner", log):
        double(2)
    assert log == ["inner out", "stopper out", "stopper back", "inner back"]


@pytest.mark.parametrize("change", [{"done": True}, {"value": 7}, {"is_observed": True}])
def test_the_default_behaviour_leaves_a_known_value_alone(change):
    def refuse():
        raise AssertionError("computed a value that was known")

    msg = apply_stack({**new_message("double", "x", refuse, (), {}), **change})
    assert msg["value"] == change.get("value")
    assert msg["done"]


def test_the_continuation_runs_after_all_handlers():
    log = []
    msg = new_message("double", "x", lambda: 1, (), {})
    msg["continuation"] = lambda msg: log.append(f"left with {msg['value']}")
    with Logger("outer", log):
        apply_stack(msg)
    assert log == ["outer out", "outer back", "left with 1"]


def test_messages_share_no_mutable_field():
    one, other = (new_message("sample", "x", None, (), {}) for _ in range(2))
    one["infer"]["hint"] = True
    assert other["infer"] == {}


def test_an_effectful_function_is_a_plain_call_without_handlers():
    assert not am_i_wrapped()
    assert double(2) == 4
    assert double(2, obs=5) == 5
    assert double.__name__ == "double"


def test_the_message_of_an_effectful_function_carries_name_infer_and_observation():
    seen = []
    reader = Messenger()
    reader._pyro_double = seen.append
    with reader:
        assert double(2, name="site", infer={"hint": 1}, obs=5) == 5
    [msg] = seen
    assert (msg["name"], msg["infer"], msg["is_observed"]) == ("site", {"hint": 1}, True)
    assert (msg["args"], msg["kwargs"]) == ((2,), {})


def test_effectful_functions_are_wrapped_once():
    assert effectful(double, type="double") is double


def test_effectful_needs_a_type():
    with pytest.raises(ValueError, match="needs the type of its messages"):
        effectful(lambda x: x)


def test_block_messengers_takes_handlers_off_and_puts_them_back():
    with poutine.mask(mask=False) as mask, poutine.scale(scale=2.0) as scale:
        with block_messengers(lambda handler: handler is mask) as blocked:
            assert stack() == (scale,)
            assert blocked == [mask]
        assert stack() == (mask, scale)


def test_get_mask_is_the_conjunction_of_the_enclosing_masks():
    both = torch.tensor([True, False])
    assert get_mask() is None
    with poutine.mask(mask=both), poutine.mask(mask=torch.tensor([True, True])):
        assert get_mask().tolist() == both.tolist()
    with poutine.mask(mask=False), poutine.block():
        assert get_mask() is None


def test_get_plates_lists_the_enclosing_plates_outermost_first():
    with plate("rows", 3), plate("columns", 2):
        assert [(p.name, p.dim, p.size) for p in get_plates()] == [
            ("rows", -1, 3),
            ("columns", -2, 2),
        ]


def test_questions_are_invisible_to_the_handlers_of_sample_sites():
    def config(site):
        return {"enumerate": site["fn"].has_enumerate_support}  # a question has no distribution

    with poutine.infer_config(config_fn=config), poutine.trace() as traced:
        get_mask()
        get_plates()
    assert not traced.trace.nodes


class Exit(Messenger):
    def _pyro_sample(self, msg):
        def leave(msg):
            raise NonlocalExit(msg)

        msg["done"], msg["continuation"] = True, leave


def test_a_nonlocal_exit_carries_its_site_and_clears_the_traces_on_its_way():
    @poutine.trace
    def model():
        sample("seen", Normal(0.0, 1.0))
        with Exit():
            sample("exit", Normal(0.0, 1.0))

    with model.msngr:
        with pytest.raises(NonlocalExit) as caught:
            model.fn()
        caught.value.reset_stack()
        assert caught.value.site["name"] == "exit"
        assert not model.trace.nodes
    assert stack() == ()


def test_reset_stack_spares_the_handlers_that_do_not_see_the_site():
    with poutine.trace() as outer:
        sample("kept", Normal(0.0, 1.0))
        with poutine.block(), poutine.trace() as inner:
            sample("dropped", Normal(0.0, 1.0))
            NonlocalExit(new_message("sample", "exit", None, (), {})).reset_stack()
    assert list(outer.trace.nodes) == ["kept"]
    assert not inner.trace.nodes


def test_a_new_thread_starts_with_an_empty_stack():
    with poutine.mask(mask=False), ThreadPoolExecutor(1) as pool:
        assert pool.submit(stack).result() == ()


def test_traces_of_concurrent_threads_do_not_mix():
    meet = threading.Barrier(2, timeout=30)

    def run(name):
        with poutine.trace() as traced:
            for i in range(3):
                meet.wait()  # both threads are inside their trace
                sample(f"{name}{i}", Normal(0.0, 1.0))
        return list(traced.trace.nodes)

    with ThreadPoolExecutor(2) as pool:
        assert list(pool.map(run, "ab")) == [["a0", "a1", "a2"], ["b0", "b1", "b2"]]


def test_traces_of_concurrent_tasks_do_not_mix():
    async def run(name, mine, theirs):
        with poutine.trace() as traced:
            for i in range(3):
                await mine.get()  # the tasks take turns
                sample(f"{name}{i}", Normal(0.0, 1.0))
                theirs.put_nowait("your turn")
        return list(traced.trace.nodes)

    async def main():
        a, b = asyncio.Queue(), asyncio.Queue()
        a.put_nowait("your turn")
        return await asyncio.gather(run("a", a, b), run("b", b, a))

    assert asyncio.run(main()) == [["a0", "a1", "a2"], ["b0", "b1", "b2"]]


def test_a_task_inherits_the_handlers_around_it_and_keeps_its_own_to_itself():
    async def child():
        with poutine.scale(scale=2.0):
            return len(stack())

    async def main():
        with poutine.mask(mask=False):
            return await asyncio.create_task(child()), len(stack())

    assert asyncio.run(main()) == (2, 1)
