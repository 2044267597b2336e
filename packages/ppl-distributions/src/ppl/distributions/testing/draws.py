"""Laws of draws and of gradients through them.

Each fixes its seed and has a false-alarm rate of about 1e-6.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ppl.validation import validation_enabled

from .case import Case
from .quadrature import grid
from .statistics import assert_frequencies, assert_zero_mean

NUM_DRAWS = 20_000


def draws_follow_the_density(case: Case) -> None:
    """Draws of a real variable are uniform under the integral of the density."""
    with validation_enabled(False):
        for dist in case.members():
            u = case.coordinates_of(dist, NUM_DRAWS)
            points, weights = grid(u)
            mass = (case.space(dist).log_density(points).exp() * weights).nan_to_num()
            level = _interpolate(u.flatten(), points.flatten(), mass.cumsum(0) - mass / 2)
            counts = torch.bincount((level * 50).long().clamp(0, 49), minlength=50).double()
            assert_frequencies(counts, torch.full_like(counts, 1 / 50), case.name)


def _interpolate(x: Tensor, nodes: Tensor, values: Tensor) -> Tensor:
    """Return the piecewise linear function with ``values`` at ``nodes``, at ``x``."""
    right = torch.searchsorted(nodes, x).clamp(1, len(nodes) - 1)
    left = right - 1
    step = ((x - nodes[left]) / (nodes[right] - nodes[left])).clamp(0, 1)
    return torch.lerp(values[left], values[right], step)


def draws_follow_the_probabilities(case: Case) -> None:
    """Values occur as often as their probabilities say."""
    torch.manual_seed(0)
    for dist in case.members():
        values = case.all_values(dist)
        hits = dist.sample((NUM_DRAWS,)).unsqueeze(1) == values
        hits = hits.flatten(2).all(-1) if dist.event_dim else hits  # (draw, value)
        assert hits.any(1).double().mean() > 1 - 1e-3, f"{case.name}: a draw is not among values"
        assert_frequencies(hits.double().sum(0), dist.log_prob(values).exp(), case.name)


def draws_satisfy_the_stein_identity(case: Case) -> None:
    """Stein's identity ``E[f'(u) + f(u) d log p(u) / du] = 0`` holds for bounded ``f``.

    It characterizes the density up to its normalizer (Stein 1972); ``f`` are random waves.
    """
    with validation_enabled(False):
        for dist in case.members():
            u = case.coordinates_of(dist, NUM_DRAWS).requires_grad_()
            space = case.space(dist)
            (score,) = torch.autograd.grad(space.log_density(u).sum(), u)
            u = u.detach()
            frequency = torch.randn(20, u.shape[-1]).to(u) / u.std(0)
            phase = (u - u.mean(0)) @ frequency.T + 6 * torch.rand(20).to(u)  # (draw, wave)
            slope = phase.cos().unsqueeze(-1) * frequency  # (draw, wave, coordinate)
            assert_zero_mean(slope + phase.sin().unsqueeze(-1) * score.unsqueeze(1), case.name)


def moments_equal_those_of_draws(case: Case) -> None:
    """Mean and variance are those of draws."""
    torch.manual_seed(0)
    dist = case.dist()
    x = dist.sample((NUM_DRAWS,)).double()
    assert_zero_mean(x - dist.mean, f"mean of {case.name}")
    assert_zero_mean((x - dist.mean) ** 2 - dist.variance, f"variance of {case.name}")


def pathwise_gradients_are_unbiased(case: Case) -> None:
    """The gradient through a draw and the score-function gradient agree in mean.

    A support that moves with the parameters has no score-function gradient; there the gradient of
    a draw is compared with that of the mean.
    """
    torch.manual_seed(0)
    params = {  # one copy for each draw, to see the gradient of each
        name: p.expand(NUM_DRAWS, *p.shape).clone().requires_grad_()
        for name, p in case.parameters().items()
    }
    with validation_enabled(False):
        dist = case.make(**params)
        x = dist.rsample()
        if case.moving_support:
            targets = [(x, dist.mean)]
        else:
            log_prob = dist.log_prob(x.detach())
            targets = [(wave, wave.detach() * log_prob) for wave in _waves(x, dist.event_dim)]
    for pathwise, expected in targets:
        gap = (pathwise.sum() - expected.sum()).double()
        gradients = torch.autograd.grad(
            gap, list(params.values()), allow_unused=True, retain_graph=True
        )
        for name, gradient in zip(params, gradients, strict=True):
            if gradient is not None:
                what = f"gradient of {case.name} with respect to {name}"
                assert_zero_mean(gradient, what)


def _waves(x: Tensor, event_dim: int) -> list[Tensor]:
    """Return bounded functions of events, each of the shape of the batch of ``x``."""
    flat = x.flatten(x.dim() - event_dim) if event_dim else x.unsqueeze(-1)
    center = flat.median(0).values.detach()
    spread = (flat - center).abs().median(0).values.detach() + 1e-9
    phase = (flat - center) / spread
    return [(phase @ torch.randn(flat.shape[-1]).to(x) + shift).sin() for shift in (0, 1, 2, 3)]
