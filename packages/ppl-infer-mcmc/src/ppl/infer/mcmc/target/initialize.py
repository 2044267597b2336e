"""From a model to its potential, its transforms, and points to start from."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from typing import Any

import torch
from torch import Tensor
from torch.distributions import Transform

import ppl.poutine as poutine
from ppl.errors import MissingSiteError, NotFiniteError, SiteError, UnsupportedModelError
from ppl.infer.enumeration import check_room
from ppl.infer.initialization import (
    InitMessenger,
    Strategy,
    init_to_uniform,
    warn_of_unknown_sites,
)
from ppl.infer.mcmc.target.angles import bijection_of
from ppl.infer.mcmc.target.faults import faults_of
from ppl.infer.mcmc.target.initial_points import (
    find_initial_points,
    first_start,
    single_starts,
    uniform_starts,
)
from ppl.infer.mcmc.target.opaque import opaque
from ppl.infer.mcmc.target.potential import ModelPotential, Params
from ppl.infer.mcmc.target.structure import Structure
from ppl.infer.site_shapes import check_counted_once
from ppl.infer.util import max_plate_nesting_of
from ppl.plugins import nearest
from ppl.poutine.program_errors import require_program
from ppl.poutine.util import site_is_subsample
from ppl.validation import is_validation_enabled, validation_enabled

Samples = dict[str, Tensor]


@opaque
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
    trace is that of one execution, checked by validation if that is enabled.  Of a model without
    continuous latent sites the values and transforms are empty.

    Args:
        model: The model.
        model_args: Its arguments.
        model_kwargs: Its keyword arguments.
        transforms: Bijections from the support of a site to unconstrained space, for the sites that
            shall not use the registered one.
        max_plate_nesting: The largest number of nested plates, if the model has discrete latent
            sites, which are summed out exactly; found by running the model once if not given.
        jit_compile: Accepted; the potential is recorded as a tensor program by the sampler anyway.
        jit_options: Accepted, not used.
        skip_jit_warnings: Accepted, not used.
        num_chains: How many starting points are drawn.
        init_strategy: Chooses the starting points.
        initial_params: Unconstrained starting points to use instead.

    Raises:
        IntractableError: If the sum over discrete sites is exponential in the size of a plate.
        ShapeError: If `max_plate_nesting` is too small.
        MissingSiteError: If `transforms` has a site that the model has not.
        SiteError: If a discrete latent site has infinitely many values.
        UnsupportedModelError: If a plate subsamples.
        NotFiniteError: If no starting point with a finite density and gradient was found.
    """
    require_program("model", model)
    first = _Execution(model, model_args, model_kwargs, init_strategy)
    prototype = first_start(lambda: _scored(_whole(first.trace(), first.trace)), first.faults)
    if is_validation_enabled():
        check_counted_once(prototype)
    warn_of_unknown_sites(init_strategy, prototype)
    latent = _latent_sites(prototype)
    given = dict(transforms or {})
    check_names("transforms", given, prototype.nodes)
    to_unconstrained = {
        name: given.get(name) or bijection_of(site["fn"]).inv for name, site in latent.items()
    }
    nesting = _nesting_to_enumerate(prototype, max_plate_nesting)
    structure = Structure(prototype, has_shapes=nesting is None)
    potential = ModelPotential(model, model_args, model_kwargs, given, nesting, structure)
    like = {n: t(prototype.nodes[n]["value"]) for n, t in to_unconstrained.items()}
    check_precision(like)
    if nesting is not None:
        potential.hide_enumerated(like, prototype)
    if not latent:
        initial_params = initial_params or {}
    elif initial_params is None:

        def start() -> Samples:
            trace = first_start(first.trace, first.faults)
            return {n: t(trace.nodes[n]["value"]) for n, t in to_unconstrained.items()}

        draw_starts = uniform_starts(init_strategy, like) or single_starts(start)
        starts = find_initial_points(draw_starts, potential, num_chains)
        initial_params = starts if num_chains > 1 else {n: x[0] for n, x in starts.items()}
    return dict(initial_params), potential, to_unconstrained, prototype


class _Execution:
    """An execution of a model at a starting point.

    Args:
        model: The model.
        args: Its arguments.
        kwargs: Its keyword arguments.
        init_strategy: Chooses the values of continuous sites.
    """

    def __init__(
        self,
        model: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: Mapping[str, Any],
        init_strategy: Strategy,
    ) -> None:
        self.model, self.args, self.kwargs = model, args, kwargs
        self.init_strategy = init_strategy
        self._values: Samples = {}

    def trace(self) -> poutine.Trace:
        """Return the trace of an execution at a point drawn anew."""
        return self._run(self.model)

    @validation_enabled(False)
    def faults(self) -> list[str]:
        """Return why the last point has no density."""
        return faults_of(lambda: self._run(poutine.substitute(self.model, data=self._values)))

    def _run(self, model: Callable[..., Any]) -> poutine.Trace:
        traced = poutine.trace(model)
        try:
            with torch.no_grad(), InitMessenger(self._start):
                trace: poutine.Trace = traced.get_trace(*self.args, **self.kwargs)
            return trace
        finally:
            self._values = {n: s["value"] for n, s in traced.trace.iter_stochastic_nodes()}

    def _start(self, site: dict[str, Any]) -> Tensor | None:
        return None if site["fn"].support.is_discrete else self.init_strategy(site)


def _scored(trace: poutine.Trace) -> poutine.Trace:
    """Return a trace, having computed all log densities with validation: errors name their site.

    That one of them is not finite is no news: the starting point will be drawn again.
    """
    with torch.no_grad(), warnings.catch_warnings(), suppress(NotFiniteError):
        warnings.simplefilter("ignore")
        trace.copy().compute_log_prob()
    return trace


def _latent_sites(trace: poutine.Trace) -> dict[str, dict[str, Any]]:
    """Return the continuous latent sites by name."""
    latent = {n: s for n, s in trace.iter_stochastic_nodes() if not site_is_subsample(s)}
    continuous = {n: site for n, site in latent.items() if not site["fn"].support.is_discrete}
    for name in latent.keys() - continuous.keys():
        fn = latent[name]["fn"]
        if not getattr(fn, "has_enumerate_support", False):
            raise SiteError(
                f"latent site {name!r} is discrete and {fn} cannot list its values, so it cannot "
                "be summed out, and HMC and NUTS follow gradients: marginalize it in the model, "
                "observe it, or put its dimensions into plates instead of to_event"
            )
    return continuous


def check_precision(like: Params) -> None:
    """Refuse sites whose numbers are too coarse for the energies of Hamiltonian dynamics.

    Raises:
        UnsupportedModelError: For the first of them.
    """
    for name, x in like.items():
        if x.dtype not in (torch.float32, torch.float64):
            raise UnsupportedModelError(
                f"latent site {name!r} has dtype {x.dtype}, which is too coarse for HMC and NUTS; "
                "give its distribution parameters in float32 or float64, with .float()",
                site=name,
            )


def _nesting_to_enumerate(trace: poutine.Trace, given: int | None) -> int | None:
    """Return the number of dimensions that discrete sites leave to plates; None without these."""
    sites = (s for _, s in trace.iter_stochastic_nodes() if not site_is_subsample(s))
    if not any(site["fn"].support.is_discrete for site in sites):
        return None
    nesting = max_plate_nesting_of(trace) if given is None else given
    check_room(trace, nesting)
    return nesting


def _whole(trace: poutine.Trace, again: Callable[[], poutine.Trace]) -> poutine.Trace:
    """Return a trace, having refused plates that draw a part of their elements.

    Args:
        trace: An execution.
        again: Executes the program once more: a part that the program draws itself is another one.
    """
    plates = {name: site for name, site in trace.iter_stochastic_nodes() if site_is_subsample(site)}
    parts = {n: s for n, s in plates.items() if s["fn"].subsample_size < s["fn"].size}
    for name, site in parts.items():
        if site["fn"].given is None:
            raise _draws_a_part(name, site)
    others = again().nodes if parts else {}
    for name, site in parts.items():
        if name in others and not _same_elements(site["value"], others[name]["value"]):
            raise _draws_a_part(name, site)
    return trace


def _same_elements(one: Any, other: Any) -> bool:
    return torch.equal(torch.as_tensor(one), torch.as_tensor(other))


def _draws_a_part(name: str, site: dict[str, Any]) -> UnsupportedModelError:
    fn = site["fn"]
    return UnsupportedModelError(
        f"plate {name!r} draws a subsample of {fn.subsample_size} of {fn.size} elements, but MCMC "
        "needs the density given all data: leave subsample_size out; or sample with subsamples by "
        "HMCECS(NUTS(model)), with subsample_size in the plate; or use SVI; a fixed subset is "
        "plate(..., subsample=indices)",
        site=name,
    )


def check_names(argument: str, given: Collection[str], names: Collection[str]) -> None:
    """Check that an argument by site names sites that there are.

    Raises:
        MissingSiteError: If one is not; the nearest name is offered.
    """
    for name in given:
        if name not in names:
            raise MissingSiteError(
                f"{argument} has a site {name!r} that is not there: the sites are "
                f"{sorted(n for n in names if not n.startswith('_'))}{nearest(name, list(names))}",
                site=name,
            )
