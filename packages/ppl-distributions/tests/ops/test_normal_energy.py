"""The energy of a normal has the derivatives that torch finds for its definition."""

import itertools

import pytest
import torch
from torch.func import jacfwd, jacrev, vmap
from torch.testing import assert_close

import ppl.distributions as dist
from ppl.ops.normal_energy import normal_energy


def generator():
    return torch.Generator().manual_seed(0)


def covariance_of(root):
    """Return a positive definite matrix that depends on all entries of another one."""
    return root @ root.mT + torch.eye(root.shape[-1], dtype=root.dtype)


def by_definition(deviation, root):
    """Return half of ``|L^-1 x|^2 + log |C|``, by the derivatives of the factorization."""
    factor = torch.linalg.cholesky(covariance_of(root))
    white = torch.linalg.solve_triangular(factor, deviation.unsqueeze(-1), upper=False)
    return 0.5 * white.square().sum() + factor.diagonal().log().sum()


def energy(deviation, root):
    covariance = covariance_of(root)
    return normal_energy(deviation, covariance, torch.linalg.cholesky(covariance))


@pytest.fixture
def point():
    return [
        torch.randn(*shape, generator=generator(), dtype=torch.double) for shape in ((4,), (4, 4))
    ]


MODES = [jacrev, jacfwd]


@pytest.mark.parametrize("modes", [*itertools.product(MODES), *itertools.product(MODES, MODES)])
@pytest.mark.parametrize("argument", [0, 1])
def test_first_and_second_derivatives_are_exact_in_every_mode(point, argument, modes):
    ours, theirs = energy, by_definition
    for mode in modes:
        ours, theirs = mode(ours, argnums=argument), mode(theirs, argnums=argument)
    assert_close(ours(*point), theirs(*point))


def test_a_batch_is_that_of_its_members(point):
    deviation, root = (x * torch.linspace(0.5, 2, 3).reshape(3, *[1] * x.dim()) for x in point)
    expected = torch.stack([by_definition(*one) for one in zip(deviation, root, strict=True)])
    assert_close(energy(deviation, root), expected)
    assert_close(vmap(energy)(deviation, root), expected)
    assert_close(vmap(energy, in_dims=(0, None))(deviation, root[0])[0], expected[0])


@pytest.mark.parametrize("rows", [(), (3,), (5, 3)])
def test_a_distribution_gives_the_gradient_of_its_covariance(rows):
    loc = torch.randn(3, 2, generator=generator(), dtype=torch.double)[: 3 if rows else 1]
    covariance = covariance_of(
        torch.randn(len(loc), 2, 2, generator=generator(), dtype=torch.double)
    )
    value = torch.randn(*rows, 2, generator=generator(), dtype=torch.double)
    gradients = []
    for family in (dist.MultivariateNormal, torch.distributions.MultivariateNormal):
        given = covariance.clone().requires_grad_()
        family(loc, given).log_prob(value).sum().backward()
        gradients.append(given.grad)
    assert_close(*gradients)


def test_a_covariance_that_was_read_from_the_factor_does_not_take_its_gradient():
    scale_tril = torch.eye(2, requires_grad=True)
    normal = dist.MultivariateNormal(torch.zeros(2), scale_tril=scale_tril)
    with torch.no_grad():
        assert normal.covariance_matrix.shape == (2, 2)
    normal.log_prob(torch.ones(2)).backward()
    assert_close(scale_tril.grad, torch.tensor([[0.0, 0.0], [1.0, 0.0]]))
