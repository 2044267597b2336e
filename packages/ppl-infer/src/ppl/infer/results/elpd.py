"""How well a model predicts what it has not seen: leave-one-out and WAIC estimates."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from ppl.errors import ArgumentError
from ppl.ops.stats import ess_mean, psis

MOST_VARIANCE = 0.4  # of a log density over the draws: above it WAIC fails (Vehtari et al. 2017)


class Difference(NamedTuple):
    """By how much one model predicts better than another, in nats, and the standard error."""

    elpd: float
    se: float

    def __str__(self) -> str:
        return f"{self.elpd:+.1f} with standard error {self.se:.1f}"


@dataclass(frozen=True)
class ELPD:
    """The expected log predictive density of new data, estimated from the observations.

    Attributes:
        kind: ``"loo"`` or ``"waic"``.
        elpd: The estimate, in nats: larger for better predictions.
        se: Its standard error over the observations.
        p: The effective number of parameters.
        pointwise: The terms of ``elpd`` by site, in the shape of the observations.
        pareto_k: Of ``loo``: how far each estimate can be believed, by site.
        good_k: Up to which ``pareto_k`` it can; none of WAIC.
        variances: Of ``waic``: the variances of the log densities over the draws, by site.
        num_matched: How many observations had their draws moved by moment matching.

    References:
        Vehtari, Gelman & Gabry 2017, "Practical Bayesian model evaluation using leave-one-out
        cross-validation and WAIC"; Vehtari et al. 2024, "Pareto smoothed importance sampling".
    """

    kind: Literal["loo", "waic"]
    elpd: float
    se: float
    p: float
    pointwise: Mapping[str, Tensor]
    pareto_k: Mapping[str, Tensor]
    good_k: float
    variances: Mapping[str, Tensor]
    num_matched: int = 0

    @property
    def num_bad(self) -> int:
        """The number of observations whose estimate cannot be believed."""
        bad = [int((~(k <= self.good_k)).sum()) for k in self.pareto_k.values()]
        return sum(bad) + sum(int((~(v <= MOST_VARIANCE)).sum()) for v in self.variances.values())

    @property
    def is_reliable(self) -> bool:
        """Whether all estimates can be believed."""
        return self.num_bad == 0

    def __sub__(self, other: ELPD) -> Difference:
        """Return by how much this model predicts the same observations better.

        Raises:
            ArgumentError: If the other one is of other observations.
        """
        shapes = [{n: tuple(x.shape) for n, x in e.pointwise.items()} for e in (self, other)]
        if shapes[0] != shapes[1]:
            raise ArgumentError(
                f"models are compared on the same observations, got {shapes[0]} and {shapes[1]}"
            )
        terms = _flat(self.pointwise) - _flat(other.pointwise)
        return Difference(terms.sum().item(), _standard_error(terms))

    def __str__(self) -> str:
        score = f"elpd_{self.kind} {self.elpd:10.2f}  with standard error {self.se:.2f}"
        return f"{score}\np_{self.kind} {self.p:13.2f}\n{self._verdict()}"

    def _verdict(self) -> str:
        count = sum(x.numel() for x in self.pointwise.values())
        matched = f" ({self.num_matched} by moment matching)" if self.num_matched else ""
        if self.is_reliable:
            return f"All {count} estimates are good{matched}."
        if self.kind == "waic":
            return (
                f"{self.num_bad} of {count} observations are too influential for WAIC; "
                "next: posterior.loo()"
            )
        cure = "posterior.loo(moment_match=True)"
        if self.num_matched:
            cure = "refit without these observations, or use a model that expects them"
        return (
            f"{self.num_bad} of {count} estimates have pareto_k > {self.good_k:.2f}; next: {cure}"
        )


def loo(log_likelihood: Mapping[str, Tensor], log_weights: Tensor, efficiency: float) -> ELPD:
    """Return the leave-one-out estimate from log densities of observations.

    Args:
        log_likelihood: By site, shape ``(draw, *observation)``, in nats.
        log_weights: Of the draws, shape ``(draw,)``, up to a constant.
        efficiency: The effective number of draws over their number.
    """
    values = {name: x.double().cpu() for name, x in log_likelihood.items()}
    log_weights = log_weights.cpu()
    pointwise, shapes = {}, {}
    for name, value in values.items():
        raw = log_weights.reshape(-1, *[1] * (value.dim() - 1)) - value
        smoothed, shapes[name] = psis(raw, relative_efficiency=efficiency)
        pointwise[name] = (smoothed + value).logsumexp(0)
    found = of_terms("loo", pointwise, lppd(values, log_weights))
    return replace(found, pareto_k=shapes, good_k=good_k(len(log_weights)))


def waic(log_likelihood: Mapping[str, Tensor], log_weights: Tensor) -> ELPD:
    """Return the WAIC estimate from log densities of observations, on the scale of ``loo``.

    Args:
        log_likelihood: By site, shape ``(draw, *observation)``, in nats.
        log_weights: Of the draws, shape ``(draw,)``, up to a constant.
    """
    values = {name: x.double().cpu() for name, x in log_likelihood.items()}
    log_weights = log_weights.cpu()
    variances = {name: _variance(x, log_weights) for name, x in values.items()}
    lpd = lppd(values, log_weights)
    found = of_terms("waic", {name: lpd[name] - variances[name] for name in values}, lpd)
    return replace(found, variances=variances)


def of_terms(
    kind: Literal["loo", "waic"], pointwise: Mapping[str, Tensor], lpd: Mapping[str, Tensor]
) -> ELPD:
    """Return the estimate that is a sum of terms; ``lpd`` is what the posterior itself predicts."""
    terms = _flat(pointwise)
    elpd = terms.sum().item()
    p = _flat(lpd).sum().item() - elpd
    return ELPD(kind, elpd, _standard_error(terms), p, pointwise, {}, math.inf, {})


def lppd(values: Mapping[str, Tensor], log_weights: Tensor) -> dict[str, Tensor]:
    """Return the log of the mean density of each observation, by site."""
    shares = log_weights.log_softmax(0)
    return {
        name: (x + shares.reshape(-1, *[1] * (x.dim() - 1))).logsumexp(0)
        for name, x in values.items()
    }


def good_k(num_draws: int) -> float:
    """Return up to which ``k`` so many draws are enough (Vehtari et al. 2024, section 3.2.4)."""
    return min(0.7, 1 - 1 / math.log10(num_draws)) if num_draws > 1 else -math.inf


def relative_efficiency(draws: Mapping[str, Tensor]) -> float:
    """Return the mean effective sample size of all numbers over the number of draws.

    Args:
        draws: By site, shape ``(chain, draw, *site)``; one chain counts as independent draws, as in
            ArviZ.
    """
    chains, length = next(iter(draws.values())).shape[:2]
    if chains == 1:
        return 1.0
    sizes = torch.cat([ess_mean(x.double()).flatten() for x in draws.values()])
    return sizes[sizes.isfinite()].mean().item() / (chains * length)


def _variance(x: Tensor, log_weights: Tensor) -> Tensor:
    shares = log_weights.softmax(0).reshape(-1, *[1] * (x.dim() - 1))
    return ((x - (x * shares).sum(0)).square() * shares).sum(0)


def _standard_error(terms: Tensor) -> float:
    return math.sqrt(len(terms) * terms.var(correction=0).item())


def _flat(values: Mapping[str, Tensor]) -> Tensor:
    return torch.cat([x.flatten() for x in values.values()])
