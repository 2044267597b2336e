"""The probabilities at which quantiles are wanted."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ppl.errors import SupportError


def probabilities(quantiles: Sequence[float] | Tensor, like: Tensor) -> Tensor:
    """Return probabilities as a vector of the dtype and device of another tensor.

    Raises:
        SupportError: If they are no sequence of numbers between 0 and 1.
    """
    try:
        levels = torch.as_tensor(quantiles, dtype=like.dtype, device=like.device)
    except (TypeError, ValueError, RuntimeError):
        levels = like.new_zeros(())
    if levels.dim() != 1 or not bool(((levels >= 0) & (levels <= 1)).all()):
        raise SupportError(
            f"quantiles must be a list of probabilities between 0 and 1, got {quantiles!r}"
        )
    return levels


def normal_quantiles(quantiles: Sequence[float] | Tensor, like: Tensor) -> Tensor:
    """Return the quantiles of a standard normal, as a vector.

    Raises:
        SupportError: If ``quantiles`` is no sequence of numbers between 0 and 1.
    """
    levels: Tensor = torch.special.ndtri(probabilities(quantiles, like))
    return levels
