"""Posteriors of weighted executions: importance sampling, SMC, search."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

import ppl.poutine as poutine
from ppl.errors import SiteError

from ..importance import Importance
from ..smc import SMC
from ..trace_batch import TraceBatch
from .methods import Method, why_not_continuous, why_not_whole
from .posterior import Posterior
from .sites import Model, sites_of

if TYPE_CHECKING:
    from ..trace_posterior import TracePosterior


def posterior_of(traces: TracePosterior, model: Model | None, **options: Any) -> Posterior:
    """Return the posterior of the executions of a run.

    Args:
        traces: What was run.
        model: The model.
        options: Other attributes of the posterior, by name.
    """
    log_weights = traces._normalized().detach()
    draws = draws_of(traces)
    args, kwargs = traces._arguments
    weights = log_weights[None]
    return Posterior.from_draws(draws, model, *args, kwargs=kwargs, log_weights=weights, **options)


def draws_of(traces: TracePosterior) -> dict[str, Tensor]:
    """Return the values of the sites that are not observed, shape ``(1, draw, *site)``.

    Raises:
        SiteError: If some executions have other sites than others.
    """
    executions = traces.exec_traces
    first = sites_of(executions[0])
    if not isinstance(executions, TraceBatch):
        _check_same(set(first.latent), executions)
    names = [name for name in (*first.latent, *first.computed) if name in first.axes]
    return {name: traces._site(name).detach()[None] for name in names}


def _check_same(expected: set[str], executions: Sequence[poutine.Trace]) -> None:
    """Refuse executions that do not have all the same latent sites."""
    for trace in executions:
        different = sorted(expected ^ set(sites_of(trace).latent))
        if different:
            raise SiteError(
                f"sites {different} are not in every execution of the model, so their draws have "
                "no one shape; ask for a marginal distribution of what all have: .marginal(sites)",
                site=different[0],
            )


def _importance(
    model: Model,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    num_samples: int = 10_000,
    guide: Model | None = None,
) -> Posterior:
    with torch.no_grad():
        return Importance(model, guide, num_samples).run(*args, **kwargs).posterior()


def _smc(
    model: Model,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    num_particles: int = 2000,
    ess_threshold: float = 0.5,
    num_moves: int = 10,
) -> Posterior:
    sampler = SMC(model, num_particles, ess_threshold=ess_threshold, num_moves=num_moves)
    return sampler.run(*args, **kwargs).posterior()


importance = Method(_importance, why_not_whole)
smc = Method(_smc, why_not_continuous)
