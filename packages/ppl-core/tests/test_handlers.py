"""What each handler does; the laws that all of them obey are in ``test_handler_laws.py``."""

import pytest
import torch
from torch.distributions import constraints
from torch.testing import assert_close

import ppl.poutine as poutine
from ppl.distribution import Delta
from ppl.errors import ShapeError, SiteError, SupportError
from ppl.primitives import deterministic, factor, get_param_store, param, plate, sample
from ppl.util import get_rng_state

from .distribution.families import Bernoulli, Categorical, Normal


def model():
    w = param("w", torch.tensor(1.0))
    with plate("data", 3):
        x = sample("x", Normal(w, 1.0))
    sample("y", Normal(x.sum(), 1.0), obs=torch.tensor(0.5))
    return x


X = torch.tensor([0.1, 0.2, 0.3])


def record_of_model():
    with get_param_store().scope():
        return poutine.trace(model).get_trace()


# block


@pytest.mark.parametrize(
    ("kwargs", "visible"),
    [
        ({}, []),
        ({"hide_all": False}, ["w", "data", "x", "y"]),
        ({"expose_all": True}, ["w", "data", "x", "y"]),
        ({"hide": ["x", "w"]}, ["data", "y"]),
        ({"hide": []}, ["w", "data", "x", "y"]),
        ({"expose": ["x"]}, ["x"]),
        ({"expose": []}, []),
        ({"hide_types": ["param"]}, ["data", "x", "y"]),
        ({"hide_types": ["observe"]}, ["w", "data", "x"]),
        ({"hide_types": ["sample"]}, ["w", "y"]),
        ({"hide_types": ["sample", "observe"]}, ["w"]),
        ({"expose_types": ["sample"]}, ["data", "x"]),
        ({"expose_types": ["sample", "observe"], "hide": ["x"]}, ["data", "y"]),
        ({"expose_types": ["observe"], "expose": ["w"]}, ["w", "y"]),
        ({"hide_fn": lambda site: site["name"] == "y"}, ["w", "data", "x"]),
        ({"expose_fn": lambda site: site["name"] == "y"}, ["y"]),
    ],
    ids=" ".join,
)
def test_block_hides_what_it_is_told_to(kwargs, visible):
    trace = poutine.trace(poutine.block(model, **kwargs)).get_trace()
    assert list(trace.nodes)[1:-1] == visible


@pytest.mark.parametrize(
    "kwargs",
    [
        {"hide": ["x"], "expose": ["x"]},
        {"hide_types": ["sample"], "expose_types": ["sample"]},
        {"hide_fn": lambda site: True, "expose_fn": lambda site: True},
    ],
    ids=["names", "types", "functions"],
)
def test_block_refuses_contradictions(kwargs):
    with pytest.raises(SiteError, match="block"):
        poutine.block(model, **kwargs)


# condition


@pytest.mark.parametrize("value", [2, 2.0, torch.tensor(2.0).numpy(), torch.tensor(2.0)])
def test_condition_takes_numbers_arrays_and_tensors(value):
    conditioned = poutine.condition(lambda: sample("x", Normal(0.0, 1.0)), data={"x": value})
    site = poutine.trace(conditioned).get_trace().nodes["x"]
    assert site["is_observed"]
    assert_close(site["value"], torch.tensor(2.0))


def test_condition_takes_a_trace():
    recorded = poutine.trace(model).get_trace()
    site = poutine.trace(poutine.condition(model, data=recorded)).get_trace().nodes["x"]
    assert site["is_observed"]
    assert site["value"] is recorded.nodes["x"]["value"]


def test_condition_on_none_leaves_a_site_latent():
    trace = poutine.trace(poutine.condition(model, data={"x": None})).get_trace()
    assert not trace.nodes["x"]["is_observed"]


def test_condition_on_a_category_keeps_it_an_integer():
    program = poutine.condition(lambda: sample("k", Categorical(torch.ones(3))), data={"k": 2})
    assert program().dtype is torch.int64


def test_the_innermost_condition_is_overruled_by_the_outer_one():
    one, two = torch.zeros(3), torch.ones(3)
    program = poutine.condition(poutine.condition(model, data={"x": one}), data={"x": two})
    assert_close(program(), two)


# do


def chain():
    a = sample("a", Normal(0.0, 1.0))
    return a, sample("b", Normal(a, 1.0))


def test_do_cuts_a_site_from_what_follows_and_leaves_its_density():
    trace = poutine.trace(poutine.do(chain, data={"a": 9.0})).get_trace()
    assert_close(trace.nodes["b"]["fn"].loc, torch.tensor(9.0))
    assert_close(trace.nodes["_RETURN"]["value"][0], torch.tensor(9.0))
    assert not trace.nodes["a"]["is_observed"]
    assert trace.nodes["a"]["value"] != 9.0
    assert list(trace.nodes) == ["_INPUT", "a", "b", "_RETURN"]


def test_handlers_inside_do_see_the_given_value_as_a_counterfactual_observation():
    inside = poutine.trace(chain)
    poutine.do(inside, data={"a": 9.0})()
    assert inside.trace.nodes["a__CF"]["is_observed"]
    assert_close(inside.trace.nodes["a__CF"]["value"], torch.tensor(9.0))
    assert "a" not in inside.trace


def test_do_leaves_scale_mask_and_plates_of_the_site_as_they_are():
    mask = torch.tensor([True, False, True])

    def program():
        with poutine.scale(scale=2.0), poutine.mask(mask=mask), plate("data", 3):
            return sample("x", Normal(0.0, 1.0))

    plain = poutine.trace(program).get_trace().nodes["x"]
    after = poutine.trace(poutine.do(program, data={"x": X})).get_trace().nodes["x"]
    assert (after["scale"], after["mask"].tolist()) == (2.0, mask.tolist())
    assert after["cond_indep_stack"] == plain["cond_indep_stack"]


def test_a_site_under_do_can_be_conditioned_outside():
    trace = poutine.trace(
        poutine.condition(poutine.do(chain, data={"a": 9.0}), data={"a": 1.0})
    ).get_trace()
    assert_close(trace.nodes["a"]["value"], torch.tensor(1.0))
    assert_close(trace.nodes["b"]["fn"].loc, torch.tensor(9.0))


def test_of_two_interventions_the_innermost_holds_with_a_warning():
    program = poutine.do(poutine.do(chain, data={"a": 1.0}), data={"a": 2.0})
    with pytest.warns(UserWarning, match="site 'a': two interventions on one site"):
        a, _ = program()
    assert_close(a, torch.tensor(1.0))


# infer_config, lift, mask, scale


def test_infer_config_updates_the_hints_of_sample_and_param_sites():
    def program():
        param("w", torch.tensor(1.0))
        sample("x", Normal(0.0, 1.0), infer={"kept": True, "changed": False})

    config = poutine.infer_config(program, config_fn=lambda site: {"changed": site["type"]})
    trace = poutine.trace(config).get_trace()
    assert trace.nodes["x"]["infer"] == {"kept": True, "changed": "sample"}
    assert trace.nodes["w"]["infer"] == {"changed": "param"}


def test_infer_config_does_not_write_into_the_dict_of_the_user():
    hints = {"kept": True}
    with poutine.infer_config(config_fn=lambda site: {"more": 1}):
        sample("x", Normal(0.0, 1.0), infer=hints)
    assert hints == {"kept": True}


@pytest.mark.parametrize(
    "prior", [Normal(0.0, 1.0), lambda: torch.tensor(5.0), {"w": Normal(0.0, 1.0)}]
)
def test_lift_turns_parameters_into_sample_sites(prior):
    trace = poutine.trace(poutine.lift(model, prior=prior)).get_trace()
    assert trace.nodes["w"]["type"] == "sample"
    assert not trace.nodes["w"]["is_observed"]
    assert "w" not in get_param_store()


def test_lift_leaves_parameters_that_it_does_not_name():
    trace = poutine.trace(poutine.lift(model, prior={"other": Normal(0.0, 1.0)})).get_trace()
    assert trace.param_nodes == ["w"]


def test_a_lifted_parameter_is_expanded_by_the_plates_outside():
    with poutine.trace() as traced, plate("rows", 2), poutine.lift(prior=Normal(0.0, 1.0)):
        assert param("w", torch.tensor(1.0)).shape == (2,)
    assert traced.trace.nodes["w"]["fn"].batch_shape == (2,)


@pytest.mark.parametrize("prior", [3.0, None, [Normal]])
def test_lift_refuses_what_is_no_prior(prior):
    with pytest.raises(SiteError, match="lift needs a distribution"):
        poutine.lift(model, prior=prior)


def test_nested_masks_are_a_conjunction_and_zero_the_density():
    one, two = torch.tensor([True, True, False]), torch.tensor([True, False, True])
    program = poutine.mask(poutine.mask(model, mask=one), mask=two)
    trace = poutine.trace(program).get_trace()
    trace.compute_log_prob()
    assert (trace.nodes["x"]["log_prob"] != 0).tolist() == [True, False, False]


@pytest.mark.parametrize("mask", [torch.ones(3), 0.5, "yes"])
def test_mask_needs_booleans(mask):
    with pytest.raises(ShapeError, match="a mask must"):
        poutine.mask(model, mask=mask)


def test_nested_scales_multiply():
    program = poutine.scale(poutine.scale(model, scale=3.0), scale=torch.tensor(2.0))
    plain = record_of_model()
    scaled = poutine.trace(poutine.replay(program, trace=plain)).get_trace()
    assert_close(scaled.log_prob_sum(), 6 * plain.log_prob_sum())


@pytest.mark.parametrize("scale", [0.0, -1.0, torch.tensor([1.0, 0.0])])
def test_scale_must_be_positive(scale):
    with pytest.raises(SupportError, match=r"a scale must be positive.*poutine\.mask"):
        poutine.scale(model, scale=scale)


# replay, substitute, uncondition


def test_replay_takes_latent_values_from_a_trace_and_leaves_observed_and_unknown_sites():
    guide = poutine.trace(lambda: sample("x", Delta(X).to_event(0))).get_trace()
    trace = poutine.trace(poutine.replay(model, trace=guide)).get_trace()
    assert trace.nodes["x"]["value"] is guide.nodes["x"]["value"]
    assert_close(trace.nodes["y"]["value"], torch.tensor(0.5))


def test_replay_hands_the_hints_of_the_guide_to_the_model_as_a_copy():
    guide = poutine.trace(lambda: sample("x", Delta(X), infer={"hint": 1})).get_trace()
    changed = poutine.infer_config(
        poutine.replay(model, trace=guide), config_fn=lambda site: {"hint": 2}
    )
    assert poutine.trace(changed).get_trace().nodes["x"]["infer"] == {"hint": 2}
    assert guide.nodes["x"]["infer"] == {"hint": 1}


def test_replay_takes_params():
    value = torch.tensor(7.0)
    trace = poutine.trace(poutine.replay(model, params={"w": value})).get_trace()
    assert trace.nodes["w"]["value"] is value
    assert "w" not in get_param_store()


def test_replay_needs_something_to_replay():
    with pytest.raises(SiteError, match="replay needs a trace or params"):
        poutine.replay(model)


def test_substituted_sites_stay_latent_and_nothing_is_drawn():
    state = get_rng_state()["torch"]
    program = poutine.substitute(model, data={"x": X, "y": torch.tensor(9.0)})
    trace = poutine.trace(program).get_trace()
    assert not trace.nodes["x"]["is_observed"]
    assert trace.nodes["x"]["value"] is X
    assert_close(trace.nodes["y"]["value"], torch.tensor(0.5))  # observed: as it was
    assert_close(get_rng_state()["torch"], state)


def test_a_substituted_parameter_does_not_enter_the_store():
    with poutine.substitute(data={"w": torch.tensor(2.0)}):
        assert_close(param("w", torch.tensor(1.0)), torch.tensor(2.0))
    assert "w" not in get_param_store()


def test_uncondition_draws_observed_sites_and_keeps_the_data():
    trace = poutine.trace(poutine.uncondition(model)).get_trace()
    site = trace.nodes["y"]
    assert not site["is_observed"]
    assert site["value"] != 0.5
    assert site["infer"]["was_observed"]
    assert_close(site["infer"]["obs"], torch.tensor(0.5))


def test_uncondition_leaves_factors_and_deterministic_values():
    def program():
        deterministic("d", torch.tensor(3.0))
        factor("f", torch.tensor(-2.0))

    trace = poutine.trace(poutine.uncondition(program)).get_trace()
    assert_close(trace.nodes["d"]["value"], torch.tensor(3.0))
    assert_close(trace.log_prob_sum(), torch.tensor(-2.0))


# seed


def test_seed_fixes_what_is_drawn_and_restores_the_state_it_found():
    before = get_rng_state()["torch"]
    one = poutine.seed(model, rng_seed=5)()
    assert_close(get_rng_state()["torch"], before)
    torch.randn(3)
    assert_close(poutine.seed(model, rng_seed=5)(), one)
    assert not torch.equal(poutine.seed(model, rng_seed=6)(), one)


def test_seed_restores_the_state_after_an_exception():
    before = get_rng_state()["torch"]

    @poutine.seed(rng_seed=5)
    def failing():
        torch.randn(3)
        raise KeyError

    with pytest.raises(KeyError):
        failing()
    assert_close(get_rng_state()["torch"], before)


def test_a_seed_is_an_int():
    with pytest.raises(SiteError, match=r"seed needs an int, got 1\.5"):
        poutine.seed(model, rng_seed=1.5)


# broadcast


def test_broadcast_expands_to_the_plates_that_others_declared():
    frames = poutine.trace(model).get_trace().nodes["x"]["cond_indep_stack"]

    class Independence(poutine.handlers.Messenger):
        def _pyro_sample(self, msg):
            msg["cond_indep_stack"] = frames

    def program():
        with Independence():
            return sample("x", Bernoulli(torch.tensor(0.5)))

    assert program().shape == ()
    assert poutine.broadcast(program)().shape == (3,)


# equalize


def three_sites():
    a = sample("group_a", Normal(torch.zeros(2), 1.0).to_event(1))
    b = sample("group_b", Normal(torch.ones(2), 1.0).to_event(1))
    return a, b, sample("other", Normal(0.0, 1.0))


@pytest.mark.parametrize("sites", ["group_.", ["group_a", "group_b"]])
@pytest.mark.parametrize("keep_dist", [False, True])
def test_equalized_sites_have_the_value_of_the_first(sites, keep_dist):
    program = poutine.equalize(three_sites, sites=sites, keep_dist=keep_dist)
    trace = poutine.trace(program).get_trace()
    first, second = trace.nodes["group_a"], trace.nodes["group_b"]
    assert second["value"] is first["value"]
    assert (first["is_observed"], second["is_observed"]) == (False, True)
    scored = Normal(torch.ones(2), 1.0).log_prob(first["value"]).sum() if keep_dist else 0.0
    trace.compute_log_prob()
    assert_close(second["log_prob_sum"], torch.as_tensor(scored))
    assert second["infer"].get("_deterministic", False) is not keep_dist


def test_equalized_parameters_are_one_tensor():
    def program():
        return param("p", torch.tensor(1.0)), param("q", torch.tensor(2.0))

    p, q = poutine.equalize(program, sites=["p", "q"], type="param")()
    assert p is q
    assert "q" not in get_param_store()


def test_equalize_matches_whole_names_of_its_type():
    trace = poutine.trace(poutine.equalize(three_sites, sites=["group", "param"])).get_trace()
    assert trace.observation_nodes == []


def test_equalize_forgets_its_value_after_a_run():
    equal = poutine.equalize(sites="group_.")
    with equal:
        first, _, _ = three_sites()
    with equal:
        second, again, _ = three_sites()
    assert not torch.equal(first, second)
    assert again is second


# recursion, and what wrapped programs leave behind


def test_a_scaled_program_that_calls_itself_is_scaled_at_every_level():
    @poutine.scale(scale=2.0)
    def count_down(n):
        sample(f"x{n}", Normal(0.0, 1.0))
        if n:
            count_down(n - 1)

    trace = poutine.trace(count_down).get_trace(2)
    assert [trace.nodes[name]["scale"] for name in ("x2", "x1", "x0")] == [2.0, 4.0, 8.0]


def test_every_level_of_a_traced_program_that_calls_itself_has_its_own_trace():
    @poutine.trace
    def count_down(n):
        sample(f"x{n}", Normal(0.0, 1.0))
        return count_down.get_trace(n - 1) if n else None

    trace = count_down.get_trace(1)
    assert trace.stochastic_nodes == ["x1", "x0"]
    assert trace.nodes["_RETURN"]["value"].stochastic_nodes == ["x0"]
    assert count_down.trace is trace


def test_a_program_whose_parameters_are_traced_returns_its_value():
    traced = poutine.trace(lambda: 2 * param("w", torch.tensor(1.0)), param_only=True)
    assert_close(traced(), torch.tensor(2.0))
    assert list(traced.trace.nodes) == ["w"]


def test_a_traced_program_that_fails_leaves_the_trace_so_far():
    @poutine.trace
    def program():
        sample("x", Normal(0.0, 1.0))
        raise KeyError

    with pytest.raises(KeyError):
        program()
    assert program.trace.stochastic_nodes == ["x"]


def test_unwrap_finds_a_decorated_method():
    class Model:
        @poutine.scale(scale=2.0)
        def run(self):
            return self

    model = Model()
    assert poutine.unwrap(model.run)() is model
    assert poutine.unwrap(print) is print


# One variable is one site, however often it is read, and None is no value: the missing laws.


def tied():
    w = param("w", torch.ones(()))
    return w - param("w")


@pytest.mark.parametrize("prior", [Normal(0.0, 1.0), {"w": Normal(0.0, 1.0)}])
def test_a_lifted_parameter_is_drawn_once_however_often_it_is_read(prior):
    lifted = poutine.lift(tied, prior=prior)
    assert lifted() == 0.0
    for traced in (poutine.trace(lifted), poutine.lift(poutine.trace(tied), prior=prior)):
        traced()
    assert poutine.trace(lifted).get_trace().stochastic_nodes == ["w"]
    draws = {poutine.trace(lifted).get_trace().nodes["w"]["value"].item() for _ in range(3)}
    assert len(draws) == 3  # another execution draws anew


def test_a_lifted_parameter_that_is_read_twice_counts_once_in_the_density():
    data = {"w": torch.tensor(0.5)}
    trace = poutine.trace(poutine.condition(poutine.lift(tied, prior=Normal(0.0, 1.0)), data=data))
    assert_close(trace.get_trace().log_prob_sum(), Normal(0.0, 1.0).log_prob(data["w"]))


def test_a_prior_function_gets_what_the_param_statement_says():
    def program():
        return param("w", torch.ones(2), constraint=constraints.positive)

    full = lambda value, *args, **kwargs: (value, args, sorted(kwargs))  # noqa: E731
    value, args, kwargs = poutine.lift(program, prior={"w": full})()
    assert (value.tolist(), args, kwargs) == ([1.0, 1.0], (), ["constraint", "event_dim"])
    assert poutine.lift(program, prior={"w": lambda value: 2 * value})().tolist() == [2.0, 2.0]
    assert poutine.lift(program, prior={"w": lambda: torch.tensor(3.0)})() == 3.0


NOTHING = {"x": None, "w": None}


@pytest.mark.parametrize(
    "handler",
    [
        poutine.condition(data=NOTHING),
        poutine.do(data=NOTHING),
        poutine.substitute(data=NOTHING),
        poutine.lift(prior=NOTHING),
        poutine.replay(params=NOTHING),
    ],
    ids=lambda handler: type(handler).__name__,
)
def test_none_leaves_a_site_alone(handler):
    def program():
        return sample("x", Normal(param("w", torch.zeros(())), 1.0))

    with poutine.trace() as traced, handler:
        assert isinstance(program(), torch.Tensor)
    assert traced.trace.stochastic_nodes == ["x"] and traced.trace.param_nodes == ["w"]
