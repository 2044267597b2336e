"""The record of one execution of a program: its sites, their values and log densities."""

from __future__ import annotations

import copy
import math
from collections import OrderedDict
from collections.abc import Callable, Iterator
from graphlib import TopologicalSorter
from itertools import chain
from typing import Any, Literal

import torch
from torch import Tensor

from ..distribution import TorchDistributionMixin
from ..distribution.feasible import stand_in
from ..distribution.util import scale_and_mask
from ..errors import DuplicateSiteError, SiteError, warn
from ..validation import is_validation_enabled
from . import packing
from .format_shapes import format_shapes
from .scoring_errors import infinite_data, scoring_error
from .util import site_is_data, site_is_subsample

Site = dict[str, Any]
SiteFilter = Callable[[str, Site], bool]
_SCORING = (ValueError, RuntimeError, AttributeError, TypeError)  # of a value that does not fit


class Trace:
    """The sites of one execution by name, in the order of execution.

    ``nodes`` maps each name to a dict: ``type`` ("sample", "param", "args", "return"), ``fn``,
    ``value``, ``is_observed``, ``scale``, ``mask``, ``cond_indep_stack``, ``infer``; after
    :meth:`compute_log_prob` also ``log_prob`` (shape ``batch_shape``), ``unscaled_log_prob`` and
    ``log_prob_sum`` (scalars), in nats; an observation that a mask hides is not scored. The
    arguments of the program are at ``_INPUT``, what it returned at ``_RETURN``.

    Args:
        graph_type: "flat", or "dense" to record which sites may depend on which as edges.

    Example:
        >>> import torch
        >>> from ppl.distribution import Delta
        >>> from ppl.poutine import trace
        >>> from ppl.primitives import sample
        >>> trace(lambda: sample("x", Delta(torch.tensor(2.0)))).get_trace().nodes["x"]["value"]
        tensor(2.)
    """

    def __init__(self, graph_type: Literal["flat", "dense"] = "flat") -> None:
        if graph_type not in ("flat", "dense"):
            raise SiteError(f"graph_type must be 'flat' or 'dense', got {graph_type!r}")
        self.graph_type = graph_type
        self.nodes: OrderedDict[str, Site] = OrderedDict()
        self.program: Callable[..., Any] | None = None  # what was traced, for error messages
        self._successors: dict[str, dict[str, None]] = {}  # only of sites that have any
        self._predecessors: dict[str, dict[str, None]] = {}

    def __contains__(self, name: object) -> bool:
        return name in self.nodes

    def __iter__(self) -> Iterator[str]:
        return iter(self.nodes)

    def __len__(self) -> int:
        return len(self.nodes)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "program": None}  # which may be a lambda; copies do without it

    def __copy__(self) -> Trace:
        return self.copy()

    def __deepcopy__(self, memo: dict[int, Any]) -> Trace:
        """Share the results of operations, which torch cannot copy, and copy everything else."""
        memo.update((id(x), x) for x in _tensors(self.nodes) if not x.is_leaf)
        new = Trace(self.graph_type)
        memo[id(self)] = new
        new.__dict__.update(copy.deepcopy(self.__getstate__(), memo))
        return new

    def __repr__(self) -> str:
        return f"Trace({self.graph_type}: {', '.join(self.nodes)})"

    # the graph

    @property
    def edges(self) -> list[tuple[str, str]]:
        """Pairs ``(site, later site that may depend on it)``; empty in a flat graph."""
        return [(a, b) for a, successors in self._successors.items() for b in successors]

    def add_node(self, site_name: str, **kwargs: Any) -> None:
        """Add a site.

        Raises:
            DuplicateSiteError: If the trace has a site of that name already; only parameters may be
                added again.
        """
        if site_name in self.nodes:
            self._refuse_duplicate(site_name, kwargs)
        self.nodes[site_name] = kwargs

    def record(self, msg: Site) -> None:
        """Add a copy of a message as a site, under its own name."""
        name = msg["name"]
        if name in self.nodes:
            self._refuse_duplicate(name, msg)
        self.nodes[name] = msg.copy()

    def _refuse_duplicate(self, name: str, site: Site) -> None:
        first, second = self.nodes[name].get("type"), site.get("type")
        if first == second == "param":
            return  # a parameter may be read twice
        if first != second:
            raise DuplicateSiteError(
                f"{name!r} is a {first} site already and cannot be a {second} site too; rename one "
                "of them",
                site=name,
            )
        raise DuplicateSiteError(
            f"there are two {first} sites named {name!r}; site names must be unique within one "
            f"execution: {_how_to_avoid_duplicates(site)}",
            site=name,
        )

    def add_edge(self, site1: str, site2: str) -> None:
        """Record that ``site2`` may depend on ``site1``; absent sites are added empty."""
        for name in (site1, site2):
            if name not in self.nodes:
                self.add_node(name)
        self._successors.setdefault(site1, {})[site2] = None
        self._predecessors.setdefault(site2, {})[site1] = None

    def remove_node(self, site_name: str) -> None:
        """Remove a site and its edges."""
        self.nodes.pop(site_name)
        for after in self._successors.pop(site_name, {}):
            del self._predecessors[after][site_name]
        for before in self._predecessors.pop(site_name, {}):
            del self._successors[before][site_name]

    def predecessors(self, site_name: str) -> Any:
        """The sites that ``site_name`` may depend on."""
        return self._predecessors.get(site_name, {}).keys()

    def successors(self, site_name: str) -> Any:
        """The sites that may depend on ``site_name``."""
        return self._successors.get(site_name, {}).keys()

    def topological_sort(self, reverse: bool = False) -> list[str]:
        """Return the names so that every site comes after those it depends on."""
        sorter = TopologicalSorter({name: self.predecessors(name) for name in self.nodes})
        order = list(sorter.static_order())
        return order[::-1] if reverse else order

    def copy(self) -> Trace:
        """Return a trace with the same values in site dicts of its own."""
        new = Trace(self.graph_type)
        new.program = self.program
        new.nodes.update((name, dict(site)) for name, site in self.nodes.items())
        new._successors.update((name, dict(after)) for name, after in self._successors.items())
        new._predecessors.update(
            (name, dict(before)) for name, before in self._predecessors.items()
        )
        if hasattr(self, "plate_to_symbol"):
            new.plate_to_symbol, new.symbol_to_dim = self.plate_to_symbol, self.symbol_to_dim
        return new

    def detach_(self) -> None:
        """Detach the values of all sample sites in place."""
        for _, site in self._sample_sites():
            if isinstance(site["value"], Tensor):
                site["value"] = site["value"].detach()

    # log densities

    def log_prob_sum(self, site_filter: SiteFilter = lambda name, site: True) -> Tensor | float:
        """Return the log density of the whole execution, a scalar in nats.

        Args:
            site_filter: Called with name and site; only the sites for which it holds count.

        Raises:
            PPLError: If a site cannot be scored; the message names it.
        """
        total: Tensor | float = 0.0
        for name, site in self._sample_sites():
            if site_filter(name, site):
                if "log_prob_sum" not in site:
                    self._score(name, site)
                total = total + site["log_prob_sum"]
        return total

    def compute_log_prob(self, site_filter: SiteFilter = lambda name, site: True) -> None:
        """Compute ``log_prob``, ``unscaled_log_prob`` and ``log_prob_sum`` of every sample site."""
        for name, site in self._sample_sites():
            if "log_prob" not in site and site_filter(name, site):
                self._score(name, site)

    def set_log_prob(self, name: str, log_prob: Tensor) -> None:
        """Say what the log density of a site is, shape ``batch_shape``, before scale and mask.

        The site is not scored then.
        """
        self._store_log_prob(name, self.nodes[name], log_prob)

    def _score(self, name: str, site: Site) -> None:
        try:
            log_prob = site["fn"].log_prob(_scored(site), *site["args"], **site["kwargs"])
        except _SCORING as error:
            raise scoring_error(name, site, self, error) from error
        self._store_log_prob(name, site, log_prob)

    def _store_log_prob(self, name: str, site: Site, log_prob: Tensor) -> None:
        site["unscaled_log_prob"] = log_prob
        site["log_prob"] = scale_and_mask(log_prob, site["scale"], site["mask"])
        site["log_prob_sum"] = total = _sum(site["log_prob"])
        if is_validation_enabled():
            self._look_at(name, site, total)

    def _look_at(self, name: str, site: Site, total: Tensor) -> None:
        """Warn about a density that is nan or +inf; that of data which are so is an error."""
        if torch._C._functorch.is_functorch_wrapped_tensor(total):
            return
        number = total.item()
        if math.isfinite(number):
            return
        if site_is_data(site) and not _is_finite(site["value"]):
            raise infinite_data(name, site, self)
        if math.isnan(number):
            warn(
                f"site {name!r}: the log density is nan; look at the parameters of its distribution"
            )
        elif number == math.inf:
            warn(f"site {name!r}: the log density is +inf")

    def compute_score_parts(self) -> None:
        """Compute ``score_parts`` and ``log_prob`` of every sample site."""
        for name, site in self._sample_sites():
            if "score_parts" in site:
                continue
            try:
                parts = site["fn"].score_parts(_scored(site), *site["args"], **site["kwargs"])
            except _SCORING as error:
                raise scoring_error(name, site, self, error) from error
            site["score_parts"] = parts.scale_and_mask(site["scale"], site["mask"])
            self._store_log_prob(name, site, parts.log_prob)

    # packed tensors

    plate_to_symbol: dict[str, str]
    symbol_to_dim: dict[str, int]

    def symbolize_dims(self, plate_to_symbol: dict[str, str] | None = None) -> None:
        """Name the batch dimensions of each sample site: one symbol a plate or enumerated variable.

        Sets ``site["infer"]["_dim_to_symbol"]``, ``plate_to_symbol`` and ``symbol_to_dim``.

        Args:
            plate_to_symbol: Symbols of plates of another trace, such as that of the guide; those of
                further plates are added to it.
        """
        packing.symbolize_dims(self, plate_to_symbol)

    def pack_tensors(self, plate_to_symbol: dict[str, str] | None = None) -> None:
        """Compute ``site["packed"]``: packed log densities, score parts, mask and scale.

        Call it after :meth:`compute_log_prob` or :meth:`compute_score_parts`; what these have not
        computed is not packed. See :func:`ppl.poutine.packing.pack`.

        Args:
            plate_to_symbol: As in :meth:`symbolize_dims`.

        Raises:
            ShapeError: If a tensor has a dimension that belongs to no plate and no variable.
        """
        self.symbolize_dims(plate_to_symbol)
        packing.pack_tensors(self)

    # lists of sites

    def _sample_sites(self) -> Iterator[tuple[str, Site]]:
        return ((name, site) for name, site in self.nodes.items() if site["type"] == "sample")

    @property
    def observation_nodes(self) -> list[str]:
        """Names of the observed sample sites."""
        return [name for name, site in self._sample_sites() if site["is_observed"]]

    @property
    def param_nodes(self) -> list[str]:
        """Names of the parameters."""
        return [name for name, site in self.nodes.items() if site["type"] == "param"]

    @property
    def stochastic_nodes(self) -> list[str]:
        """Names of the sample sites that are not observed."""
        return [name for name, _ in self.iter_stochastic_nodes()]

    @property
    def reparameterized_nodes(self) -> list[str]:
        """Names of the stochastic sites with reparametrized samples (``fn.has_rsample``)."""
        return [name for name, site in self.iter_stochastic_nodes() if _is_reparametrized(site)]

    @property
    def nonreparam_stochastic_nodes(self) -> list[str]:
        """Names of the stochastic sites without reparametrized samples."""
        return [name for name, site in self.iter_stochastic_nodes() if not _is_reparametrized(site)]

    def iter_stochastic_nodes(self) -> Iterator[tuple[str, Site]]:
        """Iterate over name and site of the sample sites that are not observed."""
        return ((name, site) for name, site in self._sample_sites() if not site["is_observed"])

    def format_shapes(self, title: str = "Trace Shapes:", last_site: str | None = None) -> str:
        """Return a table of the shapes of all sites: ``batch | event``.

        Args:
            title: The first line.
            last_site: Stop after this site; default: all of them.
        """
        return format_shapes(self.nodes, title, last_site)


def _scored(site: Site) -> Any:
    """Return the value to score; observations that the mask hides may be anything."""
    value, mask, fn = site["value"], site["mask"], site["fn"]
    if mask is None or mask is True or not site["is_observed"]:
        return value
    is_tensors = isinstance(value, Tensor) and isinstance(fn, TorchDistributionMixin)
    return stand_in(value, mask, fn) if is_tensors else value


def _tensors(x: Any) -> Iterator[Tensor]:
    """Iterate over the tensors in sites, their collections and distributions."""
    if isinstance(x, Tensor):
        yield x
    elif isinstance(x, (tuple, list)):
        yield from chain.from_iterable(map(_tensors, x))
    elif isinstance(x, dict):
        yield from chain.from_iterable(map(_tensors, x.values()))
    elif isinstance(x, torch.distributions.Distribution):
        yield from _tensors(vars(x))


def _sum(log_prob: Tensor) -> Tensor:
    return log_prob.sum() if log_prob.dim() else log_prob  # a sum of one costs a microsecond


def _how_to_avoid_duplicates(site: Site) -> str:
    if site_is_subsample(site):
        return "make the plate once, before the loop, and enter it as often as needed"
    return "number them inside a loop, as in f'x_{i}', or use a plate"


def _is_reparametrized(site: Site) -> bool:
    return bool(getattr(site["fn"], "has_rsample", False))


def _is_finite(value: Any) -> bool:
    is_real = isinstance(value, Tensor) and value.is_floating_point()
    return not is_real or bool(value.isfinite().all())
