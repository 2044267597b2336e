"""Strategies: which reparameterizer a site gets."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

from torch import Tensor

import ppl.poutine as poutine
from ppl.distributions import ProjectedNormal, RelaxedOneHotCategorical, Stable

from .layers import has_real_base, is_composed, peel
from .loc_scale import LocScaleReparam, has_location_and_scale
from .projected_normal import ProjectedNormalReparam
from .reparam import Reparam
from .softmax import GumbelSoftmaxReparam
from .stable import LatentStableReparam, StableReparam, SymmetricStableReparam
from .transform import TransformReparam

Site = dict[str, Any]


class Strategy(ABC):
    """Base class of strategies, the configs of ``poutine.reparam`` that look at each site.

    A derived class implements :meth:`configure`. What it decides for a site in the first run holds
    for all runs, and is in the dict ``config``. A strategy is a config, and a decorator::

        model = poutine.reparam(model, config=AutoReparam())
        model = AutoReparam()(model)
    """

    def __init__(self) -> None:
        self.config: dict[str, Any] = {}

    @abstractmethod
    def configure(self, msg: Site) -> Reparam | None:
        """Return the reparameterizer of a site, or None to leave it as it is.

        Args:
            msg: The message of a sample site.
        """

    def __call__(self, msg_or_fn: Any) -> Any:
        """Return the reparameterizer of a site, or a program with this strategy around it."""
        if not isinstance(msg_or_fn, dict):
            program: Callable[..., Any] = poutine.reparam(msg_or_fn, config=self)
            return program
        name = msg_or_fn["name"]
        if name not in self.config:
            self.config[name] = self.configure(msg_or_fn)
        return self.config[name]


class MinimalReparam(Strategy):
    """Rewrites what inference could not do without, or only at great cost.

    ``Stable`` sites become functions of noise, or normals if they are observed, and latent
    ``ProjectedNormal`` sites directions of normals.

    Example:
        >>> from ppl.primitives import sample
        >>> @MinimalReparam()
        ... def model():
        ...     return sample("x", Stable(1.5, 0.0, 1.0, 0.0))
        >>> poutine.trace(model).get_trace().stochastic_nodes
        ['x_uniform', 'x_exponential']
    """

    def configure(self, msg: Site) -> Reparam | None:
        core = peel(msg["fn"]).core
        if isinstance(core, Stable):
            return _for_stable(msg, core)
        if isinstance(core, ProjectedNormal) and not msg["is_observed"]:
            return ProjectedNormalReparam()
        return None


class AutoReparam(Strategy):
    """Rewrites every latent site for which there is a reparameterizer, and what is minimal.

    Sites with location and scale are decentered, transformed ones become functions of their base,
    relaxed categories of noise. The auxiliary sites are rewritten in their turn.

    Args:
        centered: See :class:`LocScaleReparam`: a number in [0, 1], or None to learn it by SVI.

    Example:
        >>> import ppl.distributions as dist
        >>> from ppl.primitives import sample
        >>> @AutoReparam(centered=0.0)
        ... def model():
        ...     mean = sample("mean", dist.Normal(0.0, 1.0))
        ...     return sample("x", dist.LogNormal(mean, 1.0))
        >>> poutine.trace(model).get_trace().stochastic_nodes
        ['mean_decentered', 'x_base_decentered']
    """

    def __init__(self, *, centered: float | Tensor | None = None) -> None:
        super().__init__()
        self.centered: float | Tensor | None = LocScaleReparam(centered).centered  # which checks it

    def configure(self, msg: Site) -> Reparam | None:
        core = peel(msg["fn"]).core
        if isinstance(core, Stable):
            return self._for_stable(msg, core)
        if msg["is_observed"]:
            return None
        if isinstance(core, ProjectedNormal):
            return ProjectedNormalReparam()
        if isinstance(core, RelaxedOneHotCategorical):
            return GumbelSoftmaxReparam()
        if has_location_and_scale(core):
            return None if msg["name"].endswith("_decentered") else LocScaleReparam(self.centered)
        return TransformReparam() if has_real_base(core) or is_composed(core) else None

    def _for_stable(self, msg: Site, core: Any) -> Reparam:
        """Decenter a latent site first; its auxiliary site comes here, too."""
        is_standard = msg["name"].endswith("_decentered") or core.coords != "S0"
        is_centered = isinstance(self.centered, (int, float)) and self.centered == 1
        if msg["is_observed"] or is_standard or is_centered:
            return _for_stable(msg, core)
        return LocScaleReparam(self.centered)


def _for_stable(msg: Site, core: Any) -> Reparam:
    if not msg["is_observed"]:
        return LatentStableReparam()
    return SymmetricStableReparam() if bool((core.skew == 0).all()) else StableReparam()
