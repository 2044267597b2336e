"""Sequential enumeration: exits at sites, and queues of partial traces."""

from queue import Queue

import pytest
import torch
from torch.testing import assert_close

import ppl.poutine as poutine
from ppl.errors import SiteError
from ppl.poutine.util import all_escape, discrete_escape, enum_extend, mc_extend
from ppl.primitives import plate, sample

from .distribution.families import Bernoulli, Categorical, Normal


def model():
    a = sample("a", Bernoulli(0.3))
    x = sample("x", Normal(a, 1.0))
    b = sample("b", Categorical(torch.tensor([0.2, 0.5, 0.3]))) if a else torch.tensor(0)
    sample("y", Normal(a + b, 1.0), obs=torch.tensor(0.4))
    return a, x, b


def beginning():
    queue = Queue()
    queue.put(poutine.Trace())
    return queue


def all_traces(program=model, **options):
    queue = beginning()
    recorder = poutine.trace(poutine.queue(program, queue=queue, **options))
    traces = []
    while not queue.empty():
        traces.append(recorder.get_trace())
    return traces


def values(trace, names="ab"):
    return tuple(float(trace.nodes[name]["value"]) for name in names if name in trace)


def test_each_call_completes_one_trace_until_every_path_was_taken():
    traces = all_traces()
    assert sorted(map(values, traces)) == [(0,), (1, 0), (1, 1), (1, 2)]
    assert all(list(trace.nodes)[0] == "_INPUT" for trace in traces)
    assert all(list(trace.nodes)[-1] == "_RETURN" for trace in traces)


def test_the_densities_of_all_traces_sum_to_the_marginal():
    def discrete():
        a = sample("a", Bernoulli(0.3))
        b = sample("b", Categorical(torch.tensor([0.2, 0.5, 0.3])))
        sample("y", Normal(a + b, 1.0), obs=torch.tensor(0.4))

    total = torch.stack([trace.log_prob_sum() for trace in all_traces(discrete)]).logsumexp(0)
    a, b = torch.tensor([0.7, 0.3])[:, None], torch.tensor([0.2, 0.5, 0.3])
    loc = torch.arange(2.0)[:, None] + torch.arange(3.0)
    assert_close(total, (a * b * Normal(loc, 1.0).log_prob(torch.tensor(0.4)).exp()).sum().log())


def test_values_before_an_exit_are_shared_by_the_traces_after_it():
    shared = {float(trace.nodes["x"]["value"]) for trace in all_traces() if "b" in trace}
    assert len(shared) == 1


def test_the_sites_of_all_paths_have_sequential_hints_of_the_program():
    def program():
        return sample("a", Bernoulli(0.3), infer={"enumerate": "sequential"})

    for trace in all_traces(program):
        assert trace.nodes["a"]["infer"] == {"enumerate": "sequential"}
        assert not trace.nodes["a"]["is_observed"]


def test_plates_and_batches_are_enumerated_in_lockstep():
    def program():
        with plate("data", 3):
            return sample("a", Bernoulli(0.5))

    found = sorted(trace.nodes["a"]["value"].tolist() for trace in all_traces(program))
    assert found == [[0.0] * 3, [1.0] * 3]


def test_handlers_between_the_queue_and_its_trace_begin_anew_with_every_try():
    def program():
        with poutine.trace() as inside:
            sample("x", Normal(0.0, 1.0))
            sample("a", Bernoulli(0.5))
        return list(inside.trace.nodes)

    queue = beginning()
    recorder = poutine.trace(poutine.scale(poutine.queue(program, queue=queue), scale=2.0))
    assert list(recorder.get_trace().nodes) == ["_INPUT", "x", "a", "_RETURN"]
    assert recorder.trace.nodes["_RETURN"]["value"] == ["x", "a"]


def test_a_queue_with_a_limit_takes_no_more_values():
    assert sorted(map(values, all_traces(num_samples=2))) == [(0,), (1, 0), (1, 1)]


def test_continuous_sites_can_be_extended_by_draws():
    traces = all_traces(extend_fn=mc_extend, escape_fn=all_escape, num_samples=3)
    assert 3 * 3 <= len(traces) <= 3**3  # three values of a and x, and of b where there is one
    assert len({float(trace.nodes["x"]["value"]) for trace in traces}) == 9


def test_queue_decorates():
    queue = beginning()

    @poutine.queue(queue=queue)
    def program():
        """What it does."""
        return sample("a", Bernoulli(0.5))

    assert {float(program()), float(program())} == {0.0, 1.0}
    assert (program.__name__, program.__doc__) == ("program", "What it does.")


def test_a_call_needs_something_in_the_queue():
    with pytest.raises(SiteError, match=r"empty: put a Trace\(\)"):
        poutine.queue(model, queue=Queue())()


def test_the_queue_itself_is_needed():
    with pytest.raises(SiteError, match="needs a queue"):
        poutine.queue(model)


def test_the_number_of_tries_is_limited():
    with pytest.raises(SiteError, match="max_tries=1 "):
        poutine.queue(model, queue=beginning(), max_tries=1)()


# escape


def test_escape_leaves_at_the_site_and_hides_it_outside():
    with poutine.trace() as outside, pytest.raises(poutine.NonlocalExit) as left:
        poutine.escape(model, escape_fn=lambda site: site["name"] == "x")()
    assert left.value.site["name"] == "x"
    assert left.value.site["fn"].batch_shape == ()
    assert list(outside.trace.nodes) == ["a"]


def test_escape_functions_ask_for_latent_sites_that_a_trace_does_not_have():
    sites = poutine.trace(poutine.condition(model, data={"a": 1.0})).get_trace().nodes
    empty, full = poutine.Trace(), poutine.Trace()
    full.add_node("b", **sites["b"])
    names = ["a", "x", "b", "y"]
    assert [n for n in names if all_escape(empty, sites[n])] == ["x", "b"]
    assert [n for n in names if all_escape(full, sites[n])] == ["x"]
    assert [n for n in names if discrete_escape(empty, sites[n])] == ["b"]
    assert [n for n in names if discrete_escape(full, sites[n])] == []


@pytest.mark.parametrize(("limit", "expected"), [(None, [0, 1, 2]), (-1, [0, 1, 2]), (2, [0, 1])])
def test_enum_extend_adds_one_site_at_each_value(limit, expected):
    partial = poutine.Trace()
    site = poutine.trace(poutine.condition(model, data={"a": 1.0})).get_trace().nodes["b"]
    longer = enum_extend(partial, site, num_samples=limit)
    assert [int(trace.nodes["b"]["value"]) for trace in longer] == expected
    assert len(partial) == 0


@pytest.mark.parametrize(("limit", "expected"), [(None, 1), (-1, 1), (5, 5)])
def test_mc_extend_adds_one_site_at_random_values(limit, expected):
    site = poutine.trace(model).get_trace().nodes["x"]
    longer = mc_extend(poutine.Trace(), site, num_samples=limit)
    assert len({float(trace.nodes["x"]["value"]) for trace in longer}) == expected
