"""``method="laplace"`` of :func:`ppl.infer.posterior`."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

import ppl.poutine as poutine
from ppl.errors import NotFiniteError
from ppl.infer.results import Method, Posterior
from ppl.infer.results.methods import why_not_continuous
from ppl.infer.results.sites import Model

from .auto_laplace_approximation import AutoLaplaceApproximation


def _laplace(
    model: Model,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    num_draws: int = 1000,
    max_iterations: int = 500,
) -> Posterior:
    """Return draws of the normal with the curvature at the mode, on the unconstrained scale."""
    guide = AutoLaplaceApproximation(model)
    guide.setup(*args, **kwargs)
    find_mode(guide, args, kwargs, max_iterations)
    normal = guide.laplace_approximation(*args, **kwargs)
    return normal.posterior(*args, num_draws=num_draws, method="laplace", **kwargs)


def find_mode(
    guide: AutoLaplaceApproximation,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    max_iterations: int = 500,
) -> None:
    """Move the point of a guide to the mode of the posterior, by L-BFGS with a line search.

    Raises:
        NotFiniteError: If the density is not finite where the search ends.
    """
    optimizer = torch.optim.LBFGS(
        [guide.loc], max_iter=max_iterations, line_search_fn="strong_wolfe"
    )

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = _negative_log_density(guide, args, kwargs)
        loss.backward()
        return loss

    with poutine.block():
        optimizer.step(closure)
        with torch.no_grad():
            reached = _negative_log_density(guide, args, kwargs)
    if not bool(reached.isfinite()):
        raise NotFiniteError(
            f"the search for the mode ended where the log density is {-reached.item()}: the model "
            'may have no mode; method="nuts" needs none'
        )


def _negative_log_density(
    guide: AutoLaplaceApproximation, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Tensor:
    guide_trace = poutine.trace(guide).get_trace(*args, **kwargs)
    replayed = poutine.replay(guide.model, trace=guide_trace)
    model_trace = poutine.trace(replayed).get_trace(*args, **kwargs)
    jacobian = guide_trace.log_prob_sum()
    return torch.as_tensor(jacobian - model_trace.log_prob_sum())


laplace: Method = Method(_laplace, why_not_continuous)
