"""Gradient steps."""

import copy
import math
import pickle

import pytest
import torch
from torch.distributions import constraints

import ppl
import ppl.distributions as dist
import ppl.optim as optim
import ppl.poutine as poutine
from ppl.errors import SiteError, SupportError, UnknownPluginError
from ppl.infer import ELBO, SVI, Trace_ELBO

DATA = torch.tensor([0.5, 1.5, 1.0, 0.7])


def model(data):
    z = ppl.sample("z", dist.Normal(0.0, 1.0))
    with ppl.plate("data", len(data)):
        ppl.sample("x", dist.Normal(z, 1.0), obs=data)


def guide(data):
    m = ppl.param("m", torch.tensor(0.0))
    s = ppl.param("s", torch.tensor(1.0), constraint=constraints.positive)
    ppl.sample("z", dist.Normal(m, s))


def loss_by_hand(model, guide, *args):
    trace = poutine.trace(guide).get_trace(*args)
    return (
        trace.log_prob_sum()
        - poutine.trace(poutine.replay(model, trace=trace)).get_trace(*args).log_prob_sum()
    )


@pytest.fixture(autouse=True)
def _fresh():
    ppl.set_rng_seed(0)
    ppl.clear_param_store()


LOSSES = {"object": Trace_ELBO(), "ELBO": "ELBO", "name": "Trace_ELBO", "function": loss_by_hand}


@pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES)
def test_every_kind_of_loss_reaches_the_exact_posterior(loss):
    svi = SVI(model, guide, optim.ClippedAdam({"lr": 0.05, "lrd": 0.996}), loss)
    for _ in range(1500):
        svi.step(DATA)
    precision = 1.0 + len(DATA)
    assert ppl.param("m").item() == pytest.approx(DATA.sum().item() / precision, abs=0.02)
    assert ppl.param("s").item() == pytest.approx(1 / math.sqrt(precision), abs=0.02)


def test_a_step_moves_the_parameters_and_an_evaluation_does_not():
    svi = SVI(model, guide, optim.Adam({"lr": 0.1}), Trace_ELBO())
    assert isinstance(svi.step(DATA), float)
    moved = ppl.param("m").item()
    assert moved != 0.0
    assert isinstance(svi.evaluate_loss(DATA), float)
    assert ppl.param("m").item() == moved


def test_gradients_are_zero_after_a_step():
    SVI(model, guide, optim.Adam({"lr": 0.1}), Trace_ELBO()).step(DATA)
    assert all((p.grad == 0).all() for _, p in ppl.get_param_store().named_parameters())


def test_a_seed_makes_a_fit_reproducible():
    def fit():
        ppl.set_rng_seed(7)
        ppl.clear_param_store()
        svi = SVI(model, guide, optim.Adam({"lr": 0.1}), Trace_ELBO())
        return [svi.step(DATA) for _ in range(5)]

    assert fit() == fit()


def test_options_go_to_a_loss_given_by_name():
    svi = SVI(model, guide, optim.Adam({"lr": 0.1}), loss="Trace_ELBO", num_particles=3)
    assert svi.loss.__self__.num_particles == 3


def test_parameters_that_appear_later_are_optimized_from_then_on():
    def growing_guide(data, late=False):
        loc = ppl.param("m", torch.tensor(0.0))
        ppl.sample(
            "z", dist.Normal(loc + (ppl.param("late", torch.tensor(0.0)) if late else 0.0), 1.0)
        )

    def any_model(data, late=False):
        model(data)

    svi = SVI(any_model, growing_guide, optim.Adam({"lr": 0.1}), Trace_ELBO())
    svi.step(DATA)
    svi.step(DATA, late=True)
    assert ppl.param("late").item() != 0.0


def test_parameters_of_the_model_are_learned_too():
    def learned(data):
        scale = ppl.param("scale", torch.tensor(5.0), constraint=constraints.positive)
        with ppl.plate("data", len(data)):
            ppl.sample("x", dist.Normal(0.0, scale), obs=data)

    svi = SVI(learned, lambda data: None, optim.Adam({"lr": 0.05}), Trace_ELBO())
    for _ in range(800):
        svi.step(DATA)
    assert ppl.param("scale").item() == pytest.approx(DATA.pow(2).mean().sqrt().item(), rel=1e-3)


def test_an_unknown_name_offers_the_nearest():
    with pytest.raises(UnknownPluginError, match="did you mean 'Trace_ELBO'"):
        SVI(model, guide, optim.Adam({"lr": 0.1}), loss="Trace_ELB")


def test_an_optimizer_of_torch_is_refused_with_what_to_use():
    with pytest.raises(SiteError, match="ppl.optim"):
        SVI(model, guide, torch.optim.Adam([torch.zeros(1, requires_grad=True)]), Trace_ELBO())


@pytest.mark.parametrize("loss", [3, None])
def test_a_loss_that_is_none_is_refused(loss):
    with pytest.raises(SiteError, match="loss"):
        SVI(model, guide, optim.Adam({"lr": 0.1}), loss)


def test_options_without_a_name_are_refused():
    with pytest.raises(SiteError, match="num_particles"):
        SVI(model, guide, optim.Adam({"lr": 0.1}), Trace_ELBO(), num_particles=3)


ADAM = optim.Adam({"lr": 0.1})


@pytest.mark.parametrize(
    "arguments, match",
    [
        ((model, ADAM, guide, Trace_ELBO()), "the guide must be.*the order is"),
        ((ADAM, guide, model, Trace_ELBO()), "the model must be.*the order is"),
        ((model, guide, Trace_ELBO(), ADAM), "optim must be.*the order is"),
        ((model, guide, ADAM, ADAM), "loss must be.*the order is"),
        ((model, Trace_ELBO, ADAM, Trace_ELBO()), "the guide must be.*the order is"),
        ((model, ppl.nn.PyroModule, ADAM, Trace_ELBO()), r"instance of it: PyroModule\(model\)"),
        ((model, guide, optim.Adam, Trace_ELBO()), r"Adam\(lr=0.01\)"),
        ((model, guide, torch.optim.Adam, Trace_ELBO()), r"Adam\(lr=0.01\)"),
    ],
)
def test_arguments_in_the_wrong_place_are_refused_with_what_to_write(arguments, match):
    with pytest.raises(SiteError, match=match):
        SVI(*arguments)


def test_the_class_of_a_loss_stands_for_the_loss():
    svi = SVI(model, guide, optim.Adam(lr=0.1), Trace_ELBO, num_particles=2)
    assert repr(svi) == (
        "SVI(model=model, guide=guide, optim=Adam({'lr': 0.1}), loss=Trace_ELBO(num_particles=2))"
    )
    svi.step(DATA)


@pytest.mark.parametrize("loss", [Trace_ELBO(), loss_by_hand], ids=["object", "function"])
def test_a_copy_continues_as_the_original_does(loss):
    svi = SVI(model, guide, optim.Adam({"lr": 0.1}), loss)
    svi.step(DATA)
    params, twin = ppl.get_param_store().get_state(), pickle.loads(pickle.dumps(svi))

    def go_on(fit):
        ppl.get_param_store().set_state(params)
        ppl.set_rng_seed(3)
        return [fit.step(DATA) for _ in range(3)]

    state = copy.deepcopy(svi.optim)
    expected = go_on(SVI(model, guide, state, loss))
    assert go_on(twin) == expected


def test_run_takes_steps_and_draws_traces_at_the_guide():
    def make(*old):
        ppl.clear_param_store()
        ppl.set_rng_seed(0)
        return SVI(model, guide, optim.Adam({"lr": 0.1}), Trace_ELBO(), *old)

    with pytest.warns(FutureWarning, match="num_samples and num_steps of SVI are deprecated"):
        svi = make(None, 4, 3)
    with pytest.warns(FutureWarning, match="SVI.run is deprecated"):
        assert svi.run(DATA) is svi
    by_run = ppl.param("m").item()
    assert [len(svi.exec_traces), len(svi.log_weights)] == [4, 4]
    assert len({trace.nodes["z"]["value"].item() for trace in svi.exec_traces}) == 4
    by_steps = make()
    for _ in range(3):
        by_steps.step(DATA)
    assert ppl.param("m").item() == by_run


@pytest.mark.parametrize("call", [ELBO(2, True, False), ELBO(2, trace_graph=True)], ids=repr)
def test_the_front_door_takes_the_order_of_its_first_version_too(call):
    assert (call.num_particles, call.trace_graph, call.enum_discrete) == (2, True, False)
    assert call.max_plate_nesting == math.inf
    assert ELBO(2, 1).max_plate_nesting == 1
    assert type(call._estimator()).__name__ == "TraceGraph_ELBO"


def observing(y=torch.ones(3)):
    with ppl.plate("rows", 3):
        ppl.sample("y", dist.Normal(ppl.sample("z", dist.Normal(0.0, 1.0)), 1.0), obs=y)


def drawing(y=None):
    with ppl.plate("rows", 3):
        ppl.sample("z", dist.Normal(ppl.param("m", torch.zeros(3)), 1.0))


@pytest.mark.parametrize(
    "loss", [Trace_ELBO, ppl.infer.TraceGraph_ELBO, ppl.infer.TraceMeanField_ELBO]
)
def test_data_in_the_guide_and_none_in_the_model_are_in_each_others_place(loss):
    with pytest.raises(SiteError, match=r"the guide observes \['y'\] and the model nothing"):
        SVI(drawing, observing, optim.Adam({"lr": 0.1}), loss()).step()


@pytest.mark.parametrize("guide_class", ["AutoNormal", "AutoDelta", "AutoMultivariateNormal"])
def test_a_guide_is_no_model_of_the_model_it_is_made_from(guide_class):
    made = getattr(ppl.infer.autoguide, guide_class)(observing)
    with pytest.raises(SiteError, match="the order is"):
        SVI(made, observing, optim.Adam({"lr": 0.1}), Trace_ELBO())


@pytest.mark.parametrize("bad", [math.inf, -math.inf, math.nan])
@pytest.mark.parametrize("loss", ["Trace_ELBO", "TraceGraph_ELBO", "TraceMeanField_ELBO"])
def test_data_that_are_not_finite_are_refused_before_the_first_step(bad, loss):
    start = ppl.param("m", torch.zeros(3)).clone()
    svi = SVI(observing, drawing, optim.Adam({"lr": 0.1}), getattr(ppl.infer, loss)())
    with pytest.raises(ValueError, match=r"(?s)site 'y'.*1 of 3 values.*first at index \[1\]"):
        svi.step(torch.tensor([0.0, bad, 1.0]))
    assert torch.equal(ppl.param("m"), start)


def test_data_that_a_mask_hides_may_be_infinite():
    def masked(y):
        with ppl.poutine.mask(mask=y.isfinite()):
            observing(y)

    svi = SVI(masked, drawing, optim.Adam({"lr": 0.1}), Trace_ELBO())
    assert math.isfinite(svi.step(torch.tensor([0.0, math.inf, 1.0])))


def test_a_guide_below_the_support_of_the_model_is_told_at_the_site_of_the_model():
    def model():
        ppl.sample("rate", dist.HalfNormal(1.0))

    def guide():
        ppl.sample("rate", dist.Normal(ppl.param("loc", torch.tensor(-3.0)), 1e-3))

    with pytest.raises(SupportError, match=r"'rate'.*HalfNormal") as error:
        SVI(model, guide, optim.Adam({"lr": 0.1}), Trace_ELBO()).step()
    assert "-3.0" in str(error.value) or "-2.99" in str(error.value)
    assert 'ppl.sample("rate", dist.HalfNormal(1.0))' in str(
        error.value
    )  # the line, not the guide's
