"""Scores of predictions, information criteria, weighted quantiles and Pareto smoothing."""

import math
import warnings

import pytest
import torch
from torch.testing import assert_close

from ppl.errors import ShapeError, SupportError
from ppl.ops import stats

with warnings.catch_warnings():
    warnings.simplefilter("ignore", FutureWarning)  # ArviZ announces its next major version
    import arviz


def noise(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_crps_is_its_definition():
    pred, truth = noise(20, 3, 2), noise(3, 2, seed=1)
    spread = (pred[:, None] - pred).abs().mean((0, 1))
    assert_close(stats.crps_empirical(pred, truth), (pred - truth).abs().mean(0) - spread / 2)


def test_crps_of_a_normal_has_its_closed_form():
    levels = (torch.arange(20_000).double() + 0.5) / 20_000
    truth = torch.tensor(0.7).double()
    normal = torch.distributions.Normal(0.0, 1.0)
    # Gneiting and Raftery 2007, section 4.2
    density = normal.log_prob(truth).exp()
    want = truth * (2 * normal.cdf(truth) - 1) + 2 * density - 1 / math.sqrt(math.pi)
    assert_close(stats.crps_empirical(torch.special.ndtri(levels), truth), want, atol=1e-3, rtol=0)


@pytest.mark.parametrize("batch", [(), (4,), (2, 3)])
@pytest.mark.parametrize("size", [None, 1, 7])
def test_energy_score_is_its_definition(batch, size):
    pred, truth = noise(*batch, 20, 3), noise(*batch, 5, 3, seed=1)
    gap = (pred.unsqueeze(-2) - truth.unsqueeze(-3)).norm(dim=-1).mean(-2)
    spread = (pred.unsqueeze(-2) - pred.unsqueeze(-3)).norm(dim=-1).mean((-2, -1))
    want = gap - spread.unsqueeze(-1) / 2
    assert_close(stats.energy_score_empirical(pred, truth, size), want)
    assert_close(stats.energy_score_empirical(pred, truth[..., 0, :], size), want[..., 0])


def test_energy_score_of_one_dimension_is_crps():
    pred, truth = noise(20, 1), noise(1, seed=1)
    assert_close(stats.energy_score_empirical(pred, truth), stats.crps_empirical(pred, truth)[0])


def test_energy_score_takes_another_distance():
    pred, truth = noise(20, 2), noise(2, seed=1)

    def twice(x, y):
        return 2 * torch.cdist(x, y)

    want = 2 * stats.energy_score_empirical(pred, truth)
    assert_close(stats.energy_score_empirical(pred, truth, cdist=twice), want)


@pytest.mark.parametrize("dim", [0, 1])
def test_waic_equals_arviz(dim):
    log_likelihood = noise(200, 8) - 1
    data = arviz.from_dict(log_likelihood={"y": log_likelihood.numpy()[None]})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # a large variance is fine here
        peer = arviz.waic(data, scale="deviance", pointwise=True)
    log_likelihood = log_likelihood.movedim(0, dim)
    waic, p_waic = stats.waic(log_likelihood, pointwise=True, dim=dim)
    # ArviZ divides the variances by n instead of n - 1
    assert_close(waic - 2 * p_waic / 200, torch.from_numpy(peer.waic_i.values))
    assert float(p_waic.sum()) * 199 / 200 == pytest.approx(float(peer.p_waic))
    total, p_total = stats.waic(log_likelihood, dim=dim)
    assert_close((total, p_total), (waic.sum(), p_waic.sum()))


def test_waic_with_equal_weights_of_any_scale_is_waic():
    log_likelihood = noise(50, 3)
    assert_close(stats.waic(log_likelihood, torch.full((50,), 3.0)), stats.waic(log_likelihood))


def test_a_draw_of_weight_zero_does_not_matter_to_the_lpd():
    log_likelihood, log_weights = noise(50, 3), torch.zeros(50).double()
    log_weights[10:] = -math.inf
    waic, p_waic = stats.waic(log_likelihood, log_weights, pointwise=True)
    lpd = log_likelihood[:10].logsumexp(0) - math.log(10)
    assert_close(-waic / 2 + p_waic, lpd)


@pytest.mark.parametrize("dim", [0, 1, -1])
@pytest.mark.parametrize("probs", [0.3, [0.0, 0.05, 0.5, 1.0]])
def test_a_weighed_quantile_with_equal_weights_is_the_quantile(dim, probs):
    draws = noise(11, 7, 3)
    got = stats.weighed_quantile(draws, probs, torch.full((draws.shape[dim],), 2.0), dim)
    assert_close(got, stats.quantile(draws, probs, dim))


def test_a_weighed_quantile_equals_the_stored_numbers():
    log_weights = torch.tensor([0.1, 0.2, 0.3, 0.2, 0.2]).log()
    got = stats.weighed_quantile(torch.arange(5.0), [0.0, 0.1, 0.25, 0.5, 0.9, 1.0], log_weights)
    want = torch.tensor([0.0, 0.45, 13 / 12, 11 / 6, 3.55, 4.0])  # computed once with Pyro 1.9.2
    assert_close(got, want)
    order = torch.tensor([3, 0, 4, 1, 2])
    shuffled = stats.weighed_quantile(order.float(), [0.1, 0.9], log_weights[order])
    assert_close(shuffled, want[[1, 4]])


@pytest.mark.parametrize(
    "log_weights, probs, error",
    [(3, 0.5, ShapeError), (5, 1.5, SupportError), (5, -0.1, SupportError)],
)
def test_weights_that_do_not_fit_and_impossible_levels_are_refused(log_weights, probs, error):
    with pytest.raises(error):
        stats.weighed_quantile(noise(5), probs, torch.zeros(log_weights))


@pytest.mark.parametrize("dim", [0, 1])
def test_resampling_without_replacement_permutes(dim):
    torch.manual_seed(0)
    draws = torch.arange(30.0).reshape(5, 6)
    chosen = stats.resample(draws, draws.shape[dim], dim)
    assert_close(chosen.sort(dim).values, draws)
    assert stats.resample(draws, 3, dim).shape[dim] == 3
    with pytest.raises(ShapeError, match="9"):
        stats.resample(draws, 9, dim)


def test_resampling_with_replacement_chooses_all_alike():
    torch.manual_seed(0)
    counts = torch.bincount(stats.resample(torch.arange(10), 10_000, replacement=True)).double()
    assert ((counts - 1000) ** 2 / 1000).sum() < 45.0  # 9 degrees of freedom: 1e-6


@pytest.mark.parametrize("num_draws", [25, 100, 1000])
def test_psis_equals_arviz(num_draws):
    log_weights = noise(num_draws, 3) * torch.tensor([0.3, 1.0, 4.0])
    smoothed, k = stats.psis(log_weights)
    peer, peer_k = arviz.psislw(log_weights.numpy().T)
    assert_close(smoothed, torch.from_numpy(peer.T), rtol=1e-10, atol=1e-10)
    assert_close(k, torch.from_numpy(peer_k), rtol=1e-10, atol=1e-10)
    along = stats.psis(log_weights.T, dim=-1)
    assert_close(along, (smoothed.T, k))


def test_psis_takes_a_longer_tail_of_draws_of_a_markov_chain():
    log_weights = noise(1000)
    peer, peer_k = arviz.psislw(log_weights.numpy(), reff=0.3)
    assert_close(stats.psis(log_weights, relative_efficiency=0.3)[0], torch.from_numpy(peer))


def test_psis_finds_the_shape_of_pareto_tails():
    uniform = torch.rand(20_000, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    for k in (0.2, 0.5, 0.9):
        # the tail has 425 weights: an error of (1 + k) / sqrt(425) (Smith 1987), five of them
        assert abs(stats.psis(-k * uniform.log())[1] - k) < 5 * (1 + k) / math.sqrt(425)


def test_psis_keeps_the_order_of_the_weights_and_their_sum():
    log_weights = 3 * noise(200)
    smoothed, _ = stats.psis(log_weights)
    assert_close(smoothed.exp().sum(), torch.tensor(1.0).double())
    assert bool((smoothed[log_weights.argsort()].diff() >= 0).all())


def test_psis_of_degenerate_weights_says_so():
    few, k = stats.psis(noise(10))
    assert k == math.inf
    assert_close(few, noise(10).log_softmax(0))
    equal, k = stats.psis(torch.zeros(100, dtype=torch.float64))
    assert k == -math.inf
    assert_close(equal, torch.full((100,), -math.log(100)).double())


def test_psis_of_weights_that_are_tied_at_the_cutoff_is_finite():
    log_weights = torch.zeros(400, dtype=torch.float64)
    log_weights[:20] = 1.0
    smoothed, k = stats.psis(log_weights)
    assert bool(smoothed.isfinite().all()) and bool(k.isfinite())


def test_the_fit_of_a_generalized_pareto_equals_the_stored_numbers():
    levels = (torch.arange(100).double() + 0.5) / 100
    draws = ((1 - levels) ** -0.5 - 1) * 2 / 0.5
    # computed once with ArviZ 0.23.4
    assert stats.fit_generalized_pareto(draws) == pytest.approx(
        (0.504492784502, 1.97992727589), rel=1e-10
    )
    with pytest.raises(ShapeError, match="2, 50"):
        stats.fit_generalized_pareto(draws.reshape(2, 50))
