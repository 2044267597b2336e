"""Constraints beyond torch's, and the transforms that reach them."""

import math

import pytest
import torch
from torch.testing import assert_close

from ppl.distributions import biject_to, constraints, transform_to

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


@pytest.mark.parametrize("name", EXAMPLES)
def test_check_tells_members_from_strangers(name):
    constraint, (members, strangers) = getattr(constraints, name), EXAMPLES[name]
    assert constraint.check(members).all() and not constraint.check(strangers).any()
    assert constraint.check(members).dim() == members.dim() - constraint.event_dim


@pytest.mark.parametrize("name", sorted(set(EXAMPLES) - {"integer"}))
def test_members_are_reached_from_unconstrained_space(name):
    constraint, (members, _) = getattr(constraints, name), EXAMPLES[name]
    transform = transform_to(constraint)
    inside = members[1:-1] if name == "circular" else members  # its ends are infinitely far
    assert_close(transform(transform.inv(inside)), inside)


def test_a_mixture_is_reached_like_its_components_if_these_share_their_support():
    mixed = constraints.MixtureSameFamilyConstraint
    u = torch.randn(3)
    assert_close(biject_to(mixed(constraints.positive))(u), u.exp())
    assert_close(transform_to(mixed(constraints.real))(u), u)
    with pytest.raises(NotImplementedError, match="differ"):
        biject_to(mixed(constraints.greater_than(torch.zeros(3))))


def test_corr_cholesky_has_its_old_name():
    assert constraints.corr_cholesky_constraint is constraints.corr_cholesky


@pytest.mark.parametrize(
    "constraint,value",
    [
        (constraints.corr_cholesky, [[1.0, 0.0], [0.3, 0.9539]]),
        (constraints.corr_cholesky, [[1.0, 0.0, 0.0], [0.6, 0.8, 0.0], [-0.2, 0.5, 0.8426]]),
        (constraints.sphere, [0.7071, 0.7071]),
        (constraints.sphere, [0.5774, 0.5774, -0.5774]),
    ],
)
def test_four_written_digits_are_enough(constraint, value):
    """A norm of one is checked as far as data from a file can tell, and no further."""
    value = torch.tensor(value)
    assert constraint.check(value) and constraint.check(value.double())
    assert not constraint.check(1.001 * value)
