"""Calls begin, nest and end; threads make their own."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from torch import nn

import ppl.poutine as poutine
from ppl.nn import PyroModule, PyroSample, pyro_method
from ppl.nn.context import Context

from .trees import standard


class Random(PyroModule):
    def __init__(self, name=""):
        super().__init__(name)
        self.w = nn.Parameter(torch.zeros(2))
        self.x = PyroSample(standard(2))

    def forward(self):
        return self.x

    @pyro_method
    def both(self):
        """Returns the sample."""
        return self.x, self(), self.x

    @pyro_method
    def fail(self):
        _ = self.x
        raise RuntimeError("on purpose")


def test_a_sample_is_cached_until_the_outermost_call_ends():
    module = Random()
    first, inner, second = module.both()
    assert first is inner is second
    assert module() is not first


def test_a_sample_outside_of_calls_is_drawn_anew_at_each_reading():
    module = Random()
    assert not torch.equal(module.x, module.x)


def test_a_call_that_fails_is_over():
    module = Random()
    with pytest.raises(RuntimeError, match="on purpose"):
        module.fail()
    assert not module._pyro_context.active
    assert not torch.equal(module.x, module.x)


def test_a_submodule_can_be_called_alone_and_keeps_its_name():
    root = PyroModule("root")
    root.child = Random()
    assert poutine.trace(root.child).get_trace().stochastic_nodes == ["root.child.x"]


def test_a_call_of_one_tree_is_no_call_of_another():
    outer, inner = Random("outer"), Random("inner")

    class Both(PyroModule):
        def forward(self):
            return inner.x, inner(), inner()

    trace = poutine.trace(lambda: (outer(), inner.x)).get_trace()
    assert trace.stochastic_nodes == ["outer.x"]
    first, second, third = Both()()
    assert first is not second
    assert second is not third


def test_a_pyro_method_keeps_its_name_and_documentation():
    assert Random.both.__name__ == "both"
    assert Random.both.__doc__ == "Returns the sample."


def test_threads_make_calls_of_their_own():
    barrier = threading.Barrier(2)

    class Slow(Random):
        def forward(self):
            first = self.x
            barrier.wait()  # both threads are in a call now
            return first, self.x

    module = Slow()
    with ThreadPoolExecutor(2) as pool:
        (a, again_a), (b, again_b) = pool.map(lambda _: module(), range(2))
    assert a is again_a
    assert b is again_b
    assert a is not b


def test_a_call_in_one_thread_is_none_in_another():
    context = Context()
    with context.call(), ThreadPoolExecutor(1) as pool:
        assert context.active
        assert not pool.submit(lambda: context.active).result()
