"""At the ends of their ranges densities are their limits, and so are slopes."""

import math
import pickle
from copy import deepcopy

import numpy as np
import pytest
import scipy.stats as st
import torch
from torch.func import grad_and_value, vmap
from torch.fx.experimental.proxy_tensor import make_fx
from torch.testing import assert_close

import ppl.distributions as dist
from ppl.distribution import Distribution
from ppl.errors import ShapeError
from ppl.validation import validation_enabled

from .cases import CASES as MEMBERS
from .cases_at_edges import CASES

DTYPES = [torch.float32, torch.float64]
# families with such parameters or ends whose edges are asked of elsewhere
ELSEWHERE = {
    "Censored": "its ends are atoms; its own tests",
    "GeneralizedPareto": "test_differences_from_torch",
    "Hurdle": "here under its base",
    "OneOneMatching": "its logits weigh edges of a graph",
    "OneTwoMatching": "its logits weigh edges of a graph",
    "Rejector": "its ends are those of what it draws from",
    "LogNormalNegativeBinomial": "a sum of negative binomials at finite logits",
    "Truncated": "its own tests",
    "TruncatedPolyaGamma": "its density vanishes at its ends as a truncated series",
}


def value_of(case, dtype):
    is_index = isinstance(case.value, int)
    return torch.tensor(case.value, dtype=torch.long if is_index else dtype)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("case", CASES, ids=str)
def test_the_density_at_an_edge_is_its_limit_and_so_is_its_slope(case, dtype):
    params = {
        name: torch.tensor(p, dtype=dtype, requires_grad=True) for name, p in case.params.items()
    }
    log_prob = case.dist(dtype, **params).log_prob(value_of(case, dtype))
    eps = torch.finfo(dtype).eps
    want = torch.tensor(case.log_prob, dtype=dtype)
    assert_close(log_prob, want, rtol=20 * eps, atol=20 * eps)
    slopes = torch.autograd.grad(log_prob, list(params.values()), materialize_grads=True)
    for name, slope in zip(params, slopes, strict=True):
        assert not slope.isnan().any(), name
        if name in case.slopes:
            limit = torch.tensor(case.slopes[name], dtype=dtype).expand_as(slope)
            assert_close(slope, limit, rtol=50 * eps, atol=50 * eps)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_edges_are_recorded_as_they_are_computed(case):
    params = {k: torch.tensor(p, dtype=torch.float64) for k, p in case.params.items()}
    value = value_of(case, torch.float64)
    with validation_enabled(False):
        score = vmap(grad_and_value(lambda p: case.dist(torch.float64, **p).log_prob(value)))
        batch = {name: p.unsqueeze(0) for name, p in params.items()}
        _, log_prob = make_fx(score)(batch)(batch)
    lowest = torch.finfo(torch.float64).min  # of infinite log odds without validation
    want = torch.tensor([case.log_prob], dtype=torch.float64)
    assert_close(log_prob.clamp(min=lowest), want.clamp(min=lowest))


def closed_ends(member):
    """Return whether the support of a member is an interval that contains one of its ends."""
    support = member.support
    ends = [getattr(support, name, None) for name in ("lower_bound", "upper_bound")]
    ends = [torch.as_tensor(end, dtype=torch.float64) for end in ends if end is not None]
    return not support.is_discrete and any(support.check(end).any() for end in ends)


def test_every_family_with_probabilities_or_a_closed_end_has_edge_cases():
    families = {
        member.__name__
        for member in vars(dist).values()
        if isinstance(member, type)
        and issubclass(member, Distribution)
        and isinstance(getattr(member, "arg_constraints", None), dict)
        and member.arg_constraints.keys() & {"probs", "logits", "gate"}
    }
    families |= {
        type(case.dist()).__name__
        for case in MEMBERS
        if case.dist().event_dim == 0 and closed_ends(case.dist())
    }
    families = {name for name in families if not name.startswith(("_", "Expanded", "Masked"))}
    assert families - {case.family for case in CASES} <= set(ELSEWHERE)


BY_PROBS = [
    dist.Bernoulli,
    lambda **p: dist.Binomial(5, **p),
    dist.Geometric,
    lambda **p: dist.NegativeBinomial(3.0, **p),
    dist.ContinuousBernoulli,
    lambda **p: dist.RelaxedBernoulli(torch.tensor(0.7), **p),
]


@pytest.mark.parametrize("make", BY_PROBS)
def test_reading_the_other_parameter_changes_no_density(make):
    # what is derived must not be taken for what was given, also not by copies
    d = make(probs=torch.tensor([1e-12, 0.3]))
    x = torch.tensor([1.0, 1.0])
    want = d.log_prob(x)
    assert d.logits.shape == d.probs.shape
    for copy in (d, d.expand((3, 2)), deepcopy(d), pickle.loads(pickle.dumps(d))):
        assert_close(copy.log_prob(x), want.expand(copy.batch_shape))


@pytest.mark.parametrize("probs", [0.0, 1.0])
def test_entropies_and_divergences_at_certainty(probs):
    p = torch.tensor(probs, requires_grad=True)
    for make in (dist.Bernoulli, lambda probs: dist.Binomial(3, probs)):
        d, other = make(p), make(torch.tensor(0.25))
        want = -other.log_prob(torch.tensor(probs * (3 if make is not dist.Bernoulli else 1)))
        assert_close(d.entropy(), torch.tensor(0.0))
        assert_close(dist.kl_divergence(d, other), want)
        assert_close(dist.kl_divergence(d, d), torch.tensor(0.0))
        assert dist.kl_divergence(other, d) == math.inf
        for result in (d.entropy(), dist.kl_divergence(d, other)):
            (slope,) = torch.autograd.grad(result, p)
            assert slope.isfinite()


@pytest.mark.parametrize("kind", [dist.Categorical, dist.OneHotCategorical])
def test_categories_that_cannot_occur_add_nothing_to_entropies_and_divergences(kind):
    p = torch.tensor([0.0, 0.25, 0.75], requires_grad=True)
    q = torch.tensor([0.5, 0.25, 0.25])
    entropy = st.entropy([0.25, 0.75])
    assert_close(kind(p).entropy().item(), entropy)
    for other in (kind(q), kind(logits=q.log())):
        divergence = dist.kl_divergence(kind(p), other)
        assert_close(divergence.item(), 0.75 * math.log(3.0))
        (slope,) = torch.autograd.grad(divergence, p)
        assert slope.isfinite().all()
    assert dist.kl_divergence(kind(q), kind(p)) == math.inf


def test_poissons_that_are_always_zero_diverge_by_the_other_mean():
    zero, two = dist.Poisson(0.0), dist.Poisson(2.0)
    assert dist.kl_divergence(zero, two) == 2.0
    assert dist.kl_divergence(two, zero) == math.inf
    assert dist.kl_divergence(zero, zero) == 0.0


@pytest.mark.parametrize("rate", [0.0, 1e-3, 0.5, 3.0, 99.0, 101.0, 1e4])
def test_the_entropy_of_a_poisson_is_the_sum_over_counts(rate):
    got = dist.Poisson(torch.tensor(rate, dtype=torch.float64)).entropy()
    log_probs = st.poisson(rate).logpmf(np.arange(20_000))
    want = -(np.exp(log_probs) * np.maximum(log_probs, -1e3)).sum()
    assert_close(got.item(), float(want), rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("logits", [-1e30, -60.0, -3.0, -0.2, 0.0, 1e-5, 0.2999, 0.3001, 15.0])
def test_moments_of_a_continuous_bernoulli_equal_those_of_a_cut_off_exponential(logits):
    d = dist.ContinuousBernoulli(logits=torch.tensor(logits, dtype=torch.float64))
    rate = max(abs(logits), 1e-9)
    exact = st.truncexpon(rate, scale=1 / rate) if abs(logits) > 1e-3 else st.uniform()
    distance = 1 - exact.mean() if logits > 0 else exact.mean()
    tolerance = 1e-5 if abs(logits) < 1e-3 else 1e-9
    assert_close(d.mean.item(), distance, rtol=tolerance, atol=1e-12)
    assert_close(d.variance.item(), exact.var(), rtol=1e-5, atol=1e-12)
    ends = torch.tensor([0.0, 1.0], dtype=torch.float64)
    assert_close(d.cdf(ends), ends)
    assert_close(d.icdf(ends), ends)


def test_rare_events_are_enumerated_without_nan_slopes():
    # a state of probability 0 has weight 0 in a sum, and must add no slope of log(0)
    p = torch.tensor(0.8, requires_grad=True)
    alive = torch.tensor([0.0, 1.0])
    log_joint = dist.Bernoulli(p * alive).log_prob(torch.tensor([[0.0], [1.0]]))
    (slope,) = torch.autograd.grad(log_joint.logsumexp(0).sum(), p)
    assert_close(slope, torch.tensor(0.0))


@pytest.mark.parametrize(
    "base",
    [dist.Bernoulli(torch.tensor([[0.2, 0.7], [0.5, 0.1]])), dist.Categorical(torch.ones(2, 2, 3))],
)
def test_events_of_independent_values_are_enumerated(base):
    for n in (1, 2):
        d = base.to_event(n)
        values = d.enumerate_support()
        assert values.shape[1:] == d.batch_shape + d.event_shape
        assert_close(d.log_prob(values).exp().sum(0), torch.ones(d.batch_shape))
        compact = d.enumerate_support(expand=False)
        assert compact.flatten(1).unique(dim=0).shape[0] == compact.shape[0]
        assert_close(compact.expand_as(values), values)


def test_more_events_than_can_be_enumerated_are_refused():
    with pytest.raises(ShapeError, match="2 \\*\\* 784"):
        dist.Bernoulli(torch.full((784,), 0.5)).to_event(1).enumerate_support()


@pytest.mark.parametrize("cutpoints", [[-1, 0, 2], [0, 1, 5]])
def test_whole_numbers_are_cutpoints_too(cutpoints):
    whole, real = torch.tensor(cutpoints), torch.tensor(cutpoints, dtype=torch.float32)
    x = torch.tensor([0, 3])
    for predictor in (torch.tensor([0.5, 1.0]), torch.tensor([0, 1]), 1):
        want = dist.OrderedLogistic(torch.as_tensor(predictor).float(), real).log_prob(x)
        assert_close(dist.OrderedLogistic(predictor, whole).log_prob(x), want)
    assert dist.OrderedLogistic(torch.tensor(0.5).double(), whole).probs.dtype == torch.float64
    with validation_enabled(), pytest.raises(ValueError, match="cutpoints"):
        dist.OrderedLogistic(torch.tensor(0.5), whole.flip(-1))


def test_the_matrices_of_a_multivariate_t_are_inverse_to_each_other():
    tril = torch.tensor([[1.0, 0.0], [0.5, 0.8]])
    for df in (0.5, 1.5, 5.0):
        d = dist.MultivariateStudentT(torch.tensor(df), torch.zeros(2), tril)
        assert_close(d.covariance_matrix @ d.precision_matrix, torch.eye(2))
        assert_close(d.covariance_matrix, tril @ tril.mT)


POINT = torch.tensor([[0.5, -1.0], [0.0, 2.0]])
NORMAL = dist.Normal(torch.zeros(2, 2), 2.0)


@pytest.mark.parametrize(
    "q", [NORMAL.to_event(1), dist.MultivariateNormal(torch.zeros(2), torch.eye(2))]
)
def test_a_point_diverges_alike_however_it_is_written(q):
    want = -q.log_prob(POINT)
    assert_close(dist.kl_divergence(dist.Delta(POINT, event_dim=1), q), want)
    assert_close(dist.kl_divergence(dist.Delta(POINT).to_event(1), q), want)
    whole = q.expand((2,)).to_event(1)
    for point in (
        dist.Delta(POINT, event_dim=2),
        dist.Delta(POINT).to_event(2),
        dist.Delta(POINT, event_dim=1).to_event(1),
    ):
        assert_close(dist.kl_divergence(point, whole), want.sum())


def test_independent_vectors_diverge_like_the_components_they_are_made_of():
    diagonal = NORMAL.to_event(2)
    vectors = dist.MultivariateNormal(torch.zeros(2, 2), 4 * torch.eye(2)).to_event(1)
    assert_close(dist.kl_divergence(diagonal, vectors), torch.tensor(0.0))
    assert_close(dist.kl_divergence(vectors, diagonal), torch.tensor(0.0), atol=1e-6, rtol=0.0)


def has_slopes(case):
    """Return whether densities have slopes in parameters, at values that may be hidden.

    A matching is a vector of indices: one that is out of bounds is an error, hidden or not.
    """
    d = case.make(**{name: p.requires_grad_() for name, p in case.parameters().items()})
    is_matching = type(d) in (dist.OneOneMatching, dist.OneTwoMatching)
    return not is_matching and d.log_prob(d.sample()).requires_grad


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf, -1.0, 0.0])
@pytest.mark.parametrize("case", [c for c in MEMBERS if has_slopes(c)], ids=str)
def test_a_hidden_value_leaves_no_trace_in_slopes(case, bad):
    # a value that does not count may be anything, and the slopes are those of the rest
    params = {name: p.requires_grad_() for name, p in case.parameters().items()}
    d = case.make(**params)
    torch.manual_seed(0)
    x = d.sample().detach()
    shown = torch.arange(d.batch_shape[0]) > 0
    to_value = shown.reshape([-1] + [1] * (x.dim() - 1))
    shown = shown.reshape([-1] + [1] * (len(d.batch_shape) - 1)).expand(d.batch_shape)
    if not x.is_floating_point():
        bad = -1
    spoilt = torch.where(to_value, x, torch.full_like(x, bad))
    with validation_enabled(False):
        masked = case.make(**params).mask(shown).log_prob(spoilt)
    want, got = (
        torch.autograd.grad(log_prob.sum(), list(params.values()), materialize_grads=True)
        for log_prob in (torch.where(shown, d.log_prob(x), 0.0), masked)
    )
    for one, other in zip(got, want, strict=True):
        assert_close(one, other)
