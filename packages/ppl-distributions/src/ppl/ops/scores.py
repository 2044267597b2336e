"""How well draws predict what was observed: scores and information criteria."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from ppl.errors import ShapeError


def crps_empirical(pred: Tensor, truth: Tensor) -> Tensor:
    """Return the continuous ranked probability score of draws, smaller for better predictions.

    It is ``E|X - y| - E|X - X'| / 2`` over the draws (Gneiting and Raftery 2007, eq. 21), computed
    by sorting.

    Args:
        pred: Draws of the prediction, shape ``(n, *shape)``.
        truth: What was observed, of that ``shape``.

    Returns:
        That ``shape``, in the units of the draws.

    Raises:
        ShapeError: If the shapes do not fit.

    Example:
        >>> crps_empirical(torch.tensor([1.0, 3.0]), torch.tensor(2.0))
        tensor(0.5000)
    """
    if pred.shape[1:] != truth.shape or pred.dim() == 0:
        raise ShapeError(
            f"pred must have shape (n, *truth.shape), got {tuple(pred.shape)} for a truth of shape "
            f"{tuple(truth.shape)}"
        )
    count = pred.shape[0]
    rank = torch.arange(1 - count, count, 2, dtype=pred.dtype, device=pred.device)
    spread: Tensor = torch.tensordot(rank, pred.sort(0).values, 1) / count**2
    return (pred - truth).abs().mean(0) - spread


def energy_score_empirical(
    pred: Tensor,
    truth: Tensor,
    pred_batch_size: int | None = None,
    cdist: Callable[[Tensor, Tensor], Tensor] = torch.cdist,
) -> Tensor:
    """Return the energy score of draws of a vector, smaller for better predictions.

    It is ``E|X - y| - E|X - X'| / 2`` over the draws with the Euclidean norm (Gneiting and Raftery
    2007, eq. 22, with the sign changed); for one dimension it is :func:`crps_empirical`.

    Args:
        pred: Draws of the prediction, shape ``(*batch, n, d)``.
        truth: What was observed, shape ``(*batch, m, d)`` or ``(*batch, d)``.
        pred_batch_size: How many draws are compared with all others at a time, to save memory; all
            by default.
        cdist: Distances of vectors ``(*batch, n, d)`` and ``(*batch, m, d)``, of shape
            ``(*batch, n, m)``.

    Returns:
        Shape ``(*batch, m)`` or ``batch``.

    Raises:
        ShapeError: If the numbers of dimensions do not fit.
    """
    if pred.dim() == truth.dim() + 1:
        one = energy_score_empirical(pred, truth.unsqueeze(-2), pred_batch_size, cdist)
        return one.squeeze(-1)
    if pred.dim() != truth.dim() or pred.dim() < 2 or pred.shape[-1] != truth.shape[-1]:
        raise ShapeError(
            f"pred must have shape (*batch, n, d) and truth (*batch, m, d) or (*batch, d), got "
            f"{tuple(pred.shape)} and {tuple(truth.shape)}"
        )
    count = pred.shape[-2]
    parts = pred.split(pred_batch_size or count, -2)
    sums = torch.stack([cdist(part, pred).sum((-2, -1)) for part in parts])
    spread = sums.sum(0) / count**2
    return cdist(pred, truth).mean(-2) - spread.unsqueeze(-1) / 2


def waic(
    input: Tensor, log_weights: Tensor | None = None, pointwise: bool = False, dim: int = 0
) -> tuple[Tensor, Tensor]:
    """Return the widely applicable information criterion, and the effective number of parameters.

    Args:
        input: Log densities (nats) of each observation under each draw, draws along ``dim``.
        log_weights: Logarithms of weights of the draws, not necessarily normalized, shape ``(n,)``;
            equal by default.
        pointwise: Whether the values of the observations are returned one by one instead of summed.
        dim: The dimension of the draws, at least two of them.

    Returns:
        The criterion on the deviance scale, smaller for better predictions, and the effective
        number of parameters by variances (Gelman, Hwang, Vehtari 2014, eqs. 12 and 13).

    Example:
        >>> log_likelihood = torch.tensor([[-1.0, -2.0], [-1.0, -2.0]])
        >>> waic(log_likelihood)
        (tensor(6.), tensor(0.))
    """
    terms = input.movedim(dim, -1)
    num_draws = terms.shape[-1]
    logits = terms.new_zeros(num_draws) if log_weights is None else log_weights
    log_shares = logits.log_softmax(-1)
    shares = log_shares.exp()
    lpd = (terms + log_shares).logsumexp(-1)
    deviation = terms - (terms * shares).sum(-1, keepdim=True)
    p_waic = (deviation.square() * shares).sum(-1) * num_draws / (num_draws - 1)
    elpd = lpd - p_waic
    return (-2 * elpd, p_waic) if pointwise else (-2 * elpd.sum(), p_waic.sum())
