"""Levy's stable distributions without their density: as functions, or mixtures of normals."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ppl.distributions import Exponential, Normal, Stable, Uniform
from ppl.distributions.stable import relative_tan, standard_draw
from ppl.errors import ArgumentError
from ppl.ops.quotients import relative_expm1
from ppl.validation import is_validation_enabled

from .layers import Layers, peel
from .reparam import Reparam, ReparamMessage, ReparamResult, auxiliary


class _StableReparam(Reparam):
    """Base of the reparameterizers of ``Stable``."""

    def _layers(self, msg: ReparamMessage) -> Layers:
        layers = peel(msg["fn"])
        if not isinstance(layers.core, Stable) or layers.core.coords != "S0":
            raise self._refuse(msg, msg["fn"], "a Stable with coords='S0'")
        return layers

    def _check(self, msg: ReparamMessage, fits: Tensor, found: Tensor, needed: str) -> None:
        """Refuse parameters that do not fit; without validation their density is nan."""
        if is_validation_enabled() and not bool(fits.all()):
            bad = found[~fits].flatten()[0].item()
            raise ArgumentError(
                f"site {msg['name']!r}: {type(self).__name__} found {needed}, got {bad:.6g}",
                site=msg["name"],
            )


class LatentStableReparam(_StableReparam):
    """Writes a latent ``Stable`` as a function of ``x_uniform`` and ``x_exponential``.

    The function is the one of Chambers, Mallows and Stuck 1976, as corrected by Weron 1996, in
    Nolan's coordinates S0. The auxiliary sites have no parameters.

    Raises:
        UnsupportedDistributionError: For a site with another distribution.
        LatentOnlyError: For an observed site.

    Example:
        >>> import ppl.poutine as poutine
        >>> from ppl.primitives import sample
        >>> def model():
        ...     return sample("x", Stable(1.5, 0.2, 1.0, 0.0))
        >>> rewritten = poutine.reparam(model, config={"x": LatentStableReparam()})
        >>> poutine.trace(rewritten).get_trace().stochastic_nodes
        ['x_uniform', 'x_exponential']
    """

    def apply(self, msg: ReparamMessage) -> ReparamResult:
        self._require_latent(msg, "use StableReparam or SymmetricStableReparam")
        layers = self._layers(msg)
        core = layers.core
        angle, exponential = _angle_and_exponential(msg["name"], layers)
        noise = standard_draw(core.stability, core.skew, angle, exponential)
        return layers.computed(core.loc + core.scale * noise)


class SymmetricStableReparam(_StableReparam):
    """Writes a symmetric ``Stable`` as a normal whose variance is positive stable.

    The variance is a function of ``x_uniform`` and ``x_exponential`` (Kanter 1975, corollary 4.1;
    for the mixture Godsill and Kuruoglu 1999, "Bayesian inference for time series with heavy-tailed
    symmetric alpha-stable noise processes"). It works for observed sites too.

    Raises:
        UnsupportedDistributionError: For a site with another distribution.
        ArgumentError: If its skew is not zero.

    Example:
        >>> import ppl.poutine as poutine
        >>> from ppl.primitives import sample
        >>> def model():
        ...     sample("x", Stable(1.5, 0.0, 1.0, 0.0), obs=torch.tensor(0.3))
        >>> rewritten = poutine.reparam(model, config={"x": SymmetricStableReparam()})
        >>> poutine.trace(rewritten).get_trace().stochastic_nodes
        ['x_uniform', 'x_exponential']
    """

    def apply(self, msg: ReparamMessage) -> ReparamResult:
        layers = self._layers(msg)
        core = layers.core
        is_symmetric = core.skew == 0
        self._check(msg, is_symmetric, core.skew, "nonzero skew; use StableReparam")
        angle, exponential = _angle_and_exponential(msg["name"], layers)
        scale = core.scale * _mixing_scale(core.stability, angle, exponential)
        scale = torch.where(is_symmetric, scale, torch.nan)
        normal = layers.wrap(Normal(core.loc, scale))
        return {"fn": normal, "value": msg["value"], "is_observed": msg["is_observed"]}


class StableReparam(_StableReparam):
    """Writes a ``Stable`` of any skew as a normal, given four auxiliary sites.

    It is the sum of a symmetric stable variable, a normal given ``x_z_uniform`` and
    ``x_z_exponential`` as in :class:`SymmetricStableReparam`, and a totally skewed one, a function
    of ``x_t_uniform`` and ``x_t_exponential`` as in :class:`LatentStableReparam` (Zolotarev 1986,
    property 2.3.a). It works for observed sites too.

    Raises:
        UnsupportedDistributionError: For a site with another distribution.
        ArgumentError: If its skew is -1 or 1, where there is no symmetric part.

    Example:
        >>> import ppl.poutine as poutine
        >>> from ppl.primitives import sample
        >>> def model():
        ...     sample("x", Stable(1.5, 0.5, 1.0, 0.0), obs=torch.tensor(0.3))
        >>> rewritten = poutine.reparam(model, config={"x": StableReparam()})
        >>> poutine.trace(rewritten).get_trace().stochastic_nodes
        ['x_z_uniform', 'x_z_exponential', 'x_t_uniform', 'x_t_exponential']
    """

    def apply(self, msg: ReparamMessage) -> ReparamResult:
        layers = self._layers(msg)
        core = layers.core
        self._check(
            msg, core.skew.abs() < 1, core.skew, "total skew; use LatentStableReparam if latent"
        )
        a = core.stability
        skew = core.skew.abs().clamp(min=torch.finfo(core.skew.dtype).tiny)
        log_t = skew.log() / a  # of the relative scale of the totally skewed part
        log_z = (-skew).log1p() / a
        z = _angle_and_exponential(f"{msg['name']}_z", layers)
        scale = core.scale * log_z.exp() * _mixing_scale(a, *z)
        t = _angle_and_exponential(f"{msg['name']}_t", layers)
        noise = standard_draw(a, torch.ones_like(skew), *t) + _shift(a, log_t)
        loc = core.loc + core.scale * core.skew.sign() * log_t.exp() * noise
        normal = layers.wrap(Normal(loc, scale))
        return {"fn": normal, "value": msg["value"], "is_observed": msg["is_observed"]}


def _angle_and_exponential(name: str, layers: Layers) -> tuple[Tensor, Tensor]:
    """Return the values of the auxiliary sites ``name_uniform`` and ``name_exponential``."""
    ones = torch.ones_like(layers.core.loc)
    half = math.pi / 2 * ones
    angle: Tensor = auxiliary(f"{name}_uniform", layers.wrap(Uniform(-half, half)))
    exponential: Tensor = auxiliary(f"{name}_exponential", layers.wrap(Exponential(ones)))
    return angle, exponential


def _mixing_scale(stability: Tensor, angle: Tensor, exponential: Tensor) -> Tensor:
    """Return the deviation of the normals that a standard symmetric stable variable mixes.

    With ``b = stability / 2`` and ``A`` positive stable, ``E exp(-s A) = exp(-s ** b)``, the
    characteristic function of ``sqrt(2 A) N`` is ``exp(-abs(u) ** stability)``. Kanter's ``A`` is
    ``sin(b v) sin((1 - b) v) ** (1 / b - 1) / sin(v) ** (1 / b) / E ** (1 / b - 1)``.
    """
    b = stability / 2
    v = angle + math.pi / 2
    power = (1 - b) / b
    log_a = (b * v).sin().log() - v.sin().log() / b - power * exponential.log()
    log_a = log_a + torch.special.xlogy(power, ((1 - b) * v).sin())  # 0 for a normal, at b = 1
    scale: Tensor = (log_a / 2).exp() * math.sqrt(2)
    return scale


def _shift(stability: Tensor, log_scale: Tensor) -> Tensor:
    """Return ``(1 - r ** (stability - 1)) * tan(pi stability / 2)`` for ``r = exp(log_scale)``.

    It is the distance of the sum of the parts in the coordinates S0 from the sum of their
    locations; at ``stability = 1``, where the tangent has a pole, its limit.
    """
    e = stability - 1
    return 2 / math.pi * log_scale * relative_expm1(e * log_scale) / relative_tan(math.pi / 2 * e)
