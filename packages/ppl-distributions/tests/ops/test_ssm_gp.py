"""State space forms of Matern kernels, against kernels and matrix exponentials."""

import math

import pytest
import torch
from torch.testing import assert_close

from ppl.errors import ShapeError
from ppl.ops.ssm_gp import MaternKernel, root_five, root_three

LENGTH, SCALE = torch.tensor([0.7, 2.0]).double(), torch.tensor([1.5, 0.4]).double()
NU = [0.5, 1.5, 2.5]


def kernel(nu):
    return MaternKernel(nu, num_gps=2, length_scale_init=LENGTH, kernel_scale_init=SCALE)


def matern(nu, dt):
    """Return the covariance at distance ``dt`` (Rasmussen and Williams 2006, section 4.2.1)."""
    r = dt / LENGTH
    shape = {
        0.5: (-r).exp(),
        1.5: (1 + root_three * r) * (-root_three * r).exp(),
        2.5: (1 + root_five * r + 5 * r**2 / 3) * (-root_five * r).exp(),
    }
    return SCALE**2 * shape[nu]


@pytest.mark.parametrize("nu", NU)
@pytest.mark.parametrize("dt", [0.0, 0.3, 2.0])
def test_the_process_has_the_covariance_of_the_kernel(nu, dt):
    model = kernel(nu)
    covariance = model.stationary_covariance() @ model.transition_matrix(dt)
    assert_close(covariance[:, 0, 0], matern(nu, dt))


@pytest.mark.parametrize("nu", NU)
def test_transitions_are_exponentials_of_the_companion_matrix(nu):
    """The transition matrix solves dz = F z dt, and acts on row vectors."""
    model, n = kernel(nu), int(nu + 0.5)
    for rate, matrix in zip(math.sqrt(2 * nu) / LENGTH, model.transition_matrix(0.3), strict=True):
        companion = torch.diag(torch.ones(n - 1), 1).double()
        companion[-1] = torch.stack([-math.comb(n, k) * rate ** (n - k) for k in range(n)])
        assert_close(matrix, torch.matrix_exp(0.3 * companion).mT)


@pytest.mark.parametrize("nu", NU)
def test_a_step_keeps_the_stationary_distribution(nu):
    model = kernel(nu)
    matrix, noise = model.transition_matrix_and_covariance(0.3)
    covariance = model.stationary_covariance()
    assert_close(matrix.mT @ covariance @ matrix + noise, covariance)
    assert (torch.linalg.eigvalsh(noise) > 0).all()
    assert_close(noise, model.process_covariance(matrix))


def test_scales_are_positive_parameters():
    model = MaternKernel(num_gps=3)
    assert {name for name, _ in model.named_parameters()} == {
        "length_scale_unconstrained",
        "kernel_scale_unconstrained",
    }
    assert_close(model.length_scale, torch.ones(3))
    model.transition_matrix(0.5).sum().backward()
    assert model.length_scale_unconstrained.grad.isfinite().all()


def test_what_is_not_supported_is_refused():
    with pytest.raises(NotImplementedError, match=r"0\.5, 1\.5 or 2\.5"):
        MaternKernel(nu=1.0)
    with pytest.raises(ShapeError, match="one for each process"):
        MaternKernel(num_gps=3, length_scale_init=torch.ones(2))
