"""Tables of posteriors, with what the kind of draws allows to say."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor

from ppl.errors import SupportError
from ppl.ops.stats import quantile, weighed_quantile

from .. import diagnostics

Columns = dict[str, Tensor]


class SummaryTable(dict[str, Columns]):
    """Statistics by site and name, each of the shape of its site; printed as a table.

    Attributes:
        labels: What the elements of each dimension of a site are called in print.
    """

    labels: Mapping[str, Sequence[Sequence[Any]]] = MappingProxyType({})

    def __str__(self) -> str:
        return diagnostics.format_summary(self, self.labels)

    __repr__ = __str__


def summarize(
    draws: Mapping[str, Tensor], log_weights: Tensor | None, are_chains: bool, prob: float
) -> SummaryTable:
    """Return the summary of draws of shape ``(chain, draw, *site)``, by site.

    Mean, standard deviation, median and interval count the weights. Effective sample sizes and
    R-hat compare the parts of Markov chains, so only these have them.

    Raises:
        SupportError: If ``prob`` is outside ``(0, 1)``.
    """
    if not 0 < prob < 1:
        raise SupportError(f"prob must lie in (0, 1), got {prob}")
    if are_chains:
        return SummaryTable(diagnostics.summary(draws, prob))
    pooled = {name: x.flatten(0, 1).detach().double() for name, x in draws.items()}
    weights = None if log_weights is None else log_weights.flatten()
    return SummaryTable({name: _columns(x, weights, prob) for name, x in pooled.items()})


def _columns(draws: Tensor, log_weights: Tensor | None, prob: float) -> Columns:
    low, high = (1 - prob) / 2, (1 + prob) / 2
    levels = [low, 0.5, high]
    if log_weights is None:
        mean, ends = draws.mean(0), quantile(draws, levels)
        spread = draws.std(0) if len(draws) > 1 else torch.full_like(draws[0], math.nan)
    else:
        weights = log_weights.exp().reshape(-1, *[1] * (draws.dim() - 1)).to(draws)
        mean, ends = (
            (draws * weights).sum(0),
            weighed_quantile(draws, [low, 0.5, high], log_weights),
        )
        spread = ((draws - mean).square() * weights).sum(0).sqrt()
    return {
        "mean": mean,
        "std": spread,
        "median": ends[1],
        f"{low:.1%}": ends[0],
        f"{high:.1%}": ends[2],
    }
