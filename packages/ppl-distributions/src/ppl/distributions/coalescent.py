"""Times at which the lineages of sampled individuals meet, going back in time (Kingman 1982)."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.distributions import biject_to, constraints, transform_to
from torch.distributions.transforms import Transform

from ppl.distribution import TorchDistribution
from ppl.distribution.shapes import shape_of_samples
from ppl.distribution.util import broadcast_shape
from ppl.errors import ShapeError

from .expansion import expand_parameters
from .noise import standard_exponential
from .parameters import as_parameter


class CoalescentTimes(TorchDistribution):
    """Sorted times of pairwise coalescence under a constant rate.

    Going back in time, each pair of the lineages that are there meets at rate ``rate``; leaves join
    at their sampling times. ``n`` leaves have ``n - 1`` coalescences, so phylogenies are complete
    binary trees.

    Args:
        leaf_times: Sampling times in any order, shape ``(*batch, n)``.
        rate: Rate of each pair, positive, shape ``batch``.
        validate_args: Whether to check arguments and values; the global default if ``None``.

    Example:
        >>> d = CoalescentTimes(torch.zeros(2), rate=2.0)
        >>> d.log_prob(torch.tensor([-1.0]))  # an exponential waiting time
        tensor(-1.3069)
    """

    arg_constraints: dict[str, constraints.Constraint] = {
        "leaf_times": constraints.real_vector,
        "rate": constraints.positive,
    }

    def __init__(
        self,
        leaf_times: Tensor,
        rate: Tensor | float = 1.0,
        *,
        validate_args: bool | None = None,
    ) -> None:
        rate = as_parameter(rate, leaf_times)
        shape = torch.Size(broadcast_shape(leaf_times.shape[:-1], rate.shape))
        self.leaf_times: Tensor = leaf_times.expand(shape + leaf_times.shape[-1:])
        self.rate: Tensor = rate.expand(shape)
        super().__init__(shape, _event_shape(leaf_times), validate_args=validate_args)

    def expand(self, batch_shape: Any, _instance: Any = None) -> Any:
        return expand_parameters(self, batch_shape, _instance)

    @constraints.dependent_property(is_discrete=False, event_dim=1)
    def support(self) -> Any:
        return CoalescentTimesConstraint(self.leaf_times)

    def log_prob(self, value: Tensor) -> Tensor:
        if self._validate_args:
            self._validate_sample(value)
        history = _history(self.leaf_times, value)
        exposure = (history.pairs * history.times.diff(dim=-1)).sum(-1)
        events = history.log_meetings.sum(-1) + self.event_shape[0] * self.rate.log()
        return events - self.rate * exposure

    def sample(self, sample_shape: Any = torch.Size()) -> Tensor:
        with torch.no_grad():
            rate = self.rate.expand(shape_of_samples(self, sample_shape) + self.batch_shape)
            return _simulate(self.leaf_times, rate)


class CoalescentTimesWithRate(TorchDistribution):
    """Sorted times of pairwise coalescence under a rate that changes with time.

    The rate is constant between whole numbers and beyond both ends of the grid. Time is rescaled
    so that the rate is 1 (Griffiths and Tavare 1994), at a cost of ``O(T + n log n)``.

    Args:
        leaf_times: Sampling times in any order, shape ``(*batch, n)``.
        rate_grid: Rate of each pair from ``t`` to ``t + 1``, positive, shape ``(*batch, T)``.
        validate_args: Whether to check arguments and values; the global default if ``None``.

    Example:
        >>> d = CoalescentTimesWithRate(torch.full((2,), 3.0), torch.tensor([1.0, 2.0, 4.0]))
        >>> d.log_prob(torch.tensor([1.5]))  # after an exposure of 4 + 2 / 2
        tensor(-4.3069)
    """

    arg_constraints: dict[str, constraints.Constraint] = {
        "leaf_times": constraints.real_vector,
        "rate_grid": constraints.independent(constraints.positive, 1),
    }

    def __init__(
        self, leaf_times: Tensor, rate_grid: Tensor, *, validate_args: bool | None = None
    ) -> None:
        shape = torch.Size(broadcast_shape(leaf_times.shape[:-1], rate_grid.shape[:-1]))
        self.leaf_times: Tensor = leaf_times.expand(shape + leaf_times.shape[-1:])
        self.rate_grid: Tensor = rate_grid.expand(shape + rate_grid.shape[-1:])
        super().__init__(shape, _event_shape(leaf_times), validate_args=validate_args)

    @property
    def duration(self) -> int:
        """Number of time steps of the grid."""
        return self.rate_grid.shape[-1]

    def expand(self, batch_shape: Any, _instance: Any = None) -> Any:
        return expand_parameters(self, batch_shape, _instance)

    @constraints.dependent_property(is_discrete=False, event_dim=1)
    def support(self) -> Any:
        return CoalescentTimesConstraint(self.leaf_times)

    def log_prob(self, value: Tensor) -> Tensor:
        if self._validate_args:
            self._validate_sample(value)
        history = _history(self.leaf_times, value)
        exposure = (history.pairs * self._rescale(history.times).diff(dim=-1)).sum(-1)
        log_rate = _at(self.rate_grid, self._cell(value)).log()
        return history.log_meetings.sum(-1) + log_rate.sum(-1) - exposure

    def sample(self, sample_shape: Any = torch.Size()) -> Tensor:
        with torch.no_grad():
            shape = shape_of_samples(self, sample_shape) + self.batch_shape
            rescaled = _simulate(self._rescale(self.leaf_times), self.rate_grid.new_ones(shape))
            starts = self._starts().expand(shape + (-1,)).contiguous()
            cell = torch.searchsorted(starts, rescaled, right=True) - 1
            cell = cell.clamp(0, self.duration - 1)
            return cell + (rescaled - _at(starts, cell)) / _at(self.rate_grid, cell)

    def _cell(self, times: Tensor) -> Tensor:
        return times.detach().floor().clamp(0, self.duration - 1).long()

    def _starts(self) -> Tensor:
        """Return the exposure of a pair from time 0 to each whole number, shape ``(*batch, T)``."""
        return self.rate_grid.cumsum(-1) - self.rate_grid

    def _rescale(self, times: Tensor) -> Tensor:
        """Return the exposure of a pair from time 0 to each of the times."""
        cell = self._cell(times)
        return _at(self._starts(), cell) + (times - cell) * _at(self.rate_grid, cell)


class CoalescentRateLikelihood:
    """Log likelihood of rates, given all times of a phylogeny; linear in time, step by step.

    It is that of :class:`CoalescentTimesWithRate`, split by time step, with all sorting done in
    advance: for many evaluations, and for time steps that come one after another.

    Args:
        leaf_times: Sampling times, shape ``(*batch, n)``.
        coal_times: Sorted coalescence times, shape ``(*batch, n - 1)``.
        duration: Number of time steps.
        validate_args: Whether to check the coalescence times.

    Example:
        >>> likelihood = CoalescentRateLikelihood(torch.full((2,), 3.0), torch.tensor([1.5]), 3)
        >>> likelihood(torch.tensor([1.0, 2.0, 4.0]))
        tensor([ 0.0000, -0.3069, -4.0000])
    """

    def __init__(
        self,
        leaf_times: Tensor,
        coal_times: Tensor,
        duration: int,
        *,
        validate_args: bool | None = None,
    ) -> None:
        steps = torch.arange(duration, dtype=leaf_times.dtype, device=leaf_times.device)
        unit = CoalescentTimesWithRate(
            leaf_times, torch.ones_like(steps), validate_args=validate_args
        )
        if unit._validate_args:
            unit._validate_sample(coal_times)
        self.duration = duration
        history = _history(unit.leaf_times, coal_times)
        cell = unit._cell(history.times[..., :-1])
        self._meetings = _count(cell, history.meetings, duration)
        self._log_pairs = _count(cell, history.log_meetings, duration)
        self._exposure = self._exposures(history, steps)

    def _exposures(self, history: _History, steps: Tensor) -> Tensor:
        """Return the pair-time in each step; the outer steps reach out to all times beyond."""
        low = torch.cat([steps.new_full((1,), -torch.inf), steps[1:]])
        high = torch.cat([steps[1:], steps.new_full((1,), torch.inf)])
        times = history.times.unsqueeze(-2)  # (*batch, 1, event)
        clamped = times.maximum(low.unsqueeze(-1)).minimum(high.unsqueeze(-1))
        return (history.pairs.unsqueeze(-2) * clamped.diff(dim=-1)).sum(-1)

    def __call__(self, rate_grid: Tensor, t: int | slice = slice(None)) -> Tensor:
        """Return the log likelihood of the rates of some steps, or of all.

        Args:
            rate_grid: Positive rates of the steps ``t``, shape ``(*batch, steps)``; ``batch`` for a
                number ``t``.
            t: Which steps.
        Returns:
            A tensor of the shape of ``rate_grid``; the sum over all steps is the log likelihood.
        """
        meetings, log_pairs, exposure = (
            table[..., t] for table in (self._meetings, self._log_pairs, self._exposure)
        )
        return log_pairs + meetings * rate_grid.log() - exposure * rate_grid


class CoalescentTimesConstraint(constraints.Constraint):
    """Sorted times at each of which two lineages can meet.

    Going back, the ``k``-th coalescence needs ``k + 1`` leaves: it comes before the ``k + 1``-th
    latest of them.
    """

    is_discrete = False
    event_dim = 1

    def __init__(self, leaf_times: Tensor) -> None:
        self.leaf_times = leaf_times

    def limits(self) -> Tensor:
        """Return what each of the sorted times is at most, shape ``(*batch, n - 1)``."""
        return self.leaf_times.sort(-1).values[..., :-1]

    def check(self, value: Tensor) -> Tensor:
        ordered = (value[..., :-1] <= value[..., 1:]).all(-1)
        possible: Tensor = ordered & (value <= self.limits()).all(-1)
        return possible


class _CoalescentTimesTransform(Transform):
    """Bijection from logs of the time between each coalescence and the first moment it can be."""

    domain = constraints.real_vector
    bijective = True

    codomain: CoalescentTimesConstraint

    def __init__(self, codomain: CoalescentTimesConstraint, cache_size: int = 0) -> None:
        super().__init__(cache_size=cache_size)
        self.codomain = codomain

    def _call(self, x: Tensor) -> Tensor:
        limits = self.codomain.limits()
        later = limits[..., -1]
        times = []
        for k in reversed(range(x.shape[-1])):
            later = torch.minimum(later, limits[..., k]) - x[..., k].exp()
            times.append(later)
        return torch.stack(times[::-1], -1)

    def _inverse(self, y: Tensor) -> Tensor:
        limits = self.codomain.limits().expand_as(y)
        later = torch.cat([y[..., 1:], limits[..., -1:]], -1)
        return (torch.minimum(later, limits) - y).log()

    def log_abs_det_jacobian(self, x: Tensor, y: Tensor) -> Tensor:
        return x.sum(-1)


biject_to.register(CoalescentTimesConstraint, _CoalescentTimesTransform)
transform_to.register(CoalescentTimesConstraint, _CoalescentTimesTransform)


class _History(NamedTuple):
    """What happens in a phylogeny, in order of time.

    Attributes:
        times: All leaf and coalescence times, ascending, shape ``(*batch, 2 n - 1)``.
        pairs: Pairs of lineages between each time and the next, shape ``(*batch, 2 n - 2)``.
        meetings: 1 where the earlier of both times is a coalescence and 0 where it is a leaf.
        log_meetings: Log of the pairs of which one met there, 0 for a leaf.
    """

    times: Tensor
    pairs: Tensor
    meetings: Tensor
    log_meetings: Tensor


def _history(leaf_times: Tensor, coal_times: Tensor) -> _History:
    """Count lineages: those of leaves that are later, less coalescences that are later."""
    batch_shape = broadcast_shape(leaf_times.shape[:-1], coal_times.shape[:-1])
    leaf_times = leaf_times.expand(batch_shape + leaf_times.shape[-1:])
    coal_times = coal_times.expand(batch_shape + coal_times.shape[-1:])
    # coalescences first: of equal times they are the earlier ones, for which the leaf is there
    times = torch.cat([coal_times, leaf_times], -1)
    sign = torch.cat([-torch.ones_like(coal_times), torch.ones_like(leaf_times)], -1)
    times, order = times.sort(dim=-1, stable=True)
    sign = sign.gather(-1, order)
    lineages = sign.flip(-1).cumsum(-1).flip(-1)[..., 1:]  # between each time and the next
    pairs = lineages * (lineages - 1) / 2
    coalesces = sign[..., :-1] < 0
    log_meetings = torch.where(coalesces & (lineages >= 2), pairs, 1.0).log()
    log_meetings = torch.where(coalesces & (lineages < 2), -torch.inf, log_meetings)
    return _History(times, pairs, coalesces.to(times), log_meetings)


def _simulate(leaf_times: Tensor, rate: Tensor) -> Tensor:
    """Return sorted coalescence times of shape ``rate.shape + (n - 1,)``.

    Going back, the next event is a leaf or a coalescence after an exponential waiting time, which
    has no memory and is drawn anew at each event.
    """
    n = leaf_times.shape[-1]
    leaves = leaf_times.sort(-1, descending=True).values.expand(rate.shape + (n,))
    leaves = torch.nn.functional.pad(leaves, (0, 1), value=-torch.inf)
    index = torch.ones(rate.shape, dtype=torch.long, device=rate.device)  # of the next leaf
    now, lineages = leaves[..., 0], torch.ones_like(rate)
    times = torch.zeros_like(leaves)
    for _ in range(2 * n - 2):
        total = rate * lineages * (lineages - 1) / 2
        meeting = now - standard_exponential(rate.shape, rate) / total
        leaf = leaves.gather(-1, index.unsqueeze(-1)).squeeze(-1)
        is_leaf = leaf >= meeting
        now = torch.maximum(leaf, meeting)
        # the k-th coalescence is recorded at k, until the next one overwrites what is not one
        met = index - lineages.long()
        times = times.scatter(-1, met.unsqueeze(-1), now.unsqueeze(-1))
        index = index + is_leaf
        lineages = lineages + (2 * is_leaf - 1)  # a number would have the default dtype
    return times[..., : n - 1].flip(-1)


def _count(cell: Tensor, weight: Tensor, duration: int) -> Tensor:
    """Return sums of weights by cell, shape ``(*batch, duration)``."""
    zeros = weight.new_zeros(weight.shape[:-1] + (duration,))
    return zeros.scatter_add(-1, cell, weight)


def _at(table: Tensor, index: Tensor) -> Tensor:
    """Return entries of the last dimension, after broadcasting the batch shapes."""
    batch_shape = broadcast_shape(table.shape[:-1], index.shape[:-1])
    table = table.expand(batch_shape + table.shape[-1:])
    return table.gather(-1, index.expand(batch_shape + index.shape[-1:]))


def _event_shape(leaf_times: Tensor) -> torch.Size:
    if leaf_times.dim() < 1 or leaf_times.shape[-1] < 2:
        raise ShapeError(
            "coalescent: expected leaf_times of shape (*batch, n) with at least two leaves, got "
            f"{tuple(leaf_times.shape)}"
        )
    return torch.Size([leaf_times.shape[-1] - 1])
