"""Entropies and divergences of torch's formulas, evaluated in double precision.

They are differences of ``lgamma``, which leave no digit at a concentration of a million in single
precision: torch's entropy of a Gamma(1e8, 1) is 0, where it is 10.6.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.distributions import kl_divergence

from ppl.ops.double import in_double


def entropy_in_double(family: Any) -> Callable[[Any], Tensor]:
    """Return the method ``entropy`` for our class of a family of torch."""
    evaluate = in_double(lambda *values: _made(family, values).entropy())

    def entropy(self: Any) -> Tensor:
        """Return the differential entropy in nats, shape ``batch``."""
        return evaluate(*_parameters(family, self))

    return entropy


def divergence_in_double(family: Any) -> Callable[[Any, Any], Tensor]:
    """Return the divergence of two members of a family of torch."""

    def of_values(*values: Tensor) -> Tensor:
        half = len(values) // 2
        divergence: Tensor = kl_divergence(
            *(_made(family, v) for v in (values[:half], values[half:]))
        )
        return divergence

    evaluate = in_double(of_values)
    return lambda p, q: evaluate(*_parameters(family, p), *_parameters(family, q))


def _parameters(family: Any, dist: Any) -> list[Tensor]:
    return [getattr(dist, name) for name in family.arg_constraints]


def _made(family: Any, values: tuple[Tensor, ...]) -> torch.distributions.Distribution:
    named = dict(zip(family.arg_constraints, values, strict=True))
    made: torch.distributions.Distribution = family(**named, validate_args=False)
    return made
