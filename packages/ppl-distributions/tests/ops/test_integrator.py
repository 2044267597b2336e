"""Leapfrog steps and dual averaging: the laws that make samplers right."""

import math

import pytest
import torch
from torch.testing import assert_close

from ppl.errors import PPLError
from ppl.ops.dual_averaging import DualAveraging
from ppl.ops.integrator import potential_grad, register_exception_handler, velocity_verlet


def potential(z):
    return (z["x"] ** 4).sum() / 4 + (z["x"] * z["y"]).sum() + (z["y"] ** 2).sum()


def energy(z, r):
    return potential(z) + sum((x**2).sum() for x in r.values()) / 2


START = {"x": torch.tensor([0.3, -0.8]).double(), "y": torch.tensor(0.5).double()}
MOMENTUM = {"x": torch.tensor([1.0, 0.2]).double(), "y": torch.tensor(-0.7).double()}


def run(z, r, step_size, num_steps):
    return velocity_verlet(z, r, potential, lambda r: r, step_size, num_steps)


def test_going_back_in_time_undoes_the_steps():
    z, r, _, _ = run(START, MOMENTUM, 0.1, 30)
    z, r, _, _ = run(z, r, -0.1, 30)
    assert_close((z, r), (START, MOMENTUM))


def test_the_energy_error_falls_with_the_square_of_the_step():
    errors = []
    for num_steps in (50, 100, 200):
        z, r, _, _ = run(START, MOMENTUM, 2.0 / num_steps, num_steps)
        errors.append(abs(float(energy(z, r) - energy(START, MOMENTUM))))
    ratios = [errors[i] / errors[i + 1] for i in range(2)]
    assert ratios == pytest.approx([4.0, 4.0], rel=0.1)


def test_steps_keep_the_volume_of_phase_space():
    def step(state):
        z, r, _, _ = run({"x": state[:2], "y": state[2]}, {"x": state[3:5], "y": state[5]}, 0.3, 2)
        return torch.cat([z["x"], z["y"][None], r["x"], r["y"][None]])

    state = torch.cat([START["x"], START["y"][None], MOMENTUM["x"], MOMENTUM["y"][None]])
    width = 1e-5
    columns = [
        (step(state + d) - step(state - d)) / (2 * width) for d in width * torch.eye(6).double()
    ]
    assert_close(torch.stack(columns, 1).det(), torch.tensor(1.0).double(), rtol=1e-6, atol=0)


def test_the_gradient_and_the_potential_are_those_at_the_end():
    z, r, gradient, value = run(START, MOMENTUM, 0.1, 3)
    assert_close((gradient, value), potential_grad(potential, z))
    again = velocity_verlet(z, r, potential, lambda r: r, 0.1, z_grads=gradient)
    assert_close(again, run(START, MOMENTUM, 0.1, 4))


def test_no_step_is_refused():
    with pytest.raises(ValueError, match="num_steps"):
        run(START, MOMENTUM, 0.1, 0)


def test_a_singular_matrix_is_a_potential_of_nan_and_other_errors_are_raised():
    gradient, value = potential_grad(
        lambda z: torch.linalg.cholesky(-z["x"] * torch.eye(2)).sum(), {"x": torch.ones(2)}
    )
    assert value.isnan()
    assert_close(gradient, {"x": torch.zeros(2)})
    with pytest.raises(ZeroDivisionError):
        potential_grad(lambda z: 1 / 0, {"x": torch.ones(2)})


def test_a_registered_handler_answers_its_errors_and_a_second_one_warns(monkeypatch):
    monkeypatch.setattr("ppl.ops.integrator._HANDLERS", {})
    register_exception_handler("mine", lambda error: isinstance(error, PPLError))
    with pytest.warns(RuntimeWarning, match="mine"):
        register_exception_handler("mine", lambda error: isinstance(error, ZeroDivisionError))
    assert potential_grad(lambda z: 1 / 0, {"x": torch.ones(2)})[1].isnan()


def test_dual_averaging_is_its_closed_form():
    gradients = [0.3, -0.1, 0.7, 0.2]
    search = DualAveraging(prox_center=0.5, t0=10, kappa=0.75, gamma=0.05)
    iterates = []
    for t, g in enumerate(gradients, 1):
        search.step(g)
        # the damped mean of Hoffman and Gelman (2014) is the sum divided by t + t0
        iterates.append(0.5 - math.sqrt(t) / 0.05 * sum(gradients[:t]) / (t + 10))
        assert search.get_state()[0] == pytest.approx(iterates[-1])
    mean = 0.0
    for t, x in enumerate(iterates, 1):
        mean = t**-0.75 * x + (1 - t**-0.75) * mean
    assert search.get_state()[1] == pytest.approx(mean)


def test_dual_averaging_finds_the_root_of_noisy_gradients():
    search = DualAveraging(prox_center=torch.tensor(0.0))
    noise = torch.randn(4000, generator=torch.Generator().manual_seed(0))
    for e in noise:
        search.step(torch.tanh(search.get_state()[0] - 1.0) + 0.3 * e)
    # the mean of 4000 errors of 0.3 has a standard error of 0.005: six of them, 2e-9
    assert abs(search.get_state()[1] - 1.0) < 0.03
    search.reset()
    assert search.get_state() == (0.0, 0.0)  # the center
