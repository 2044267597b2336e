"""Gaussian factors with a random scale: given the scale, they are Gaussian factors."""

import pytest
import scipy.integrate
import torch
from torch.testing import assert_close

from ppl.distributions import Gamma, MultivariateNormal, Normal
from ppl.ops.gamma_gaussian import (
    GammaGaussian,
    gamma_and_mvn_to_gamma_gaussian,
    gamma_gaussian_tensordot,
    matrix_and_mvn_to_gamma_gaussian,
    scale_mvn,
    sequential_gamma_gaussian_tensordot,
)
from ppl.ops.gaussian import (
    Gaussian,
    gaussian_tensordot,
    matrix_and_mvn_to_gaussian,
    sequential_gaussian_tensordot,
)

SCALE = torch.tensor([0.3, 1.0, 2.5, 7.0], dtype=torch.float64)


def randn(*shape):
    return torch.randn(shape, dtype=torch.float64)


def random_factor(*batch, n):
    root = randn(*batch, n, n)
    precision = root @ root.mT + torch.eye(n, dtype=torch.float64)
    alpha, beta = 4 + randn(*batch).abs(), 20 + randn(*batch).abs()
    return GammaGaussian(randn(*batch), randn(*batch, n), precision, alpha, beta)


def at(scale, factor):
    """Return the Gaussian factor of the variables given the scale."""
    log_normalizer = factor.log_normalizer + factor.alpha * scale.log() - factor.beta * scale
    s = scale.unsqueeze(-1)
    return Gaussian(log_normalizer, s * factor.info_vec, s.unsqueeze(-1) * factor.precision)


def assert_same(x, y):
    for a, b in zip(x.tensors, y.tensors, strict=True):
        assert_close(*torch.broadcast_tensors(a, b))


def normal(n):
    tril = randn(4, n, n).tril(-1) + (0.5 + randn(4, n).abs()).diag_embed()
    return MultivariateNormal(randn(4, n), scale_tril=tril)


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


@pytest.mark.parametrize(
    "operation",
    [
        lambda x: x.event_pad(left=1, right=2),
        lambda x: x.event_permute(torch.tensor([2, 0, 3, 1])),
        lambda x: x.condition(torch.ones(4, 2, dtype=torch.float64)),
        lambda x: x.marginalize(left=1),
        lambda x: x.marginalize(right=3),
        lambda x: x.marginalize(left=1, right=1),
        lambda x: x.marginalize(),
        lambda x: x + 1.5,
        lambda x: x - 1.5,
        lambda x: x + x,
    ],
)
def test_an_operation_is_that_of_the_gaussian_at_every_scale(operation):
    x = random_factor(4, n=4)
    assert_same(at(SCALE, operation(x)), operation(at(SCALE, x)))


@pytest.mark.parametrize("dims", range(4))
def test_a_contraction_is_that_of_the_gaussians_at_every_scale(dims):
    x, y = random_factor(4, n=4), random_factor(4, n=3)
    want = gaussian_tensordot(at(SCALE, x), at(SCALE, y), dims)
    assert_same(at(SCALE, gamma_gaussian_tensordot(x, y, dims)), want)


@pytest.mark.parametrize("length", [1, 2, 3, 7, 70])
def test_a_product_over_time_is_that_of_the_gaussians_at_every_scale(length):
    x = random_factor(4, length, n=4)
    want = sequential_gaussian_tensordot(at(SCALE.unsqueeze(-1), x))
    assert_same(at(SCALE, sequential_gamma_gaussian_tensordot(x)), want)


def test_log_density_and_integral_are_those_of_the_gaussian_at_every_scale():
    x, value = random_factor(4, n=3), randn(4, 3)
    assert x.dim() == 3
    assert_close(x.log_density(value, SCALE), at(SCALE, x).log_density(value))
    assert_close(x.event_logsumexp().log_density(SCALE), at(SCALE, x).event_logsumexp())


def test_a_gamma_function_integrates_to_its_logsumexp():
    gamma = random_factor(n=3).event_logsumexp()
    density = lambda s: gamma.log_density(torch.tensor(s)).exp().item()  # noqa: E731
    mass = scipy.integrate.quad(density, 0, torch.inf)[0]
    assert_close(gamma.logsumexp().exp().item(), mass, rtol=1e-7, atol=0.0)


def test_distributions_are_the_factors_of_their_densities():
    scale, mvn, value = Gamma(SCALE + 1, SCALE), normal(3), randn(4, 3)
    joint = gamma_and_mvn_to_gamma_gaussian(scale, mvn)
    want = scale.log_prob(SCALE) + scale_mvn(mvn, SCALE).log_prob(value)
    assert_close(joint.log_density(value, SCALE), want)
    assert_close(joint.event_logsumexp().logsumexp(), torch.zeros(4).double())


def test_a_scaled_normal_has_a_multiple_of_the_precision():
    mvn = normal(3)
    scaled = scale_mvn(mvn, SCALE)
    assert_close(scaled.precision_matrix, SCALE[:, None, None] * mvn.precision_matrix)
    assert_close(scaled.mean, mvn.mean)


def test_a_linear_map_is_a_conditional_density_at_every_scale():
    matrix, mvn = randn(4, 2, 3), normal(3)
    want = matrix_and_mvn_to_gaussian(matrix, scale_mvn(mvn, SCALE))
    assert_same(at(SCALE, matrix_and_mvn_to_gamma_gaussian(matrix, mvn)), want)


def test_diagonal_noise_is_dense_noise():
    matrix, diagonal = randn(4, 2, 3), Normal(randn(4, 3), 0.5 + randn(4, 3).abs()).to_event(1)
    dense = MultivariateNormal(diagonal.mean, scale_tril=diagonal.stddev.diag_embed())
    for convert in (
        lambda noise: matrix_and_mvn_to_gamma_gaussian(matrix, noise),
        lambda noise: gamma_and_mvn_to_gamma_gaussian(Gamma(SCALE, SCALE), noise),
    ):
        assert_same(convert(diagonal), convert(dense))


def test_the_compound_distribution_is_the_margin_of_the_variables():
    joint = gamma_and_mvn_to_gamma_gaussian(Gamma(SCALE + 1, SCALE), normal(3))
    value = randn(4, 3)
    want = joint.condition(value).event_logsumexp().logsumexp()
    assert_close(joint.compound().log_prob(value), want)


def test_batches_are_expanded_indexed_and_joined():
    x = random_factor(4, n=2)
    assert x.expand((3, 4)).batch_shape == (3, 4)
    assert x.reshape((2, 2)).batch_shape == (2, 2)
    assert_same(GammaGaussian.cat([x[:1], x[1:]]), x)
