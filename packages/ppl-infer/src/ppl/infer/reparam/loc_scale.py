"""Decentering of families with location and scale."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from ppl.distributions import constraints
from ppl.errors import ArgumentError
from ppl.primitives import param

from .layers import has_real_base, peel
from .reparam import Reparam, ReparamMessage, ReparamResult, auxiliary


class LocScaleReparam(Reparam):
    """Decenters a site with parameters ``loc`` and ``scale``: ``x_decentered`` takes its place.

    With centering ``c`` that is, for the standard member ``p`` of the family,::

        x_decentered ~ loc * c + scale ** c * p
        x = loc + scale ** (1 - c) * (x_decentered - loc * c)

    (Gorinova, Moore and Hoffman 2020, "Automatic reparameterisation of probabilistic programs",
    section 4). Centered (1) is best where data say much about each value, decentered (0) where
    they say little; between, learn it by SVI and keep it for MCMC.

    An observed site stays observed; its density is the same.

    Args:
        centered: A number or tensor in [0, 1]: 0 decenters fully, 1 leaves the site as it is. None
            learns a value for each element of an event, the parameter ``x_centered``.
        shape_params: Names of further parameters of the family, such as ``df``; by default all.
    Raises:
        ArgumentError: If ``centered`` is not in [0, 1].
        UnsupportedDistributionError: For a site whose distribution has no location and scale.

    Example:
        >>> import ppl.distributions as dist
        >>> import ppl.poutine as poutine
        >>> from ppl.primitives import sample
        >>> def model():
        ...     return sample("x", dist.Normal(torch.tensor(3.0), 2.0))
        >>> decentered = poutine.reparam(model, config={"x": LocScaleReparam(centered=0.0)})
        >>> poutine.trace(decentered).get_trace().stochastic_nodes
        ['x_decentered']
    """

    def __init__(
        self,
        centered: float | Tensor | None = None,
        shape_params: Sequence[str] | None = None,
    ) -> None:
        if not (centered is None or _in_unit_interval(centered)):
            raise NotInUnitInterval(
                f"LocScaleReparam: centered is {centered!r}, expected a number or tensor in [0, 1],"
                " or None to learn it"
            )
        self.centered = centered
        self.shape_params: Sequence[str] = shape_params or ()

    def apply(self, msg: ReparamMessage) -> ReparamResult:
        name, fn, value = msg["name"], msg["fn"], msg["value"]
        layers = peel(fn)
        core = layers.core
        shape = self._shape_of(msg, core)
        if isinstance(self.centered, (int, float)) and self.centered == 1:
            return {"fn": fn, "value": value, "is_observed": msg["is_observed"]}
        c = self._centering(name, fn, core)
        inner = _member(core, core.loc * c, core.scale**c, shape)
        rate = core.scale ** (1 - c)
        if value is not None:
            value = core.loc * c + (value - core.loc) / rate
        decentered = auxiliary(f"{name}_decentered", layers.wrap(inner), value, msg["is_observed"])
        x = core.loc + rate * (decentered - core.loc * c)
        if not msg["is_observed"]:
            return layers.computed(x)
        return layers.computed(msg["value"], -rate.log().expand(inner.batch_shape))

    def _centering(self, name: str, fn: Any, core: Any) -> Any:
        if self.centered is not None:
            return self.centered
        start = core.loc.new_full(fn.event_shape, 0.5)
        return param(f"{name}_centered", start, constraint=constraints.unit_interval)

    def _shape_of(self, msg: ReparamMessage, core: Any) -> dict[str, Any]:
        """Return the further parameters of a family with location and scale, by name."""
        names = getattr(core, "arg_constraints", {})
        needed = "a distribution over the reals with parameters loc and scale"
        if not has_location_and_scale(core):
            if has_real_base(core):
                needed += f"; write the site with TransformReparam and decenter {msg['name']}_base"
            raise self._refuse(msg, msg["fn"], needed)
        if getattr(core, "coords", "S0") != "S0":
            raise self._refuse(msg, msg["fn"], "a Stable with coords='S0', where loc is a location")
        unknown = set(self.shape_params) - set(names)
        if unknown:
            raise self._refuse(msg, core, f"the parameters {sorted(unknown)} of shape_params")
        return {key: getattr(core, key) for key in names if key not in ("loc", "scale")}


def has_location_and_scale(core: Any) -> bool:
    """Return whether a family over the reals has parameters of these names."""
    names = getattr(core, "arg_constraints", {})
    return {"loc", "scale"} <= set(names) and core.support is constraints.real


class NotInUnitInterval(ArgumentError, AssertionError):
    """A centering is no number between 0 and 1."""


def _in_unit_interval(centered: Any) -> bool:
    if isinstance(centered, Tensor):
        return bool(((centered >= 0) & (centered <= 1)).all())
    return isinstance(centered, (int, float)) and 0 <= centered <= 1


def _member(core: Any, loc: Tensor, scale: Tensor, shape: dict[str, Any]) -> Any:
    """Return the member of a family with other location and scale, of the same batch shape."""
    member = type(core)(loc=loc, scale=scale, **shape, validate_args=core._validate_args)
    return member.expand(torch.broadcast_shapes(core.batch_shape, member.batch_shape))
