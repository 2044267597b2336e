"""The statements of the language, with and without handlers around them."""

import warnings

import numpy as np
import pytest
import torch
from torch import nn
from torch.distributions import constraints
from torch.testing import assert_close

import ppl
import ppl.poutine as poutine
import ppl.primitives
from ppl.distribution import Delta
from ppl.errors import DtypeError, PPLWarning, SiteError, UnsupportedConstraintError
from ppl.poutine.util import site_is_factor
from ppl.primitives import (
    barrier,
    clear_param_store,
    deterministic,
    factor,
    get_param_store,
    module,
    param,
    plate,
    sample,
    subsample,
)

from .distribution.families import Categorical, Normal


def test_the_root_offers_the_primitives():
    for name in ppl.primitives.__all__:
        assert getattr(ppl, name) is getattr(ppl.primitives, name)


# sample


def test_sample_without_handlers_draws_from_the_distribution():
    torch.manual_seed(1)
    drawn = sample("x", Normal(torch.zeros(3), 1.0))
    torch.manual_seed(1)
    assert_close(drawn, Normal(torch.zeros(3), 1.0)())


def test_a_reparametrized_sample_has_a_gradient():
    loc = torch.tensor(1.0, requires_grad=True)
    sample("x", Normal(loc, 1.0)).backward()
    assert_close(loc.grad, torch.tensor(1.0))


@pytest.mark.parametrize("wrapped", [False, True], ids=["plain", "traced"])
def test_sample_calls_any_function_with_its_arguments(wrapped):
    def statement():
        return sample("x", lambda a, b: a + b, 1, b=2)

    assert (poutine.trace(statement) if wrapped else statement)() == 3


@pytest.mark.parametrize("wrapped", [False, True], ids=["plain", "traced"])
def test_sample_takes_distributions_of_torch(wrapped):
    def statement():
        return sample("x", torch.distributions.Normal(torch.zeros(3), 1.0))

    assert (poutine.trace(statement) if wrapped else statement)().shape == (3,)


@pytest.mark.parametrize("obs", [2, 2.0, np.float32(2.0), np.array(2.0, "float32")])
def test_observations_may_be_numbers_and_arrays(obs):
    def statement():
        return sample("x", Normal(0.0, 1.0), obs=obs)

    site = poutine.trace(statement).get_trace().nodes["x"]
    assert site["is_observed"]
    assert_close(site["value"], torch.tensor(2.0))


def test_an_observed_category_stays_an_integer():
    with poutine.trace() as traced:
        sample("k", Categorical(torch.ones(3)), obs=2)
    assert traced.trace.nodes["k"]["value"].dtype is torch.int64


def test_numbers_become_tensors_of_the_default_dtype():
    torch.set_default_dtype(torch.float64)
    try:
        with poutine.mask(mask=True):
            assert sample("x", Normal(0.0, 1.0), obs=2).dtype is torch.float64
    finally:
        torch.set_default_dtype(torch.float32)


def test_an_observation_outside_inference_warns_and_is_returned():
    with pytest.warns(RuntimeWarning, match="site 'x' is observed outside inference"):
        assert_close(sample("x", Normal(0.0, 1.0), obs=2.0), torch.tensor(2.0))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((Normal(0.0, 1.0), "x"), "the first argument of sample is the site's name"),
        (("x", 3.0), r"site 'x': expected a distribution or a callable, got 3\.0"),
        (("x", None), "site 'x': expected a distribution or a callable, got None"),
    ],
)
def test_sample_needs_a_name_and_a_stochastic_function(arguments, message):
    with pytest.raises(SiteError, match=message):
        sample(*arguments)


# factor, deterministic


def test_a_factor_adds_to_the_log_density():
    def program():
        factor("f", torch.tensor([1.0, 2.0]))
        factor("g", -0.5)

    assert_close(poutine.trace(program).get_trace().log_prob_sum(), torch.tensor(2.5))


def test_a_factor_in_a_plate_counts_for_each_element():
    def program():
        with plate("rows", 3):
            factor("f", torch.tensor(2.0))

    assert_close(poutine.trace(program).get_trace().log_prob_sum(), torch.tensor(6.0))


@pytest.mark.parametrize("has_rsample", [None, True, False])
def test_a_factor_of_a_guide_may_say_whether_it_is_reparametrized(has_rsample):
    trace = poutine.trace(
        lambda: factor("f", torch.tensor(1.0), has_rsample=has_rsample)
    ).get_trace()
    assert bool(trace.nodes["f"]["fn"].has_rsample) is bool(has_rsample)
    assert trace.nodes["f"]["infer"]["is_auxiliary"]
    assert site_is_factor(trace.nodes["f"])


def test_a_deterministic_value_is_recorded_and_has_no_density():
    trace = poutine.trace(lambda: deterministic("d", torch.tensor([1.0, 2.0]))).get_trace()
    site = trace.nodes["d"]
    assert site["is_observed"]
    assert site["infer"]["_deterministic"]
    assert (site["fn"].batch_shape, site["fn"].event_shape) == ((), (2,))
    assert trace.log_prob_sum() == 0.0


def test_a_deterministic_value_in_a_plate_keeps_its_batch():
    def program():
        with plate("rows", 3):
            return deterministic("d", torch.ones(3, 2), event_dim=1)

    site = poutine.trace(program).get_trace().nodes["d"]
    assert (site["fn"].batch_shape, site["fn"].event_shape) == ((3,), (2,))


def test_factor_and_deterministic_outside_inference_do_not_warn():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        factor("f", torch.tensor(1.0))
        assert_close(deterministic("d", torch.tensor(1.0)), torch.tensor(1.0))


# param


@pytest.mark.parametrize("wrapped", [False, True], ids=["plain", "traced"])
def test_a_parameter_is_initialized_once(wrapped):
    def statement(init):
        return param("w", init, constraints.positive)

    read = poutine.trace(statement) if wrapped else statement
    assert_close(read(torch.tensor(2.0)), torch.tensor(2.0))
    assert_close(read(torch.tensor(3.0)), torch.tensor(2.0))
    assert_close(read(None), torch.tensor(2.0))


def test_a_parameter_with_event_dim_gets_a_constraint_of_that_dimension():
    param("w", torch.ones(2, 3), constraints.positive, event_dim=1)
    assert get_param_store()._constraints["w"].event_dim == 1


def test_a_constraint_may_have_more_event_dimensions_than_asked_for():
    value = param("w", torch.eye(2), constraints.lower_cholesky, event_dim=1)
    assert_close(value, torch.eye(2))


def test_a_param_statement_sends_the_gradient_to_the_leaf():
    value = param("w", torch.tensor(2.0), constraints.positive)
    value.log().backward()
    assert_close(value.unconstrained().grad, torch.tensor(1.0))  # exp is the transform


def test_clear_param_store_forgets_all():
    param("w", torch.tensor(1.0))
    clear_param_store()
    assert not get_param_store()


# subsample, barrier


@pytest.mark.parametrize("statement", [barrier, lambda x: subsample(x, event_dim=0)])
def test_identities_return_their_argument(statement):
    x = torch.ones(3)
    assert statement(x) is x
    with poutine.trace() as traced:
        assert statement(x) is x
    assert not traced.trace.nodes


# module


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(2, 3), nn.Tanh(), nn.Linear(3, 1))
        self.frozen = nn.Parameter(torch.ones(1), requires_grad=False)

    def forward(self, x):
        return self.layers(x)


TRAINED = [
    "net$$$layers.0.weight",
    "net$$$layers.0.bias",
    "net$$$layers.2.weight",
    "net$$$layers.2.bias",
]


@pytest.mark.parametrize("update", [False, True])
def test_module_registers_the_trainable_leaves_themselves(update):
    net = Net()
    assert module("net", net, update_module_params=update) is net
    leaves = dict(get_param_store().named_parameters())
    assert list(leaves) == TRAINED
    for name, leaf in leaves.items():
        assert leaf is net.get_parameter(name.split("$$$")[1])


def test_module_parameters_are_trained_through_the_store():
    net = Net()
    x = torch.randn(5, 2)
    before = net(x)
    module("net", net)(x).pow(2).sum().backward()
    with torch.no_grad():
        for _, leaf in get_param_store().named_parameters():
            leaf -= 0.01 * leaf.grad
    assert net(x).pow(2).sum() < before.pow(2).sum()


def test_a_second_module_of_the_name_keeps_its_values_unless_told_to_update():
    one, two, three = Net(), Net(), Net()
    x = torch.randn(5, 2)
    module("net", one)
    own = two(x)
    assert_close(module("net", two)(x), own)
    assert_close(module("net", three, update_module_params=True)(x), one(x))
    for a, b in zip(one.layers.parameters(), three.layers.parameters(), strict=True):
        assert a is b


def test_an_updated_module_is_trained_after_a_state_was_restored():
    one, two = Net(), Net()
    module("net", one)
    get_param_store().set_state(get_param_store().get_state())
    module("net", two, update_module_params=True)
    module("net", two, update_module_params=True)
    leaves = dict(get_param_store().named_parameters())
    assert list(leaves) == TRAINED
    for name, leaf in leaves.items():
        path = name.split("$$$")[1]
        assert leaf is two.get_parameter(path)
        assert_close(leaf, one.get_parameter(path))


def test_lifted_module_parameters_are_put_into_the_module_as_samples():
    net = nn.Linear(2, 1)
    prior = {"net$$$weight": Delta(torch.full((1, 2), 7.0)).to_event(2)}
    poutine.lift(module, prior=prior)("net", net, update_module_params=True)
    assert_close(net.weight, torch.full((1, 2), 7.0))
    assert [name for name, _ in net.named_parameters()] == ["bias"]


def test_module_needs_an_instance():
    with pytest.raises(SiteError, match=r"module 'net': expected an instance of torch\.nn\.Module"):
        module("net", nn.Linear)


def test_module_says_which_parameters_it_leaves_out():
    net = torch.nn.Linear(2, 1)
    net.bias.requires_grad_(False)
    with pytest.warns(UserWarning, match="'bias' is frozen"):
        module("net", net)


@pytest.mark.parametrize(
    "hints",
    [
        {"enumerate": "paralel"},
        {"enumerate": True},
        {"tmc": "diag"},
        {"num_samples": 0},
        {"num_samples": 2.5},
        {"expand": "yes"},
        {"is_auxiliary": 1},
        {"baseline": "mean"},
    ],
)
def test_a_known_hint_with_an_unknown_value_is_refused(hints):
    (key,) = hints
    with pytest.raises(SiteError, match=rf"site 'x': infer\['{key}'\] must be"):
        sample("x", Delta(torch.tensor(0.0)), infer=hints)
    marked = poutine.infer_config(
        lambda: sample("x", Delta(torch.tensor(0.0))), config_fn=lambda site: hints
    )
    with pytest.raises(SiteError, match=rf"infer\['{key}'\] must be"):
        marked()


def test_a_hint_that_looks_like_a_known_one_is_warned_about():
    with pytest.warns(PPLWarning, match="infer\\['enumerat'\\]; did you mean 'enumerate'"):
        sample("x", Delta(torch.tensor(0.0)), infer={"enumerat": "parallel"})


def test_hints_of_others_and_absent_ones_pass(recwarn):
    hints = {"temperature": 3.0, "enumerate": None, "num_samples": None}
    assert sample("x", Delta(torch.tensor(2.0)), infer=hints) == 2
    assert not recwarn.list


@pytest.mark.parametrize(
    "value", [torch.tensor(1), torch.tensor([True]), lambda: torch.ones(2).int()]
)
def test_a_parameter_of_integers_is_refused(value):
    with pytest.raises(DtypeError, match="parameter 'count': gradients cannot move"):
        param("count", value)


@pytest.mark.parametrize(
    "constraint",
    [
        ppl.distributions.constraints.integer,
        constraints.boolean,
        constraints.nonnegative_integer,
        constraints.integer_interval(0, 2),
        constraints.one_hot,
        constraints.square,
        constraints.symmetric,
        constraints.dependent,
    ],
    ids=str,
)
def test_a_constraint_that_gradients_cannot_keep_is_refused(constraint):
    with pytest.raises(UnsupportedConstraintError, match="parameter 'p': no transform"):
        param("p", torch.eye(2), constraint=constraint)
