"""Tests of goodness of fit: do draws follow the density that goes with them?

Each returns a p-value: uniform if they do, tiny if they do not. A test that compares it with
``1e-6`` has one false alarm in a million seeds. A density is checked without an integral, by the
distances of neighbouring draws: the mass between them is exponentially distributed.

Where a density is unbounded it varies so much between neighbours that their mass is not known from
the densities at both. Such draws count where they fit best: the p-value is an upper bound then.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ppl.errors import PPLError

HISTOGRAM_WIDTH = 60  # characters of the longest bar

_MAX_BINS = 100
_MIN_EXPECTED = 10  # draws in a bin, for its count to be nearly normal
_AROUND = 8  # neighbours among which a density is looked at
_STEEP = 2.0  # nats, between neighbours on a line: their mass is wrong by a sixth there
_PEAK = math.log(2)  # by how much a density may exceed, in nats, the mean of those around


class InvalidTest(PPLError, ValueError):
    """A test cannot be made with these draws; that says nothing about whether they fit."""


def multinomial_goodness_of_fit(
    probs: Tensor, counts: Tensor, *, total_count: float | None = None, plot: bool = False
) -> float:
    """Return the p-value of Pearson's chi-squared test of counts.

    Args:
        probs: The probabilities of the outcomes, shape ``(k,)``.
        counts: How often they occurred, shape ``(k,)``.
        total_count: The number of draws, if there are outcomes beyond these ``k``; otherwise the
            sum of the counts.
        plot: Whether to print a histogram.

    Raises:
        InvalidTest: If there are no two outcomes, or shapes or signs are wrong.

    Example:
        >>> multinomial_goodness_of_fit(torch.tensor([0.5, 0.5]), torch.tensor([50, 50]))
        1.0
    """
    from scipy.stats import chi2

    probs, counts = probs.detach().double(), counts.detach().double()
    if probs.dim() != 1 or probs.shape != counts.shape or not bool((probs >= 0).all()):
        raise InvalidTest(
            f"probs and counts must be two vectors of the same size and probs non-negative, got "
            f"shapes {tuple(probs.shape)} and {tuple(counts.shape)}"
        )
    if plot:
        print_histogram(probs, counts)
    if total_count is not None:
        probs = torch.cat([probs, (1 - probs.sum()).clamp(min=0).reshape(1)])
        counts = torch.cat([counts, (total_count - counts.sum()).reshape(1)])
    expected = probs * counts.sum()
    impossible = (expected == 0) & (counts > 0)
    if bool(impossible.any()):
        return 0.0
    possible = expected > 0
    if int(possible.sum()) < 2:
        raise InvalidTest("a test of counts needs two possible outcomes")
    statistic = ((counts - expected)[possible] ** 2 / expected[possible]).sum()
    return float(chi2.sf(float(statistic), int(possible.sum()) - 1))


def unif01_goodness_of_fit(samples: Tensor, *, plot: bool = False) -> float:
    """Return the p-value of draws from the uniform distribution on the unit interval.

    Args:
        samples: Independent draws, shape ``(n,)``.
        plot: Whether to print a histogram.

    Raises:
        InvalidTest: If draws are outside the interval, or there are fewer than 20.
    """
    return _unif01_goodness_of_fit(samples, plot)


def exp_goodness_of_fit(samples: Tensor, plot: bool = False) -> float:
    """Return the p-value of draws from the exponential distribution with mean one.

    Args:
        samples: Independent draws, shape ``(n,)``.
        plot: Whether to print a histogram.

    Raises:
        InvalidTest: If draws are negative, or there are fewer than 20.
    """
    return _unif01_goodness_of_fit((-samples).exp(), plot)


def density_goodness_of_fit(samples: Tensor, probs: Tensor, plot: bool = False) -> float:
    """Return the p-value of draws of a number with a continuous density.

    Args:
        samples: Independent draws, shape ``(n,)``.
        probs: The density at each draw, shape ``(n,)``.
        plot: Whether to print a histogram.

    Raises:
        InvalidTest: If shapes do not fit, or there are too few draws.

    Example:
        >>> draws = torch.rand(2000, generator=torch.Generator().manual_seed(0)) ** 2
        >>> density_goodness_of_fit(draws, 0.5 / draws.sqrt()) > 1e-6
        True
        >>> density_goodness_of_fit(draws, torch.ones(2000)) > 1e-6
        False
    """
    if samples.dim() != 1 or samples.shape != probs.shape:
        raise InvalidTest(
            f"samples and probs must be two vectors of the same size, got shapes "
            f"{tuple(samples.shape)} and {tuple(probs.shape)}"
        )
    ordered, order = samples.detach().double().sort()
    density = probs.detach().double()[order]
    left, right = density[:-1], density[1:]
    mass = ordered.diff() * (left * right).sqrt()  # of each gap
    # a draw of density 0 is impossible, which says something, and far from unknown
    is_steep = (left.log() - right.log()).abs() > _STEEP
    is_known = mass.isfinite() & ~(is_steep & (left > 0) & (right > 0))
    scores = (-mass[is_known] * len(samples)).exp()
    return _unif01_goodness_of_fit(scores, plot, num_unknown=int((~is_known).sum()))


def vector_density_goodness_of_fit(
    samples: Tensor, probs: Tensor, *, dim: int | None = None, plot: bool = False
) -> float:
    """Return the p-value of draws of a vector with a continuous density.

    The mass of the ball around a draw that reaches to its nearest neighbour is taken to be volume
    times density. That is an approximation: the p-value is uniform for two dimensions, nearly so
    for three, and for many more it is too small unless the draws are very many.

    Args:
        samples: Independent draws, shape ``(n, d)``.
        probs: The density at each draw, shape ``(n,)``.
        dim: The dimension of the manifold on which the draws lie; ``d`` by default.
        plot: Whether to print a histogram.

    Raises:
        InvalidTest: If shapes do not fit, or there are too few draws.
    """
    if samples.dim() != 2 or samples.shape[:1] != probs.shape:
        raise InvalidTest(
            f"samples must have shape (n, d) and probs (n,), got {tuple(samples.shape)} and "
            f"{tuple(probs.shape)}"
        )
    distances, around = _nearest_neighbors(samples, min(_AROUND, len(samples) - 1))
    neighbors = around[:, 0]
    volume = volume_of_sphere(dim or samples.shape[-1], distances[:, 0])
    density = probs.detach().to(volume)
    mass = volume * (density * density[neighbors]).sqrt()
    # two draws that are each other's nearest neighbour have the same mass: it is counted twice
    mutual = neighbors[neighbors] == torch.arange(len(samples))
    repeats = 1 + float(mutual.double().mean())
    is_known = mass.isfinite() & _is_smooth(density.log(), around)
    scores = (-mass[is_known] * (len(samples) - 1)).exp()
    return _unif01_goodness_of_fit(scores, plot, repeats, int((~is_known).sum()))


def _is_smooth(log_density: Tensor, around: Tensor) -> Tensor:
    """Return where neither a draw nor one of those around it stands out of its neighbours."""
    is_peak = log_density - log_density[around].mean(-1) > _PEAK
    return ~(is_peak | is_peak[around].any(-1))


def auto_goodness_of_fit(
    samples: Tensor, probs: Tensor, *, dim: int | None = None, plot: bool = False
) -> float:
    """Return the p-value of draws of a number or a vector with a continuous density.

    Args:
        samples: Independent draws, shape ``(n,)`` or ``(n, d)``.
        probs: The density at each draw, shape ``(n,)``.
        dim: The dimension of the manifold on which the draws lie.
        plot: Whether to print a histogram.

    Raises:
        InvalidTest: If shapes do not fit, or there are too few draws.
    """
    if samples.dim() == 2 and samples.shape[-1] == 1:
        samples = samples.squeeze(-1)
    if samples.dim() == 1:
        return density_goodness_of_fit(samples, probs, plot)
    return vector_density_goodness_of_fit(samples, probs, dim=dim, plot=plot)


def get_nearest_neighbor_distances(samples: Tensor) -> Tensor:
    """Return the distance of each draw to the nearest other one.

    Args:
        samples: Draws, shape ``(n, d)`` with two or more of them.

    Returns:
        Shape ``(n,)``.
    """
    return _nearest_neighbors(samples, 1)[0][:, 0]


def volume_of_sphere(dim: int, radius: Tensor) -> Tensor:
    """Return the volume of a ball.

    Example:
        >>> volume_of_sphere(2, torch.tensor([1.0, 2.0]))
        tensor([ 3.1416, 12.5664])
    """
    unit: float = math.pi ** (dim / 2) / math.gamma(dim / 2 + 1)
    return unit * radius**dim


def print_histogram(probs: Tensor, counts: Tensor) -> None:
    """Print counts as bars, with how many standard errors each is away from what is expected.

    Example:
        >>> print_histogram(torch.tensor([0.5, 0.5]), torch.tensor([12, 24]))
             #     z
            12  -2.0  ******************************
            24  +2.0  ************************************************************
    """
    probs, counts = torch.as_tensor(probs).double(), torch.as_tensor(counts).double()
    total = counts.sum()
    error = (total * probs * (1 - probs)).sqrt()
    scores = (counts - total * probs) / error
    bars = (counts / counts.max() * HISTOGRAM_WIDTH).round().long()
    print("     #     z")
    for count, score, bar in zip(counts.tolist(), scores.tolist(), bars.tolist(), strict=True):
        print(f"{count:6g} {score:+5.1f}  {'*' * bar}".rstrip())


def _unif01_goodness_of_fit(
    samples: Tensor, plot: bool, repeats: float = 1.0, num_unknown: int = 0
) -> float:
    """Return the p-value of draws each of which occurs so many times on average.

    With others besides whose values are not known, the largest that it can have.
    """
    samples = samples.detach().double()
    if samples.dim() != 1 or not bool(((samples >= 0) & (samples <= 1)).all()):
        raise InvalidTest(f"draws of shape {tuple(samples.shape)} are not in the unit interval")
    num_draws = len(samples) + num_unknown
    bins = min(int(num_draws / repeats / _MIN_EXPECTED), _MAX_BINS)
    if bins < 2:
        raise InvalidTest(f"{num_draws} draws are too few for a test; take some hundred or more")
    counts = torch.bincount((samples * bins).long().clamp(max=bins - 1), minlength=bins)
    probs = counts.new_full((bins,), 1 / bins, dtype=torch.float64)
    return multinomial_goodness_of_fit(probs, _filled(counts, num_unknown) / repeats, plot=plot)


def _filled(counts: Tensor, extra: int) -> Tensor:
    """Return counts with others added so as to make them as equal as they can be.

    As water fills a basin: the lowest rise to one level.
    """
    if not extra:
        return counts
    heights = counts.double().sort().values
    width = torch.arange(1, len(heights) + 1)
    levels = (heights.cumsum(0) + extra) / width  # if the lowest 1, 2, ... are under water
    return counts.double().clamp(min=float(levels.min()))


def _nearest_neighbors(samples: Tensor, num: int) -> tuple[Tensor, Tensor]:
    """Return the distances and the indices of the nearest other draws, shape ``(n, num)``."""
    from scipy.spatial import cKDTree

    points = samples.detach().double().cpu().numpy()
    distances, indices = cKDTree(points).query(points, k=num + 1)
    return torch.from_numpy(distances[:, 1:]), torch.from_numpy(indices[:, 1:])
