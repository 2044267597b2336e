"""Draws from the prior, posterior or variational predictive distribution of a model."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

import ppl.poutine as poutine
from ppl.arguments import named
from ppl.errors import MissingSiteError, ShapeError, SiteError, warn
from ppl.plugins import misspelt
from ppl.poutine.program_errors import require_program
from ppl.poutine.util import prune_subsample_sites, site_is_data, site_is_factor
from ppl.primitives import plate
from ppl.util import get_rng_state, set_rng_state
from ppl.validation import is_validation_enabled

from .arguments import nearest_site, positive_int
from .predictive_runs import AtDraw, run_at_once, run_draws, values_of
from .site_shapes import check_counted_once
from .util import max_plate_nesting_of

Samples = dict[str, Tensor]
Model = Callable[..., Any]
AtDraws = Callable[[Samples, tuple[Any, ...], dict[str, Any]], Samples]


class Predictive(torch.nn.Module):
    """Runs a model at posterior samples and returns its other sites.

    Called with the arguments of the model. By default it returns draws of the sample sites that are
    not in ``posterior_samples``: what is predicted. All sites have the same number of batch
    dimensions, so that results broadcast: that of a scalar in a model with one plate has the shape
    ``(draw, 1)``, next to ``(draw, plate)``. A ``deterministic`` site is computed anew, also where
    ``posterior_samples`` have it. An observed site is returned as observed, with a warning; to
    predict it, leave its observation out of the arguments or use ``poutine.uncondition``.

    Args:
        model: The model.
        posterior_samples: Constrained samples by site, each of shape ``(draw, *site)``.
        guide: A guide to draw the latent sites from, instead of ``posterior_samples``.
        num_samples: The number of draws; by default that of ``posterior_samples``.
        return_sites: Names of the sites to return; None for all of them. ``"_RETURN"`` is what the
            model returns, of shape ``(draw, *returned)``.
        parallel: Run the model for all draws at once, with ``torch.func.vmap``. What cannot run
            so, such as a branch on a value or a draw from numpy, runs one draw after another, and a
            warning says why.
        batch_size: How many draws are run at once if they are parallel; by default as many as
            return some ten million numbers.
        labels: The labels that the elements of plates had when ``posterior_samples`` were drawn, by
            plate. Where the model has others, elements of the same label keep their samples, and
            new ones are drawn.

    Raises:
        SiteError: If neither samples nor their number are given, or both samples and a guide.
        ShapeError: If the samples of two sites differ in number; in a call, if those of a site do
            not have the shape that it has with these arguments.
        MissingSiteError: In a call, if the model has no site of a name.

    Example:
        >>> import ppl.distributions as dist
        >>> from ppl.primitives import sample
        >>> def model():
        ...     z = sample("z", dist.Normal(0.0, 1.0))
        ...     sample("x", dist.Normal(z, 1.0))
        >>> {name: tuple(x.shape) for name, x in Predictive(model, {"z": torch.zeros(7)})().items()}
        {'x': (7,)}
    """

    @named("Predictive")
    def __init__(
        self,
        model: Model,
        posterior_samples: Mapping[str, Tensor] | None = None,
        guide: Model | None = None,
        num_samples: int | None = None,
        return_sites: Sequence[str] | None = (),
        parallel: bool = False,
        *,
        batch_size: int | None = None,
        labels: Mapping[str, Sequence[Any]] | None = None,
    ) -> None:
        super().__init__()
        require_program("model", model)
        if guide is not None:
            require_program("guide", guide)
        if posterior_samples and guide is not None:
            raise SiteError("Predictive takes posterior_samples or a guide, not both")
        self.model = model
        self.guide = guide
        self.parallel = parallel
        self.batch_size: int | None = (
            None if batch_size is None else positive_int("batch_size", batch_size)
        )
        self.labels: Mapping[str, Sequence[Any]] = dict(labels or {})
        self.posterior_samples: Samples = _as_samples(posterior_samples)
        self.num_samples: int = _number_of_draws(self.posterior_samples, num_samples)
        self.return_sites: Sequence[str] | None = (
            (return_sites,) if isinstance(return_sites, str) else return_sites
        )

    def forward(self, *args: Any, **kwargs: Any) -> Samples:
        """Return draws of the sites by name, each of shape ``(draw, *site)``."""
        with torch.no_grad():
            given = self._given(args, kwargs)
            return self._run(self.model, given, self._wanted, args, kwargs)

    def call(self, *args: Any, **kwargs: Any) -> tuple[Tensor, ...]:
        """Return what :meth:`forward` returns as a tuple, in the order of the names."""
        draws = self(*args, **kwargs)
        return tuple(draws[name] for name in sorted(draws))

    def batches(self, *args: Any, batch_size: int, **kwargs: Any) -> Iterator[Samples]:
        """Yield the draws in batches, of which only one is in memory: for millions of rows.

        Args:
            args: The arguments of the model.
            batch_size: How many draws to make at once; the last batch may have fewer.
            kwargs: The keyword arguments of the model.
        """
        batch_size = positive_int("batch_size", batch_size)
        part = copy.copy(self)
        for start in range(0, self.num_samples, batch_size):
            part.num_samples = min(batch_size, self.num_samples - start)
            end = start + part.num_samples
            part.posterior_samples = {n: x[start:end] for n, x in self.posterior_samples.items()}
            yield part(*args, **kwargs)

    def at_draws(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> AtDraws:
        """Return a pure function of draws, arguments and keyword arguments, to be recorded.

        Args:
            args: Arguments of the model, with which it is run once to learn its sites.
            kwargs: Its keyword arguments.
        """
        with torch.no_grad():
            first = _trace(self.model, _first(self.posterior_samples), args, kwargs, self.labels)
        names, nesting = self._wanted(first), max_plate_nesting_of(first)
        num = self.num_samples

        def at(given: Samples, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Samples:
            def one(draw: Samples) -> Samples:
                return values_of(_trace(self.model, draw, args, kwargs, self.labels), names)

            found = run_at_once(one, given, num, num)
            return {name: _pad(x, first.nodes[name], nesting) for name, x in found.items()}

        return at

    def get_samples(self, *args: Any, **kwargs: Any) -> Samples:
        """Return what :meth:`forward` returns (its former name)."""
        return self.forward(*args, **kwargs)

    def get_vectorized_trace(self, *args: Any, **kwargs: Any) -> poutine.Trace:
        """Return the one trace in which all draws lie along an extra plate on the left.

        The model must broadcast over dimensions to the left.
        """
        with torch.no_grad():
            given = self._given(args, kwargs)
            with poutine.block():
                single = _trace(self.model, _first(given), args, kwargs)
            return self._vectorized_trace(given, single, args, kwargs)

    def extra_repr(self) -> str:
        """Say what is drawn, and from what."""
        parts = {"model": self.model, "guide": self.guide}
        shown = [
            f"{role}={program!r}"
            for role, program in parts.items()
            if program is not None and not isinstance(program, torch.nn.Module)
        ]
        shapes = {name: tuple(x.shape) for name, x in self.posterior_samples.items()}
        shown += [f"posterior_samples={shapes}"] if shapes else []
        return ", ".join([*shown, f"num_samples={self.num_samples}", f"parallel={self.parallel}"])

    def _given(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Samples:
        """The values of the latent sites, from the samples or from the guide."""
        if self.guide is None:
            return self.posterior_samples
        return self._run(self.guide, {}, _returned, args, kwargs, pad=False)

    def _run(
        self,
        model: Model,
        given: Samples,
        wanted: Callable[[poutine.Trace], list[str]],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        pad: bool = True,
    ) -> Samples:
        """Return the wanted sites of a model run at each of the given draws."""

        def execute(draw: Samples) -> poutine.Trace:
            return _trace(model, draw, args, kwargs, self.labels)

        first = execute(_first(given))
        names = wanted(first)
        data = _same_in_all(first, names, lambda: execute(_first(given)))
        drawn = [name for name in names if name not in data]
        draws = run_draws(
            lambda draw: values_of(execute(draw), drawn),
            given,
            values_of(first, drawn),
            self.num_samples,
            self.parallel,
            self.batch_size,
        )
        draws |= {name: x.expand(self.num_samples, *x.shape) for name, x in data.items()}
        if not pad:
            return draws
        nesting = max_plate_nesting_of(first)
        return {name: _pad(x, first.nodes[name], nesting) for name, x in draws.items()}

    def _wanted(self, first: poutine.Trace) -> list[str]:
        """The names of the sites to return, after a look at the first execution of the model."""
        self._check_samples(first)
        if is_validation_enabled():
            check_counted_once(first)
        known = _returned(first)
        if self.return_sites is None:
            return known
        if not self.return_sites:
            names = [n for n in known if n not in self.posterior_samples or _is_computed(first, n)]
        else:
            names = list(self.return_sites)
            _check_known("return_sites", names, [*known, "_RETURN"])
        self._warn_about_data(first, names)
        return names

    def _check_samples(self, first: poutine.Trace) -> None:
        """Refuse samples of sites that the model does not have, if they are a misspelling."""
        names = self.posterior_samples.keys()
        unused = [name for name in names if name not in first]
        if unused and len(unused) == len(names):
            _check_known("posterior_samples", unused, _returned(first))
        free = [name for name in _returned(first) if name not in names]
        for name in unused:
            if nearest_site(name, free):
                _check_known("posterior_samples", [name], free)
        strange = [name for name in unused if not _is_of_guide(name, list(names))]
        if strange:
            warn(f"posterior_samples of {strange} are unused: the model has no such sites")

    def _warn_about_data(self, first: poutine.Trace, names: list[str]) -> None:
        data = [n for n in names if n in _returned(first) and site_is_data(first.nodes[n])]
        data = [name for name in data if not first.nodes[name]["infer"].get("_given")]
        if data:
            warn(
                f"sites {data} are observed: what is returned are the data, not predictions; leave "
                "the data out of the arguments, or name the sites to predict in return_sites"
            )

    def _vectorized_trace(
        self,
        given: Samples,
        single: poutine.Trace,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
    ) -> poutine.Trace:
        """Return the trace of all draws at once; ``single`` is one of a single execution."""
        nesting = max_plate_nesting_of(single)
        data = {
            name: _unfold(x, single.nodes[name]["fn"].event_dim, nesting)
            for name, x in given.items()
            if name in single and not _is_computed(single, name)
        }

        def over_draws() -> None:
            with plate("_num_predictive_samples", self.num_samples, dim=-nesting - 1):
                self.model(*args, **kwargs)

        conditioned = poutine.condition(_unscored(over_draws), data=data)
        trace: poutine.Trace = prune_subsample_sites(poutine.trace(conditioned).get_trace())
        return trace


def _as_samples(samples: Mapping[str, Any] | None) -> Samples:
    if samples is not None and not isinstance(samples, Mapping):
        raise SiteError(
            f"posterior_samples must be a dict of tensors by site, got {type(samples).__name__}; "
            "pass what its get_samples() returns"
        )
    return {name: torch.as_tensor(x) for name, x in (samples or {}).items()}


def _number_of_draws(samples: Mapping[str, Tensor], num_samples: int | None) -> int:
    """The leading size of all samples, or the number asked for where there are none."""
    if num_samples is not None:
        num_samples = positive_int("num_samples", num_samples, at_least=0)
    if not samples:
        if num_samples is None:
            raise SiteError("Predictive needs posterior_samples or num_samples")
        return num_samples
    for name, x in samples.items():
        if x.dim() == 0:
            raise ShapeError(f"posterior_samples: {name!r} is a number; its first dim are draws")
    sizes = {name: x.shape[0] for name, x in samples.items()}
    if len(set(sizes.values())) > 1:
        raise ShapeError(f"posterior_samples differ in their number of draws: {sizes}")
    found = next(iter(sizes.values()))
    if num_samples not in (None, found):
        warn(f"num_samples={num_samples} is ignored: posterior_samples hold {found} draws")
    return found


def _unscored(model: Model) -> Model:
    """A model whose sites are drawn but never scored."""
    unscored: Model = poutine.mask(model, mask=False)
    return unscored


def _same_in_all(
    first: poutine.Trace, names: Sequence[str], again: Callable[[], poutine.Trace]
) -> Samples:
    """Return the observations that are one tensor in all executions, and need no copies."""
    data = [n for n in names if first.nodes[n]["type"] == "sample" and site_is_data(first.nodes[n])]
    data = [n for n in data if not first.nodes[n]["infer"].get("_given")]
    if not data:
        return {}
    state = get_rng_state()
    second = again()
    set_rng_state(state)
    return {n: x for n, x in values_of(first, data).items() if second.nodes[n]["value"] is x}


def _trace(
    model: Model,
    draw: Samples,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    labels: Mapping[str, Sequence[Any]] | None = None,
) -> poutine.Trace:
    """Return the trace of the model at one draw."""
    with AtDraw(draw, labels):
        trace: poutine.Trace = poutine.trace(_unscored(model)).get_trace(*args, **kwargs)
    return prune_subsample_sites(trace)  # type: ignore[no-any-return]


def _first(given: Samples) -> Samples:
    return {name: x[0] for name, x in given.items() if len(x)}


def _returned(trace: poutine.Trace) -> list[str]:
    """The sample sites that a user thinks of: neither plates nor factors."""
    sites = prune_subsample_sites(trace).nodes.items()
    return [n for n, site in sites if site["type"] == "sample" and not site_is_factor(site)]


def _is_computed(trace: poutine.Trace, name: str) -> bool:
    """Whether a site is deterministic."""
    return name in trace and bool(trace.nodes[name].get("infer", {}).get("_deterministic"))


def _is_of_guide(name: str, names: list[str]) -> bool:
    """Whether a sample is one of those that automatic guides make beside the model's."""
    return name.startswith("_") or name.removesuffix("_unconstrained") in names


def _check_known(argument: str, names: Sequence[str], known: Sequence[str]) -> None:
    for name in names:
        if name not in known:
            raise MissingSiteError(
                f"{argument}: the model has no site {name!r}{nearest_site(name, known)}; with "
                f"these arguments it has {sorted(known)}",
                site=name,
            )


def _pad(draws: Tensor, site: dict[str, Any], nesting: int) -> Tensor:
    """Put a dimension of size 1 after the draws for each plate that a site is not in."""
    if site["type"] != "sample":
        return draws
    missing = nesting - len(getattr(site["fn"], "batch_shape", (0,) * nesting))
    return draws.reshape(draws.shape[:1] + (1,) * missing + draws.shape[1:])


def _unfold(draws: Tensor, event_dim: int, nesting: int) -> Tensor:
    """Put a dimension of size 1 between draws and batch for each plate that a site is not in."""
    batch_dim = draws.dim() - 1 - event_dim
    return draws.reshape(draws.shape[:1] + (1,) * (nesting - batch_dim) + draws.shape[1:])


def __getattr__(name: str) -> object:
    """Return what derives from :class:`Predictive` and is imported from here, too."""
    from . import mh_resampler, weighed_predictive  # which need this module

    homes = {
        "MHResampler": mh_resampler,
        "WeighedPredictive": weighed_predictive,
        "WeighedPredictiveResults": weighed_predictive,
    }
    if name in homes:
        return getattr(homes[name], name)
    return misspelt(__name__)(name)
