"""Gaussian factors, against densities and dense linear algebra."""

import pytest
import torch
from torch.testing import assert_close

from ppl.distributions import MultivariateNormal, Normal, StudentT
from ppl.ops.gaussian import (
    AffineNormal,
    Gaussian,
    gaussian_tensordot,
    integrate_most_states,
    matrix_and_gaussian_to_gaussian,
    matrix_and_mvn_to_gaussian,
    mvn_to_gaussian,
    sequential_gaussian_filter_sample,
    sequential_gaussian_tensordot,
)

LENGTHS = [1, 2, 3, 7, 64, 67]


def randn(*shape):
    return torch.randn(shape, dtype=torch.float64)


def scale_tril(*batch, n):
    return randn(*batch, n, n).tril(-1) + (0.5 + randn(*batch, n).abs()).diag_embed()


def random_gaussian(*batch, n):
    root = randn(*batch, n, n)
    eye = torch.eye(n, dtype=torch.float64)
    return Gaussian(randn(*batch), randn(*batch, n), root @ root.mT + eye)


def noises(n, batch=(4,)):
    """Return a dense and a diagonal normal distribution."""
    return (
        MultivariateNormal(randn(*batch, n), scale_tril=scale_tril(*batch, n=n)),
        Normal(randn(*batch, n), 0.5 + randn(*batch, n).abs()).to_event(1),
    )


def assert_same(x, y):
    for a, b in zip(x.tensors, y.tensors, strict=True):
        assert_close(*torch.broadcast_tensors(a, b))


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


@pytest.mark.parametrize("kind", [0, 1], ids=["dense", "diagonal"])
def test_a_distribution_is_the_factor_of_its_density(kind):
    dist, x = noises(3)[kind], randn(5, 4, 3)
    factor = mvn_to_gaussian(dist)
    assert_close(factor.log_density(x), dist.log_prob(x))
    assert_close(factor.event_logsumexp(), torch.zeros(4).double())


@pytest.mark.parametrize("kind", [0, 1], ids=["dense", "diagonal"])
def test_a_linear_map_with_noise_is_a_conditional_density(kind):
    dist, matrix, x, y = noises(3)[kind], randn(4, 2, 3), randn(4, 2), randn(4, 3)
    want = dist.log_prob(y - (x.unsqueeze(-2) @ matrix).squeeze(-2))
    factor = matrix_and_mvn_to_gaussian(matrix, dist)
    joint = factor.to_gaussian() if isinstance(factor, AffineNormal) else factor
    assert_close(joint.log_density(torch.cat([x, y], -1)), want)
    assert_close(factor.condition(y).log_density(x), want)
    assert_close(
        matrix_and_gaussian_to_gaussian(matrix, mvn_to_gaussian(dist)).log_density(
            torch.cat([x, y], -1)
        ),
        want,
    )
    assert_close(factor.marginalize(right=3).log_density(x), torch.zeros(4).double())


def test_what_is_not_normal_is_refused():
    for other in (StudentT(4.0, torch.zeros(3)).to_event(1), Normal(torch.zeros(3), 1.0)):
        with pytest.raises(TypeError, match="expected a MultivariateNormal"):
            mvn_to_gaussian(other)
        with pytest.raises(TypeError, match="expected a MultivariateNormal"):
            matrix_and_mvn_to_gaussian(torch.eye(3), other)


def test_diagonal_and_dense_forms_agree():
    diagonal = matrix_and_mvn_to_gaussian(randn(4, 2, 3), noises(3)[1])
    dense, x, y = diagonal.to_gaussian(), randn(4, 2), randn(4, 3)
    assert diagonal.dim() == dense.dim() == 5
    assert diagonal.batch_shape == dense.batch_shape == (4,)
    assert_same(diagonal.condition(y), dense.condition(y))
    assert_same(diagonal.condition(y[:, :2]), dense.condition(y[:, :2]))
    assert_same(diagonal.left_condition(x).to_gaussian(), dense.left_condition(x))
    assert_same(diagonal.left_condition(x[:, :1]), dense.left_condition(x[:, :1]))
    for left, right in [(0, 3), (0, 0), (2, 0), (1, 1), (1, 3)]:
        assert_same(diagonal.marginalize(left, right), dense.marginalize(left, right))
    order = torch.tensor([3, 0, 4, 1, 2])
    assert_same(diagonal.event_permute(order), dense.event_permute(order))
    for reshape in (
        lambda g: g.expand((3, 4)),
        lambda g: g.reshape((2, 2)),
        lambda g: g[1:3],
        lambda g: type(g).cat([g, g], 0),
        lambda g: type(g).cat([g[None], g[None]], -1),
    ):
        assert reshape(diagonal).batch_shape == reshape(dense).batch_shape
        assert_same(reshape(diagonal).to_gaussian(), reshape(dense))


def test_a_conditioned_map_draws_its_noise():
    diagonal, x = matrix_and_mvn_to_gaussian(randn(4, 2, 3), noises(3)[1]), randn(4, 2)
    noise = randn(6, 4, 3)
    mean = (x.unsqueeze(-2) @ diagonal.matrix).squeeze(-2) + diagonal.loc
    draws = diagonal.left_condition(x).rsample((6,), noise=noise)
    assert_close(draws, mean + diagonal.scale * noise)
    assert diagonal.left_condition(x).rsample((6,)).shape == (6, 4, 3)
    with pytest.raises(NotImplementedError, match="left_condition"):
        diagonal.rsample()


def test_sums_are_products_of_functions():
    x, y, value = random_gaussian(4, n=3), random_gaussian(4, n=3), randn(4, 3)
    assert_close((x + y).log_density(value), x.log_density(value) + y.log_density(value))
    assert_close((x + 2.0).log_density(value), x.log_density(value) + 2)
    assert_close((x - 2.0).log_density(value), x.log_density(value) - 2)


def test_conditions_fix_values_and_padding_ignores_them():
    x, value = random_gaussian(4, n=5), randn(4, 5)
    for cut in range(6):
        left, right = value[..., :cut], value[..., cut:]
        assert_close(x.condition(right).log_density(left), x.log_density(value))
        assert_close(x.left_condition(left).log_density(right), x.log_density(value))
    padded = x.event_pad(left=1, right=2)
    more = torch.cat([randn(4, 1), value, randn(4, 2)], -1)
    assert_close(padded.log_density(more), x.log_density(value))


@pytest.mark.parametrize("left,right", [(0, 0), (2, 0), (0, 3), (1, 2), (5, 0), (0, 5)])
def test_margins_integrate_and_conditionals_are_what_is_left(left, right):
    """For a density, a factor is its margin times the conditional density of the rest."""
    x, value = random_gaussian(4, n=5), randn(4, 5)
    kept = slice(left, 5 - right)
    covariance = torch.linalg.inv(x.precision)
    mean = (covariance @ x.info_vec.unsqueeze(-1)).squeeze(-1)
    margin = MultivariateNormal(mean[:, kept], covariance[:, kept, kept])
    mass = x.event_logsumexp()
    want = margin.log_prob(value[:, kept]) + mass if left + right < 5 else mass
    assert_close(x.marginalize(left, right).log_density(value[:, kept]), want)
    whole = MultivariateNormal(mean, covariance)
    assert_close(mass, x.log_density(value) - whole.log_prob(value))


@pytest.mark.parametrize("dims", range(4))
def test_a_contraction_is_the_margin_of_a_product(dims):
    x, y = random_gaussian(4, n=4), random_gaussian(4, n=3)
    product = x.event_pad(right=3 - dims) + y.event_pad(left=4 - dims)
    ends = [*range(4 - dims), *range(4, 7 - dims), *range(4 - dims, 4)]
    want = product.event_permute(torch.tensor(ends)).marginalize(right=dims)
    assert_same(gaussian_tensordot(x, y, dims), want)


def test_draws_have_the_moments_of_the_density():
    x = random_gaussian(n=3)
    covariance = torch.linalg.inv(x.precision)
    center = x.rsample(noise=torch.zeros(3, dtype=torch.float64))
    assert_close(center, covariance @ x.info_vec)
    root = x.rsample((3,), noise=torch.eye(3, dtype=torch.float64)) - center
    assert_close(root.mT @ root, covariance)
    assert x.rsample((2,)).shape == (2, 3)


def chain(length, is_shared=False):
    first, steps = random_gaussian(2, n=2), random_gaussian(2, length, n=4)
    precision = steps.precision[:, :1] if is_shared else steps.precision
    return first, Gaussian(steps.log_normalizer, steps.info_vec, precision)


@pytest.mark.parametrize("length", LENGTHS)
@pytest.mark.parametrize("is_shared", [False, True])
def test_a_product_over_time_equals_the_sequential_one(length, is_shared):
    _, steps = chain(length, is_shared)
    want = steps[:, 0]
    for t in range(1, length):
        want = gaussian_tensordot(want, steps[:, t], 2)
    assert_same(sequential_gaussian_tensordot(steps), want)


@pytest.mark.parametrize("copies,states", [(1, 8), (100, 5), (10_000, 2)])
def test_fewer_states_of_more_paths_are_left_for_one_dense_integral(copies, states):
    steps = random_gaussian(copies, 7, n=4)
    few = integrate_most_states(steps)
    assert few.dim() == 2 * states
    assert_close(few.event_logsumexp(), sequential_gaussian_tensordot(steps).event_logsumexp())


@pytest.mark.parametrize("length", LENGTHS[:-1])
@pytest.mark.parametrize("is_shared", [False, True])
def test_draws_of_a_path_are_those_of_the_joint_density(length, is_shared):
    first, steps = chain(length, is_shared)
    joint = first.event_pad(right=2 * length)
    for t in range(length):
        joint = joint + steps[:, t].event_pad(left=2 * t, right=2 * (length - 1 - t))

    size = 2 * (length + 1)
    basis = torch.eye(size, dtype=torch.float64).reshape(size, 1, length + 1, 2)
    noise = torch.cat([torch.zeros_like(basis[:1]), basis]).expand(-1, 2, -1, -1)
    paths = sequential_gaussian_filter_sample(first, steps, (size + 1,), noise).flatten(-2)
    mean, root = paths[0], (paths[1:] - paths[0]).movedim(0, 1)  # (batch, noise, state)
    assert_close((joint.precision @ mean.unsqueeze(-1)).squeeze(-1), joint.info_vec)
    eye = torch.eye(size, dtype=torch.float64).expand(2, size, size)
    assert_close(root.mT @ root @ joint.precision, eye, rtol=1e-7, atol=1e-8)


def test_a_path_has_one_state_more_than_steps():
    first, steps = chain(3)
    assert sequential_gaussian_filter_sample(first, steps, (5,)).shape == (5, 2, 4, 2)
