"""What a user reads when a model fails: who, expected, got, what to do."""

import inspect
import pickle
import warnings

import pytest
import torch
from torch.distributions import constraints

import ppl.errors as errors
import ppl.poutine as poutine
from ppl.errors import PPLError, PPLWarning
from ppl.primitives import param, plate, sample
from ppl.validation import validation_enabled

from .distribution.families import Bernoulli, Gamma, Normal

ALL = [cls for _, cls in inspect.getmembers(errors, inspect.isclass) if issubclass(cls, Exception)]


@pytest.mark.parametrize("cls", [c for c in ALL if issubclass(c, PPLError) and c is not PPLError])
def test_every_error_is_ours_and_a_builtin_too(cls):
    builtin = [base for base in cls.__mro__ if base.__module__ == "builtins"]
    expected = {
        ValueError, RuntimeError, KeyError, LookupError, ImportError, NotImplementedError,
        AttributeError,
    }  # fmt: skip
    assert any(issubclass(builtin[0], base) for base in expected)


@pytest.mark.parametrize("cls", ALL)
def test_errors_show_their_message_and_can_be_pickled(cls):
    error = pickle.loads(pickle.dumps(cls("site 'x': a 'quoted' word")))
    assert str(error) == "site 'x': a 'quoted' word"
    assert type(error) is cls


def test_a_missing_site_error_needs_no_message():
    assert str(errors.MissingSiteError()) == ""


# the commonest mistakes, each a program and what it is answered


def missing_to_event():
    with plate("data", 10):
        sample("weights", Normal(torch.zeros(3), 1.0))


def wrong_plate_size():
    with plate("data", 4):
        sample("x", Normal(torch.zeros(5), 1.0), obs=torch.zeros(5))


def duplicate_site():
    for _ in range(2):
        sample("x", Normal(0.0, 1.0))


def param_named_like_a_site():
    sample("x", Normal(0.0, 1.0))
    param("x", torch.tensor(1.0))


def wrong_observed_shape():
    sample("x", Normal(torch.zeros(3), 1.0), obs=torch.zeros(4))


def value_outside_support():
    sample("rate", Gamma(1.0, 1.0), obs=torch.tensor(-2.0))


def no_distribution():
    sample("x", 3.0)


def param_without_initial_value():
    param("scale")


def param_outside_constraint():
    param("scale", torch.tensor(-1.0), constraints.positive)


def replayed_observation():
    guide = poutine.trace(lambda: sample("z", Normal(0.0, 1.0), obs=torch.tensor(0.0)))
    poutine.replay(lambda: sample("z", Normal(0.0, 1.0)), trace=guide.get_trace())()


def colliding_dims():
    with plate("rows", 3), plate("columns", 2, dim=-1):
        sample("x", Normal(0.0, 1.0))


def colliding_dims_at_a_site():
    rows, columns = plate("rows", 3, dim=-1), plate("columns", 2, dim=-1)
    frames = [p._frame() for p in (rows, columns)]
    with poutine.trace(), rows, Frames(frames[1:]):
        sample("x", Normal(0.0, 1.0))


class Frames(poutine.messenger.Messenger):
    """Puts plates on a site, as the handlers of others may do."""

    def __init__(self, frames):
        self.frames = frames

    def _pyro_sample(self, msg):
        msg["cond_indep_stack"] = (*self.frames, *msg["cond_indep_stack"])


GOLDEN = {
    missing_to_event: (
        errors.ShapeError,
        "site 'weights': its distribution has batch_shape (3,), but plate 'data' needs size 10 at "
        "dim -1; declare event dimensions with .to_event(n), or correct the plate's size or dim",
    ),
    wrong_plate_size: (
        errors.ShapeError,
        "site 'x': its distribution has batch_shape (5,), but plate 'data' needs size 4 at dim -1; "
        "declare event dimensions with .to_event(n), or correct the plate's size or dim",
    ),
    duplicate_site: (
        errors.DuplicateSiteError,
        "there are two sample sites named 'x'; site names must be unique within one execution: "
        "number them inside a loop, as in f'x_{i}', or use a plate",
    ),
    param_named_like_a_site: (
        errors.DuplicateSiteError,
        "'x' is a sample site already and cannot be a param site too; rename one of them",
    ),
    wrong_observed_shape: (
        errors.ShapeError,
        "site 'x': the log density of a value of shape (4,) under Normal(loc: torch.Size([3]), "
        "scale: torch.Size([3])) cannot be computed: ",
    ),
    value_outside_support: (
        errors.SupportError,
        "site 'rate': the log density of a value of shape () under Gamma(concentration: 1.0, "
        "rate: 1.0) cannot be computed: ",
    ),
    no_distribution: (
        errors.SiteError,
        "site 'x': expected a distribution or a callable, got 3.0",
    ),
    param_without_initial_value: (
        errors.MissingSiteError,
        "there is no parameter 'scale'; give its first param statement an initial value",
    ),
    param_outside_constraint: (
        errors.SupportError,
        "parameter 'scale': the value must fulfil GreaterThan(lower_bound=0.0), got -1.0",
    ),
    replayed_observation: (
        errors.SiteError,
        "site 'z': the trace to replay has it as observed, but a latent sample site is needed; "
        "rename the site, or remove obs= from the guide",
    ),
    colliding_dims: (
        errors.PlateError,
        "plate 'columns': dim -1 is taken by the enclosing plate 'rows'; choose another dim, or "
        "leave it out",
    ),
    colliding_dims_at_a_site: (
        errors.PlateError,
        "site 'x': plates 'rows' and 'columns' share dim -1; give them different dims, or leave "
        "dim out",
    ),
}


@pytest.mark.parametrize(
    ("program", "error", "message"),
    [(program, *golden) for program, golden in GOLDEN.items()],
    ids=[program.__name__ for program in GOLDEN],
)
def test_a_common_mistake_is_answered_with_site_shapes_and_cure(program, error, message):
    with pytest.raises(error) as caught:
        poutine.trace(program).get_trace().log_prob_sum()
    assert str(caught.value).startswith(message)
    assert isinstance(caught.value, PPLError)


@pytest.mark.parametrize("program", [missing_to_event, duplicate_site], ids=lambda p: p.__name__)
def test_an_error_inside_a_model_ends_with_the_shapes_so_far_once(program):
    with pytest.raises(PPLError) as caught:
        poutine.trace(poutine.trace(program)).get_trace()
    assert str(caught.value).count("Trace Shapes:") == 1


def test_an_error_of_the_user_keeps_its_type_and_arguments():
    def program():
        raise ValueError("mine", 3)

    with pytest.raises(ValueError, match="mine") as caught:
        poutine.trace(program).get_trace()
    assert caught.value.args == ("mine", 3)


def test_a_value_outside_the_support_is_not_checked_when_validation_is_off():
    with validation_enabled(False):
        trace = poutine.trace(value_outside_support).get_trace()
        assert trace.log_prob_sum() == 2.0  # the formula of the density, taken at its word


# warnings


def this_line():
    return inspect.currentframe().f_back.f_lineno


class Constant(Normal):
    """Has the same log density everywhere."""

    def log_prob(self, value):
        return self.loc


@pytest.mark.parametrize(
    ("log_prob", "message"),
    [(float("nan"), "site 'x': the log density is nan"), (float("inf"), r"'x': .* is \+inf")],
)
def test_a_density_that_is_not_finite_warns_at_the_line_of_the_user(log_prob, message):
    def program():
        sample("x", Constant(log_prob, 1.0, validate_args=False), obs=torch.tensor(0.0))

    trace = poutine.trace(program).get_trace()
    with pytest.warns(PPLWarning, match=message) as caught:
        trace.log_prob_sum()
    assert (caught[0].filename, caught[0].lineno) == (__file__, this_line() - 1)


def test_a_density_of_minus_infinity_is_no_reason_to_warn():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with poutine.trace() as traced:
            sample("x", Bernoulli(torch.tensor(0.0)), obs=torch.tensor(1.0))
        assert traced.trace.log_prob_sum() < -10


def test_no_warning_when_validation_is_off():
    with warnings.catch_warnings(), validation_enabled(False):
        warnings.simplefilter("error")
        with poutine.trace() as traced:
            sample("x", Normal(float("nan"), 1.0), obs=torch.tensor(0.0))
        assert torch.isnan(traced.trace.log_prob_sum())


def test_a_warning_from_deep_inside_points_at_the_line_of_the_user():
    @poutine.trace
    @poutine.scale(scale=2.0)
    def program():
        errors.warn("look here")

    with pytest.warns(PPLWarning, match="look here") as caught:
        program()
    assert caught[0].filename == __file__


def test_warnings_are_of_the_category_asked_for():
    with pytest.warns(RuntimeWarning, match="look here"):
        errors.warn("look here", RuntimeWarning)
