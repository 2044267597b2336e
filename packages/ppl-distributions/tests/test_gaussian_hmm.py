"""Gaussian, Student and linear series, against the Kalman filter and dense normals."""

import math

import pytest
import torch
from torch.testing import assert_close

import ppl.distributions as dist
from ppl.errors import ShapeError

LENGTHS = [1, 2, 3, 7, 64, 67]
HIDDEN, OBS = 2, 3


def randn(*shape):
    return torch.randn(shape, dtype=torch.float64)


def covariance(*batch, n):
    root = randn(*batch, n, n)
    return root @ root.mT + 0.5 * torch.eye(n, dtype=torch.float64)


def parameters(batch=(), time=()):
    """Return loc and covariance of the first state; matrix, loc and covariance of both noises."""
    one = time or (1,)
    return {
        "init": (randn(*batch, HIDDEN), covariance(n=HIDDEN)),
        "transition": (
            0.6 * randn(*batch, *one, HIDDEN, HIDDEN),
            randn(*time, HIDDEN),
            covariance(*time, n=HIDDEN),
        ),
        "observation": (randn(*one, HIDDEN, OBS), randn(*time, OBS), covariance(*time, n=OBS)),
    }


def build(p, diagonal=False, **options):
    (loc, cov), (A, b, Q), (C, d, R) = p.values()
    noise = dist.MultivariateNormal(d, R)
    if diagonal:
        noise = dist.Normal(d, R.diagonal(dim1=-2, dim2=-1).sqrt()).to_event(1)
    return dist.GaussianHMM(
        dist.MultivariateNormal(loc, cov), A, dist.MultivariateNormal(b, Q), C, noise, **options
    )


def at(x, t, event_dim):
    """Return the entry of a parameter at a time, whether it has time or not."""
    if x.dim() == event_dim:
        return x
    return x.select(-1 - event_dim, t if x.shape[-1 - event_dim] > 1 else 0)


def kalman(p, x, diagonal=False):
    """Return log density, mean and covariance of the last state, one step after another."""
    (mean, P), (A, b, Q), (C, d, R) = p.values()
    total = 0.0
    for t in range(x.shape[-2]):
        a, c = at(A, t, 2), at(C, t, 2)
        mean = (mean.unsqueeze(-2) @ a).squeeze(-2) + at(b, t, 1)
        P = a.mT @ P @ a + at(Q, t, 2)
        r = at(R, t, 2)
        S = c.mT @ P @ c + (r.diagonal(dim1=-2, dim2=-1).diag_embed() if diagonal else r)
        predicted = (mean.unsqueeze(-2) @ c).squeeze(-2) + at(d, t, 1)
        total = total + dist.MultivariateNormal(predicted, S).log_prob(x[..., t, :])
        gain = P @ c @ torch.linalg.inv(S)
        mean = mean + (gain @ (x[..., t, :] - predicted).unsqueeze(-1)).squeeze(-1)
        P = P - gain @ c.mT @ P
    return total, mean, P


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


@pytest.mark.parametrize("length", LENGTHS)
@pytest.mark.parametrize("batch", [(), (2,)], ids=str)
@pytest.mark.parametrize("moving", [True, False])
@pytest.mark.parametrize("diagonal", [True, False])
def test_density_and_filter_equal_the_kalman_filter(length, batch, moving, diagonal):
    p = parameters(batch, (length,) if moving else ())
    hmm, x = build(p, diagonal), randn(*batch, length, OBS)
    log_prob, mean, P = kalman(p, x, diagonal)
    state = hmm.filter(x)
    assert_close(hmm.log_prob(x), log_prob, rtol=1e-10, atol=1e-9)
    assert_close(state.mean, mean, rtol=1e-8, atol=1e-9)
    assert_close(state.covariance_matrix, P.expand(state.covariance_matrix.shape))
    assert hmm.batch_shape == batch and hmm.event_shape == (length if moving else 1, OBS)


@pytest.mark.parametrize("moving", [True, False])
def test_gradients_equal_those_of_the_kalman_filter(moving):
    p, x = parameters((2,), (9,) if moving else ()), randn(2, 9, OBS)
    inputs = [x, *(q for group in p.values() for q in group)]
    for q in inputs:
        q.requires_grad_()
    got = torch.autograd.grad(build(p).log_prob(x).sum(), inputs)
    for g, w in zip(got, torch.autograd.grad(kalman(p, x)[0].sum(), inputs), strict=True):
        symmetric = g.shape[-1:] == g.shape[-2:-1] and g.shape[-1] in (HIDDEN, OBS)
        if symmetric and not torch.allclose(g, w):  # a covariance: only the symmetric part counts
            g, w = g + g.mT, w + w.mT
        assert_close(g, w, rtol=1e-8, atol=1e-9)


def test_a_long_series_in_single_precision_keeps_five_digits():
    p = parameters()
    x = build(p, duration=1000).rsample()
    single = {name: tuple(q.float() for q in group) for name, group in p.items()}
    got = build(single).log_prob(x.float()).double()
    assert_close(got, build(p).log_prob(x), rtol=1e-5, atol=0.0)


def normal_of(series, length):
    """Return the normal distribution that the density of a Gaussian series must be."""
    size = length * series.event_shape[-1]

    def log_prob(x):
        return series.log_prob(x.reshape(length, -1))

    zero = torch.zeros(size, dtype=torch.float64)
    covariance = torch.linalg.inv(-torch.func.jacrev(torch.func.grad(log_prob))(zero))
    mean = covariance @ torch.func.grad(log_prob)(zero)
    return dist.MultivariateNormal(mean, (covariance + covariance.mT) / 2)


def assert_draws_have_moments(draws, want):
    """Check mean and covariance of draws of vectors, with about 1e-5 chance of a false alarm."""
    n, error = len(draws), draws - want.mean
    z = error.mean(0) / error.std(0) * n**0.5
    assert z.abs().max() < 5.0
    products = error.unsqueeze(-1) * error.unsqueeze(-2) - want.covariance_matrix
    z = products.mean(0) / products.std(0) * n**0.5
    assert z.abs().max() < 5.5


@pytest.mark.parametrize("moving", [True, False])
@pytest.mark.parametrize("diagonal", [True, False])
def test_draws_have_the_moments_of_the_density(moving, diagonal):
    hmm = build(parameters((), (5,) if moving else ()), diagonal, duration=5)
    assert_draws_have_moments(hmm.rsample((20_000,)).flatten(1), normal_of(hmm, 5))


def test_draws_of_states_given_a_series_end_in_the_filter():
    hmm, x = build(parameters()), randn(6, OBS)
    states = hmm.rsample_posterior(x, (20_000,))
    assert states.shape == (20_000, 6, HIDDEN)
    assert_draws_have_moments(states[:, -1], hmm.filter(x))


def test_batches_of_draws_have_their_shapes():
    hmm = build(parameters((2,)), duration=4)
    assert hmm.rsample((5,)).shape == (5, 2, 4, OBS)
    assert hmm.expand((3, 2)).rsample((5,)).shape == (5, 3, 2, 4, OBS)
    x = hmm.expand((3, 2)).rsample()
    assert hmm.rsample_posterior(x, (5,)).shape == (5, 3, 2, 4, HIDDEN)


@pytest.mark.parametrize("moving", [True, False])
@pytest.mark.parametrize("batch", [(), (2,)], ids=str)
def test_the_density_is_that_of_the_beginning_times_that_of_the_rest(moving, batch):
    p = parameters((), (7,) if moving else ())
    hmm, x = build(p, duration=7), randn(*batch, 7, OBS)
    rest = hmm.prefix_condition(x[..., :3, :])
    assert rest.duration == 4 and rest.batch_shape == batch
    want = hmm.log_prob(x) - kalman(p, x[..., :3, :])[0]
    assert_close(rest.log_prob(x[..., 3:, :]), want)


def test_a_prefix_must_be_shorter_than_the_series():
    with pytest.raises(ShapeError, match="fewer than 7 steps, got 7"):
        build(parameters(), duration=7).prefix_condition(randn(7, OBS))
    with pytest.raises(ShapeError, match="pass duration="):
        build(parameters()).prefix_condition(randn(7, OBS))


@pytest.mark.parametrize("diagonal", [True, False])
@pytest.mark.parametrize("duration", [4, None])
def test_an_update_by_evidence_obeys_the_theorem_of_bayes(diagonal, duration):
    hmm, x = build(parameters(), diagonal, duration=duration), randn(4, OBS)
    for evidence in (
        dist.Normal(randn(4, OBS), 0.7).to_event(2),
        dist.MultivariateNormal(randn(4, OBS), covariance(4, n=OBS)).to_event(1),
    ):
        updated, log_normalizer = hmm.conjugate_update(evidence)
        joint = hmm.log_prob(x) + evidence.log_prob(x)
        assert_close(updated.log_prob(x) + log_normalizer, joint)
        assert_close(updated.log_prob(x), normal_of(updated, 4).log_prob(x.flatten()))
        assert updated.rsample((2,)).shape == (2, 4, OBS)


def test_evidence_must_be_about_the_whole_series():
    with pytest.raises(ShapeError, match="expected a distribution of event_shape"):
        build(parameters(), duration=7).conjugate_update(
            dist.Normal(randn(4, OBS), 0.7).to_event(2)
        )


def test_a_model_without_time_scores_any_length_and_draws_none():
    hmm = build(parameters())
    assert hmm.event_shape == (1, OBS) and hmm.duration is None
    assert hmm.log_prob(randn(4, 9, OBS)).shape == (4,)
    with pytest.raises(ShapeError, match="pass duration="):
        hmm.rsample()
    with pytest.raises(ValueError, match="event_shape"):
        build(parameters(), duration=7).log_prob(randn(9, OBS))


def test_shapes_of_matrices_and_noises_must_agree():
    noise = dist.Normal(torch.zeros(2), 1.0).to_event(1)
    with pytest.raises(ShapeError, match=r"univariate noise needs \.to_event"):
        dist.GaussianHMM(noise, torch.eye(3), noise, torch.eye(2), noise)
    with pytest.raises(ShapeError, match="LinearHMM: expected event_shapes"):
        dist.LinearHMM(noise, torch.eye(2), dist.Normal(0.0, 1.0), torch.eye(2), noise)


def student(p, concentration, rate, **options):
    (loc, cov), (A, b, Q), (C, d, R) = p.values()
    normals = [dist.MultivariateNormal(*moments) for moments in ((loc, cov), (b, Q), (d, R))]
    scale = dist.Gamma(torch.tensor(concentration).double(), rate)
    return dist.GammaGaussianHMM(scale, normals[0], A, normals[1], C, normals[2], **options)


def at_scale(p, s):
    """Return parameters of which all covariances are divided by ``s``."""
    return {name: (*group[:-1], group[-1] / s) for name, group in p.items()}


@pytest.mark.parametrize("length", LENGTHS)
@pytest.mark.parametrize("moving", [True, False])
def test_a_student_series_is_a_mixture_of_gaussian_ones(length, moving):
    p, x = parameters((), (length,) if moving else ()), randn(length, OBS)
    hmm, prior = student(p, 2.5, 3.0), dist.Gamma(torch.tensor(2.5).double(), 3.0)
    u = torch.linspace(-8.0, 8.0, 8001, dtype=torch.float64)  # log of the scale
    s, dims = u.exp(), length * OBS
    at_one, square = kalman(p, x)[0], kalman(at_scale(p, 2.0), x)[0]
    # log density is c + dims / 2 * log(s) - s * energy: two values tell c and the energy
    energy = at_one - square + dims / 2 * math.log(2)
    joint = prior.log_prob(s) + at_one + energy + dims / 2 * u - s * energy + u
    want = joint.logsumexp(0) + (u[1] - u[0]).log()
    assert_close(hmm.log_prob(x), want, rtol=1e-8, atol=1e-9)

    scale, state = hmm.filter(x)
    weights = joint.softmax(0)
    assert_close(scale.mean, (weights * s).sum(), rtol=1e-8, atol=0.0)
    _, mean, P = kalman(p, x)
    assert_close(state.mean, mean)
    assert_close(state.covariance_matrix, P)


def test_draws_of_a_student_series_are_heavy_tailed_copies_of_gaussian_ones():
    """Given its scale a series is Gaussian, so that its mean square divides by the mean of 1/s."""
    p = parameters()
    hmm, gaussian = student(p, 6.0, 3.0, duration=5), normal_of(build(p, duration=5), 5)
    x = hmm.rsample((40_000,)).flatten(1) - gaussian.mean
    z = x.mean(0) / x.std(0) * len(x) ** 0.5
    assert z.abs().max() < 5.0
    squares = x.square() - gaussian.variance * 3.0 / (6.0 - 1)
    assert (squares.mean(0) / squares.std(0) * len(x) ** 0.5).abs().max() < 5.0
    assert student(p, 6.0, 3.0, duration=5).expand((3,)).rsample((2,)).shape == (2, 3, 5, OBS)


@pytest.mark.parametrize("length", LENGTHS)
@pytest.mark.parametrize("moving", [True, False])
def test_a_linear_model_without_chance_is_its_recursion(length, moving):
    time = (length,) if moving else (1,)
    init, A, C = randn(HIDDEN), 0.6 * randn(*time, HIDDEN, HIDDEN), randn(*time, HIDDEN, OBS)
    noise, seen = randn(length, HIDDEN), randn(length, OBS)
    points = [dist.Delta(v, event_dim=1) for v in (init, noise, seen)]
    hmm = dist.LinearHMM(points[0], A, points[1], C, points[2], duration=length)
    x = hmm.rsample((2,))
    z = init
    for t in range(length):
        z = z @ at(A, t, 2) + noise[t]
        assert_close(x[:, t], (z @ at(C, t, 2) + seen[t]).expand(2, OBS))


def test_a_linear_model_with_gaussian_noise_is_a_gaussian_one():
    (loc, cov), (A, b, Q), (C, d, R) = (p := parameters()).values()
    normals = [dist.MultivariateNormal(*moments) for moments in ((loc, cov), (b, Q), (d, R))]
    hmm = dist.LinearHMM(normals[0], A, normals[1], C, normals[2], duration=5)
    assert_draws_have_moments(hmm.rsample((20_000,)).flatten(1), normal_of(build(p, duration=5), 5))


def test_transforms_of_observations_apply_to_the_sum():
    noise = dist.Normal(torch.zeros(2), 1.0).to_event(1)
    for seen in (
        dist.TransformedDistribution(noise, dist.transforms.ExpTransform()),
        dist.LogNormal(torch.zeros(2), 1.0).to_event(1),
    ):
        hmm = dist.LinearHMM(noise, torch.eye(2), noise.expand((4,)), torch.eye(2), seen)
        assert len(hmm.transforms) == 1 and hmm.support.event_dim == 2
        assert hmm.support.check(hmm.rsample((100,))).all()
        torch.manual_seed(1)
        x = hmm.rsample()
        torch.manual_seed(1)
        plain = dist.LinearHMM(noise, torch.eye(2), noise.expand((4,)), torch.eye(2), noise)
        assert_close(x.log(), plain.rsample())


def test_a_linear_model_has_no_density_but_gradients_and_batches():
    scale = torch.ones(2, requires_grad=True)
    noise = dist.StudentT(4.0, torch.zeros(2), scale).to_event(1)
    hmm = dist.LinearHMM(noise.expand((3,)), torch.eye(2), noise, torch.eye(2), noise, duration=5)
    x = hmm.rsample()
    assert x.shape == (3, 5, 2) and hmm.expand((4, 3)).rsample((2,)).shape == (2, 4, 3, 5, 2)
    assert torch.autograd.grad(x.sum(), scale)[0].isfinite().all()
    with pytest.raises(NotImplementedError, match="LinearHMMReparam"):
        hmm.log_prob(x)
    without_time = dist.LinearHMM(noise, torch.eye(2), noise, torch.eye(2), noise)
    with pytest.raises(ShapeError, match="pass duration="):
        without_time.rsample()


def test_independent_series_are_scored_together():
    noise = dist.Normal(randn(3, 1, 1), 1.0).to_event(1)
    state = dist.Normal(randn(3, 1), 1.0).to_event(1)
    base = dist.GaussianHMM(state, randn(3, 1, 1, 1), noise, randn(3, 1, 1, 1), noise)
    series, x = dist.IndependentHMM(base), randn(2, 7, 3)
    assert series.batch_shape == () and series.event_shape == (1, 3) and series.duration is None
    want = sum(base.log_prob(x[..., k : k + 1].unsqueeze(1))[:, k] for k in range(3))
    assert_close(series.log_prob(x), want)
    assert series.expand((4,)).log_prob(x.unsqueeze(1)).shape == (2, 4)
    with pytest.raises(ShapeError, match="batch_shape"):
        dist.IndependentHMM(build(parameters(), duration=4))


@pytest.mark.parametrize("length", [1, 2, 7])
def test_a_random_field_is_normalized_as_a_whole(length):
    state = dist.MultivariateNormal(randn(2), covariance(n=2))
    pair = dist.MultivariateNormal(randn(length, 4), covariance(length, n=4))
    seen = dist.MultivariateNormal(randn(3), covariance(n=3))
    field, x = dist.GaussianMRF(state, pair, seen), randn(length, 1)
    assert_close(field.log_prob(x), normal_of(field, length).log_prob(x.flatten()))


def test_a_random_field_without_time_scores_any_length():
    state, pair, seen = (dist.MultivariateNormal(randn(n), covariance(n=n)) for n in (2, 4, 3))
    field, x = dist.GaussianMRF(state, pair, seen), randn(9, 1)
    moving = dist.GaussianMRF(state, pair.expand((9,)), seen)
    assert field.event_shape == (1, 1) and moving.event_shape == (9, 1)
    assert_close(field.log_prob(x), moving.log_prob(x))
    with pytest.raises(ShapeError, match="expected transition_dist over 4"):
        dist.GaussianMRF(state, seen, seen)
