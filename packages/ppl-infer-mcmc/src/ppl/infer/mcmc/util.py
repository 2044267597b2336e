"""From models to potentials, and from draws to tables."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any

import torch
from torch import Tensor
from torch.distributions import Transform, biject_to

import ppl.poutine as poutine
from ppl.errors import NotFiniteError, SiteError, warn
from ppl.infer import diagnostics as infer_diagnostics
from ppl.infer.initialization import InitMessenger, Strategy, init_to_uniform
from ppl.infer.mcmc.layout import Layout
from ppl.infer.mcmc.potential import ModelPotential, Params, evaluate, flat
from ppl.infer.predictive import Predictive
from ppl.poutine.util import site_is_subsample
from ppl.validation import validation_enabled

MAX_TRIES = 100
Samples = dict[str, Tensor]


def initialize_model(
    model: Callable[..., Any],
    model_args: tuple[Any, ...] = (),
    model_kwargs: Mapping[str, Any] = {},
    transforms: Mapping[str, Transform] | None = None,
    max_plate_nesting: int | None = None,
    jit_compile: bool = False,
    jit_options: Mapping[str, Any] | None = None,
    skip_jit_warnings: bool = False,
    num_chains: int = 1,
    init_strategy: Strategy = init_to_uniform,
    initial_params: Params | None = None,
) -> tuple[Samples, ModelPotential, dict[str, Transform], poutine.Trace]:
    """Return what HMC needs of a model: ``(initial_params, potential_fn, transforms, trace)``.

    ``initial_params`` are unconstrained values by latent site, with a leading chain dimension if
    ``num_chains > 1``; ``potential_fn`` maps unconstrained values to the potential energy, shape
    ``()``, in nats; ``transforms`` go from the support of a site to the unconstrained space; the
    trace is that of one execution, checked by validation if that is enabled.

    Args:
        model: The model.
        model_args: Its arguments.
        model_kwargs: Its keyword arguments.
        transforms: Bijections from the support of a site to unconstrained space, for the sites that
            shall not use the registered one.
        max_plate_nesting: Accepted for models with enumerated sites; not used yet.
        jit_compile: Accepted; the potential is recorded as a tensor program by the sampler anyway.
        jit_options: Accepted, not used.
        skip_jit_warnings: Accepted, not used.
        num_chains: How many starting points are drawn.
        init_strategy: Chooses the starting points.
        initial_params: Unconstrained starting points to use instead.

    Raises:
        SiteError: If the model has discrete latent sites, or no latent sites at all.
        NotFiniteError: If no starting point with a finite density and gradient was found.
    """
    prototype = _prototype(model, model_args, model_kwargs, init_strategy)
    _score(prototype)
    latent = _latent_sites(prototype)
    given = dict(transforms or {})
    all_transforms = {
        name: given.get(name) or biject_to(site["fn"].support).inv for name, site in latent.items()
    }
    potential = ModelPotential(model, model_args, model_kwargs, given, _subsamples(prototype))
    if initial_params is None:

        def start() -> Samples:
            trace = _prototype(model, model_args, model_kwargs, init_strategy)
            return {n: t(trace.nodes[n]["value"]) for n, t in all_transforms.items()}

        starts = [_finite_start(start, potential) for _ in range(num_chains)]
        initial_params = {
            name: torch.stack([s[name] for s in starts]) if num_chains > 1 else starts[0][name]
            for name in latent
        }
    return dict(initial_params), potential, all_transforms, prototype


def _prototype(
    model: Callable[..., Any],
    args: tuple[Any, ...],
    kwargs: Mapping[str, Any],
    init_strategy: Strategy,
) -> poutine.Trace:
    """Return the trace of one execution at a starting point.

    A point at which the model cannot factorize a matrix has no density; another one is tried.
    """

    def continuous_start(site: dict[str, Any]) -> Tensor | None:
        return None if site["fn"].support.is_discrete else init_strategy(site)

    for attempt in range(1, MAX_TRIES + 1):
        try:
            with torch.no_grad(), InitMessenger(continuous_start):
                trace: poutine.Trace = poutine.trace(model).get_trace(*args, **kwargs)
            break
        except torch.linalg.LinAlgError:  # type: ignore[attr-defined]
            if attempt == MAX_TRIES:
                raise
    return trace


def _score(trace: poutine.Trace) -> None:
    """Compute all log densities once with validation, so that errors name their site.

    That one of them is not finite is no news: the starting point will be drawn again.
    """
    with torch.no_grad(), warnings.catch_warnings(), suppress(NotFiniteError):
        warnings.simplefilter("ignore")
        trace.copy().compute_log_prob()


def _latent_sites(trace: poutine.Trace) -> dict[str, dict[str, Any]]:
    latent = {n: s for n, s in trace.iter_stochastic_nodes() if not site_is_subsample(s)}
    discrete = [name for name, site in latent.items() if site["fn"].support.is_discrete]
    if discrete:
        raise SiteError(
            f"latent sites {discrete} are discrete, but HMC and NUTS follow gradients: marginalize "
            "them in the model (dist.MixtureSameFamily, or a factor with logsumexp) or observe them"
        )
    if not latent:
        raise SiteError("the model has no latent sites: there is nothing to sample")
    return latent


def _subsamples(trace: poutine.Trace) -> Samples:
    """Return the indices of plates that use a part of their data, and warn about them."""
    found = {
        name: site["value"]
        for name, site in trace.iter_stochastic_nodes()
        if site_is_subsample(site) and site["fn"].subsample_size < site["fn"].size
    }
    if found:
        warn(
            f"plates {list(found)} subsample: MCMC keeps the first subsample and scales it up, "
            "which is not the posterior given all data; use the full plate, or SVI"
        )
    return found


def _finite_start(start: Callable[[], Samples], potential: ModelPotential) -> Samples:
    """Return a starting point at which density and gradient are finite."""
    with validation_enabled(False):
        for _ in range(MAX_TRIES):
            params = start()
            layout = Layout.of(params)
            value, gradient = evaluate(flat(potential, layout), layout.pack(params))
            if bool(value.isfinite()) and bool(gradient.isfinite().all()):
                return params
        sites = potential.not_finite(params)
    problem = f"the log density of the sites {sites}" if sites else "the gradient"
    raise NotFiniteError(
        f"no starting point found in {MAX_TRIES} tries: {problem} is not finite; check the model "
        "there, or pass initial_params or another init_strategy"
    )


def select_samples(
    samples: Mapping[str, Tensor], num_samples: int | None = None, group_by_chain: bool = False
) -> Samples:
    """Return draws ``(chain, draw, *site)`` as they are, flattened, or resampled.

    Args:
        samples: Draws by site, shape ``(chain, draw, *site)``.
        num_samples: Resample so many draws with replacement, the same ones for all sites.
        group_by_chain: Keep the chain dimension, else return ``(draw, *site)``.
    """
    if not group_by_chain:
        samples = {name: draws.flatten(0, 1) for name, draws in samples.items()}
    if num_samples is None or not samples:
        return dict(samples)
    draw_dim = 1 if group_by_chain else 0
    first = next(iter(samples.values()))
    index = torch.randint(first.shape[draw_dim], (num_samples,))
    return {n: draws.index_select(draw_dim, index.to(draws.device)) for n, draws in samples.items()}


def diagnostics(samples: Mapping[str, Tensor], group_by_chain: bool = True) -> dict[str, Samples]:
    """Return ``n_eff``, ``ess_bulk``, ``ess_tail`` and ``r_hat`` of each site, with its shape.

    Args:
        samples: Draws by site, shape ``(chain, draw, *site)``, or ``(draw, *site)`` with
            ``group_by_chain=False``.
        group_by_chain: Whether the draws have a chain dimension.
    """
    return {
        name: {
            "n_eff": table["n_eff"],
            "r_hat": table["r_hat"],
            "ess_bulk": table["n_eff"],
            "ess_tail": table["ess_tail"],
        }
        for name, table in summary(samples, group_by_chain=group_by_chain).items()
    }


def summary(
    samples: Mapping[str, Tensor], prob: float = 0.9, group_by_chain: bool = True
) -> dict[str, Samples]:
    """Return the posterior summary of each site; see :func:`ppl.infer.diagnostics.summary`."""
    if not group_by_chain:
        samples = {name: draws[None] for name, draws in samples.items()}
    return infer_diagnostics.summary(samples, prob)


def print_summary(
    samples: Mapping[str, Tensor], prob: float = 0.9, group_by_chain: bool = True
) -> None:
    """Print the table of :func:`summary`, one row for each component of a site."""
    print(infer_diagnostics.format_summary(summary(samples, prob, group_by_chain)))


def predictive(
    model: Callable[..., Any],
    posterior_samples: Mapping[str, Tensor],
    *args: Any,
    num_samples: int | None = None,
    return_sites: Sequence[str] = (),
    parallel: bool = False,
    **kwargs: Any,
) -> Samples:
    """Return draws of the posterior predictive distribution; see :class:`ppl.infer.Predictive`."""
    draw = Predictive(
        model,
        posterior_samples,
        num_samples=num_samples,
        return_sites=return_sites,
        parallel=parallel,
    )
    samples: Samples = draw(*args, **kwargs)
    return samples
