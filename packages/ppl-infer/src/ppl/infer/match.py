"""Whether model and guide fit together; see :mod:`ppl.matching`."""

from __future__ import annotations

import math

import ppl.poutine as poutine
from ppl.errors import SiteError, warn
from ppl.matching import check_if_enumerated as check_if_enumerated
from ppl.matching import check_model_guide_match as check_model_guide_match
from ppl.poutine.util import site_is_factor


def check_pair(
    model_trace: poutine.Trace,
    guide_trace: poutine.Trace,
    max_plate_nesting: float = math.inf,
    warn_of_enumeration: bool = True,
) -> None:
    """Check a guide and the model replayed at it, before an estimator that sums out nothing.

    Args:
        model_trace: A trace of the model.
        guide_trace: A trace of the guide.
        max_plate_nesting: How many batch dimensions belong to plates, counted from the right.
        warn_of_enumeration: Whether to warn about sites that are marked for it.

    Raises:
        ShapeError: If a site or a plate has another shape in the guide than in the model.
        SiteError: If a factor of the guide does not say how it depends on samples.
    """
    _check_factors(guide_trace)
    if warn_of_enumeration:
        check_if_enumerated(guide_trace)
        _warn_of_left_out(model_trace, guide_trace)
    check_model_guide_match(model_trace, guide_trace, max_plate_nesting)


def _warn_of_left_out(model_trace: poutine.Trace, guide_trace: poutine.Trace) -> None:
    """Warn about latent sites that the guide leaves to an enumeration that does not happen."""
    names = [
        name
        for name in model_trace.stochastic_nodes
        if model_trace.nodes[name]["infer"].get("enumerate") and name not in guide_trace.nodes
    ]
    if names:
        warn(
            f"sites {names} of the model are marked for enumeration, which this loss does not do: "
            "it draws them from the prior; use TraceEnum_ELBO, or draw them in the guide"
        )


def _check_factors(guide_trace: poutine.Trace) -> None:
    """Refuse factors of a guide of which it is not known whether gradients flow through them."""
    for name, site in guide_trace.nodes.items():
        if site_is_factor(site) and "has_rsample" not in vars(site["fn"]):
            raise SiteError(
                f"factor {name!r} of the guide must say how it depends on samples: pass "
                "has_rsample=True if gradients flow from it through reparametrized samples, "
                "else has_rsample=False",
                site=name,
            )
