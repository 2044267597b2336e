"""Every law for every fixed transform, and what single ones promise beside."""

import math

import pytest
import torch
from torch import tensor
from torch.testing import assert_close

import ppl.distributions as dist
from ppl import plugins
from ppl.distributions import biject_to, constraints, transform_to, transforms
from ppl.distributions.testing import TRANSFORM_LAWS, TransformCase, transform_laws_of
from ppl.distributions.transforms import (
    AffineTransform,
    ComposeTransform,
    DiscreteCosineTransform,
    ExpTransform,
    HaarTransform,
    LowerCholeskyAffine,
    LowerCholeskyBijection,
    PositivePowerTransform,
    SimplexToOrderedTransform,
)
from ppl.errors import MissingDistributionError, SupportError

TRIL = tensor([[1.0, 0.0, 0.0], [0.5, 0.8, 0.0], [-0.3, 0.1, -1.2]], dtype=torch.float64)
AFFINE = {"loc": torch.ones(3), "scale_tril": TRIL}
TWO = {"loc": tensor(1.0), "scale": tensor(-2.0)}
CYCLE = tensor([2, 0, 1])


def bijection(name, shape=(), **kwargs):
    return TransformCase(f"biject_to {name}", Registered(biject_to, name), shape, **kwargs)


def surjection(name, shape=(), **kwargs):
    return TransformCase(f"transform_to {name}", Registered(transform_to, name), shape, **kwargs)


class Registered:
    """Makes the transform that a registry has for a constraint."""

    def __init__(self, registry, name):
        self.registry, self.name = registry, name

    def __call__(self):
        return self.registry(getattr(constraints, self.name))


CASES = [
    TransformCase("abs", transforms.AbsTransform),
    TransformCase("affine", AffineTransform, params=TWO),
    TransformCase("affine of vectors", lambda: AffineTransform(1.0, 2.0, event_dim=1), (3,)),
    TransformCase("cholesky", transforms.CholeskyTransform, (3, 3)),
    TransformCase("compose", lambda: ComposeTransform([AffineTransform(1.0, 2.0), ExpTransform()])),
    TransformCase("corr_cholesky", transforms.CorrCholeskyTransform, (3,)),
    TransformCase("corr_l_cholesky", transforms.CorrLCholeskyTransform, (6,)),
    TransformCase("corr_matrix_cholesky", transforms.CorrMatrixCholeskyTransform, (3, 3)),
    TransformCase("dct", DiscreteCosineTransform, (5,)),
    TransformCase("dct smooth", lambda: DiscreteCosineTransform(smooth=1.5), (4,)),
    TransformCase("dct of columns", lambda: DiscreteCosineTransform(-2, smooth=-0.5), (4, 2)),
    TransformCase("elu", transforms.elu),
    TransformCase("exp", ExpTransform),
    TransformCase("haar", HaarTransform, (5,)),
    TransformCase("haar flipped", lambda: HaarTransform(flip=True), (3,)),
    TransformCase("haar of columns", lambda: HaarTransform(-2), (4, 2)),
    TransformCase("identity", lambda: transforms.identity_transform),
    TransformCase("leaky_relu", transforms.leaky_relu),
    TransformCase("lower_cholesky", transforms.LowerCholeskyTransform, (2, 2)),
    TransformCase("lower_cholesky_affine", LowerCholeskyAffine, (3,), AFFINE),
    TransformCase("lower_cholesky_bijection", transforms.LowerCholeskyBijection, (6,)),
    TransformCase("normalize", transforms.Normalize, (3,)),
    TransformCase("ordered", transforms.OrderedTransform, (3,)),
    TransformCase("permute", lambda: transforms.permute(3, CYCLE), (3,)),
    TransformCase("permute rows", lambda: transforms.permute(3, CYCLE, dim=-2), (3, 2)),
    TransformCase("positive_definite", transforms.PositiveDefiniteTransform, (2, 2)),
    TransformCase("positive_power", PositivePowerTransform, params={"exponent": tensor(2.5)}),
    TransformCase("positive_power of a number", lambda: PositivePowerTransform(0.7)),
    TransformCase("power", transforms.PowerTransform, params={"exponent": tensor(-2.0)}),
    TransformCase("reshape", lambda: transforms.ReshapeTransform((6,), (2, 3)), (6,)),
    TransformCase("sigmoid", transforms.SigmoidTransform),
    TransformCase("simplex_to_ordered", SimplexToOrderedTransform, (4,)),
    TransformCase("simplex_to_ordered anchored", lambda: SimplexToOrderedTransform(0.3), (3,)),
    TransformCase("softmax", transforms.SoftmaxTransform, (3,)),
    TransformCase("softplus", transforms.SoftplusTransform),
    TransformCase("softplus_lower_cholesky", transforms.SoftplusLowerCholeskyTransform, (3, 3)),
    TransformCase("stick_breaking", transforms.StickBreakingTransform, (3,)),
    TransformCase("tanh", transforms.tanh),
    TransformCase("unit_lower_cholesky", transforms.UnitLowerCholeskyTransform, (3, 3)),
    TransformCase("zero_sum", transforms.ZeroSumTransform, (3,)),
    bijection("circular"),
    bijection("corr_cholesky", (3,)),
    bijection("corr_matrix", (3,)),
    bijection("lower_cholesky", (6,)),
    bijection("ordered_vector", (3,)),
    bijection("positive"),
    bijection("positive_definite", (6,)),
    bijection("positive_ordered_vector", (3,)),
    bijection("simplex", (3,)),
    bijection("softplus_lower_cholesky", (6,)),
    bijection("softplus_positive"),
    bijection("unit_lower_cholesky", (3,)),
    bijection("zero_sum", (3,)),
    surjection("corr_matrix", (6,)),
    surjection("lower_cholesky", (3, 3)),
    surjection("positive_definite", (3, 3)),
    surjection("simplex", (3,)),
    surjection("softplus_lower_cholesky", (3, 3)),
    surjection("sphere", (3,)),
    surjection("unit_lower_cholesky", (3, 3)),
]


@pytest.mark.parametrize(
    "case,law", [(c, law) for c in CASES for law in transform_laws_of(c)], ids=str
)
def test_law(case, law):
    TRANSFORM_LAWS[law](case)


def test_every_law_applies_to_some_transform():
    assert {law for case in CASES for law in transform_laws_of(case)} == set(TRANSFORM_LAWS)


def test_every_fixed_transform_of_ours_has_a_case():
    made = {type(case.transform()) for case in CASES}
    ours = {
        member
        for member in vars(transforms).values()
        if isinstance(member, type) and member.__module__.startswith("ppl.distributions.transforms")
    }
    assert ours <= made


@pytest.mark.parametrize("case", CASES, ids=str)
def test_transforms_of_ours_equal_their_like_and_nothing_else(case):
    transform = case.transform()
    assert transform != transforms.StackTransform([ExpTransform()])
    if type(transform).__module__.startswith("ppl."):
        assert transform == case.transform() == transform.with_cache(1)


@pytest.mark.parametrize(
    "make",
    [
        lambda smooth: DiscreteCosineTransform(smooth=smooth),
        lambda i: DiscreteCosineTransform(dim=-1 - i),
        lambda i: HaarTransform(flip=bool(i)),
        lambda i: HaarTransform(dim=-1 - i),
        lambda i: transforms.permute(2, tensor([i, 1 - i])),
        lambda i: transforms.permute(2, tensor([1, 0]), dim=-1 - i),
        lambda i: LowerCholeskyBijection([ExpTransform(), transforms.SoftplusTransform()][i]),
        lambda i: LowerCholeskyAffine(tensor([1.0 * i]), torch.eye(1)),
        lambda i: LowerCholeskyAffine(torch.zeros(1), (1 + i) * torch.eye(1)),
        lambda i: PositivePowerTransform(1.0 + i),
        lambda i: SimplexToOrderedTransform(i),
        lambda i: transforms.Normalize(p=1 + i),
    ],
)
def test_transforms_differ_by_their_arguments(make):
    assert make(0) == make(0) != make(1)


@pytest.mark.parametrize("name", ["elu", "leaky_relu", "tanh"])
def test_images_of_a_normal_can_be_scored_under_validation(name):
    transform = getattr(transforms, name)()
    d = dist.TransformedDistribution(dist.Normal(torch.zeros(4), torch.ones(4)), [transform])
    torch.manual_seed(0)
    assert d.log_prob(d.sample()).isfinite().all()


def test_an_affine_image_of_standard_normals_is_a_multivariate_normal():
    loc, scale_tril = torch.ones(3).double(), TRIL * tensor([1.0, 1.0, -1.0])
    zeros = torch.zeros(3, dtype=torch.float64)
    transform = LowerCholeskyAffine(loc, scale_tril)
    d = dist.TransformedDistribution(dist.Normal(zeros, 1.0).to_event(1), [transform])
    value = d.sample((5,))
    expected = dist.MultivariateNormal(loc, scale_tril=scale_tril).log_prob(value)
    assert_close(d.log_prob(value), expected)


def test_affine_parameters_broadcast_with_arguments():
    transform = LowerCholeskyAffine(torch.zeros(4, 1, 3).double(), TRIL.expand(5, 3, 3))
    x = torch.zeros(3, dtype=torch.float64)
    y = transform(x)
    assert transform.forward_shape(x.shape) == y.shape == (4, 5, 3)
    assert transform.log_abs_det_jacobian(x, y).shape == (5,)


def test_atanh_undoes_tanh():
    x = torch.linspace(-2.0, 2.0, 9)
    assert_close(transforms.TanhTransform.atanh(transforms.tanh()(x)), x)


def test_a_permutation_is_undone_by_its_inverse_and_random_by_default():
    transform = transforms.permute(3, CYCLE)
    assert_close(transform.permutation[transform.inv_permutation], torch.arange(3))
    assert_close(transforms.permute(5).permutation.sort().values, torch.arange(5))


@pytest.mark.parametrize("make", [lambda dim: transforms.permute(3, dim=dim), HaarTransform])
@pytest.mark.parametrize("dim", [0, 1])
def test_dimensions_count_from_the_right(make, dim):
    with pytest.raises(ValueError, match=f"negative, got {dim}"):
        make(dim)


def test_a_smooth_cosine_transform_makes_white_noise_of_a_random_walk():
    """Variances of the frequencies 1 to 7 of random walks differ by a factor of 60, or by 2."""
    torch.manual_seed(0)
    walk = torch.randn(10_000, 64, dtype=torch.float64).cumsum(-1)
    spread = [DiscreteCosineTransform(smooth=s)(walk).var(0)[1:8] for s in (0.0, 1.0)]
    assert spread[0].max() / spread[0].min() > 30 and spread[1].max() / spread[1].min() < 2.5


def test_smoothing_multiplies_frequency_k_by_a_power_of_k_and_a_half():
    x = torch.eye(5, dtype=torch.float64)[0]  # has every frequency
    ratio = DiscreteCosineTransform(smooth=1.5)(x) / DiscreteCosineTransform()(x)
    expected = (torch.arange(5, dtype=torch.float64) + 0.5) ** 1.5
    assert_close(ratio / ratio[0], expected / expected[0])


def test_smoothing_keeps_volume_at_any_length():
    for n in (1, 2, 7):
        matrix = DiscreteCosineTransform(smooth=2.0)(torch.eye(n, dtype=torch.float64))
        assert_close(torch.linalg.slogdet(matrix).logabsdet, torch.zeros(()).double())


def test_a_wavelet_transform_leaves_the_last_entry_unpaired_or_the_first_if_flipped():
    x = tensor([1.0, 3.0, 9.0])
    want = tensor([4 / math.sqrt(2), -2 / math.sqrt(2), 9.0])
    assert_close(HaarTransform()(x), want)
    assert_close(HaarTransform(flip=True)(x.flip(0)), want)


def test_powers_keep_the_sign_and_must_be_positive():
    power = PositivePowerTransform(tensor([0.5, 2.0]))
    assert_close(power(tensor([-4.0])), tensor([-2.0, -16.0]))
    assert power.forward_shape((1,)) == (2,)
    assert PositivePowerTransform(1.0).log_abs_det_jacobian(tensor(0.0), tensor(0.0)) == 0
    with pytest.raises(SupportError, match="exponent > 0, got 0.0"):
        PositivePowerTransform(0, validate_args=True)
    with pytest.raises(SupportError, match="exponent > 0"):
        PositivePowerTransform(tensor([1.0, -1.0]), validate_args=True)


def test_cutpoints_give_an_ordered_logistic_its_probabilities_back():
    probs = tensor([0.1, 0.2, 0.3, 0.4], dtype=torch.float64)
    anchor = tensor(0.7, dtype=torch.float64)
    cutpoints = SimplexToOrderedTransform(anchor)(probs)
    assert_close(dist.OrderedLogistic(anchor, cutpoints).probs, probs)


def test_cutpoints_of_rare_categories_keep_their_digits():
    rare = tensor([0.5, 0.5, 1e-30], dtype=torch.float64)
    cutpoints = SimplexToOrderedTransform()(rare)
    assert_close(cutpoints, tensor([0.0, 30 * math.log(10)], dtype=torch.float64))
    assert_close(SimplexToOrderedTransform().inv(cutpoints), rare, rtol=1e-12, atol=0.0)


def test_correlations_near_one_keep_their_digits():
    """The diagonal knows what rounding of the other entries to one would lose."""
    x = tensor([15.0, -12.0, 3.0], dtype=torch.float64)
    transform = transforms.CorrCholeskyTransform()
    assert_close(transform.inv(transform(x)), x, rtol=1e-12, atol=0.0)


def test_correlation_factors_equal_those_of_torch():
    theirs = torch.distributions.transforms.CorrCholeskyTransform()
    ours = transforms.CorrCholeskyTransform()
    x = torch.randn(4, 6, dtype=torch.float64)
    y = theirs(x)
    assert_close(ours(x), y)
    assert_close(ours.log_abs_det_jacobian(x, y), theirs.log_abs_det_jacobian(x, y))


def test_an_indefinite_matrix_has_a_factor_of_nan():
    assert transforms.CholeskyTransform()(-torch.eye(2)).isnan().all()


def test_iterated_transforms_have_parameters_of_their_own():
    class Shift(transforms.Transform, torch.nn.Module):
        domain = codomain = constraints.real
        bijective = True

        def __init__(self, by):
            torch.nn.Module.__init__(self)
            transforms.Transform.__init__(self)
            self.by = torch.nn.Parameter(tensor(by))

        __hash__ = torch.nn.Module.__hash__

        def _call(self, x):
            return x + self.by

    chain = transforms.iterated(3, Shift, by=2.0)
    assert isinstance(chain, transforms.ComposeTransformModule)
    assert len(list(chain.parameters())) == 3
    assert_close(chain(tensor(1.0)), tensor(7.0))


@pytest.mark.parametrize("name", ["ConditionalSpline", "Householder", "Radial", "spline_coupling"])
def test_a_learnable_transform_names_its_distribution_if_that_is_absent(name, monkeypatch):
    monkeypatch.setattr(plugins, "entries", lambda group: {})
    with pytest.raises(MissingDistributionError, match=f"{name}.*ppl-contrib-flows"):
        getattr(transforms, name)


def test_a_single_dimension_has_no_correlation_and_no_entry_below_the_diagonal():
    nothing, one = torch.zeros(5, 0), torch.ones(5, 1, 1)
    for name in ("corr_cholesky", "corr_matrix", "unit_lower_cholesky"):
        transform = biject_to(getattr(constraints, name))
        assert_close(transform(nothing), one)
        assert_close(transform.inv(one), nothing)
        assert_close(transform.log_abs_det_jacobian(nothing, one), torch.zeros(5))


def test_an_anchor_broadcasts_with_the_batch():
    y = SimplexToOrderedTransform(tensor([0.0, 1.0]))(tensor([0.2, 0.5, 0.3]).expand(2, 3))
    assert_close(y[1] - y[0], torch.ones(2))


def test_a_smooth_cosine_transform_takes_its_arguments_in_order():
    x = torch.randn(8, generator=torch.Generator().manual_seed(0))
    want = transforms.DiscreteCosineTransform(dim=-1, smooth=1.0)(x)
    assert_close(transforms.DiscreteCosineTransform(-1, 1.0)(x), want)
    assert transforms.DiscreteCosineTransform(-1, 1.0, 1)._cache_size == 1


def test_a_permutation_may_be_told_the_sizes_of_an_event():
    x = torch.arange(30.0).reshape(5, 2, 3)
    t = transforms.permute((2, 3), dim=-2)
    assert sorted(t.permutation.tolist()) == [0, 1]
    assert_close(t.inv(t(x)), x)
    with pytest.raises(ValueError, match="expected 2 sizes"):
        transforms.permute((3,), dim=-2)
