"""Metrics that are learnt from draws and the gradients there, of normals with known answers."""

from __future__ import annotations

import pytest
import torch
from torch.testing import assert_close

from ppl.infer.mcmc.adaptation import gradient_metric, welford

from .targets import generator


def moments(draws, dense):
    """Return the running moments of draws ``(chain, draw, dim)``."""
    found = welford.begin(draws[:, 0], dense)
    for draw in draws.unbind(1):
        found = welford.update(found, draw)
    return found


def far_from_typical(num_draws, dim):
    """Return points on a way from far away, two chains: no draws of any normal."""
    noise = torch.randn(2, num_draws, dim, generator=generator(0), dtype=torch.float64)
    return 100.0 + noise.cumsum(1)


SCALES = torch.logspace(-3, 3, 7, dtype=torch.float64)


def test_the_metric_of_independent_normals_is_exact_after_few_draws_from_anywhere():
    draws = far_from_typical(3, 7) * SCALES
    gradients = (draws - 5.0) / SCALES**2
    found = gradient_metric.variance(
        moments(draws, False), moments(gradients, False), torch.ones(2, 7, dtype=torch.float64)
    )
    assert_close(found, (SCALES**2).expand(2, 7), rtol=1e-6, atol=0.0)


def test_what_has_not_moved_or_is_seldom_seen_keeps_its_variance():
    draws = far_from_typical(4, 3)
    draws[0, :, 1] = 7.0
    gradients = draws / 4.0
    before = torch.full((2, 3), 9.0, dtype=torch.float64)
    found = gradient_metric.variance(moments(draws, False), moments(gradients, False), before)
    assert_close(found, torch.tensor([[4.0, 9.0, 4.0], [4.0, 4.0, 4.0]], dtype=torch.float64))
    seen = moments(draws, False), moments(gradients, False)
    assert torch.equal(gradient_metric.variance(*seen, before, few=5), before)


def test_the_first_metric_is_the_reciprocal_of_the_gradient_within_a_factor_of_hundred():
    gradient = torch.tensor([[-4.0, 2.0, 0.0], [0.0, 0.0, 0.0]])
    assert_close(
        gradient_metric.of_start(gradient), torch.tensor([[0.25, 0.5, 25.0], [1.0, 1.0, 1.0]])
    )


def spiked_covariance():
    """Return a covariance of scales 0.01 to 100 with one long direction, and one short."""
    unit = torch.linalg.qr(torch.randn(6, 2, generator=generator(1), dtype=torch.float64)).Q
    scales = torch.logspace(-2, 2, 6, dtype=torch.float64)
    spikes = torch.tensor([49.0, -0.96], dtype=torch.float64)  # eigenvalues 50 and 0.04
    correlated = torch.eye(6, dtype=torch.float64) + (unit * spikes) @ unit.mT
    return scales[:, None] * correlated * scales


def draws_of(covariance, num_draws):
    """Return exact draws and their gradients, two chains."""
    shape = (2, num_draws, len(covariance))
    normals = torch.randn(shape, generator=generator(2), dtype=torch.float64)
    draws = normals @ torch.linalg.cholesky(covariance).mT
    return draws, draws @ torch.linalg.inv(covariance)


def test_a_low_rank_metric_recovers_the_spectrum():
    """All eigenvalues of the covariance relative to the metric are near 1."""
    covariance = spiked_covariance()
    seen = [moments(x, True) for x in draws_of(covariance, 400)]
    metric = torch.eye(6, dtype=torch.float64).expand(2, 6, 6)
    for _ in range(3):  # windows of warm-up
        metric = gradient_metric.low_rank(*seen, metric)
    spectrum = torch.linalg.eigvals(torch.linalg.inv(metric) @ covariance).real
    assert spectrum.min() > 1 / (1.25 * gradient_metric.CUTOFF)  # what is near 1 counts as 1
    assert spectrum.max() < 1.25 * gradient_metric.CUTOFF
    diagonal = covariance / covariance.diagonal().sqrt().outer(covariance.diagonal().sqrt())
    assert torch.linalg.eigvalsh(diagonal).min() < 0.1  # no diagonal metric does that


def test_a_low_rank_metric_of_independent_normals_is_diagonal():
    covariance = (SCALES**2).diag()
    seen = [moments(x, True) for x in draws_of(covariance, 50)]
    found = gradient_metric.low_rank(*seen, torch.eye(7, dtype=torch.float64).expand(2, 7, 7))
    unit = torch.eye(7, dtype=torch.float64).expand(2, 7, 7)
    assert_close(found / SCALES.outer(SCALES), unit, rtol=0.0, atol=1e-6)


@pytest.mark.parametrize("num_draws", [0, 1])
def test_without_draws_a_low_rank_metric_stays(num_draws):
    before = 3.0 * torch.eye(2).expand(2, 2, 2)
    draws = torch.ones(2, num_draws, 2)
    seen = moments(draws, True) if num_draws else welford.begin(torch.zeros(2, 2), True)
    assert torch.equal(gradient_metric.low_rank(seen, seen, before), before)


def test_the_geometric_mean_of_fewer_draws_than_numbers_is_positive_definite():
    draws = torch.randn(2, 5, 20, generator=generator(3), dtype=torch.float64)
    seen = moments(draws, True), moments(2.0 * draws, True)
    found = gradient_metric.low_rank(*seen, torch.eye(20, dtype=torch.float64).expand(2, 20, 20))
    assert torch.linalg.eigvalsh(found).min() > 0
