"""A recorded program is what the handlers did, without the handlers."""

import pytest
import torch
from torch.func import grad, grad_and_value, vmap
from torch.testing import assert_close

import ppl.poutine as poutine
from ppl.engine import CaptureError, agree, fail_with_nan, is_recording, record
from ppl.primitives import factor, param, plate, sample
from ppl.validation import is_validation_enabled, validation_enabled

from .distribution.families import Gamma, Normal

Y = torch.tensor([28.0, 8.0, -3.0, 7.0], dtype=torch.float64)
SIGMA = torch.tensor([15.0, 10.0, 16.0, 11.0], dtype=torch.float64)


def schools():
    zero = Y.new_zeros(())
    mu = sample("mu", Normal(zero, 5.0))
    tau = sample("tau", Gamma(zero + 2.0, 1.0))
    with plate("schools", len(Y)):
        theta = sample("theta", Normal(mu, tau))
        with poutine.scale(scale=0.5), poutine.mask(mask=torch.tensor([True, True, False, True])):
            sample("y", Normal(theta, SIGMA), obs=Y)
    factor("prior", -(tau**2))


def potential(z):
    values = {"mu": z[0], "tau": z[1].exp(), "theta": z[2:]}
    with validation_enabled(False):
        trace = poutine.trace(poutine.substitute(schools, data=values)).get_trace()
        return -trace.log_prob_sum()


def points(*shape):
    return torch.randn(*shape, 6, generator=torch.Generator().manual_seed(7), dtype=torch.float64)


TRANSFORMED = {
    "value": (potential, ()),
    "grad": (grad(potential), ()),
    "grad_and_value": (grad_and_value(potential), ()),
    "vmap": (vmap(potential), (3,)),
    "vmap of grad_and_value": (vmap(grad_and_value(potential)), (3,)),
    "conditioned": (lambda z: conditioned(z), ()),
}


def conditioned(z):
    values = {"mu": z[0], "tau": z[1].exp(), "theta": z[2:]}
    return poutine.trace(poutine.condition(schools, data=values)).get_trace().log_prob_sum()


every_program = pytest.mark.parametrize(("fn", "shape"), TRANSFORMED.values(), ids=TRANSFORMED)


@every_program
def test_a_recording_equals_the_handlers_at_new_points(fn, shape):
    with validation_enabled(False):
        program = record(fn, points(*shape))
        for scale in (0.1, 1.0, 3.0):
            z = scale * points(*shape).flip(-1)
            assert_close(program(z), fn(z), rtol=1e-12, atol=1e-12)


@every_program
def test_a_recording_has_the_same_structure_each_time(fn, shape):
    one, other = (record(fn, scale * points(*shape)) for scale in (1.0, 2.0))
    assert one.code == other.code


def test_a_replay_runs_no_handlers_and_no_model():
    calls = []

    def counted(z):
        calls.append(1)
        return potential(z)

    program = record(counted, points())
    program(points())
    assert len(calls) == 1


def test_a_recording_can_be_recorded():
    z = points(3)
    program = record(vmap(grad(potential)), z)
    assert_close(record(program, z)(-z), program(-z))


def test_gradients_flow_through_a_recording():
    z = points().requires_grad_()
    [expected] = torch.autograd.grad(potential(z), z)
    [actual] = torch.autograd.grad(record(potential, points())(z), z)
    assert_close(actual, expected)


def test_a_gradient_with_respect_to_parameters_can_be_recorded():
    weights = {"w": torch.tensor(2.0), "b": torch.tensor(1.0)}

    def loss(weights):
        with poutine.substitute(data=weights):
            return (param("w", torch.tensor(0.0)) * 3.0 + param("b", torch.tensor(0.0))).square()

    program = record(grad(loss), weights)
    new = {"w": torch.tensor(-1.0), "b": torch.tensor(0.5)}
    assert_close(program(new), {"w": torch.tensor(-15.0), "b": torch.tensor(-5.0)})


def test_draws_are_recorded_as_operations():
    program = record(lambda: sample("x", Normal(torch.zeros(3), 1.0)))
    one, two = program(), program()
    assert not torch.equal(one, two)


def test_a_replay_draws_what_the_program_draws_from_the_same_seed():
    def program():
        return sample("x", Normal(torch.zeros(3), 1.0)), sample("k", Gamma(torch.ones(2), 1.0))

    replayed = record(program)
    assert_close(poutine.seed(replayed, rng_seed=4)(), poutine.seed(program, rng_seed=4)())


def test_writes_into_a_tensor_are_recorded():
    def fill(z):
        out = z.new_zeros(3)
        out[1] = z
        return out

    assert record(fill, torch.tensor(1.0))(torch.tensor(5.0)).tolist() == [0.0, 5.0, 0.0]


def test_one_tensor_in_two_places_is_two_arguments():
    z = torch.ones(2)
    assert_close(record(lambda x, y: x - 2 * y, z, z)(z, 3 * z), -5 * z)


def test_a_tensor_that_is_closed_over_is_no_argument():
    z = torch.ones(2)
    assert_close(record(lambda x: x + z, z)(5 * z), 6 * z)


def test_a_program_knows_that_it_is_being_recorded():
    record(lambda z: is_recording() or pytest.fail("not told"), torch.ones(()))
    assert not is_recording()


def branches(z):
    return z if z > 0 else -z


def reads_a_number(z):
    return z * float(z)


def samples_and_branches(z):
    with poutine.condition(data={"mu": z}):
        return -z if sample("mu", Normal(0.0, 1.0)) > 0 else z


@pytest.mark.parametrize("fn", [branches, reads_a_number, samples_and_branches])
def test_a_program_that_depends_on_values_cannot_be_recorded(fn):
    with pytest.raises(CaptureError, match="cannot be recorded as a tensor program"):
        record(fn, torch.tensor(1.0))


def test_an_error_of_the_program_is_the_cause_of_the_capture_error():
    def failing(z):
        raise KeyError("mine")

    with pytest.raises(CaptureError, match="KeyError: 'mine'") as caught:
        record(failing, torch.ones(()))
    assert type(caught.value.__cause__) is KeyError


def test_checks_are_off_while_recording_and_back_on_afterwards():
    def checked(z):
        assert not is_validation_enabled()
        return Normal(z, z.exp()).log_prob(z)

    record(checked, torch.ones(2))
    assert is_validation_enabled()


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        (torch.ones(2), torch.ones(2) + 1e-7, True),
        (torch.ones(2), torch.ones(2) + 1e-2, False),
        ({"a": torch.tensor(float("nan"))}, {"a": torch.tensor(float("nan"))}, True),
        ((torch.ones(1), torch.ones(1)), (torch.ones(1),), False),
        (torch.ones(2), torch.ones(1, 2), False),
        (torch.ones(2), torch.ones(2, dtype=torch.float64), False),
        (torch.tensor(10**9), torch.tensor(10**9 + 1), False),
        (torch.tensor([True]), torch.tensor([True]), True),
        ([3, None, "a"], [3, None, "a"], True),
        ([3], [3.0], False),
        ([torch.tensor(3)], [3], False),
    ],
    ids=[
        "rounding",
        "different",
        "nan",
        "structure",
        "shape",
        "dtype",
        "integers",
        "booleans",
        "no tensors",
        "types",
        "tensor or not",
    ],
)
def test_results_agree_up_to_rounding(one, other, expected):
    assert agree(one, other) is expected


@pytest.mark.parametrize("factor", [torch.linalg.cholesky, torch.linalg.inv])
def test_a_failed_factorization_is_nan_where_it_failed(factor):
    good, bad = 2 * torch.eye(2), torch.zeros(2, 2)
    program = fail_with_nan(record(factor, torch.stack([good, good])))
    one, other = program(torch.stack([good, bad]))
    assert_close(one, factor(good))
    assert other.isnan().any()


def test_a_recording_keeps_the_checks_of_factorizations():
    program = record(torch.linalg.cholesky, torch.eye(2))
    with pytest.raises(torch.linalg.LinAlgError, match="not positive-definite"):
        program(-torch.eye(2))
