"""Chains of limited memory: which steps a site can see, in loops, contexts and recursions."""

import copy
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

import ppl.poutine as poutine
from ppl.errors import SiteError
from ppl.poutine.markov_messenger import KeptStep, MarkovMessenger
from ppl.poutine.messenger import Messenger
from ppl.poutine.reentrant_messenger import ReentrantMessenger
from ppl.poutine.runtime import effectful, stack
from ppl.primitives import sample

from .distribution.families import Normal


def site(name):
    return sample(name, Normal(0.0, 1.0))


class Steps(Messenger):
    """Numbers the steps that sites can see, from the first one that was seen."""

    def __init__(self):
        self.numbers, self.seen = {}, {}

    def _pyro_sample(self, msg):
        [visible] = msg["_markov_scope"].values()
        self.seen[msg["name"]] = [
            self.numbers.setdefault(step, len(self.numbers)) for step in visible
        ]


def steps_of(program, *args):
    with Steps() as steps:
        program(*args)
    return steps.seen


@pytest.mark.parametrize(
    ("history", "expected"),
    [
        (0, [[0], [1], [2], [3]]),
        (1, [[0], [0, 1], [1, 2], [2, 3]]),
        (2, [[0], [0, 1], [0, 1, 2], [1, 2, 3]]),
    ],
)
def test_a_step_of_a_loop_sees_itself_and_its_history(history, expected):
    def program():
        for t in poutine.markov(range(4), history=history):
            site(f"x{t}")

    assert list(steps_of(program).values()) == expected


def test_levels_of_nested_contexts_are_steps_as_those_of_a_loop():
    chain = poutine.markov()

    def program(n):
        with chain:
            site(f"x{n}")
            if n < 3:
                program(n + 1)

    assert list(steps_of(program, 0).values()) == [[0], [0, 1], [1, 2], [2, 3]]


@pytest.mark.parametrize(
    ("keep", "right", "below_right"), [(False, [0, 3], [3, 4]), (True, [0, 1], [1, 2])]
)
def test_branches_of_a_recursion_are_the_same_steps_only_if_kept(keep, right, below_right):
    @poutine.markov(keep=keep)
    def grow(name):
        site(name)
        if len(name) < 3:
            grow(name + "l")
        if len(name) < 3 and not name.endswith("l"):
            grow(name + "r")

    seen = steps_of(grow, "x")
    assert seen["x"] == [0]
    assert seen["xl"] == [0, 1]
    assert seen["xll"] == [1, 2]
    assert seen["xr"] == right
    assert seen["xrl"] == below_right


@pytest.mark.parametrize("keep", [False, True])
def test_contexts_one_after_another_are_branches(keep):
    chain = poutine.markov(keep=keep)

    def program():
        for name in "ab":
            with chain:
                site(name)

    assert steps_of(program) == {"a": [0], "b": [0 if keep else 1]}


def test_chains_within_each_other_are_counted_apart():
    scopes = {}

    class Scopes(Messenger):
        def _pyro_sample(self, msg):
            scopes[msg["name"]] = [len(visible) for visible in msg["_markov_scope"].values()]

    with Scopes():
        for i in poutine.markov(range(3)):
            for j in poutine.markov(range(2)):
                site(f"x{i}{j}")
    assert scopes["x00"] == [1, 1]
    assert scopes["x11"] == [2, 2]  # inner chain first
    assert scopes["x20"] == [1, 2]


def test_sites_outside_of_chains_carry_no_scope():
    with poutine.trace() as traced:
        site("before")
        for _ in poutine.markov(range(1)):
            site("inside")
        site("after")
    assert ["_markov_scope" in node for node in traced.trace.nodes.values()] == [False, True, False]


def test_the_generator_of_a_handler_goes_along_any_iterable():
    handler = MarkovMessenger(history=1)
    assert handler.generator(word for word in ["a", "b"]) is handler
    assert list(handler) == ["a", "b"]


def test_the_loop_variable_is_the_element():
    assert list(poutine.markov(["a", "b"])) == ["a", "b"]


def test_copies_are_chains_of_their_own():
    chain = poutine.markov(keep=True)
    with copy.deepcopy(chain), chain, poutine.trace() as traced:
        site("x")
    steps = list(traced.trace.nodes["x"]["_markov_scope"].values())
    assert len(steps) == 2
    assert all(isinstance(step, KeptStep) for [step] in steps)


def test_threads_that_share_a_recursive_program_see_their_own_levels():
    meet = threading.Barrier(8, timeout=30)

    @poutine.markov
    def count_down(n):
        meet.wait()
        site(f"x{n}")
        if n:
            count_down(n - 1)

    with ThreadPoolExecutor(8) as pool:
        seen = list(pool.map(lambda _: steps_of(count_down, 3), range(8)))
    assert seen == [{"x3": [0], "x2": [0, 1], "x1": [1, 2], "x0": [2, 3]}] * 8


def test_the_values_of_a_markov_program_are_those_of_the_plain_one():
    def program(steps):
        x = torch.tensor(0.0)
        for t in steps:
            x = sample(f"x{t}", Normal(x, 1.0))
        return x

    plain = poutine.seed(program, rng_seed=1)(range(5))
    assert poutine.seed(program, rng_seed=1)(poutine.markov(range(5))) == plain


def test_an_exception_deep_in_a_recursion_leaves_the_stack_empty():
    @poutine.markov
    def fall(n):
        return fall(n - 1) if n else 1 // n

    with pytest.raises(ZeroDivisionError):
        fall(5)
    assert stack() == ()


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"history": -1}, "history of zero or more contexts, got -1"),
        ({"dim": -1}, "no vectorized or named form, got dim=-1"),
        ({"name": "chain"}, "name='chain'"),
    ],
)
def test_arguments_that_markov_cannot_honour_are_refused(kwargs, message):
    with pytest.raises(SiteError, match=message):
        poutine.markov(range(3), **kwargs)


# reentrant handlers in general


@effectful(type="knock")
def knock():
    return 1


class Double(ReentrantMessenger):
    def _pyro_post_knock(self, msg):
        msg["value"] *= 2


def test_a_reentrant_handler_sees_a_message_once_however_often_it_was_entered():
    double = Double()
    with double, double, double:
        assert knock() == 2
    assert knock() == 1


def test_a_reentrant_handler_stays_until_its_first_entry_is_left():
    double = Double()
    with double:
        with double:
            pass
        assert knock() == 2


def test_a_reentrant_handler_may_wrap_a_recursive_program():
    @Double()
    def program(n):
        return program(n - 1) if n else knock()

    assert program(3) == 2
    assert stack() == ()


def test_a_reentrant_handler_that_was_left_with_its_surroundings_is_gone():
    outer, double = Messenger(), Double()
    outer.__enter__()
    double.__enter__()
    outer.__exit__(None, None, None)
    double.__exit__(None, None, None)
    assert stack() == ()
