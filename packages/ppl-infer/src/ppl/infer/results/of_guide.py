"""Posteriors of draws from a guide."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from ..importance import Importance
from .of_traces import draws_of
from .posterior import Posterior
from .sites import Model
from .verdicts import RATIO


def posterior_of_guide(
    model: Model,
    guide: Model,
    args: tuple[Any, ...] = (),
    kwargs: Mapping[str, Any] | None = None,
    num_draws: int = 1000,
    **options: Any,
) -> Posterior:
    """Return draws of a guide as an approximate posterior of a model.

    Each draw has the statistic ``"log_ratio"``, of the joint density to that of the guide in nats:
    how good the approximation is, and its correction in :meth:`Posterior.loo`.

    Args:
        model: The model.
        guide: The guide, fitted.
        args: The arguments of both, with all of the data.
        kwargs: The keyword arguments of both.
        num_draws: How many draws.
        options: Other attributes of the posterior, by name.
    """
    kwargs = dict(kwargs or {})
    with torch.no_grad():
        drawn = Importance(model, guide, num_draws).run(*args, **kwargs)
    ratio = torch.stack(list(drawn.log_weights)).detach()[None]
    given = {"method": "svi", "statistics": {RATIO: ratio}, **options}
    return Posterior.from_draws(draws_of(drawn), model, *args, kwargs=kwargs, **given)
