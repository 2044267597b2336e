"""What all automatic guides share: a run of the model to learn its latent sites, and plates."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor

import ppl.poutine as poutine
from ppl.errors import ShapeError, SiteError, UnsupportedModelError
from ppl.infer.initialization import (
    InitMessenger,
    Strategy,
    init_to_feasible,
    init_to_uniform,
    warn_of_unknown_sites,
)
from ppl.infer.results import Posterior, posterior_of_guide
from ppl.nn.tree import SUFFIX
from ppl.poutine.cond_indep_stack_frame import CondIndepStackFrame
from ppl.poutine.program_errors import require_instance, require_program
from ppl.poutine.util import prune_subsample_sites
from ppl.primitives import get_param_store, plate
from ppl.util import get_rng_state, set_rng_state

from .diagnostics import GuideDiagnostics, diagnose
from .guide_module import GuideModule
from .loading import hold, put_in, sizes_of, take_out

Site = dict[str, Any]
CreatePlates = Callable[..., Any]


class AutoGuide(GuideModule):
    """Base class of guides that are made from a model.

    The first call runs the model to learn its latent sites, and again at other values, to see that
    they stay the same; derived classes declare their parameters in :meth:`_setup_site` and sample a
    site in :meth:`_sample_site`.

    Args:
        model: The model.
        init_loc_fn: A strategy of :mod:`ppl.infer.initialization` for the first values.
        create_plates: A function of the model's arguments that returns a plate or several, to use
            instead of those that the guide makes; needed to choose subsamples.

    Parameters that a file brought into the parameter store, or ``load_state_dict`` into a guide
    that has not been called, are those of the guide: a site without any was no part of it, and is
    left to the model. A second guide of a class has parameters of its own, ``AutoNormal_1``.

    Raises:
        SiteError: If the model is a class; in the first call, if a latent site has no parameters
            in this family.
        UnsupportedModelError: In the first call, if the model has other latent sites at other
            values.
        ShapeError: In a call, if a plate around a latent site has another size than in the first.
    """

    _site_prefix: str | None = None  # of the parameters whose path ends in the name of a site

    def __init__(
        self,
        model: Callable[..., Any],
        *,
        init_loc_fn: Strategy = init_to_feasible,
        create_plates: CreatePlates | None = None,
    ) -> None:
        require_program("model", model)
        require_instance(f"the model of {type(self).__name__}", model)
        super().__init__()
        self._model = (model,)  # inside a tuple: the model is no submodule of its guide
        self.init_loc_fn = init_loc_fn
        self.create_plates = create_plates
        self.prototype_trace: poutine.Trace | None = None
        self.plates: dict[str, plate] = {}
        self._shared: dict[str, plate] | None = None  # the plates of the guides that run with it
        self._loaded: set[str] = set()  # the paths of what was loaded before the first call
        self._held: dict[str, Tensor] = {}  # and what was there
        # the sizes of plates in use, by the sizes of arguments that fit
        self._seen: dict[Any, dict[str, int]] = {}

    def __repr__(self) -> str:
        sites = "not called yet"
        if self.prototype_trace is not None:
            shapes = {name: tuple(site["value"].shape) for name, site in self._latent_sites()}
            sites = ", ".join(f"{name}: {shape}" for name, shape in shapes.items())
        model = getattr(self.model, "__name__", type(self.model).__name__)
        return f"{type(self).__name__}({model}; {sites})"

    @property
    def model(self) -> Callable[..., Any]:
        """The model."""
        return self._model[0]

    def setup(self, *args: Any, **kwargs: Any) -> None:
        """Make the parameters, as the first call does, without a draw.

        Args:
            args: The arguments of the model.
            kwargs: The same by name.
        """
        self._claim_name()
        if self.prototype_trace is not None:
            return
        self._setup_prototype(*args, **kwargs)
        if not self._pyro_context.active:  # else the parameters are read for all to see
            self._agree_with_store()

    def forward(self, *args: Any, **kwargs: Any) -> dict[str, Tensor]:
        """Sample the guide and return the constrained values of the latent sites by name."""
        self._begin(args, kwargs)
        return {name: self._sample_in_plates(name, site) for name, site in self._latent_sites()}

    def call(self, *args: Any, **kwargs: Any) -> tuple[Tensor, ...]:
        """Return what a call returns as a tuple, in the order of the names."""
        values = self(*args, **kwargs)
        return tuple(values[name] for name in sorted(values))

    def sample_latent(self, *args: Any, **kwargs: Any) -> Tensor:
        """Sample the vector of all latent sites, on the unconstrained scale."""
        raise NotImplementedError(
            f"{type(self).__name__} has no vector of all latent sites, as AutoContinuous has; call "
            "the guide for values by site"
        )

    def median(self, *args: Any, **kwargs: Any) -> dict[str, Tensor]:
        """Return the median of each latent site, on the constrained scale."""
        raise NotImplementedError(f"{type(self).__name__} does not say what its medians are")

    def diagnose(
        self,
        model: Callable[..., Any],
        *args: Any,
        num_draws: int = 1000,
        parallel: bool = False,
        **kwargs: Any,
    ) -> GuideDiagnostics:
        """Return how far to believe the guide: see :func:`~ppl.infer.autoguide.diagnose`.

        Args:
            model: The model, with all sites that the guide is for.
            args: The arguments of both, with all of the data.
            num_draws: How many draws of the guide.
            parallel: Whether model and guide can be run for all draws at once, in a plate.
            kwargs: The arguments of both, by name.
        """
        return diagnose(model, self, *args, num_draws=num_draws, parallel=parallel, **kwargs)

    def posterior(
        self, *args: Any, num_draws: int = 1000, method: str | None = None, **kwargs: Any
    ) -> Posterior:
        """Return draws as an approximate posterior of the model, and what they can be asked.

        Args:
            args: The arguments of the model, with all of the data.
            num_draws: How many draws.
            method: What to call it; by default the class of the guide.
            kwargs: The arguments by name.
        """
        called = type(self).__name__ if method is None else method
        return posterior_of_guide(
            self.model, self, args, kwargs, num_draws=num_draws, method=called
        )

    # for derived classes

    def _begin(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """Begin an execution: all that comes before the sites."""
        self.setup(*args, **kwargs)
        self._check_sizes(args, kwargs)
        self._create_plates(*args, **kwargs)

    def _setup_sites(self, *args: Any, **kwargs: Any) -> None:
        """Declare the parameters of all latent sites, and read none: others may replace them."""
        for name, site in self._latent_sites():
            self._setup_site(name, site)

    def _setup_site(self, name: str, site: Site) -> None:
        """Declare the parameters of a site."""

    def _sample_site(self, name: str, site: Site) -> Tensor:
        """Sample a site and return its constrained value."""
        raise NotImplementedError(f"{type(self).__name__} does not implement _sample_site")

    def _latent_sites(self) -> Iterator[tuple[str, Site]]:
        if self.prototype_trace is None:
            raise SiteError(
                f"{type(self).__name__} has not seen its model yet; call the guide once with the "
                "model's arguments"
            )
        return self.prototype_trace.iter_stochastic_nodes()

    def _setup_prototype(self, *args: Any, **kwargs: Any) -> None:
        """Run the model at initial values, hidden from all handlers, and declare parameters."""
        self.prototype_trace = self._run_model(args, kwargs)
        self._check_structure(args, kwargs)
        held = self._held = take_out(self, self._loaded)
        try:
            self._declare(held, args, kwargs)
        except Exception:
            self.prototype_trace = None  # the next call begins afresh
            hold(self, held)
            raise
        self._held, self._loaded = {}, set()
        self._seen[sizes_of(args, kwargs)] = _sizes_in_use(self._latent_sites())

    def _declare(
        self, held: dict[str, Tensor], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> None:
        self._leave_out_unknown(held)
        for name, site in self._latent_sites():
            self._check_site(name, site)
        with torch.no_grad():
            self._setup_sites(*args, **kwargs)
        put_in(self, held)

    def _check_site(self, name: str, site: Site) -> None:
        """Refuse a site that the family has no distribution for."""
        refuse_discrete(type(self).__name__, name, site)
        refuse_sequential(type(self).__name__, name, site)

    def _run_model(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> poutine.Trace:
        return _run_at(self.init_loc_fn, self.model, args, kwargs)

    def _check_structure(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """Refuse a model that has other latent sites at other values.

        Raises:
            UnsupportedModelError: With the sites.
        """
        first, state = self.prototype_trace, get_rng_state()
        assert first is not None
        try:
            second = _run_at(init_to_uniform, self.model, args, kwargs)
        except Exception:  # the values were not made for this model
            return
        finally:
            set_rng_state(state)
        found = (_shapes(first), _shapes(second))
        names = sorted({name for name, _ in found[0].items() ^ found[1].items()})
        if names:
            self.prototype_trace = None
            raise UnsupportedModelError(
                f"the latent sites of the model change from run to run: {names} are not in all "
                f"runs, or change their shapes; {type(self).__name__} needs the same sites in each "
                "run, so sample all of them always, or write a guide by hand"
            )

    def _leave_out_unknown(self, held: Iterable[str]) -> None:
        """Remove latent sites that a trained guide, whose parameters were loaded, does not have."""
        if self._site_prefix is None:
            return
        root = f"{self._pyro_name}." if self._pyro_name else ""
        stored = (n.removeprefix(root) for n in get_param_store() if n.startswith(root))
        paths = [*stored, *(path.removesuffix(SUFFIX) for path in held)]
        prefix = self._site_prefix
        known = {path.removeprefix(prefix) for path in paths if path.startswith(prefix)}
        latent = dict(self._latent_sites())
        if known and known.isdisjoint(latent):
            raise SiteError(
                f"{self._pyro_name}: the parameters that were loaded are for the sites "
                f"{sorted(known)}, but the model has {sorted(latent)}; load those of this model, "
                "or call clear_param_store() to start afresh"
            )
        for name in latent if known else ():
            if name not in known:
                self.prototype_trace.remove_node(name)  # type: ignore[union-attr]

    def _check_sizes(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """Refuse arguments with which plates of latent sites have other sizes than at first.

        The model runs again only where arguments have sizes that were not seen before.
        """
        sizes = sizes_of(args, kwargs)
        if sizes in self._seen or self.create_plates is not None:
            return
        in_use: dict[str, int] = {}
        if _plate_sizes(self._latent_sites()):
            state = get_rng_state()
            trace = self._run_model(args, kwargs)
            set_rng_state(state)
            found = _plate_sizes(trace.iter_stochastic_nodes())
            in_use = _sizes_in_use(trace.iter_stochastic_nodes())
            for name, size in self._plate_sizes().items():
                if found.get(name, size) != size:
                    raise ShapeError(
                        f"{type(self).__name__} has parameters for the {size} elements of plate "
                        f"{name!r}, but with these arguments it has {found[name]}; pass arguments "
                        "of the same size, or make a new guide and fit it to these data",
                        site=name,
                    )
        self._seen[sizes] = in_use

    def _plate_sizes(self) -> dict[str, int]:
        """Return the sizes of the plates whose elements have parameters."""
        return _plate_sizes(self._latent_sites())

    def _load_from_state_dict(self, state_dict: Any, prefix: str, *args: Any) -> None:
        """Load parameters, also before the first call: they are kept for it."""
        if self.prototype_trace is None:
            self._loaded |= hold(
                self, {k[len(prefix) :]: x for k, x in state_dict.items() if k.startswith(prefix)}
            )
        super()._load_from_state_dict(state_dict, prefix, *args)

    def _create_plates(self, *args: Any, **kwargs: Any) -> dict[str, plate]:
        """Make this execution's plates, with the subsample sizes of the model's."""
        self.plates = self._given_plates(args, kwargs) if self._shared is None else self._shared
        frames = (f for _, site in self._latent_sites() for f in site["cond_indep_stack"])
        missing = {frame.name: frame for frame in frames if frame.name not in self.plates}
        in_use = self._seen.get(sizes_of(args, kwargs), {}) if missing else {}
        for name, frame in missing.items():
            size = in_use.get(name, frame.size)
            self.plates[name] = plate(name, frame.full_size, subsample_size=size, dim=frame.dim)
        return self.plates

    def _given_plates(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, plate]:
        given = self.create_plates(*args, **kwargs) if self.create_plates is not None else ()
        return {p.name: p for p in ([given] if isinstance(given, plate) else given)}

    def _sample_in_plates(self, name: str, site: Site) -> Tensor:
        with self._inside(site["cond_indep_stack"]):
            return self._sample_site(name, site)

    @contextmanager
    def _inside(self, frames: Iterable[CondIndepStackFrame]) -> Iterator[None]:
        with ExitStack() as stack:
            for frame in frames:
                stack.enter_context(self.plates[frame.name])
            yield


def _run_at(
    strategy: Strategy,
    model: Callable[..., Any],
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
) -> poutine.Trace:
    """Run a model at initial values, hidden from all handlers."""
    start = poutine.trace(InitMessenger(strategy)(model))
    with torch.no_grad():  # a graph could not be copied
        trace: poutine.Trace = poutine.block(start.get_trace)(*args, **kwargs)
    warn_of_unknown_sites(strategy, trace)
    return prune_subsample_sites(trace)  # type: ignore[no-any-return]


def _shapes(trace: poutine.Trace) -> dict[str, tuple[int, ...]]:
    return {name: tuple(site["value"].shape) for name, site in trace.iter_stochastic_nodes()}


def _plate_sizes(sites: Iterable[tuple[str, Site]]) -> dict[str, int]:
    """The sizes of the whole plates around sites, by name."""
    frames = (frame for _, site in sites for frame in site["cond_indep_stack"])
    return {frame.name: frame.full_size for frame in frames}


def _sizes_in_use(sites: Iterable[tuple[str, Site]]) -> dict[str, int]:
    """The sizes of the subsamples of plates around sites, by name."""
    return {frame.name: frame.size for _, site in sites for frame in site["cond_indep_stack"]}


def full_size(value: Tensor, site: Site, event_dim: int) -> Tensor:
    """Repeat a value along subsampled plates, so that every element gets parameters of its own.

    Args:
        value: Shape ``(*batch, *event)``, with the batch dimensions of the subsample.
        site: A site of the prototype.
        event_dim: The number of event dimensions of ``value``.
    """
    for frame in site["cond_indep_stack"]:
        if not frame.vectorized:
            continue
        dim = frame.dim - event_dim
        if frame.full_size != frame.size and value.shape[dim] == frame.size:
            index = torch.arange(frame.full_size, device=value.device) % frame.size
            value = value.index_select(dim, index)
    return value


def refuse_discrete(guide: str, name: str, site: Site) -> None:
    """Refuse a discrete site.

    Raises:
        SiteError: With what to do instead.
    """
    if site["fn"].support.is_discrete:
        raise SiteError(
            f"site {name!r} is discrete ({site['fn']}), which {guide} cannot approximate; hide it "
            f"with {guide}(poutine.block(model, hide=[{name!r}])), and sum it out or add a guide"
        )


def refuse_sequential(guide: str, name: str, site: Site) -> None:
    """Refuse a site in a plate that is iterated over.

    Raises:
        SiteError: With what to do instead.
    """
    for frame in site["cond_indep_stack"]:
        if not frame.vectorized:
            raise SiteError(
                f"site {name!r} is inside the sequential plate {frame.name!r}, which {guide} does "
                "not support; use the plate as a context: with plate(...):"
            )
