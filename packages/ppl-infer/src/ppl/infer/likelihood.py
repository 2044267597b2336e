"""Log densities of observations, one by one: what model comparison is made of."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

import ppl.poutine as poutine
from ppl.distribution.util import scale_and_mask
from ppl.errors import SiteError
from ppl.poutine.util import site_is_data
from ppl.validation import is_validation_enabled

from .marginal_likelihood import marginal_pointwise, sums_out
from .predictive_runs import AtDraw, run_draws
from .site_shapes import check_counted_once
from .util import max_plate_nesting_of

Model = Callable[..., Any]


def log_likelihood(
    model: Model,
    posterior_samples: Mapping[str, Tensor],
    *args: Any,
    parallel: bool = False,
    **kwargs: Any,
) -> dict[str, Tensor]:
    """Return the log density of each observation at each posterior sample.

    Args:
        model: The model.
        posterior_samples: Constrained samples by site, each of shape ``(draw, *site)``.
        args: Arguments of the model, with the observations.
        parallel: Run the model for all draws at once, with ``torch.func.vmap``; what cannot run so
            runs one draw after another, and a warning says why.
        kwargs: Keyword arguments of the model.

    Returns:
        By observed site, shape ``(draw, *batch)``, in nats; not scaled for subsampling, and zero
        where a mask hides the observation. Discrete sites that have no samples, because they were
        summed out, are summed out.

    Raises:
        SiteError: If nothing is observed, there are no samples, a continuous latent site has none,
            or a discrete site that has none is shared by several observations.
        ShapeError: If the samples of a site do not fit it, or observations broadcast along a
            dimension without a plate.

    Example:
        >>> import ppl.distributions as dist
        >>> from ppl.primitives import sample
        >>> def model():
        ...     z = sample("z", dist.Normal(0.0, 1.0))
        ...     sample("x", dist.Normal(z, 1.0), obs=torch.tensor(0.0))
        >>> log_likelihood(model, {"z": torch.tensor([0.0, 1.0])})["x"]
        tensor([-0.9189, -1.4189])
    """
    given = {name: torch.as_tensor(x) for name, x in posterior_samples.items()}
    sizes = {name: x.shape[0] if x.dim() else 0 for name, x in given.items()}
    if len(set(sizes.values())) != 1 or 0 in sizes.values():
        raise SiteError(
            f"posterior_samples must hold the same number of draws of each site, got {sizes}"
        )

    def at_draw(draw: dict[str, Tensor]) -> dict[str, Tensor]:
        with poutine.block(), AtDraw(draw):
            trace: poutine.Trace = poutine.trace(model).get_trace(*args, **kwargs)
        if sums_out(trace):
            return marginal_pointwise(model, draw, args, kwargs, max_plate_nesting_of(trace))
        check_all_given(trace, list(given))
        if is_validation_enabled():
            check_counted_once(trace)
        return pointwise(trace)

    with torch.no_grad():
        first = at_draw({name: x[0] for name, x in given.items()})
        if not first:
            raise SiteError("no site of the model is observed with these arguments")
        return run_draws(at_draw, given, first, next(iter(sizes.values())), parallel)


def pointwise(trace: poutine.Trace) -> dict[str, Tensor]:
    """Return the log density of each observation of a trace, by site, shape ``batch``."""
    observed = {n: s for n, s in trace.nodes.items() if s["type"] == "sample" and site_is_data(s)}
    observed = {n: site for n, site in observed.items() if not site["infer"].get("_given")}
    trace.compute_log_prob(lambda name, site: name in observed)
    return {
        name: scale_and_mask(site["unscaled_log_prob"], 1.0, site["mask"])
        for name, site in observed.items()
    }


def check_all_given(trace: poutine.Trace, names: list[str]) -> None:
    """Refuse a trace with a latent site that was drawn, and not given.

    Args:
        trace: The trace.
        names: The sites that were given.

    Raises:
        SiteError: If there is one.
    """
    free = [
        name
        for name, site in trace.iter_stochastic_nodes()
        if not getattr(site["fn"], "is_subsample", False)
    ]
    if free:
        raise SiteError(
            f"posterior_samples have no draws of the latent sites {free}, only of {names}; a "
            "likelihood needs them all: pass what get_samples() returned; a discrete site that was "
            "summed out has none: write the sum as a distribution, such as MixtureSameFamily",
            site=free[0],
        )
