"""Whether chains agree and how much their draws are worth: R-hat, effective sample size, MCSE.

All functions take draws of shape ``(chain, draw, *event)``, compute in float64 and return one
number for each component of the event. Conventions they share:

- a component with a nan draw, or fewer than four draws a chain, has the value nan;
- a constant component has R-hat nan and ``mcse_sd`` nan (0 / 0), ``mcse_mean`` 0, and an effective
  sample size equal to the number of draws, since there is no autocorrelation to pay for.

References:
    Vehtari, Gelman, Simpson, Carpenter, Bürkner (2021), "Rank-normalization, folding, and
    localization: an improved R-hat for assessing convergence of MCMC", Bayesian Analysis 16(2).

    Geyer (1992), "Practical Markov chain Monte Carlo", Statistical Science 7(4).
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from ppl.errors import ShapeError

from .quantiles import interpolate_sorted
from .series import lagged_products

_MIN_DRAWS = 4  # two in each half of a chain: the fewest that have a variance


def rhat(draws: Tensor) -> Tensor:
    """Return the rank-normalised split R-hat: the larger of its bulk and its folded (tail) form.

    Args:
        draws: Posterior draws, shape ``(chain, draw, *event)``; one chain is enough, its halves
            are compared.

    Returns:
        Shape ``event``, float64. Below 1.01 when the chains agree (Vehtari et al. 2021, section 4);
        nan for constant draws.

    Raises:
        ShapeError: If there is no chain and draw dimension.

    Example:
        >>> draws = torch.randn(4, 1000, 2, generator=torch.Generator().manual_seed(0))
        >>> bool((rhat(draws) < 1.01).all())
        True
    """
    return _per_component(_rank_rhat, draws)


def ess_bulk(draws: Tensor) -> Tensor:
    """Return the effective sample size for the centre of the distribution.

    The rank-normalised split chains are given to Geyer's initial monotone sequence, combined over
    chains (Vehtari et al. 2021, section 4.2).

    Args:
        draws: Posterior draws, shape ``(chain, draw, *event)``.

    Returns:
        Shape ``event``, float64, in draws; the number of draws itself where they are constant.

    Raises:
        ShapeError: If there is no chain and draw dimension.
    """
    return _per_component(lambda x: _geyer_ess(_normal_scores(_split(x))), draws)


def ess_tail(draws: Tensor) -> Tensor:
    """Return the effective sample size for the tails: the smaller of the 5% and the 95% quantile's.

    Args:
        draws: Posterior draws, shape ``(chain, draw, *event)``.

    Returns:
        Shape ``event``, float64, in draws (Vehtari et al. 2021, section 4.3).

    Raises:
        ShapeError: If there is no chain and draw dimension.
    """
    return _per_component(_quantile_ess, draws)


def ess_mean(draws: Tensor) -> Tensor:
    """Return the effective sample size for the mean, which presumes a finite variance.

    Args:
        draws: Posterior draws, shape ``(chain, draw, *event)``.

    Returns:
        Shape ``event``, float64, in draws.

    Raises:
        ShapeError: If there is no chain and draw dimension.
    """
    return _per_component(_mean_ess, draws)


def ess_sd(draws: Tensor) -> Tensor:
    """Return the effective sample size for the standard deviation.

    Args:
        draws: Posterior draws, shape ``(chain, draw, *event)``.

    Returns:
        Shape ``event``, float64, in draws.

    Raises:
        ShapeError: If there is no chain and draw dimension.
    """
    return _per_component(lambda x: _mean_ess(_squared_deviation(x)), draws)


def mcse_mean(draws: Tensor) -> Tensor:
    """Return the Monte-Carlo standard error of the posterior mean.

    Args:
        draws: Posterior draws, shape ``(chain, draw, *event)``.

    Returns:
        Shape ``event``, float64, in the units of the draws.

    Raises:
        ShapeError: If there is no chain and draw dimension.
    """
    return _per_component(lambda x: x.flatten(-2).std(-1) / _mean_ess(x).sqrt(), draws)


def mcse_sd(draws: Tensor) -> Tensor:
    """Return the Monte-Carlo standard error of the posterior standard deviation.

    The error of the variance is that of a mean of squares; the delta method carries it to the root.

    Args:
        draws: Posterior draws, shape ``(chain, draw, *event)``.

    Returns:
        Shape ``event``, float64, in the units of the draws; nan for constant draws.

    Raises:
        ShapeError: If there is no chain and draw dimension.
    """
    return _per_component(_sd_error, draws)


def gelman_rubin(input: Tensor, chain_dim: int = 0, sample_dim: int = 1) -> Tensor:
    """Return the potential scale reduction factor of the chains as they are, not split or ranked.

    Args:
        input: Draws, with chains along ``chain_dim`` and draws along ``sample_dim``.
        chain_dim: The dimension of the chains, at least two of them.
        sample_dim: The dimension of the draws.

    Returns:
        The shape of ``input`` without the two dimensions (Gelman and Rubin 1992).

    Raises:
        ShapeError: If there are fewer than two chains or two draws.
    """
    chains = _chains_last(input, chain_dim, sample_dim)
    if min(chains.shape[-2:]) < 2:
        raise ShapeError(
            f"input has {chains.shape[-2]} chain(s) of {chains.shape[-1]} draw(s), but "
            "gelman_rubin needs 2 chains of 2 draws; for one chain use split_gelman_rubin"
        )
    return _scale_reduction(chains).to(_result_dtype(input))


def split_gelman_rubin(input: Tensor, chain_dim: int = 0, sample_dim: int = 1) -> Tensor:
    """Return the potential scale reduction factor of half chains, on the scale of the draws.

    Prefer :func:`rhat`, which also sees chains that differ in scale or have no finite variance.

    Args:
        input: Draws, with chains along ``chain_dim`` and draws along ``sample_dim``.
        chain_dim: The dimension of the chains; one is enough.
        sample_dim: The dimension of the draws, at least four of them.

    Returns:
        The shape of ``input`` without the two dimensions (Gelman et al. 2013, section 11.4).

    Raises:
        ShapeError: If a chain has fewer than four draws.
    """
    chains = _chains_last(input, chain_dim, sample_dim)
    if chains.shape[-1] < _MIN_DRAWS:
        raise ShapeError(
            f"input has {chains.shape[-1]} draw(s) in a chain, but split_gelman_rubin needs "
            f"at least {_MIN_DRAWS}, two in each half"
        )
    return _scale_reduction(_split(chains)).to(_result_dtype(input))


def effective_sample_size(input: Tensor, chain_dim: int = 0, sample_dim: int = 1) -> Tensor:
    """Return the effective sample size of the chains as they are, not split or ranked.

    Args:
        input: Draws, with chains along ``chain_dim`` and draws along ``sample_dim``.
        chain_dim: The dimension of the chains; one is enough.
        sample_dim: The dimension of the draws, at least two of them.

    Returns:
        The shape of ``input`` without the two dimensions, by Geyer's initial monotone sequence
        combined over chains; the number of draws where they are constant.

    Raises:
        ShapeError: If a chain has fewer than two draws.
    """
    chains = _chains_last(input, chain_dim, sample_dim)
    if chains.shape[-1] < 2:
        raise ShapeError(
            f"input has shape {tuple(input.shape)} with {chains.shape[-1]} draw(s) along dim "
            f"{sample_dim}, but effective_sample_size needs at least 2"
        )
    return _geyer_ess(chains).to(_result_dtype(input))


# From here on, chains are the last but one dimension and draws the last: (*event, chain, draw).


def _per_component(statistic: Callable[[Tensor], Tensor], draws: Tensor) -> Tensor:
    chains = _chains_last(draws)
    if chains.shape[-1] < _MIN_DRAWS:
        return chains.new_full(chains.shape[:-2], math.nan)
    missing = chains.isnan().flatten(-2).any(-1)
    return statistic(chains).masked_fill(missing, math.nan)


def _chains_last(draws: Tensor, chain_dim: int = 0, sample_dim: int = 1) -> Tensor:
    if draws.dim() < 2:
        raise ShapeError(
            f"draws have shape {tuple(draws.shape)}, but a chain and a draw dimension are needed, "
            "(chain, draw, *event); add one for a single chain with draws.unsqueeze(0)"
        )
    return draws.detach().double().movedim((chain_dim, sample_dim), (-2, -1)).contiguous()


def _result_dtype(input: Tensor) -> torch.dtype:
    return input.dtype if input.is_floating_point() else torch.float64


def _split(chains: Tensor) -> Tensor:
    """Return the halves of each chain as chains; an odd draw in the middle is left out."""
    half = chains.shape[-1] // 2
    return torch.cat([chains[..., :half], chains[..., -half:]], -2)


def _scale_reduction(chains: Tensor) -> Tensor:
    """Return the square root of total over within variance (Gelman et al. 2013, eq. 11.4)."""
    num_draws = chains.shape[-1]
    within = chains.var(-1).mean(-1)
    between = chains.mean(-1).var(-1)
    return ((num_draws - 1) / num_draws + between / within).sqrt()


def _rank_rhat(chains: Tensor) -> Tensor:
    halves = _split(chains)
    pooled = halves.flatten(-2).sort(-1).values
    median = interpolate_sorted(pooled, pooled.new_tensor([0.5])).unsqueeze(-1)
    bulk = _scale_reduction(_normal_scores(halves))
    tail = _scale_reduction(_normal_scores((halves - median).abs()))
    return torch.maximum(bulk, tail)


def _normal_scores(chains: Tensor) -> Tensor:
    """Return the normal quantiles of the pooled ranks (Vehtari et al. 2021, eq. 14)."""
    pooled = chains.flatten(-2)
    fraction = (_average_ranks(pooled) - 3 / 8) / (pooled.shape[-1] + 1 / 4)
    scores: Tensor = torch.special.ndtri(fraction)
    return scores.reshape(chains.shape)


def _average_ranks(values: Tensor) -> Tensor:
    """Return the ranks along the last dimension, from one; ties share the average of theirs."""
    ordered, order = values.sort(-1)
    place = torch.arange(1.0, values.shape[-1] + 1, dtype=values.dtype, device=values.device)
    differs = ordered[..., 1:] != ordered[..., :-1]
    starts = torch.nn.functional.pad(differs, (1, 0), value=True)  # a run of ties starts here
    ends = torch.nn.functional.pad(differs, (0, 1), value=True)
    first = torch.where(starts, place, 0.0).cummax(-1).values
    last = torch.where(ends, place, math.inf).flip(-1).cummin(-1).values.flip(-1)
    return torch.empty_like(values).scatter_(-1, order, (first + last) / 2)


def _mean_ess(chains: Tensor) -> Tensor:
    return _geyer_ess(_split(chains))


def _quantile_ess(chains: Tensor) -> Tensor:
    pooled = chains.flatten(-2).sort(-1).values
    levels = interpolate_sorted(pooled, pooled.new_tensor([0.05, 0.95]))  # (*event, 2)
    low, high = ((chains <= level[..., None, None]).double() for level in levels.unbind(-1))
    return torch.minimum(_mean_ess(low), _mean_ess(high))


def _squared_deviation(chains: Tensor) -> Tensor:
    return (chains - chains.mean((-2, -1), keepdim=True)).square()


def _sd_error(chains: Tensor) -> Tensor:
    square = _squared_deviation(chains)
    variance = square.mean((-2, -1))
    variance_of_square = square.square().mean((-2, -1)) - variance.square()
    return (variance_of_square / _mean_ess(square) / variance / 4).sqrt()


def _geyer_ess(chains: Tensor) -> Tensor:
    num_chains, num_draws = chains.shape[-2:]
    total = num_chains * num_draws
    time = _autocorrelation_time(_combined_autocorrelation(chains))
    # antithetic chains have a tiny or negative time: bounded, so that the size is finite
    size = total / time.clamp(min=1 / math.log10(total))
    pooled = chains.flatten(-2)
    constant = pooled.amax(-1) == pooled.amin(-1)
    return torch.where(constant, float(total), size)


def _combined_autocorrelation(chains: Tensor) -> Tensor:
    """Return the autocorrelation at every lag, ``(*event, draw)`` (Vehtari et al. 2021, eq. 10)."""
    num_chains, num_draws = chains.shape[-2:]
    covariance = lagged_products(chains).mean(-2) / num_draws
    biased = covariance[..., :1]
    within = biased * num_draws / (num_draws - 1)
    between = chains.mean(-1).var(-1).unsqueeze(-1) if num_chains > 1 else 0.0
    correlation = 1 - (within - covariance) / (biased + between)
    return torch.cat([torch.ones_like(biased), correlation[..., 1:]], -1)


def _autocorrelation_time(correlation: Tensor) -> Tensor:
    """Return ``1 + 2 * sum(correlations)``, cut and made monotone as Geyer (1992, 3.3) does.

    Sums of neighbouring pairs ``rho[2k] + rho[2k + 1]`` are positive and decreasing for a
    reversible chain; the sum stops before the first pair that is not positive and takes the
    running minimum.
    """
    last = max(0, (correlation.shape[-1] - 3) // 2)
    even, odd = correlation[..., : 2 * last + 1 : 2], correlation[..., 1 : 2 * last + 2 : 2]
    pair = even + odd
    stop = (pair > 0).long().cumprod(-1).sum(-1, keepdim=True).clamp(max=last)
    counted = torch.arange(last + 1, device=pair.device) < stop
    pairs = torch.where(counted, pair.cummin(-1).values, 0.0).sum(-1)
    # the even half of the pair at the stop lowers the variance (Vehtari et al. 2021, section 3.2)
    remainder = torch.where((even > 0) | (pair >= 0), even, 0.0).gather(-1, stop).squeeze(-1)
    return -1 + 2 * pairs + remainder
