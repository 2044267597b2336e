"""Laws of the fixed transforms of ours."""

import pytest
import torch
from torch.testing import assert_close

import ppl.distributions as dist
from ppl.distributions import transforms

TRIL = torch.tensor([[1.0, 0.0, 0.0], [0.5, 0.8, 0.0], [-0.3, 0.1, 1.2]], dtype=torch.float64)
CASES = {
    "corr_l_cholesky": transforms.CorrLCholeskyTransform,
    "elu": transforms.elu,
    "leaky_relu": transforms.leaky_relu,
    "lower_cholesky": transforms.LowerCholeskyBijection,
    "lower_cholesky_affine": lambda: transforms.LowerCholeskyAffine(torch.ones(3).double(), TRIL),
    "normalize": transforms.Normalize,
    "ordered": transforms.OrderedTransform,
    "permute": lambda: transforms.permute(3, torch.tensor([2, 0, 1])),
    "permute_rows": lambda: transforms.permute(3, torch.tensor([2, 0, 1]), dim=-2),
    "softplus_lower_cholesky": transforms.SoftplusLowerCholeskyTransform,
    "tanh": transforms.tanh,
    "unit_lower_cholesky": transforms.UnitLowerCholeskyTransform,
}
VECTORS = ["elu", "leaky_relu", "lower_cholesky_affine", "ordered", "permute", "tanh"]


def argument(transform):
    torch.manual_seed(0)
    shape = transform.inverse_shape((4, 3, 3)) if transform.codomain.event_dim == 2 else (4, 3)
    return torch.randn(shape, dtype=torch.float64)


@pytest.mark.parametrize("name", CASES)
def test_the_image_lies_in_the_codomain_and_the_inverse_returns_there(name):
    transform = CASES[name]()
    x = argument(transform)
    y = transform(x)
    assert transform.codomain.check(y).all() and transform.domain.check(x).all()
    assert_close(transform(transform.inv(y)), y)
    if transform.bijective:
        assert_close(transform.inv(y), x)
    assert transform.forward_shape(x.shape) == y.shape


@pytest.mark.parametrize("name", VECTORS)
def test_the_jacobian_equals_that_of_autograd(name):
    transform = CASES[name]()
    x = argument(transform)
    got = transform.log_abs_det_jacobian(x, transform(x))
    assert got.shape == x.shape[: x.dim() - transform.domain.event_dim]
    jacobian = torch.autograd.functional.jacobian(transform, x[0])
    assert_close(got[0].sum(), torch.linalg.slogdet(jacobian).logabsdet)


@pytest.mark.parametrize("name", CASES)
def test_a_cached_transform_returns_the_very_argument(name):
    transform = CASES[name]().with_cache(1)
    x = argument(transform)
    assert transform.inv(transform(x)) is x


@pytest.mark.parametrize("name", CASES)
def test_transforms_differ_from_others_and_stateless_ones_equal_their_like(name):
    transform = CASES[name]()
    assert transform != transforms.ExpTransform()
    if type(transform).__eq__ is not transforms.Transform.__eq__ and not vars(transform).keys() & {
        "loc",
        "permutation",
    }:
        assert transform == CASES[name]()


@pytest.mark.parametrize("name", ["elu", "leaky_relu", "tanh"])
def test_images_of_a_normal_can_be_scored_under_validation(name):
    d = dist.TransformedDistribution(dist.Normal(torch.zeros(4), torch.ones(4)), [CASES[name]()])
    torch.manual_seed(0)
    assert d.log_prob(d.sample()).isfinite().all()


def test_an_affine_image_of_standard_normals_is_a_multivariate_normal():
    transform = CASES["lower_cholesky_affine"]()
    zeros = torch.zeros(3, dtype=torch.float64)
    d = dist.TransformedDistribution(dist.Normal(zeros, 1.0).to_event(1), [transform])
    value = d.sample((5,))
    expected = dist.MultivariateNormal(transform.loc, scale_tril=TRIL).log_prob(value)
    assert_close(d.log_prob(value), expected)


def test_atanh_undoes_tanh():
    x = torch.linspace(-2.0, 2.0, 9)
    assert_close(transforms.TanhTransform.atanh(transforms.tanh()(x)), x)


def test_a_permutation_is_undone_by_its_inverse_and_random_by_default():
    transform = CASES["permute"]()
    assert_close(transform.permutation[transform.inv_permutation], torch.arange(3))
    assert_close(transforms.permute(5).permutation.sort().values, torch.arange(5))
    with pytest.raises(ValueError, match="negative, got 1"):
        transforms.permute(3, dim=1)
