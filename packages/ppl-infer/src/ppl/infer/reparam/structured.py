"""Latent sites in the space of a trained structured guide."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

import ppl.poutine as poutine
from ppl.errors import ArgumentTypeError
from ppl.poutine.indep_messenger import IndepMessenger
from ppl.poutine.messenger import block_messengers

from .guide_reparam import GuideReparam
from .layers import Layers
from .reparam import ReparamMessage, ReparamResult


class StructuredReparam(GuideReparam):
    """Writes latent sites as the functions of noise ``x_aux`` that a trained guide has learned.

    It preconditions as :class:`NeuTraReparam` does, with a latent site for each one of the model.
    All sites share one instance.

    Args:
        guide: A trained ``AutoStructured``: an object with ``get_deltas(save_params=None)``, which
            samples its auxiliary sites and returns a ``Delta`` by the name of each latent site.
    Raises:
        ArgumentTypeError: If ``guide`` is of another kind.
        LatentOnlyError: For a site that is latent in the guide and observed in the model.
    """

    def __init__(self, guide: Any) -> None:
        if not hasattr(guide, "get_deltas"):
            raise ArgumentTypeError(
                f"StructuredReparam needs an AutoStructured guide, got {guide!r}"
            )
        super().__init__(guide)

    def apply(self, msg: ReparamMessage) -> ReparamResult:
        name, fn = msg["name"], msg["fn"]
        if name not in dict(self.guide.prototype_trace.iter_stochastic_nodes()):
            return {"fn": fn, "value": msg["value"], "is_observed": msg["is_observed"]}
        self._require_latent(msg, "train the guide on the model with the same observations")
        delta = self._next(name, self._draw)
        value = delta.v
        return Layers(fn, ()).computed(value, fn.log_prob(value) - delta.log_density)

    def _draw(self) -> dict[str, Any]:
        with block_messengers(lambda handler: isinstance(handler, IndepMessenger)):
            return dict(self.guide.get_deltas())

    def transform_samples(
        self, aux_samples: Mapping[str, Tensor], save_params: list[str] | None = None
    ) -> dict[str, Tensor]:
        """Return the values of the model's latent sites, by name, at values of the noise.

        Args:
            aux_samples: By auxiliary site, as MCMC returns them.
            save_params: Names of the sites to return; all if None.
        """
        with poutine.condition(data=aux_samples):
            deltas = self.guide.get_deltas(save_params)
        return {name: delta.v for name, delta in deltas.items()}
