"""What all automatic guides share: a run of the model to learn its latent sites, and plates."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor

import ppl.poutine as poutine
from ppl.errors import SiteError
from ppl.infer.initialization import InitMessenger, Strategy
from ppl.nn import PyroModule
from ppl.poutine.indep_messenger import CondIndepStackFrame
from ppl.poutine.util import prune_subsample_sites
from ppl.primitives import plate

Site = dict[str, Any]
CreatePlates = Callable[..., Any]


class AutoGuide(PyroModule):
    """Base class of guides that are made from a model.

    The model runs once, at the first call, to learn its latent sites; derived classes declare their
    parameters in :meth:`_setup_site` and sample a site in :meth:`_sample_site`.

    Args:
        model: The model.
        init_loc_fn: A strategy of :mod:`ppl.infer.initialization` for the first values.
        create_plates: A function of the model's arguments that returns a plate or several, to use
            instead of those that the guide makes; needed to choose subsamples.
    """

    def __init__(
        self,
        model: Callable[..., Any],
        *,
        init_loc_fn: Strategy,
        create_plates: CreatePlates | None = None,
    ) -> None:
        super().__init__(name=type(self).__name__)
        self._model = (model,)  # inside a tuple: the model is no submodule of its guide
        self.init_loc_fn = init_loc_fn
        self.create_plates = create_plates
        self.prototype_trace: poutine.Trace | None = None
        self.plates: dict[str, plate] = {}

    @property
    def model(self) -> Callable[..., Any]:
        """The model."""
        return self._model[0]

    def forward(self, *args: Any, **kwargs: Any) -> dict[str, Tensor]:
        """Sample the guide and return the constrained values of the latent sites by name."""
        if self.prototype_trace is None:
            self._setup_prototype(*args, **kwargs)
        self._create_plates(*args, **kwargs)
        return {name: self._sample_in_plates(name, site) for name, site in self._latent_sites()}

    def call(self, *args: Any, **kwargs: Any) -> tuple[Tensor, ...]:
        """Return what a call returns as a tuple, in the order of the names."""
        values = self(*args, **kwargs)
        return tuple(values[name] for name in sorted(values))

    def median(self, *args: Any, **kwargs: Any) -> dict[str, Tensor]:
        """Return the median of each latent site, on the constrained scale."""
        raise NotImplementedError(f"{type(self).__name__} does not implement median")

    # for derived classes

    def _setup_site(self, name: str, site: Site) -> None:
        """Declare the parameters of a site."""
        raise NotImplementedError(f"{type(self).__name__} does not implement _setup_site")

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
        start = poutine.trace(InitMessenger(self.init_loc_fn)(self.model))
        trace = prune_subsample_sites(poutine.block(start.get_trace)(*args, **kwargs))
        self.prototype_trace = trace
        for name, site in self._latent_sites():
            _refuse_discrete(type(self).__name__, name, site)
            for frame in site["cond_indep_stack"]:
                _refuse_sequential(type(self).__name__, name, frame)
            with torch.no_grad():
                self._setup_site(name, site)

    def _create_plates(self, *args: Any, **kwargs: Any) -> None:
        """Make this execution's plates, with the subsample sizes of the model's."""
        given = self.create_plates(*args, **kwargs) if self.create_plates is not None else ()
        self.plates = {p.name: p for p in ([given] if isinstance(given, plate) else given)}
        for _, site in self._latent_sites():
            for frame in site["cond_indep_stack"]:
                if frame.name not in self.plates:
                    self.plates[frame.name] = plate(
                        frame.name, frame.full_size, subsample_size=frame.size, dim=frame.dim
                    )

    def _sample_in_plates(self, name: str, site: Site) -> Tensor:
        with self._inside(site["cond_indep_stack"]):
            return self._sample_site(name, site)

    @contextmanager
    def _inside(self, frames: Iterable[CondIndepStackFrame]) -> Iterator[None]:
        with ExitStack() as stack:
            for frame in frames:
                stack.enter_context(self.plates[frame.name])
            yield


def full_size(value: Tensor, site: Site, event_dim: int) -> Tensor:
    """Repeat a value along subsampled plates, so that every element gets parameters of its own.

    Args:
        value: Shape ``(*batch, *event)``, with the batch dimensions of the subsample.
        site: A site of the prototype.
        event_dim: The number of event dimensions of ``value``.
    """
    for frame in site["cond_indep_stack"]:
        dim = frame.dim - event_dim
        if frame.full_size != frame.size and value.shape[dim] == frame.size:
            index = torch.arange(frame.full_size, device=value.device) % frame.size
            value = value.index_select(dim, index)
    return value


def _refuse_discrete(guide: str, name: str, site: Site) -> None:
    if site["fn"].support.is_discrete:
        raise SiteError(
            f"site {name!r} is discrete ({site['fn']}), which {guide} cannot approximate; hide it "
            f"with {guide}(poutine.block(model, hide=[{name!r}])), and sum it out or add a guide"
        )


def _refuse_sequential(guide: str, name: str, frame: CondIndepStackFrame) -> None:
    if not frame.vectorized:
        raise SiteError(
            f"site {name!r} is inside the sequential plate {frame.name!r}, which {guide} does not "
            "support; use the plate as a context: with plate(...):"
        )
