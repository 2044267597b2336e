"""An evidence lower bound with a temperature."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor

import ppl.plugins as plugins
from ppl.infer.elbo import ELBO
from ppl.poutine.messenger import Messenger

Program = Callable[..., Any]


class Tempered(Messenger):
    """Multiplies the log density of the latent sites, and leaves the observations alone."""

    def __init__(self, temperature: float) -> None:
        self.temperature = temperature

    def _pyro_sample(self, msg: dict[str, Any]) -> None:
        if not msg["is_observed"]:
            msg["scale"] = msg["scale"] * self.temperature


class TemperedELBO(ELBO):
    """Estimates ``temperature * KL(guide | prior) - E_guide[log likelihood]``, in nats.

    At temperature 1 this is ``-ELBO``; at 0 the prior has no say (Higgins et al. 2017, equation 4).

    Args:
        temperature: The weight of the divergence from the prior.
        options: Arguments of ``Trace_ELBO``, which does the work.
    """

    def __init__(self, temperature: float = 1.0, **options: Any) -> None:
        super().__init__(**options)
        self.temperature = temperature
        self.plain: Any = plugins.load("ppl.elbos", "Trace_ELBO", provider="ppl-infer-svi")
        self.plain = self.plain(**options)

    def _tempered(self, program: Program) -> Program:
        wrapped: Program = Tempered(self.temperature)(program)
        return wrapped

    def loss(self, model: Program, guide: Program, *args: Any, **kwargs: Any) -> float:
        """Return an estimate of the loss."""
        tempered = self._tempered(model), self._tempered(guide)
        return float(self.plain.loss(*tempered, *args, **kwargs))

    def loss_and_grads(self, model: Program, guide: Program, *args: Any, **kwargs: Any) -> float:
        """Return an estimate of the loss and add its gradient to ``.grad`` of the parameters."""
        tempered = self._tempered(model), self._tempered(guide)
        return float(self.plain.loss_and_grads(*tempered, *args, **kwargs))

    def differentiable_loss(
        self, model: Program, guide: Program, *args: Any, **kwargs: Any
    ) -> Tensor:
        """Return a tensor whose gradient estimates the gradient of the loss."""
        tempered = self._tempered(model), self._tempered(guide)
        estimate: Tensor = self.plain.differentiable_loss(*tempered, *args, **kwargs)
        return estimate
