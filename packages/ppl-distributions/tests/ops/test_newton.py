"""Laws of a Newton step."""

import math

import pytest
import torch
from torch.testing import assert_close

from ppl.errors import ShapeError
from ppl.ops import newton
from ppl.ops.newton import newton_step


def problem(dim, batch=(3,), seed=0):
    """A batch of random positive definite quadratics: their Hessians, optima and a start."""
    generator = torch.Generator().manual_seed(seed)
    root = torch.randn(*batch, dim, dim, generator=generator, dtype=torch.float64)
    hessian = root @ root.mT + torch.eye(dim, dtype=torch.float64)
    optimum, start = torch.randn(2, *batch, dim, generator=generator, dtype=torch.float64)
    return hessian, optimum, start.requires_grad_()


def quadratic(hessian, optimum, x):
    return 0.5 * torch.einsum("...i,...ij,...j->...", x - optimum, hessian, x - optimum).sum()


dims = pytest.mark.parametrize("dim", [1, 2, 3, 5])


@dims
@pytest.mark.parametrize("batch", [(), (4,), (2, 3)])
def test_one_step_solves_a_quadratic_and_returns_its_covariance(dim, batch):
    hessian, optimum, x = problem(dim, batch)
    updated, covariance = newton_step(quadratic(hessian, optimum, x), x)
    assert_close(updated, optimum)
    assert_close(covariance, torch.linalg.inv(hessian))


@dims
@pytest.mark.parametrize("radius", [0.01, 0.5])
def test_no_step_is_longer_than_the_trust_radius(dim, radius):
    hessian, optimum, x = problem(dim)
    updated, _ = newton_step(quadratic(hessian, optimum, x), x, radius)
    assert bool(((updated - x).norm(dim=-1) <= radius * (1 + 1e-9)).all())


def test_a_wide_trust_region_changes_nothing():
    hessian, optimum, x = problem(2)
    assert_close(newton_step(quadratic(hessian, optimum, x), x, 1e6)[0], optimum)


def test_a_trust_region_turns_a_step_towards_a_maximum_into_a_descent():
    x = torch.tensor([1.0, 2.0], dtype=torch.float64, requires_grad=True)

    def loss(x):
        return -(x**2).sum()

    updated, covariance = newton_step(loss(x), x, 1.0)
    assert loss(updated) < loss(x)
    assert bool((torch.linalg.eigvalsh(covariance) > 0).all())


def test_the_result_is_differentiable_in_what_the_loss_depends_on():
    hessian, optimum, x = problem(2, ())
    optimum.requires_grad_()
    jacobian = torch.stack(
        [
            torch.autograd.grad(entry, optimum, retain_graph=True)[0]
            for entry in newton_step(quadratic(hessian, optimum, x), x)[0]
        ]
    )
    assert_close(jacobian, torch.eye(2, dtype=torch.float64))


def test_repeated_steps_converge_quadratically():
    x = torch.full((3,), 0.5, dtype=torch.float64)
    errors = []
    for _ in range(5):
        x = x.detach().requires_grad_()
        errors.append(float((x.detach() - math.log(2.0)).abs().max()))
        x, _ = newton_step((x.exp() - 2 * x).sum(), x)
    assert errors[3] < errors[1] ** 3


@pytest.mark.parametrize("shapes", [((2,), (2,)), ((), ())])
def test_a_loss_or_a_variable_of_the_wrong_shape_is_refused(shapes):
    loss_shape, shape = shapes
    x = torch.ones(shape, requires_grad=True)
    with pytest.raises(ShapeError, match="scalar loss"):
        newton_step((x**2).reshape(loss_shape), x)


@pytest.mark.parametrize("dim", [1, 2, 3])
def test_a_step_of_a_given_size_is_the_step_and_refuses_other_sizes(dim):
    step = getattr(newton, f"newton_step_{dim}d")
    hessian, optimum, x = problem(dim)
    loss = quadratic(hessian, optimum, x)
    assert_close(step(loss, x, 0.1), newton_step(loss, x, 0.1))
    with pytest.raises(ShapeError, match=rf"\*batch, {dim}"):
        step(loss, x[..., 1:])
