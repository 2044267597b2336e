"""The whole text that a user reads about the commonest mistakes, under the tracing of inference."""

import inspect
import math
import pickle

import pytest
import torch
from torch.distributions import constraints

import ppl.errors as errors
import ppl.poutine as poutine
from ppl.poutine.program_errors import require_program
from ppl.poutine.site_lines import line_of_site
from ppl.primitives import factor, param, plate, sample
from ppl.validation import validation_enabled

from .distribution.families import Bernoulli, Gamma, MultivariateNormal, Normal

GOLDEN = {}


@pytest.fixture(autouse=True)
def _validation():
    with validation_enabled():
        yield


def answered(error, message):
    """Collect a program with its error; {here} in the message is the line marked so."""

    def collect(program):
        GOLDEN[program] = error, inspect.cleandoc(message).replace(" \\\n", " ")
        return program

    return collect


def here(program):
    lines, first = inspect.getsourcelines(program)
    [found] = [i for i, line in enumerate(lines) if line.rstrip().endswith("# here")]
    return f"{inspect.getsourcefile(program)}:{first + found}: {lines[found].strip()}"


def score(program):
    """Run a program as inference does."""
    with torch.no_grad():
        poutine.trace(program).get_trace().compute_log_prob()


@answered(
    errors.ShapeError,
    r"""
    site 'weights': its distribution has batch_shape (3,), but plate 'data' needs size 10 at \
    dim -1; declare event dimensions with .to_event(n), or correct the plate's size or dim
    at {here}
    Trace Shapes:
    data     dist  | 10
            value  | 10
    """,
)
def forgotten_to_event():
    with plate("data", 10):
        sample("weights", Normal(torch.zeros(3), 1.0))  # here


@answered(
    errors.ShapeError,
    r"""
    site 'x': its distribution has batch_shape (5,), but plate 'data' needs size 4 at dim -1; \
    declare event dimensions with .to_event(n), or correct the plate's size or dim
    at {here}
    Trace Shapes:
    data     dist  | 4
            value  | 4
    """,
)
def plate_of_the_wrong_size():
    with plate("data", 4):
        sample("x", Normal(torch.zeros(5), 1.0), obs=torch.zeros(5))  # here


@answered(
    errors.ShapeError,
    r"""
    site 'x': the log density of a value of shape (4,) under Normal(loc: torch.Size([3]), \
    scale: torch.Size([3])) cannot be computed: Value is not broadcastable with \
    batch_shape+event_shape: torch.Size([4]) vs torch.Size([3]).
    the observation must broadcast with batch_shape (3,) + event_shape (); correct its shape, \
    the size of the plate, or the event dimensions with .to_event(n)
    plates: 'data' (size 3, dim -1)
    at {here}
    Trace Shapes:
    data     dist   | 3
            value   | 3
         log_prob   |
       x     dist 3 |
            value 4 |
    """,
)
def data_longer_than_the_plate():
    with plate("data", 3):
        sample("x", Normal(0.0, 1.0), obs=torch.zeros(4))  # here


@answered(
    errors.ShapeError,
    r"""
    site 'x': the log density of a value of shape (4,) under Independent(Normal(loc: \
    torch.Size([3]), scale: torch.Size([3])), 1) cannot be computed: Value is not \
    broadcastable with batch_shape+event_shape: torch.Size([4]) vs torch.Size([3]).
    the observation must broadcast with batch_shape () + event_shape (3,); correct its shape, \
    the size of the plate, or the event dimensions with .to_event(n)
    at {here}
    Trace Shapes:
    x     dist  | 3
         value  | 4
    """,
)
def events_of_the_wrong_length():
    sample("x", Normal(torch.zeros(3), 1.0).to_event(1), obs=torch.zeros(4))  # here


@answered(
    errors.SubsampleError,
    r"""
    site 'x': the log density of a value of shape (10,) under Normal(loc: torch.Size([4]), \
    scale: torch.Size([4])) cannot be computed: Value is not broadcastable with \
    batch_shape+event_shape: torch.Size([10]) vs torch.Size([4]).
    the plate uses 4 of its 10 elements: take these from the data too, with plate('data', ...) \
    as index: data[index]
    plates: 'data' (size 4, dim -1)
    at {here}
    Trace Shapes:
    data     dist    | 4
            value    | 4
         log_prob    |
       x     dist  4 |
            value 10 |
    """,
)
def data_not_subsampled():
    with plate("data", 10, subsample_size=4):
        sample("x", Normal(0.0, 1.0), obs=torch.zeros(10))  # here


@answered(
    errors.SubsampleError,
    r"""
    site 'x': its distribution has batch_shape (10,), but plate 'data' needs size 4 at dim -1; \
    the plate uses 4 of its 10 elements: take these from the data too, with plate('data', ...) \
    as index: data[index]
    at {here}
    Trace Shapes:
    data     dist  | 4
            value  | 4
    """,
)
def parameters_not_subsampled():
    with plate("data", 10, subsample_size=4):
        sample("x", Normal(torch.zeros(10), 1.0))  # here


@answered(
    errors.PlateError,
    r"""
    param 'locs' has shape (4,) with event_dim=0, but plate 'data' needs size 10 at dim -1; \
    pass the full-size tensor
    at {here}
    Trace Shapes:
    data     dist  | 4
            value  | 4
    locs    param  | 4
    """,
)
def parameter_of_the_wrong_size_in_a_plate():
    with plate("data", 10, subsample_size=4):
        param("locs", torch.zeros(4), event_dim=0)  # here


@answered(
    errors.DuplicateSiteError,
    r"""
    there are two sample sites named 'x'; site names must be unique within one execution: \
    number them inside a loop, as in f'x_{i}', or use a plate
    at {here}
    Trace Shapes:
    x     dist  |
         value  |
    """,
)
def one_name_in_a_loop():
    for _ in range(2):
        sample("x", Normal(0.0, 1.0))  # here


@answered(
    errors.DuplicateSiteError,
    r"""
    there are two sample sites named 'data'; site names must be unique within one execution: \
    make the plate once, before the loop, and enter it as often as needed
    at {here}
    Trace Shapes:
    data     dist   | 3
            value   | 3
      x0     dist 3 |
            value 3 |
    """,
)
def one_plate_name_in_a_loop():
    for i in range(2):
        with plate("data", 3):  # here
            sample(f"x{i}", Normal(0.0, 1.0))


@answered(
    errors.DuplicateSiteError,
    r"""
    'x' is a sample site already and cannot be a param site too; rename one of them
    at {here}
    Trace Shapes:
    x     dist  |
         value  |
    """,
)
def parameter_with_the_name_of_a_site():
    sample("x", Normal(0.0, 1.0))
    param("x", torch.tensor(1.0))  # here


@answered(
    errors.PlateError,
    r"""
    plate 'columns': dim -1 is taken by the enclosing plate 'rows'; choose another dim, or \
    leave it out
    at {here}
    Trace Shapes:
       rows     dist  | 3
               value  | 3
    columns     dist  | 2
               value  | 2
    """,
)
def plates_at_one_dim():
    with plate("rows", 3, dim=-1), plate("columns", 2, dim=-1):  # here
        sample("x", Normal(0.0, 1.0))


@answered(
    errors.PlateError,
    r"""
    plate 'rows' is already active: it cannot be nested in itself; make a second plate with a \
    name of its own
    at {here}
    Trace Shapes:
    rows     dist  | 3
            value  | 3
    """,
)
def plate_inside_itself():
    rows = plate("rows", 3)
    with rows, rows:  # here
        sample("x", Normal(0.0, 1.0))


@answered(
    errors.PlateError,
    r"""
    plate 'steps' is sequential in a for loop and has no dim there, got dim -1; leave dim out, \
    or use the plate in a with statement
    at {here}
    Trace Shapes:
    steps     dist  | 3
             value  | 3
    """,
)
def loop_with_a_dim():
    for i in plate("steps", 3, dim=-1):  # here
        sample(f"x{i}", Normal(0.0, 1.0))


@answered(
    errors.PlateError,
    r"""
    plate 'data': dim must be negative (counted from the right), got 1
    at {here}
    Trace Shapes: no sites yet
    """,
)
def positive_dim():
    with plate("data", 3, dim=1):  # here
        sample("x", Normal(0.0, 1.0))


@answered(
    errors.PlateError,
    r"""
    plate 'data': size must be the number of its elements, 0 or more, got -1; for data of unknown \
    number leave it out
    at {here}
    Trace Shapes: no sites yet
    """,
)
def plate_of_negative_size():
    with plate("data", -1):  # here
        sample("x", Normal(0.0, 1.0))


@answered(
    errors.SupportError,
    r"""
    site 'time': the log density of a value of shape () under Gamma(concentration: 1.0, rate: \
    1.0) cannot be computed: Expected value argument (Tensor of shape ()) to be within the \
    support (GreaterThanEq(lower_bound=0.0)) of the distribution Gamma(concentration: 1.0, \
    rate: 1.0), but found invalid values:
    -2.0
    correct the observation, which has values in [-2, -2], or choose a distribution with a \
    support other than GreaterThanEq(lower_bound=0.0)
    at {here}
    Trace Shapes:
    time     dist  |
            value  |
    """,
)
def negative_waiting_time():
    sample("time", Gamma(1.0, 1.0), obs=torch.tensor(-2.0))  # here


@answered(
    errors.SupportError,
    r"""
    site 'coin': the log density of a value of shape (3,) under Bernoulli(probs: \
    torch.Size([3])) cannot be computed: Expected value argument (Tensor of shape (3,)) to be \
    within the support (Boolean()) of the distribution Bernoulli(probs: torch.Size([3])), but \
    found invalid values:
    tensor([0., 1., 2.])
    correct the observation, which has values in [0, 2], or choose a distribution with a \
    support other than Boolean()
    plates: 'tosses' (size 3, dim -1)
    at {here}
    Trace Shapes:
    tosses     dist   | 3
              value   | 3
           log_prob   |
      coin     dist 3 |
              value 3 |
    """,
)
def outcome_two_of_a_coin():
    with plate("tosses", 3):
        sample("coin", Bernoulli(0.5), obs=torch.tensor([0.0, 1.0, 2.0]))  # here


@answered(
    errors.SiteError,
    r"""
    site 'x': expected a tensor, a number, or a list or an array of numbers, got 'one'
    at {here}
    Trace Shapes: no sites yet
    """,
)
def observation_that_is_no_number():
    sample("x", Normal(0.0, 1.0), obs="one")  # here


@answered(
    errors.SiteError,
    r"""
    site 'x': expected a distribution or a callable, got 3.0
    at {here}
    Trace Shapes: no sites yet
    """,
)
def number_in_the_place_of_a_distribution():
    sample("x", 3.0)  # here


@answered(
    errors.SiteError,
    r"""
    site 'x': <built-in function abs> is no distribution: it has no log_prob, so the site has \
    no density; give sample a distribution, or hide the site from inference with poutine.block
    at {here}
    Trace Shapes:
    x     dist  |
         value  |
    """,
)
def function_that_is_scored():
    sample("x", abs, -1.0)  # here


@answered(
    errors.SupportError,
    r"""
    parameter 'scale': the value must fulfil GreaterThan(lower_bound=0.0), got -1.0
    at {here}
    Trace Shapes: no sites yet
    """,
)
def negative_initial_value():
    param("scale", torch.tensor(-1.0), constraints.positive)  # here


@answered(
    errors.MissingSiteError,
    r"""
    there is no parameter 'scael'; did you mean 'scale'?; give its first param statement an \
    initial value
    at {here}
    Trace Shapes:
    scale    param  |
    """,
)
def parameter_without_initial_value():
    param("scale", torch.tensor(1.0))
    param("scael")  # here


@answered(
    ValueError,
    r"""
    Expected parameter loc (Tensor of shape ()) of distribution Normal(loc: nan, scale: 1.0) \
    to satisfy the constraint Real(), but found invalid values:
    nan
    if it is a parameter: declare it with a constraint; if it became nan: take a smaller \
    learning rate, or look for the first density or gradient that is not finite
    at {here}
    Trace Shapes: no sites yet
    """,
)
def parameter_that_became_nan():
    sample("x", Normal(torch.tensor(math.nan), 1.0))  # here


@answered(
    errors.NotFiniteError,
    r"""
    site 'penalty': the log factor is nan; look for a log of a negative number, or infinity \
    minus infinity
    at {here}
    Trace Shapes: no sites yet
    """,
)
def factor_that_is_nan():
    factor("penalty", torch.tensor(-1.0).log())  # here


@answered(
    ValueError,
    r"""
    Expected parameter covariance_matrix (Tensor of shape (2, 2)) of distribution \
    MultivariateNormal(loc: torch.Size([2]), covariance_matrix: torch.Size([2, 2])) to satisfy \
    the constraint PositiveDefinite(), but found invalid values:
    tensor([[1., 1.],
            [1., 1.]])
    add a small positive number to the diagonal of the matrix, or use float64
    at {here}
    Trace Shapes: no sites yet
    """,
)
def covariance_that_is_none():
    sample("x", MultivariateNormal(torch.zeros(2), torch.ones(2, 2)))  # here


@answered(
    torch.linalg.LinAlgError,
    r"""
    linalg.cholesky: The factorization could not be completed because the input is not \
    positive-definite (the leading minor of order 1 is not positive-definite).
    add a small positive number to the diagonal of the matrix, or use float64
    at {here}
    Trace Shapes:
    x     dist  |
         value  |
    """,
)
def factorization_that_fails():
    x = sample("x", Normal(0.0, 1.0))
    torch.linalg.cholesky(-x.exp().reshape(1, 1))  # here


@answered(
    RuntimeError,
    r"""
    size mismatch, got input (4), mat (4x2), vec (3)
    at {here}
    Trace Shapes:
    z     dist  | 3
         value  | 3
    """,
)
def mistake_in_the_algebra():
    z = sample("z", Normal(torch.zeros(3), 1.0).to_event(1))
    sample("y", Normal(torch.ones(4, 2) @ z, 1.0))  # here


OBSERVED = poutine.trace(lambda: sample("z", Normal(0.0, 1.0), obs=torch.tensor(0.0))).get_trace()


@answered(
    errors.SiteError,
    r"""
    site 'z': the trace to replay has it as observed, but a latent sample site is needed; \
    rename the site, or remove obs= from the guide
    at {here}
    Trace Shapes: no sites yet
    """,
)
def model_of_a_guide_that_observes():
    with poutine.replay(trace=OBSERVED):
        sample("z", Normal(0.0, 1.0))  # here


@pytest.mark.parametrize("program", GOLDEN, ids=lambda program: program.__name__)
def test_a_common_mistake_is_answered_in_full(program):
    error, message = GOLDEN[program]
    with pytest.raises(error) as caught:
        score(program)
    assert str(caught.value) == message.replace("{here}", here(program))


def test_a_message_is_the_same_however_deep_the_handlers_are():
    error, message = GOLDEN[one_name_in_a_loop]
    nested = poutine.scale(poutine.trace(poutine.mask(one_name_in_a_loop, mask=True)), scale=2.0)
    with pytest.raises(error) as caught:
        score(nested)
    assert str(caught.value) == message.replace("{here}", here(one_name_in_a_loop))


@pytest.mark.parametrize("program", GOLDEN, ids=lambda program: program.__name__)
def test_errors_of_ours_carry_the_name_that_the_message_begins_with(program):
    with pytest.raises(GOLDEN[program][0]) as caught:
        score(program)
    if isinstance(caught.value, errors.PPLError):
        assert repr(caught.value.site) in str(caught.value).partition("\n")[0]


def turns_by_chance(data):
    torch.randn(3)
    turn = sample("turn", Normal(0.0, 1.0))
    if turn > 0:
        sample("up", Gamma(1.0, 1.0), obs=data)  # here
    else:
        sample("down", Gamma(1.0, 1.0), obs=data)
    if len(calls) > 1:
        raise AssertionError("the search for a line goes no further than the site")
    calls.append(1)


calls = []


@pytest.mark.parametrize("rng_seed", range(5))
def test_the_line_of_a_site_is_found_by_running_up_to_it_at_the_values_of_the_trace(rng_seed):
    calls.clear()
    trace = poutine.trace(turns_by_chance).get_trace(torch.tensor(-1.0))
    trace.nodes["turn"]["value"] = torch.tensor(1.0)  # whichever way it has gone
    torch.manual_seed(rng_seed)
    before = torch.get_rng_state()
    with poutine.trace() as around:
        assert here(turns_by_chance).startswith(f"{line_of_site(trace, 'up')}: ")
    assert not around.trace.nodes
    assert torch.equal(before, torch.get_rng_state())


def scale_of(x):
    return Normal(0.0, -x.exp())  # here


def test_the_line_of_an_error_is_the_innermost_one_of_the_user():
    def program():
        sample("y", scale_of(sample("x", Normal(0.0, 1.0))))

    with pytest.raises(ValueError, match="Expected parameter scale") as caught:
        score(program)
    assert f"at {here(scale_of)}\n" in str(caught.value)


def fails_when_run_again():
    runs.append(1)
    assert len(runs) < 2
    sample("x", Normal(0.0, 1.0), obs=torch.zeros(2, 0))


runs = []


def test_a_program_that_cannot_run_twice_has_no_line_but_its_message():
    trace = poutine.trace(fails_when_run_again).get_trace()
    assert line_of_site(trace, "x") is None


def test_no_line_is_looked_for_when_validation_is_off():
    runs.clear()
    with validation_enabled(False):
        trace = poutine.trace(fails_when_run_again).get_trace()
        trace.nodes["x"]["value"] = "no tensor"
        with pytest.raises(errors.SiteError):
            trace.compute_log_prob()
    assert len(runs) == 1


def test_a_trace_forgets_its_program_when_it_is_pickled_and_not_when_it_is_copied():
    trace = poutine.trace(lambda: sample("x", Normal(0.0, 1.0))).get_trace()
    assert pickle.loads(pickle.dumps(trace)).program is None
    assert trace.copy().program is trace.program


class Misspelt(Normal):
    def log_prob(self, value):
        return self.lco


def test_a_mistake_inside_log_prob_names_the_site():
    trace = poutine.trace(lambda: sample("x", Misspelt(0.0, 1.0))).get_trace()
    with pytest.raises(errors.SiteError, match="site 'x': .*has no attribute 'lco'"):
        trace.log_prob_sum()


@pytest.mark.parametrize("program", [None, torch.tensor(1.0)])
def test_the_result_of_a_model_is_no_model(program):
    with pytest.raises(errors.SiteError, match="the guide must be .* guide instead of guide()"):
        require_program("guide", program)


def test_a_handler_says_that_it_wants_the_model_itself():
    with pytest.raises(ValueError, match="pass the model itself, not what it returns"):
        poutine.trace(torch.tensor(1.0))
