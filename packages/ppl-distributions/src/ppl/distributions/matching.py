"""Random assignments of sources to destinations."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.distributions import constraints

from ppl.distribution import TorchDistribution
from ppl.distribution.shapes import shape_of_samples
from ppl.errors import ShapeError

from .bethe import log_bethe_matchings
from .expansion import expand_parameters, unexpanded
from .noise import standard_exponential
from .permanent import log_permanent, log_permanents_of_subsets


class _Matching(TorchDistribution):
    """Assignments in which each destination has ``capacity`` sources.

    Repeating each column ``capacity`` times gives a square matrix, in which every assignment occurs
    ``capacity! ** num_destins`` times as a permutation: its permanent is the partition function.
    """

    has_enumerate_support = True
    arg_constraints: dict[str, constraints.Constraint] = {
        "logits": constraints.independent(constraints.real, 2)
    }
    capacity: int
    num_sources: int
    num_destins: int

    def __init__(
        self, logits: Tensor, *, bp_iters: int | None = None, validate_args: bool | None = None
    ) -> None:
        if logits.dim() < 2 or logits.shape[-2] != self.capacity * logits.shape[-1]:
            raise ShapeError(
                f"{type(self).__name__}: expected logits of shape (*batch, sources, destinations) "
                f"with {self.capacity} source(s) for each destination, got {tuple(logits.shape)}"
            )
        self.logits = logits
        self.num_sources, self.num_destins = logits.shape[-2:]
        self.bp_iters = bp_iters
        super().__init__(logits.shape[:-2], logits.shape[-2:-1], validate_args=validate_args)

    def expand(self, batch_shape: Any, _instance: Any = None) -> Any:
        return expand_parameters(self, batch_shape, _instance)

    @constraints.dependent_property(is_discrete=True, event_dim=1)
    def support(self) -> Any:
        return _Assignments(self.num_destins, self.capacity)

    def log_prob(self, value: Tensor) -> Tensor:
        if self._validate_args:
            self._validate_sample(value)
        shape = torch.broadcast_shapes(value.shape, self.logits.shape[:-1])
        logits = self.logits.expand(shape + self.logits.shape[-1:])
        chosen = logits.gather(-1, value.long().expand(shape).unsqueeze(-1))
        return chosen.sum((-2, -1)) - self.log_partition_function

    @property
    def log_partition_function(self) -> Tensor:
        """Log of the sum over all assignments, exact or approximate, shape ``batch``."""
        log_sum: Tensor = unexpanded(self)._log_sum()
        return log_sum.expand(self.batch_shape)

    def _log_sum(self) -> Tensor:
        if self.bp_iters is not None:
            return log_bethe_matchings(self.logits, self.capacity, self.bp_iters)
        log_copies = self.num_destins * math.log(math.factorial(self.capacity))
        return log_permanent(self._square_logits()) - log_copies

    def _square_logits(self) -> Tensor:
        return self.logits.repeat_interleave(self.capacity, -1)

    def enumerate_support(self, expand: bool = True) -> Tensor:
        assignments = list(_arrangements((self.capacity,) * self.num_destins))
        values = torch.tensor(assignments, device=self.logits.device)
        values = values.reshape(-1, *(1,) * len(self.batch_shape), self.num_sources)
        return values.expand((-1, *self.batch_shape, -1)) if expand else values

    def sample(self, sample_shape: Any = torch.Size()) -> Tensor:
        """Return an exact draw, source by source, given those that were assigned before.

        Raises:
            NotImplementedError: With ``bp_iters``, which is for more sources than can be counted.
        """
        if self.bp_iters is not None:
            raise NotImplementedError(
                f"{type(self).__name__} has exact draws only, without bp_iters; see mode()"
            )
        with torch.no_grad():
            square = self._square_logits()
            shape = shape_of_samples(self, sample_shape) + self.batch_shape
            bits = 2 ** torch.arange(self.num_sources, device=square.device)
            tables = log_permanents_of_subsets(square).expand(shape + (-1,))
            free = torch.full(shape + (1,), int(bits.sum()), device=square.device)
            chosen = []
            for source in reversed(range(self.num_sources)):
                is_free = (free & bits) != 0
                rest = tables.gather(-1, torch.where(is_free, free ^ bits, 0))
                score = torch.where(is_free, rest + square[..., source, :], -torch.inf)
                gumbel = -standard_exponential(score.shape, score).log()
                chosen.append((score + gumbel).argmax(-1, keepdim=True))
                free = free ^ bits[chosen[-1]]
            return torch.cat(chosen[::-1], -1) // self.capacity

    def mode(self) -> Tensor:
        """Return the most likely assignment, by the Hungarian algorithm of scipy."""
        from scipy.optimize import linear_sum_assignment

        square = self._square_logits().detach()
        costs = square.reshape(-1, *square.shape[-2:]).cpu().double().numpy()
        best = [linear_sum_assignment(cost, maximize=True)[1] for cost in costs]
        columns = torch.stack([torch.as_tensor(columns) for columns in best])
        value = columns.reshape(self.batch_shape + (-1,)) // self.capacity
        return value.to(self.logits.device)


class OneOneMatching(_Matching):
    """Random one-to-one assignment of ``n`` sources to ``n`` destinations.

    Its probability is proportional to the exponential of the sum of the logits of its pairs; a
    value holds the destination of each source. The normalizer is a matrix permanent: exact in
    ``O(n 2^n)``, or by belief propagation its Bethe approximation, a lower bound (Huang and Jebara
    2009; Vontobel 2013), in ``O(n^2)`` a round.

    Args:
        logits: Shape ``(*batch, n, n)``, sources in rows.
        bp_iters: Rounds of belief propagation; exact if ``None``.
        validate_args: Whether to check arguments and values; the global default if ``None``.
    Raises:
        ShapeError: If ``logits`` is not square.

    Example:
        >>> d = OneOneMatching(torch.tensor([[0.0, 2.0], [1.0, 0.0]]))
        >>> d.log_prob(torch.tensor([1, 0])).exp()
        tensor(0.9526)
    """

    capacity = 1


class OneTwoMatching(_Matching):
    """Random assignment of ``2 n`` sources to ``n`` destinations, two to each.

    See :class:`OneOneMatching`.

    Args:
        logits: Shape ``(*batch, 2 * n, n)``, sources in rows.
        bp_iters: Rounds of belief propagation; exact if ``None``.
        validate_args: Whether to check arguments and values; the global default if ``None``.
    Raises:
        ShapeError: If there are not twice as many sources as destinations.
    """

    capacity = 2


class _Assignments(constraints.Constraint):
    """Vectors in which each destination occurs as often as it has capacity."""

    is_discrete = True
    event_dim = 1

    def __init__(self, num_destins: int, capacity: int) -> None:
        self.num_destins = num_destins
        self.capacity = capacity

    @property
    def upper_bound(self) -> Tensor:
        """Not a bound of counts, by which a hidden value could be replaced."""
        raise NotImplementedError("assignments are no counts")

    def check(self, value: Tensor) -> Tensor:
        expected = torch.arange(self.num_destins, device=value.device)
        return (value.sort(-1).values == expected.repeat_interleave(self.capacity)).all(-1)


def _arrangements(counts: tuple[int, ...]) -> Iterator[tuple[int, ...]]:
    """Yield all sequences in which ``k`` occurs ``counts[k]`` times."""
    if not any(counts):
        yield ()
    for k, count in enumerate(counts):
        if count:
            fewer = counts[:k] + (count - 1,) + counts[k + 1 :]
            yield from ((k, *rest) for rest in _arrangements(fewer))
