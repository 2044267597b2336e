"""Whether model and guide fit together."""

from __future__ import annotations

from typing import Any

from ppl.errors import ShapeError, warn
from ppl.poutine import Trace
from ppl.poutine.util import site_is_subsample


def check_model_guide_match(model_trace: Trace, guide_trace: Trace) -> None:
    """Warn about latent sites that only one of model and guide has, refuse shapes that differ.

    Raises:
        ShapeError: If a site's values have different event dimensions in both.
    """
    model = _latent(model_trace)
    guide = _latent(guide_trace)
    for name in sorted(set(guide) - set(model)):
        reason = "is observed there" if name in model_trace else "does not exist there"
        warn(
            f"site {name!r} of the guide is no latent site of the model: it {reason}; "
            "mark it infer={'is_auxiliary': True} if that is meant"
        )
    for name in sorted(set(model) - set(guide)):
        warn(
            f"site {name!r} of the model is not in the guide: it is drawn from its prior; "
            "add it to the guide, or condition the model on it"
        )
    for name in set(model) & set(guide):
        in_model, in_guide = (
            getattr(site["fn"], "event_dim", None) for site in (model[name], guide[name])
        )
        if None not in (in_model, in_guide) and in_model != in_guide:
            raise ShapeError(
                f"site {name!r} has event_dim {in_model} in the model and {in_guide} in the guide; "
                "adjust one of them with .to_event(n)"
            )


def _latent(trace: Trace) -> dict[str, dict[str, Any]]:
    return {
        name: site
        for name, site in trace.iter_stochastic_nodes()
        if not (
            site_is_subsample(site)
            or site["infer"].get("is_auxiliary")
            or site["infer"].get("enumerate") == "parallel"
        )
    }
