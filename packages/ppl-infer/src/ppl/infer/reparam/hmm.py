"""Linear hidden Markov models as conditionally Gaussian ones."""

from __future__ import annotations

from typing import Any

from ppl.distributions import (
    GaussianHMM,
    IndependentHMM,
    LinearHMM,
    MultivariateNormal,
    Normal,
    TransformedDistribution,
)
from ppl.errors import ArgumentError

from .layers import peel
from .reparam import Reparam, ReparamMessage, ReparamResult


class LinearHMMReparam(Reparam):
    """Writes a ``LinearHMM`` as a ``GaussianHMM``, given auxiliary sites of its components.

    Each component with noise that is not Gaussian has a reparameterizer that makes it a normal
    given auxiliary sites: :class:`StudentTReparam`, :class:`StableReparam` or
    :class:`SymmetricStableReparam`. These act on the sites ``x_init``, ``x_trans`` and ``x_obs``.
    Transforms of the observations apply to the result. It works for observed sites too, and for
    an ``IndependentHMM`` of such models.

    Args:
        init: Of the initial distribution.
        trans: Of the noise of the transitions.
        obs: Of the noise of the observations.
    Raises:
        UnsupportedDistributionError: For a site with another distribution, or if a component is
            not Gaussian in the end.
        ArgumentError: If the duration of the series is not known.
    """

    def __init__(
        self,
        init: Reparam | None = None,
        trans: Reparam | None = None,
        obs: Reparam | None = None,
    ) -> None:
        self.init = init
        self.trans = trans
        self.obs = obs

    def apply(self, msg: ReparamMessage) -> ReparamResult:
        layers = peel(msg["fn"])
        hmm = layers.core
        if isinstance(hmm, IndependentHMM) and isinstance(hmm.base_dist, LinearHMM):
            series = self._gaussian(msg, hmm.base_dist, series_dims=1)
            gaussian: Any = IndependentHMM(series)
        elif isinstance(hmm, LinearHMM):
            gaussian = self._gaussian(msg, hmm, series_dims=0)
        else:
            raise self._refuse(msg, msg["fn"], "a LinearHMM, or an IndependentHMM of one")
        fn = layers.wrap(gaussian)
        return {"fn": fn, "value": msg["value"], "is_observed": msg["is_observed"]}

    def _gaussian(self, msg: ReparamMessage, hmm: Any, series_dims: int) -> Any:
        if hmm.duration is None:
            raise ArgumentError(
                f"site {msg['name']!r}: LinearHMMReparam needs the duration of the series, which "
                "no parameter has; pass LinearHMM(..., duration=)",
                site=msg["name"],
            )
        init = self._component(msg, "init", hmm.initial_dist, series_dims)
        trans = self._component(msg, "trans", hmm.transition_dist, series_dims + 1)
        obs = self._component(msg, "obs", hmm.observation_dist, series_dims + 1)
        gaussian = GaussianHMM(
            init,
            hmm.transition_matrix,
            trans,
            hmm.observation_matrix,
            obs,
            validate_args=hmm._validate_args,
            duration=hmm.duration,
        )
        if not hmm.transforms:
            return gaussian
        return TransformedDistribution(gaussian, hmm.transforms)

    def _component(self, msg: ReparamMessage, part: str, fn: Any, extra: int) -> Any:
        """Return a component given auxiliary sites, which have ``extra`` more event dimensions."""
        rule = getattr(self, part)
        name = f"{msg['name']}_{part}"
        if rule is not None:
            result = rule.apply(
                {"name": name, "fn": fn.to_event(extra), "value": None, "is_observed": False}
            )
            fn = result["fn"].to_event(-extra) if not result["is_observed"] else result["fn"]
        core = peel(fn).core
        if not isinstance(core, (Normal, MultivariateNormal)):
            raise self._refuse(
                msg,
                core,
                f"noise of the component {part} that is normal given auxiliary sites, "
                f"as by {part}=StudentTReparam() or StableReparam()",
            )
        return fn
