"""The record of an execution: its graph, its log densities and its table of shapes."""

import pickle

import pytest
import torch
from torch.distributions import constraints
from torch.testing import assert_close

import ppl.poutine as poutine
from ppl.distribution import ScoreParts
from ppl.errors import DuplicateSiteError, NotFiniteError, PPLError, ShapeError, SupportError
from ppl.poutine.trace_messenger import identify_dense_edges
from ppl.primitives import factor, get_param_store, param, plate, sample

from .distribution.families import Bernoulli, Dirichlet, Gamma, Normal

MASK = torch.tensor([True, False, True])


def model(n=3):
    w = param("w", torch.ones(2, dtype=torch.float64), constraints.positive)
    with poutine.scale(scale=0.5), plate("data", n):
        x = sample("x", Normal(w.sum(), 1.0).mask(MASK))
        with poutine.mask(mask=MASK):
            sample("k", Bernoulli(torch.sigmoid(x)), obs=torch.ones(n, dtype=torch.float64))
    return x


def by_hand(trace, name):
    site = trace.nodes[name]
    log_prob = site["fn"].log_prob(site["value"]) * site["scale"]
    return (log_prob if site["mask"] is None else log_prob * site["mask"]).sum()


# log densities


def test_log_prob_sum_is_the_scaled_and_masked_sum_over_the_sample_sites():
    trace = poutine.trace(model).get_trace()
    assert_close(trace.log_prob_sum(), by_hand(trace, "x") + by_hand(trace, "k"))


def test_log_prob_sum_takes_a_filter():
    trace = poutine.trace(model).get_trace()
    latent = trace.log_prob_sum(lambda name, site: not site["is_observed"])
    assert_close(latent, by_hand(trace, "x"))


def test_log_prob_sum_of_no_sites_is_zero():
    assert poutine.trace(lambda: None).get_trace().log_prob_sum() == 0.0


def test_compute_log_prob_keeps_the_batch_shape_and_the_unscaled_values():
    trace = poutine.trace(model).get_trace()
    trace.compute_log_prob()
    site = trace.nodes["k"]
    unscaled = site["fn"].log_prob(site["value"])
    assert_close(site["unscaled_log_prob"][MASK], unscaled[MASK])  # what is hidden has no density
    assert_close(site["log_prob"], 0.5 * site["unscaled_log_prob"] * MASK)
    assert_close(site["log_prob_sum"], site["log_prob"].sum())


def test_log_densities_are_computed_once():
    trace = poutine.trace(model).get_trace()
    trace.compute_log_prob()
    before = trace.nodes["x"]["log_prob"]
    trace.compute_log_prob()
    trace.log_prob_sum()
    assert trace.nodes["x"]["log_prob"] is before


def test_compute_log_prob_takes_a_filter():
    trace = poutine.trace(model).get_trace()
    trace.compute_log_prob(lambda name, site: name == "x")
    assert "log_prob" in trace.nodes["x"]
    assert "log_prob" not in trace.nodes["k"]


def test_a_masked_value_outside_the_support_does_not_count_and_has_no_gradient():
    rate = torch.tensor(1.0, requires_grad=True)
    with poutine.trace() as traced, poutine.mask(mask=torch.tensor([True, False])):
        sample("x", Gamma(rate.expand(2), 1.0, validate_args=False), obs=torch.tensor([1.0, -1.0]))
    total = traced.trace.log_prob_sum()
    assert_close(total, Gamma(rate, 1.0).log_prob(torch.tensor(1.0)))


def guide():
    sample("repar", Normal(torch.zeros(3), 1.0))
    sample("score", Bernoulli(torch.full((3,), 0.5)))


def test_score_parts_split_by_how_a_site_is_sampled():
    trace = poutine.trace(poutine.scale(guide, scale=2.0)).get_trace()
    trace.compute_score_parts()
    for name in trace.stochastic_nodes:
        site = trace.nodes[name]
        assert isinstance(site["score_parts"], ScoreParts)
        assert_close(site["score_parts"].log_prob, site["log_prob"])
    repar, score = (trace.nodes[name]["score_parts"] for name in ("repar", "score"))
    assert (repar.score_function, score.entropy_term) == (0, 0)
    assert_close(repar.entropy_term, trace.nodes["repar"]["log_prob"])
    assert_close(score.score_function, trace.nodes["score"]["unscaled_log_prob"])


def test_score_parts_are_computed_once():
    trace = poutine.trace(guide).get_trace()
    trace.compute_score_parts()
    before = trace.nodes["score"]["score_parts"]
    trace.compute_score_parts()
    assert trace.nodes["score"]["score_parts"] is before


@pytest.mark.parametrize("method", ["log_prob_sum", "compute_log_prob", "compute_score_parts"])
@pytest.mark.parametrize(
    ("fn", "value", "error"),
    [
        (Normal(torch.zeros(3), 1.0), torch.zeros(4), ShapeError),
        (Gamma(torch.ones(3), 1.0), -torch.ones(3), SupportError),
    ],
    ids=["shape", "support"],
)
def test_a_site_that_cannot_be_scored_is_named_with_the_shapes_so_far(method, fn, value, error):
    def program():
        sample("before", Normal(0.0, 1.0))
        sample("culprit", fn, obs=value)
        sample("after", Normal(0.0, 1.0))

    trace = poutine.trace(program).get_trace()
    with pytest.raises(error, match="site 'culprit'") as caught:
        getattr(trace, method)()
    assert isinstance(caught.value, PPLError)
    table = str(caught.value).split("Trace Shapes:")[1]
    assert "before" in table
    assert "after" not in table


class Singular(Normal):
    def log_prob(self, value):
        return torch.linalg.cholesky(-torch.eye(2))


def test_a_failed_factorization_is_a_matter_of_values_not_of_shapes():
    trace = poutine.trace(lambda: sample("x", Singular(0.0, 1.0))).get_trace()
    with pytest.raises(NotFiniteError, match="site 'x'"):
        trace.log_prob_sum()


def test_a_new_site_can_be_removed_again():
    trace = poutine.trace(guide).get_trace()
    trace.remove_node("repar")
    assert trace.stochastic_nodes == ["score"]


# lists of sites


def test_sites_are_listed_by_what_they_are():
    def program():
        guide()
        param("w", torch.tensor(1.0))
        sample("seen", Normal(0.0, 1.0), obs=torch.tensor(0.0))

    trace = poutine.trace(program).get_trace()
    assert trace.stochastic_nodes == ["repar", "score"]
    assert trace.observation_nodes == ["seen"]
    assert trace.param_nodes == ["w"]
    assert trace.reparameterized_nodes == ["repar"]
    assert trace.nonreparam_stochastic_nodes == ["score"]
    assert [name for name, _ in trace.iter_stochastic_nodes()] == ["repar", "score"]


def test_arguments_and_result_are_recorded():
    trace = poutine.trace(lambda a, *, b: a + b).get_trace(1, b=2)
    assert trace.nodes["_INPUT"]["args"] == (1,)
    assert trace.nodes["_INPUT"]["kwargs"] == {"b": 2}
    assert trace.nodes["_RETURN"]["value"] == 3
    assert len(trace) == 2
    assert list(trace) == ["_INPUT", "_RETURN"]


def test_a_param_only_trace_has_parameters_only():
    assert list(poutine.trace(model, param_only=True).get_trace()) == ["w"]


def test_the_trace_of_a_context_is_handed_out_as_a_copy():
    with poutine.trace() as traced:
        sample("x", Normal(0.0, 1.0))
        early = traced.get_trace()
        sample("y", Normal(0.0, 1.0))
    assert list(early) == ["x"]
    assert list(traced.get_trace()) == ["x", "y"]


def test_a_traced_program_starts_anew_at_each_call():
    traced = poutine.trace(model)
    one, two = traced.get_trace(), traced.get_trace()
    assert list(one) == list(two)
    assert not torch.equal(one.nodes["x"]["value"], two.nodes["x"]["value"])


# duplicates


@pytest.mark.parametrize(("first", "second"), [("sample", "param"), ("param", "sample")])
def test_a_sample_and_a_param_site_cannot_share_a_name(first, second):
    statements = {
        "sample": lambda: sample("x", Normal(0.0, 1.0)),
        "param": lambda: param("x", torch.tensor(0.0)),
    }

    def program():
        statements[first]()
        statements[second]()

    with pytest.raises(DuplicateSiteError, match=f"'x' is a {first} site already"):
        poutine.trace(program).get_trace()


def test_two_sample_sites_cannot_share_a_name():
    def program():
        for _ in range(2):
            sample("x", Normal(0.0, 1.0))

    with pytest.raises(DuplicateSiteError, match=r"two sample sites named 'x'.*f'x_\{i\}'"):
        poutine.trace(program).get_trace()


def test_a_parameter_may_be_read_twice():
    def program():
        return param("w", torch.tensor(1.0)) + param("w")

    trace = poutine.trace(program).get_trace()
    assert trace.param_nodes == ["w"]
    assert_close(trace.nodes["_RETURN"]["value"], torch.tensor(2.0))


# copies


def test_a_copy_has_the_same_values_in_dicts_of_its_own():
    trace = poutine.trace(model, graph_type="dense").get_trace()
    copy = trace.copy()
    copy.nodes["x"]["value"] = None
    copy.add_node("new", type="sample")
    copy.add_edge("x", "new")
    assert trace.nodes["x"]["value"] is not None
    assert "new" not in trace
    assert "new" not in trace.successors("x")


def test_detach_cuts_the_values_of_sample_sites_from_the_graph():
    trace = poutine.trace(model).get_trace()
    value = trace.nodes["x"]["value"]
    assert value.requires_grad
    trace.detach_()
    assert not trace.nodes["x"]["value"].requires_grad
    assert_close(trace.nodes["x"]["value"], value.detach())
    assert trace.nodes["w"]["value"].requires_grad


def test_a_trace_can_be_pickled():
    trace = poutine.trace(model, graph_type="dense").get_trace()
    trace.compute_log_prob()
    again = pickle.loads(pickle.dumps(trace))
    assert list(again) == list(trace)
    assert again.edges == trace.edges
    assert again.format_shapes() == trace.format_shapes()
    assert_close(again.log_prob_sum(), trace.log_prob_sum())
    for name in ("w", "x", "k"):
        assert_close(again.nodes[name]["value"], trace.nodes[name]["value"])


def test_a_pickled_trace_does_not_carry_the_parameter_store():
    get_param_store()["secret"] = torch.ones(10_000)
    assert len(pickle.dumps(poutine.trace(model).get_trace())) < 10_000


# the graph


def dense():
    a = sample("a", Normal(0.0, 1.0))
    with plate("rows", 2):
        b = sample("b", Normal(a, 1.0))
        sample("c", Normal(b, 1.0))
    for i in plate("steps", 2):
        sample(f"d{i}", Normal(a, 1.0))
        sample(f"e{i}", Normal(a, 1.0))


def test_a_dense_trace_joins_all_sites_but_those_of_different_iterations():
    trace = poutine.trace(dense, graph_type="dense").get_trace()
    assert set(trace.predecessors("c")) == {"a", "rows", "b"}
    assert "d0" in trace.predecessors("e0")
    assert not {"d0", "e0"} & set(trace.predecessors("e1"))
    assert "c" in trace.predecessors("e1")
    assert set(trace.edges) == {(a, b) for b in trace for a in trace.predecessors(b)}
    assert set(trace.edges) == {(a, b) for a in trace for b in trace.successors(a)}


def test_a_topological_sort_puts_every_site_after_those_it_may_depend_on():
    trace = poutine.trace(dense, graph_type="dense").get_trace()
    order = trace.topological_sort()
    assert sorted(order) == sorted(trace.nodes)
    assert all(order.index(a) < order.index(b) for a, b in trace.edges)
    assert trace.topological_sort(reverse=True) == order[::-1]


def test_a_flat_trace_has_no_edges_until_they_are_identified():
    trace = poutine.trace(dense).get_trace()
    assert trace.edges == []
    identify_dense_edges(trace)
    assert trace.edges == poutine.trace(dense, graph_type="dense").get_trace().edges


def test_a_removed_site_takes_its_edges_along():
    trace = poutine.trace(dense, graph_type="dense").get_trace()
    trace.remove_node("a")
    assert "a" not in trace
    assert all("a" not in edge for edge in trace.edges)


def test_an_edge_adds_the_sites_it_joins():
    trace = poutine.Trace(graph_type="dense")
    trace.add_edge("a", "b")
    assert list(trace) == ["a", "b"]
    assert trace.edges == [("a", "b")]


def test_a_trace_prints_its_sites():
    trace = poutine.trace(guide).get_trace()
    assert repr(trace) == "Trace(flat: _INPUT, repar, score, _RETURN)"


def test_there_are_two_graph_types():
    with pytest.raises(ValueError, match="'flat' or 'dense', got 'sparse'"):
        poutine.trace(model, graph_type="sparse")


# shapes


TABLE = """\
Shapes:
   w    param     | 2
rows     dist     | 3
        value     | 3
   p     dist   3 | 2
        value   3 | 2
   z     dist 2 3 |
        value 2 3 |
   f     dist     | 0
        value     | 0"""

SCORED = """\
Trace Shapes:
   w    param   | 2
rows     dist   | 3
        value   | 3
     log_prob   |
   p     dist 3 | 2
        value 3 | 2
     log_prob 3 |"""


def shapely():
    param("w", torch.ones(2))
    with plate("rows", 3):
        sample("p", Dirichlet(torch.ones(2)))
        sample("z", Normal(torch.zeros(2, 1), 1.0))
    factor("f", torch.tensor(0.0))


def test_format_shapes_is_a_table_of_batch_and_event_shapes():
    assert poutine.trace(shapely).get_trace().format_shapes("Shapes:") == TABLE


def test_format_shapes_shows_densities_and_stops_where_it_is_told_to():
    trace = poutine.trace(shapely).get_trace()
    trace.compute_log_prob()
    assert trace.format_shapes(last_site="p") == SCORED


def test_format_shapes_of_an_empty_trace_is_its_title():
    assert poutine.Trace().format_shapes() == "Trace Shapes:"
