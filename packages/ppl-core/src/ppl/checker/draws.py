"""Draws that vary in sign and size: what depends on a draw is only seen where the draws differ."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import torch
from torch import Tensor
from torch.distributions import biject_to, constraints

from ..poutine.messenger import Messenger
from ..poutine.util import site_is_subsample


class MirrorMessenger(Messenger):
    """Reflects the draws of latent sites, so that all signs are seen whatever the seed.

    A continuous draw goes to the other side of the mean of its distribution, on the unconstrained
    scale, and ``reach`` times as far from it; a draw from a finite range of integers goes to the
    other end. Draws for which that has no meaning stay.

    Args:
        reach: How far a reflected draw is from the mean, compared with the draw.
    """

    def __init__(self, reach: float) -> None:
        self.reach = reach

    def _pyro_sample(self, msg: dict[str, Any]) -> None:
        fn = msg["fn"]
        if msg["done"] or msg["is_observed"] or site_is_subsample(msg) or _is_enumerated(msg):
            return
        if not isinstance(getattr(fn, "support", None), constraints.Constraint):
            return
        drawn = fn(*msg["args"], **msg["kwargs"])
        msg["value"], msg["done"] = drawn, True
        with suppress(NotImplementedError, ValueError, RuntimeError, AttributeError):
            reflected = _reflected(drawn, fn, self.reach)
            inside = torch.isfinite(reflected).all() & fn.support.check(reflected).all()
            msg["value"] = reflected if inside else drawn


def _is_enumerated(msg: dict[str, Any]) -> bool:
    return bool(msg["infer"].get("enumerate") == "parallel")


def _reflected(drawn: Tensor, fn: Any, reach: float) -> Tensor:
    support = fn.support
    if support.is_discrete:
        ends = (
            (0, 1) if support is constraints.boolean else (support.lower_bound, support.upper_bound)
        )
        return ends[0] + ends[1] - drawn
    to_support = biject_to(support)
    free, center = to_support.inv(drawn), to_support.inv(_mean(fn, drawn))
    reflected: Tensor = to_support(center - reach * (free - center))
    return reflected


def _mean(fn: Any, drawn: Tensor) -> Tensor:
    """The mean, or where there is none, as of a Cauchy distribution, the middle of the scale."""
    mean = fn.mean.expand_as(drawn)
    middle = biject_to(fn.support)(torch.zeros_like(biject_to(fn.support).inv(drawn)))
    return torch.where(mean.isfinite(), mean, middle)
