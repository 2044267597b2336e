"""Constraints beyond torch's, and the transforms that reach them."""

import math

import pytest
import torch
from torch.testing import assert_close

from ppl.distributions import biject_to, constraints, transform_to, transforms

ROTATION = torch.tensor([[1.0, 0.0], [0.6, 0.8]])
EXAMPLES = {  # constraint: (members, strangers)
    "circular": (torch.tensor([-3.1, 0.0, math.pi]), torch.tensor([-3.2, 7.0])),
    "corr_matrix": (
        torch.stack([torch.eye(2), ROTATION @ ROTATION.T]),
        torch.stack([2 * torch.eye(2), torch.tensor([[1.0, 2.0], [2.0, 1.0]])]),
    ),
    "integer": (torch.tensor([-2.0, 0.0, 5.0]), torch.tensor([0.5])),
    "ordered_vector": (torch.tensor([[-1.0, 0.0, 2.0]]), torch.tensor([[0.0, 0.0, 1.0]])),
    "positive_ordered_vector": (torch.tensor([[0.1, 0.2]]), torch.tensor([[-0.1, 0.2]])),
    "softplus_lower_cholesky": (ROTATION[None], ROTATION.T[None]),
    "softplus_positive": (torch.tensor([0.1, 3.0]), torch.tensor([0.0, -1.0])),
    "sphere": (torch.tensor([[0.6, 0.8]]), torch.tensor([[0.6, 0.9]])),
    "unit_lower_cholesky": (
        torch.tensor([[[1.0, 0], [3, 1]]]),
        torch.stack([ROTATION, 0 * ROTATION]),
    ),
}
UNREACHED = {"integer"}  # discrete
BIJECTIVE = {
    "circular",
    "corr_matrix",
    "lower_cholesky",
    "ordered_vector",
    "positive_definite",
    "positive_ordered_vector",
    "softplus_positive",
}


def unconstrained(constraint, registry=biject_to):
    """Return a point that the registered transform accepts, double precision."""
    torch.manual_seed(0)
    transform = registry(constraint)
    shape = transform.inverse_shape((4, 3, 3)) if constraint.event_dim == 2 else (4, 3)
    return torch.randn(shape, dtype=torch.float64)


@pytest.mark.parametrize("name", EXAMPLES)
def test_check_tells_members_from_strangers(name):
    constraint, (members, strangers) = getattr(constraints, name), EXAMPLES[name]
    assert constraint.check(members).all() and not constraint.check(strangers).any()
    assert constraint.check(members).dim() == members.dim() - constraint.event_dim


@pytest.mark.parametrize("name", sorted((set(EXAMPLES) | BIJECTIVE) - UNREACHED))
def test_transform_to_lands_in_the_constraint_and_inverts_there(name):
    constraint = getattr(constraints, name)
    transform = transform_to(constraint)
    y = transform(unconstrained(constraint, transform_to))
    assert constraint.check(y).all()
    assert_close(transform(transform.inv(y)), y)


@pytest.mark.parametrize("name", sorted(BIJECTIVE))
def test_a_bijection_round_trips_and_knows_its_shapes(name):
    constraint = getattr(constraints, name)
    transform, u = biject_to(constraint), unconstrained(constraint)
    y = transform(u)
    assert transform.bijective and constraint.check(y).all()
    assert_close(transform.inv(y), u)
    assert transform.forward_shape(u.shape) == y.shape
    assert transform.inverse_shape(y.shape) == u.shape


def free_entries(y, dim):
    """Return as many coordinates of a matrix as it has degrees of freedom."""
    if y.dim() < 2:
        return y
    offset = 0 if dim == y.shape[-1] * (y.shape[-1] + 1) // 2 else -1
    row, column = torch.tril_indices(*y.shape, offset)
    return y[row, column]


@pytest.mark.parametrize("name", sorted(BIJECTIVE))
def test_a_bijection_knows_its_jacobian(name):
    constraint = getattr(constraints, name)
    transform, u = biject_to(constraint), unconstrained(constraint)[0]
    jacobian = torch.autograd.functional.jacobian(
        lambda v: free_entries(transform(v), v.shape[-1]), u
    )
    got = transform.log_abs_det_jacobian(u, transform(u)).sum()
    assert_close(got, torch.linalg.slogdet(jacobian).logabsdet)


def test_the_correlation_transform_knows_its_jacobian_alone():
    transform = transforms.CorrMatrixCholeskyTransform()
    x = biject_to(constraints.corr_matrix)(torch.randn(3, 6, dtype=torch.float64))
    y = transform(x)
    assert_close(transform.log_abs_det_jacobian(x, y), -transform.inv.log_abs_det_jacobian(y, x))


def test_a_mixture_is_reached_like_its_components_if_these_share_their_support():
    mixed = constraints.MixtureSameFamilyConstraint
    u = torch.randn(3)
    assert_close(biject_to(mixed(constraints.positive))(u), u.exp())
    assert_close(transform_to(mixed(constraints.real))(u), u)
    with pytest.raises(NotImplementedError, match="differ"):
        biject_to(mixed(constraints.greater_than(torch.zeros(3))))


def test_corr_cholesky_has_its_old_name():
    assert constraints.corr_cholesky_constraint is constraints.corr_cholesky
