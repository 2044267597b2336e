"""``lift``: turn parameters into random variables."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ..distribution import Distribution
from ..errors import SiteError
from .messenger import Messenger


class LiftMessenger(Messenger):
    """Turns param sites into sample sites of a prior.

    Args:
        prior: A distribution or stochastic function for all parameters, or a dict of them by name;
            parameters that the dict does not name stay parameters.
    """

    def __init__(self, prior: Distribution | Callable[..., Any] | Mapping[str, Any]) -> None:
        if not (callable(prior) or isinstance(prior, Mapping)):
            raise SiteError(
                f"lift needs a distribution, a stochastic function or a dict of them, got {prior!r}"
            )
        self.prior = prior

    def _pyro_param(self, msg: dict[str, Any]) -> None:
        prior = self.prior.get(msg["name"]) if isinstance(self.prior, Mapping) else self.prior
        if prior is None:
            return
        msg.update(
            type="sample", fn=prior, args=(), kwargs={}, is_observed=False, value=None, done=False
        )
