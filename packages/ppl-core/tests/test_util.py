"""Small helpers."""

import time
import warnings
from contextlib import contextmanager

import pytest
import torch

from ppl.util import (
    ExperimentalWarning,
    ignore_experimental_warning,
    ignore_jit_warnings,
    jit_iter,
    optional,
    timed,
    torch_float,
)


def heard(context, *issued):
    """Return which of the warnings (message, category) get through a context."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        with context:
            for message, category in issued:
                warnings.warn(message, category, stacklevel=1)
    return [str(w.message) for w in caught]


TRACER = [("shape", torch.jit.TracerWarning), ("iterating", torch.jit.TracerWarning)]


def test_experimental_warnings_can_be_ignored_alone():
    issued = [("new", ExperimentalWarning), ("old", UserWarning)]
    assert heard(ignore_experimental_warning(), *issued) == ["old"]


@pytest.mark.parametrize(
    ("chosen", "expected"),
    [
        (None, ["old"]),
        (["shape"], ["iterating", "old"]),
        ([("o", UserWarning)], ["shape", "iterating"]),
        ([], ["shape", "iterating", "old"]),
    ],
)
def test_warnings_of_the_tracer_can_be_ignored_all_or_some(chosen, expected):
    assert heard(ignore_jit_warnings(chosen), *TRACER, ("old", UserWarning)) == expected


def test_jit_iter_is_iteration_without_a_warning():
    x = torch.arange(6.0).view(3, 2)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch.jit is deprecated
        warnings.simplefilter("error", torch.jit.TracerWarning)
        traced = torch.jit.trace(lambda x: sum(jit_iter(x)), (x,), check_trace=False)
    assert torch.equal(traced(x), x.sum(0))
    assert [row.tolist() for row in jit_iter(x)] == x.tolist()


@pytest.mark.parametrize("condition", [True, False])
def test_optional_enters_if_the_condition_holds(condition):
    events = []

    @contextmanager
    def watched():
        events.append("in")
        try:
            yield "value"
        except KeyError:
            events.append("out")

    def run():
        with optional(watched(), condition) as value:
            assert value == ("value" if condition else None)
            raise KeyError

    if condition:
        run()
    else:
        pytest.raises(KeyError, run)
    assert events == (["in", "out"] if condition else [])


@pytest.mark.parametrize("x", [2, 2.0, torch.tensor(2), torch.tensor(2.0, dtype=torch.float64)])
def test_torch_float_is_float32_or_a_float(x):
    result = torch_float(x)
    assert result == 2.0
    assert type(result) is float or result.dtype is torch.float32


def test_timed_measures_a_block():
    with timed() as clock:
        time.perf_counter()
    assert clock.elapsed == clock.end - clock.start >= 0.0
