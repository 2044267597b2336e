"""``method="svi"`` of :func:`ppl.infer.posterior`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

import ppl.plugins as plugins
from ppl.infer.elbo import ELBO
from ppl.infer.results import Method, Posterior, posterior_of_guide
from ppl.infer.results.methods import why_not_continuous
from ppl.infer.results.sites import Model
from ppl.optim import ClippedAdam

from .elbo import Trace_ELBO
from .svi import SVI

DECAY = 0.1  # of the learning rate over all steps


def _svi(
    model: Model,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    guide: str | Callable[..., Any] = "AutoNormal",
    num_steps: int = 2000,
    lr: float = 0.02,
    loss: ELBO | str | None = None,
    num_draws: int = 1000,
) -> Posterior:
    """Fit a guide by its name in ``ppl.guides``, its class, or as it is, and draw from it."""
    fitted: Any = guide
    if isinstance(guide, str):
        fitted = plugins.load("ppl.guides", guide, "ppl-autoguide")
    if isinstance(fitted, type):
        fitted = fitted(model)
    optimizer = ClippedAdam({"lr": lr, "lrd": DECAY ** (1 / max(1, num_steps))})
    svi = SVI(model, fitted, optimizer, Trace_ELBO() if loss is None else loss)
    losses = torch.tensor([svi.step(*args, **kwargs) for _ in range(num_steps)])
    history = {"loss": losses}
    return posterior_of_guide(model, fitted, args, kwargs, num_draws=num_draws, history=history)


svi: Method = Method(_svi, why_not_continuous)
