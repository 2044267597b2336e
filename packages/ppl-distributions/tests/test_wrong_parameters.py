"""Parameters that do not fit are refused where they are passed, with their name and both shapes."""

import pytest
import torch

import ppl.distributions as dist
from ppl.errors import BroadcastError, ShapeError, SiteTypeError

from .cases import CASES

ZEROS, EYE, ONES = torch.zeros, torch.eye, torch.ones
CONTRADICTIONS = {
    "a covariance": lambda n, m: dist.MultivariateNormal(ZEROS(n), EYE(m)),
    "a precision": lambda n, m: dist.MultivariateNormal(ZEROS(n), precision_matrix=EYE(m)),
    "a factor": lambda n, m: dist.MultivariateNormal(ZEROS(n), scale_tril=EYE(m)),
    "a batch of factors": lambda n, m: dist.MultivariateNormal(
        ZEROS(4, n), scale_tril=EYE(m).expand(4, m, m)
    ),
    "unchecked": lambda n, m: dist.MultivariateNormal(ZEROS(n), EYE(m), validate_args=False),
    "student": lambda n, m: dist.MultivariateStudentT(5.0, ZEROS(n), EYE(m)),
    "missing": lambda n, m: dist.NanMaskedMultivariateNormal(ZEROS(n), EYE(m)),
    "transport": lambda n, m: dist.OMTMultivariateNormal(ZEROS(n), EYE(m)),
    "rotations": lambda n, m: dist.AVFMultivariateNormal(ZEROS(n), EYE(m), ONES(2, 1, m)),
    "low rank factor": lambda n, m: dist.LowRankMultivariateNormal(ZEROS(n), ONES(m, 1), ONES(n)),
    "low rank noise": lambda n, m: dist.LowRankMultivariateNormal(ZEROS(n), ONES(n, 2), ONES(m)),
    "no square": lambda n, m: dist.MultivariateNormal(ZEROS(n), ONES(n, m)),
    "no square of wishart": lambda n, m: dist.Wishart(n + m, ONES(n, m)),
}


@pytest.mark.parametrize("make", CONTRADICTIONS.values(), ids=CONTRADICTIONS.keys())
@pytest.mark.parametrize("n, m", [(3, 2), (1, 3), (3, 1)])
def test_a_matrix_of_another_size_than_the_location_is_refused(make, n, m):
    with pytest.raises(ShapeError, match="expected .*got"):
        make(n, m)


def test_a_location_without_components_is_refused():
    with pytest.raises(ShapeError, match="loc"):
        dist.MultivariateNormal(torch.tensor(0.0), EYE(2))


def test_batches_of_location_and_matrix_broadcast():
    d = dist.MultivariateNormal(ZEROS(4, 1, 2), EYE(2).expand(3, 2, 2))
    assert d.sample().shape == (4, 3, 2)


@pytest.mark.parametrize(
    "make, name",
    [
        (lambda: dist.Normal("a", 1), "Normal: loc"),
        (lambda: dist.Normal(0.0, None), "Normal: scale"),
        (lambda: dist.Gamma(1.0, rate={}), "Gamma: rate"),
        (lambda: dist.Dirichlet([[1.0], [2.0, 3.0]]), "Dirichlet: concentration"),
        (lambda: dist.Poisson(object()), "Poisson: rate"),
        (lambda: dist.MultivariateNormal(ZEROS(2), "covariance"), "covariance_matrix"),
    ],
)
def test_what_is_no_number_is_named(make, name):
    with pytest.raises(SiteTypeError, match=f"{name}.*expected a tensor"):
        make()


@pytest.mark.parametrize(
    "make",
    [
        lambda: dist.Dirichlet(1.0),
        lambda: dist.Categorical(torch.tensor(0.5)),
        lambda: dist.Multinomial(3, torch.tensor(0.5)),
        lambda: dist.OneHotCategorical(logits=0.5),
        lambda: dist.DirichletMultinomial(2.0, 3),
    ],
)
def test_a_number_in_the_place_of_a_vector_is_refused(make):
    with pytest.raises(ShapeError, match="at least one dimension"):
        make()


def test_shapes_that_do_not_broadcast_are_shown_with_their_names():
    with pytest.raises(BroadcastError, match=r"loc of shape \(3,\), scale of shape \(2,\)") as e:
        dist.Normal(ZEROS(3), ONES(2))
    assert isinstance(e.value, RuntimeError)  # what torch raises


@pytest.mark.parametrize(
    "make",
    [
        lambda: dist.Independent(dist.Normal, 1),
        lambda: dist.MixtureSameFamily(dist.Categorical, dist.Normal(ZEROS(2), 1.0)),
        lambda: dist.TransformedDistribution(dist.Normal, []),
        lambda: dist.MaskedDistribution(dist.Normal, True),
        lambda: dist.ZeroInflatedDistribution(torch.tensor(0.5), dist.Poisson),
        lambda: dist.Truncated(dist.Normal, 0.0, 1.0),
    ],
)
def test_a_class_in_the_place_of_a_distribution_is_refused(make):
    with pytest.raises(SiteTypeError, match="is the class; write"):
        make()


def test_a_shape_in_the_place_of_a_switch_is_refused():
    with pytest.raises(SiteTypeError, match="validate_args"):
        dist.Normal(0.0, 1.0, (3,))


def test_lists_are_like_tensors():
    latent = torch.tensor(2.0, requires_grad=True)
    d = dist.Dirichlet([latent, 1.0])
    d.log_prob([0.25, 0.75]).backward()
    # the gradient of log B(a, 1)^-1 + (a - 1) log x is 1 / a + log x
    torch.testing.assert_close(latent.grad, 0.5 + torch.tensor(0.25).log())
    assert (
        dist.Normal([0.0, 1.0], torch.tensor(1.0, dtype=torch.float64)).mean.dtype == torch.float64
    )


@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_number_in_the_place_of_a_shape_is_refused(case):
    d = case.dist()
    for ask in (d, d.sample, d.expand, d.expand_by, d.shape):
        with pytest.raises(SiteTypeError, match=r"expected a shape, such as \[3\], got 3"):
            ask(3)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_batch_that_does_not_grow_so_is_refused(case):
    d = case.dist()
    wrong = [5, *(size + 1 for size in d.batch_shape)]
    if not d.batch_shape or 1 in d.batch_shape:
        wrong = [-1, *d.batch_shape]
    with pytest.raises(BroadcastError, match="cannot be expanded"):
        d.expand(wrong)


def test_minus_one_keeps_a_size():
    assert dist.Normal(ZEROS(3), 1.0).expand([2, -1]).batch_shape == (2, 3)


def test_of_several_parameters_the_wrong_one_is_named():
    with pytest.raises(SiteTypeError, match="Binomial: total_count"):
        dist.Binomial([10, 20], [0.1, 0.2])


def test_a_temperature_may_be_a_number():
    d = dist.RelaxedOneHotCategorical(0.5, [0.2, 0.8])
    same = dist.RelaxedOneHotCategorical(torch.tensor(0.5), torch.tensor([0.2, 0.8]))
    x = torch.tensor([0.3, 0.7])
    torch.testing.assert_close(d.log_prob(x), same.log_prob(x))


def test_a_list_of_tensors_keeps_their_type():
    double = torch.tensor(0.1, dtype=torch.float64)
    assert dist.Normal([double, 1], 1.0).mean.tolist() == [0.1, 1.0]
