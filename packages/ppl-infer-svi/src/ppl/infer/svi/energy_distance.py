"""Fit by comparing what a model predicts with the data: no density of the data is needed."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

import ppl.poutine as poutine
from ppl.errors import ArgumentError, SiteError
from ppl.infer.arguments import positive_int
from ppl.infer.particles import Nesting, vectorize
from ppl.infer.util import check_fully_reparametrized
from ppl.poutine.uncondition_messenger import UnconditionMessenger
from ppl.poutine.util import prune_subsample_sites, site_is_data

Model = Callable[..., Any]


class EnergyDistance:
    """The energy distance of the posterior predictive from the data, a loss for :class:`SVI`.

    With ``X`` and ``X'`` two independent predictions of all data ``x`` it is
    ``E |X - x| ** beta - E |X - X'| ** beta / 2 - prior_scale * E log p(Z)``, a strictly proper
    score where ``E |X| ** beta`` is finite (Gneiting & Raftery 2007, equation 22; Szekely & Rizzo
    2003). It suits likelihoods that can be drawn from, but have no density.

    The guide, and the distributions of observed sites, must be reparametrized, and the structure of
    the model static.

    Args:
        beta: The exponent, between 0 and 2; small ones for heavy tails: below 1 for a Cauchy.
        prior_scale: The weight of the prior's log density, 0 or more. If it is 0 no density is
            computed, and the parameters of priors are not trained.
        num_particles: How many predictions make an estimate, 2 or more.
        max_plate_nesting: The largest number of nested vectorized plates; found by running the
            model once if not given.

    Raises:
        ArgumentError: If an argument is out of its range.
    """

    def __init__(
        self,
        beta: float = 1.0,
        prior_scale: float = 0.0,
        num_particles: int = 2,
        max_plate_nesting: float = math.inf,
    ) -> None:
        if not 0 < beta < 2:
            raise ArgumentError(f"beta must lie between 0 and 2, got {beta}")
        if not prior_scale >= 0:
            raise ArgumentError(f"prior_scale must be 0 or more, got {prior_scale}")
        self.beta = beta
        self.prior_scale = prior_scale
        self.num_particles: int = positive_int("num_particles", num_particles, at_least=2)
        self.max_plate_nesting = max_plate_nesting
        self._guessed = Nesting()

    def __call__(self, model: Model, guide: Model, *args: Any, **kwargs: Any) -> Tensor:
        """Return an estimate of the loss whose gradient estimates its gradient."""
        guide_trace, model_trace = self._traces(model, guide, args, kwargs)
        data = [site for _, site in _sites(model_trace) if site["infer"].get("was_observed")]
        if not data:
            raise SiteError("the model has no observed site to compare predictions with")
        predicted = torch.cat([self._flat(site, site["value"]) for site in data], -1)
        observed = torch.cat([self._flat(site, site["infer"]["obs"])[:1] for site in data], -1)
        misfit, spread = predicted - observed, _differences(predicted)
        loss = self._power(misfit).mean() - self._power(spread).mean() / 2
        if self.prior_scale > 0:
            model_trace.compute_log_prob(lambda name, site: name in guide_trace.nodes)
            prior = (s["log_prob_sum"] for n, s in _sites(model_trace) if n in guide_trace.nodes)
            loss = loss - self.prior_scale * sum(prior) / self.num_particles
        return loss

    def loss(self, model: Model, guide: Model, *args: Any, **kwargs: Any) -> float:
        """Return an estimate of the loss."""
        with torch.no_grad():
            return self(model, guide, *args, **kwargs).item()

    def _traces(
        self, model: Model, guide: Model, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[poutine.Trace, poutine.Trace]:
        """Return traces of the guide and of the model replayed at it, its data drawn anew."""
        nesting = self._guessed.of(self.max_plate_nesting, model, args, kwargs)
        together = vectorize(guide, self.num_particles, nesting)
        guide_trace = poutine.trace(together).get_trace(*args, **kwargs)
        for name in prune_subsample_sites(guide_trace).stochastic_nodes:
            check_fully_reparametrized(guide_trace.nodes[name])
        replayed = poutine.replay(_Predicting()(model), trace=guide_trace)
        together = vectorize(replayed, self.num_particles, nesting)
        model_trace = poutine.trace(together).get_trace(*args, **kwargs)
        return prune_subsample_sites(guide_trace), prune_subsample_sites(model_trace)

    def _flat(self, site: dict[str, Any], value: Tensor) -> Tensor:
        """Return values as ``(particle, number)``, masked and weighted by the scale of the site."""
        check_fully_reparametrized(site)
        event_dim = site["fn"].event_dim
        shape = site["fn"].batch_shape + site["fn"].event_shape
        weight = torch.as_tensor(site["scale"]) ** 0.5
        if site["mask"] is not None:
            weight = weight * site["mask"]
        weight = weight.reshape(weight.shape + (1,) * event_dim)
        value = torch.where(weight > 0, value, 0.0) * weight
        return value.expand(shape).reshape(self.num_particles, -1)

    def _power(self, difference: Tensor) -> Tensor:
        square = difference.square().sum(-1)
        positive = square > 0  # the root has no slope at 0
        root = torch.where(positive, square, 1.0) ** (self.beta / 2)
        return torch.where(positive, root, 0.0)


class _Predicting(UnconditionMessenger):
    """Draws the data anew, but keeps deterministic values and factors."""

    def _pyro_sample(self, msg: dict[str, Any]) -> None:
        if site_is_data(msg):
            super()._pyro_sample(msg)


def _differences(values: Tensor) -> Tensor:
    """Return the differences of all pairs of rows."""
    first, second = torch.triu_indices(len(values), len(values), offset=1)
    return values[first] - values[second]


def _sites(trace: poutine.Trace) -> list[tuple[str, dict[str, Any]]]:
    return [(n, s) for n, s in trace.nodes.items() if s["type"] == "sample"]
