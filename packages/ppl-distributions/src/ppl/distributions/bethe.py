"""The Bethe approximation of sums over matchings, by belief propagation."""

from __future__ import annotations

import torch
from torch import Tensor

from .permanent import finite_logits


def log_bethe_matchings(logits: Tensor, capacity: int, iterations: int) -> Tensor:
    """Return the Bethe approximation of the log of a sum over matchings.

    Each row has one column and each column ``capacity`` rows; the weight of a matching is the
    exponential of the sum of the logits of its pairs. Messages are log odds of pairs, ``n * m`` of
    them a round (Huang and Jebara 2009). The approximation is exact where one matching has all the
    weight. For ``capacity=1`` it is at most the log permanent, and at least that minus
    ``n / 2 * log(2)`` (Vontobel 2013; Anari and Rezaei 2019).

    The gradient is the matrix of pair probabilities at the fixed point, where the approximation is
    stationary in the messages.

    Args:
        logits: Shape ``(*batch, n, m)`` with ``n = capacity * m``.
        capacity: Rows of each column.
        iterations: Rounds of messages.
    Returns:
        Shape ``batch``.
    """
    logits = finite_logits(logits)
    with torch.no_grad():
        limit = _limit(logits)
        from_rows = torch.zeros_like(logits)
        for _ in range(iterations):
            from_columns = _odds_of_others(logits + from_rows, -2, capacity).clamp(-limit, limit)
            from_rows = _odds_of_others(logits + from_columns, -1, 1).clamp(-limit, limit)
    rows = _log_elementary(logits + from_columns, -1, 1).sum(-1)
    columns = _log_elementary(logits + from_rows, -2, capacity).sum(-1)
    pairs = torch.nn.functional.softplus(logits + from_rows + from_columns).sum((-2, -1))
    return rows + columns - pairs


def _limit(logits: Tensor) -> Tensor:
    """Return a size that no message exceeds, but for pairs that nothing else can replace."""
    possible = logits > torch.finfo(logits.dtype).min / 8 / logits.shape[-1]
    largest = torch.where(possible, logits.abs(), 0.0).amax((-2, -1), keepdim=True)
    return 4 * largest + 40.0


def _odds_of_others(x: Tensor, dim: int, capacity: int) -> Tensor:
    """Return for each entry the log odds that the others of its row or column leave it a place.

    These are ratios of elementary symmetric polynomials of the others, of which ``capacity - 1`` or
    ``capacity`` are chosen. Sums from both ends leave an entry out without a difference.
    """
    x = x.transpose(dim, -1)
    before, after = (
        _cumulative(x, capacity),
        [p.flip(-1) for p in _cumulative(x.flip(-1), capacity)],
    )

    def chosen(number: int) -> Tensor:
        splits = [before[k] + after[number - k] for k in range(number + 1)]
        return torch.stack(splits).logsumexp(0)

    return (chosen(capacity - 1) - chosen(capacity)).transpose(dim, -1)


def _cumulative(x: Tensor, order: int) -> list[Tensor]:
    """Return log elementary symmetric polynomials of all earlier entries, of orders 0, 1, ..."""
    earlier = [torch.zeros_like(x)]
    for _ in range(order):
        up_to_here = torch.logcumsumexp(x + earlier[-1], -1)[..., :-1]
        earlier.append(torch.nn.functional.pad(up_to_here, (1, 0), value=_nothing(x)))
    return earlier


def _log_elementary(x: Tensor, dim: int, order: int) -> Tensor:
    """Return the log of the elementary symmetric polynomial of an order over a dimension."""
    x = x.transpose(dim, -1)
    *_, last = _cumulative(x, order - 1)
    return (x + last).logsumexp(-1)


def _nothing(x: Tensor) -> float:
    """Return the log of zero, but finite."""
    return torch.finfo(x.dtype).min / 64
