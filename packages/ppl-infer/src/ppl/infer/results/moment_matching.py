"""Draws that are moved towards the posterior without an observation.

References:
    Paananen, Piironen, Buerkner & Vehtari 2021, "Implicitly adaptive importance sampling".
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from ppl.errors import UnsupportedModelError
from ppl.ops.stats import psis

from ..likelihood import check_all_given, pointwise
from ..unconstrained_model import UnconstrainedModel
from . import elpd
from .elpd import ELPD
from .sites import look

if TYPE_CHECKING:
    from .posterior import Posterior

MOST_STEPS = 30  # of one observation
BOUNDED = 0.0  # the shape of weights without a tail: a good one, at 0.6 say, still has a bias


@dataclass(frozen=True)
class _Densities:
    """Log densities at positions: ``joint`` (draw,), and ``values`` by site, ``(draw, *obs)``."""

    joint: Tensor
    values: Mapping[str, Tensor]


@dataclass(frozen=True)
class _Map:
    """The affine map ``x -> loc + (x - centre) @ factor.T`` of all positions."""

    centre: Tensor
    loc: Tensor
    factor: Tensor

    def __call__(self, x: Tensor) -> Tensor:
        y: Tensor = self.loc + (x - self.centre) @ self.factor.T
        return y

    def inverse(self, y: Tensor) -> Tensor:
        x: Tensor = self.centre + torch.linalg.solve(self.factor, (y - self.loc).T).T
        return x

    def half(self) -> _Map:
        """Return the map half of the way: moments that are estimated from few draws are noisy."""
        eye = torch.eye(len(self.factor), dtype=self.factor.dtype)
        return _Map(self.centre, (self.centre + self.loc) / 2, (eye + self.factor) / 2)

    @property
    def log_volume(self) -> Tensor:
        log_volume: Tensor = torch.linalg.slogdet(self.factor).logabsdet
        return log_volume


def match(posterior: Posterior, values: Mapping[str, Tensor], found: ELPD) -> ELPD:
    """Return the leave-one-out estimate with moved draws for the observations that need it.

    The draws are mapped so that their weighted mean, then variances and then covariance are those
    of the posterior without the observation, as long as the weights get better by it. The
    estimate is that of a mixture of draws as they were and moved ones (section 3.3).

    Args:
        posterior: The posterior, of equally weighted draws.
        values: The log densities of the observations.
        found: The estimate without moves.

    Raises:
        UnsupportedModelError: If draws are weighted, or a latent site is discrete.
    """
    target = _Target(posterior)
    terms = {name: x.clone() for name, x in found.pointwise.items()}
    shapes = {name: k.clone() for name, k in found.pareto_k.items()}
    count = 0
    for name, k in found.pareto_k.items():
        for index in (~(k <= found.good_k)).nonzero().tolist():
            place = tuple(index)
            term, shape = _leave_out(target, name, place)
            if shape < shapes[name][place]:
                terms[name][place], shapes[name][place] = term, shape
                count += 1
    values = {name: x.cpu().double() for name, x in values.items()}
    lpd = elpd.lppd(values, posterior._base_weights().cpu())
    better = elpd.of_terms("loo", terms, lpd)
    return replace(better, pareto_k=shapes, good_k=found.good_k, num_matched=count)


class _Target:
    """The joint density at unconstrained positions, beginning with those of the draws."""

    def __init__(self, posterior: Posterior) -> None:
        if not bool((posterior._base_weights() == 0).all()):
            raise UnsupportedModelError(
                "moment matching moves equally weighted draws of the posterior, such as those of "
                'method="nuts"; these have weights'
            )
        model = posterior._model("move draws")
        draws = {n: x.flatten(0, 1) for n, x in posterior.latent_draws().items()}
        first = {name: x[0] for name, x in draws.items()}
        trace = look(model, posterior.args, posterior.kwargs, first)
        check_all_given(trace, list(draws))
        sites: dict[str, dict[str, Any]] = {name: trace.nodes[name] for name in draws}
        discrete = [name for name, site in sites.items() if site["fn"].support.is_discrete]
        if discrete:
            raise UnsupportedModelError(
                f"moment matching cannot move the discrete sites {discrete}"
            )
        args, kwargs = posterior.args, posterior.kwargs
        self.model = UnconstrainedModel("moment matching", lambda: model(*args, **kwargs), sites)
        positions = self.model.positions(draws).detach()
        self.like = positions[0]  # maps of draws are computed in double, on the CPU
        self.start: Tensor = positions.cpu().double()
        self.at_start = self.densities(self.start)
        self.efficiency = posterior._efficiency()

    @torch.no_grad()
    def densities(self, positions: Tensor) -> _Densities:
        def one(x: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
            trace, log_jacobian = self.model.run(x)
            return trace.log_prob_sum() + log_jacobian, pointwise(trace)

        joint, values = self.model.many(one, positions.to(self.like))
        values = {name: x.cpu() for name, x in values.items()}
        return _Densities(_without_nan(joint.cpu().double()), values)

    def weights(self, log_weights: Tensor) -> tuple[Tensor, float]:
        smoothed, k = psis(log_weights, relative_efficiency=self.efficiency)
        return smoothed, k.item()


def _leave_out(target: _Target, name: str, place: tuple[int, ...]) -> tuple[Tensor, float]:
    """Return the log density of an observation given the others, and how far to believe it."""

    def value_at(densities: _Densities) -> Tensor:
        return densities.values[name].movedim(0, -1)[place].double()

    x = target.start
    smoothed, k = target.weights(-value_at(target.at_start))
    total = torch.eye(x.shape[1], dtype=x.dtype)
    for _ in range(MOST_STEPS):
        for step in _steps(x, smoothed.exp()) if k > BOUNDED else ():
            mapped = step(x)
            densities = target.densities(mapped)
            ratio = densities.joint - value_at(densities) - target.at_start.joint
            candidate, candidate_k = target.weights(_without_nan(ratio))
            if candidate_k < k:
                x, smoothed, k = mapped, candidate, candidate_k
                total = step.factor @ total
                break
        else:
            break
    start = target.start
    whole = _Map(start.mean(0), x.mean(0), total)
    return _of_mixture(target, whole, value_at)


def _of_mixture(target: _Target, whole: _Map, value_at: Any) -> tuple[Tensor, float]:
    """Return the estimate from one half of the draws as they were, and the other half moved."""
    x = target.start
    half = torch.arange(len(x)) % 2 == 0
    positions = torch.where(half[:, None], whole(x), x)
    here = target.densities(positions)
    there = target.densities(whole.inverse(positions)).joint - whole.log_volume
    proposal = torch.logaddexp(here.joint, there)
    value = value_at(here)
    ratio = _without_nan(here.joint - value - proposal)
    smoothed, k = target.weights(ratio)
    return (smoothed + value).logsumexp(0), k


def _without_nan(log_density: Tensor) -> Tensor:
    """Return minus infinity where the model has no density: no weight either."""
    return torch.where(log_density.isnan(), -torch.inf, log_density)


def _steps(x: Tensor, weights: Tensor) -> Iterator[_Map]:
    """Iterate over maps to more and more of the weighted moments, each also half of the way."""
    for match_moments in (_shift, _scale, _rotate):
        step = match_moments(x, weights)
        if step is not None:
            yield step
            yield step.half()


def _shift(x: Tensor, weights: Tensor) -> _Map:
    """Return the map to the weighted mean."""
    mean = _mean(x, weights)
    return _Map(x.mean(0), mean, torch.eye(x.shape[1], dtype=x.dtype))


def _scale(x: Tensor, weights: Tensor) -> _Map:
    """Return the map to the weighted mean and variances."""
    mean = _mean(x, weights)
    variance = weights.to(x) @ (x - mean).square()
    ratio = (variance / x.var(0, correction=0)).sqrt()
    return _Map(x.mean(0), mean, ratio.diag())


def _rotate(x: Tensor, weights: Tensor) -> _Map | None:
    """Return the map to the weighted mean and covariance; None if there is none."""
    mean = _mean(x, weights)
    wanted = (x - mean).T @ ((x - mean) * weights[:, None].to(x))
    factors = [torch.linalg.cholesky_ex(matrix) for matrix in (wanted, x.T.cov(correction=0))]
    if x.shape[1] == 1 or any(bool(info) for _, info in factors):
        return None
    new, old = (factor for factor, _ in factors)
    return _Map(x.mean(0), mean, torch.linalg.solve_triangular(old, new, upper=False, left=False))


def _mean(x: Tensor, weights: Tensor) -> Tensor:
    return weights.to(x) @ x
