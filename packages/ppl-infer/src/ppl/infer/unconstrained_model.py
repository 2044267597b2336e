"""A model as a function of one vector of unconstrained numbers, for many vectors at once."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor
from torch.distributions import biject_to

import ppl.poutine as poutine
from ppl.errors import UnsupportedModelError
from ppl.poutine.messenger import Messenger
from ppl.poutine.util import prune_subsample_sites
from ppl.validation import validation_enabled

from .predictive_runs import AtDraw

Values = dict[str, Tensor]


class UnconstrainedModel:
    """Runs a model at vectors of unconstrained numbers, all at once with ``torch.func.vmap``.

    Args:
        user: What runs it, for errors.
        program: The model, without arguments.
        sites: Its latent sites, of one execution.
    """

    def __init__(
        self, user: str, program: Callable[[], Any], sites: Mapping[str, dict[str, Any]]
    ) -> None:
        self.user = user
        self._program = program
        self._shapes = {name: unconstrained(site).shape for name, site in sites.items()}

    def many(self, fn: Callable[[Any], Any], x: Any) -> Any:
        """Return what a function gives for each element of the leading dimension.

        Raises:
            UnsupportedModelError: If the model cannot run under vmap.
        """
        try:
            with validation_enabled(False):
                return torch.func.vmap(fn, randomness="different")(x)
        except Exception as error:
            raise UnsupportedModelError(
                f"{self.user} runs the model at all points at once by torch.func.vmap, which the "
                f"model does not allow: {error}"
            ) from error

    def positions(self, values: Values) -> Tensor:
        """Return the vectors of constrained values of shape ``(draw, *site)``, ``(draw, dim)``."""

        def one(draw: Values) -> Tensor:
            with AtDraw(draw):
                return self._vector(poutine.trace(self._program).get_trace())

        found: Tensor = self.many(one, values)
        return found

    def prior(self, number: int) -> Tensor:
        """Return the vectors of draws from the prior, shape ``(draw, dim)``."""

        def one(_: Tensor) -> Tensor:
            return self._vector(poutine.trace(self._program).get_trace())

        found: Tensor = self.many(one, torch.arange(number))
        return found

    def run(self, position: Tensor) -> tuple[poutine.Trace, Tensor]:
        """Return the trace at one vector, and the log Jacobian of the map to the sites."""
        parts = position.split([shape.numel() for shape in self._shapes.values()])
        pairs = zip(self._shapes.items(), parts, strict=True)
        with _AtUnconstrained({n: x.reshape(shape) for (n, shape), x in pairs}) as handler:
            trace = prune_subsample_sites(poutine.trace(self._program).get_trace())
        return trace, torch.as_tensor(handler.log_jacobian)

    def _vector(self, trace: poutine.Trace) -> Tensor:
        return torch.cat([unconstrained(trace.nodes[name]).reshape(-1) for name in self._shapes])


def unconstrained(site: dict[str, Any]) -> Tensor:
    """Return the value of a site on the unconstrained scale."""
    x: Tensor = biject_to(site["fn"].support).inv(site["value"])
    return x


class _AtUnconstrained(Messenger):
    """Gives latent sites the values of unconstrained ones, and sums the logs of the Jacobians."""

    def __init__(self, values: Values) -> None:
        self.values = values
        self.log_jacobian: Tensor | float = 0.0

    def _pyro_sample(self, msg: dict[str, Any]) -> None:
        if msg["name"] in self.values and not msg["is_observed"]:
            x = self.values[msg["name"]]
            transform = biject_to(msg["fn"].support)
            msg["value"], msg["done"] = transform(x), True
            self.log_jacobian += transform.log_abs_det_jacobian(x, msg["value"]).sum()
