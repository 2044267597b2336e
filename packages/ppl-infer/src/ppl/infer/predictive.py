"""Draws from the prior, posterior or variational predictive distribution of a model."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

import ppl.poutine as poutine
from ppl.errors import ShapeError, SiteError, warn
from ppl.poutine.util import prune_subsample_sites, site_is_factor
from ppl.primitives import plate

from .util import max_plate_nesting_of

Samples = dict[str, Tensor]
Model = Callable[..., Any]


class Predictive(torch.nn.Module):
    """Runs a model at posterior samples and returns its other sites.

    Called with the arguments of the model. By default it returns draws of the sample sites that are
    not in ``posterior_samples``: what is predicted, of shape ``(draw, *site)``. An observed site is
    returned as observed; to predict it, leave its observation out of the arguments or use
    ``poutine.uncondition``.

    Args:
        model: The model.
        posterior_samples: Constrained samples by site, each of shape ``(draw, *site)``.
        guide: A guide to draw the latent sites from, instead of ``posterior_samples``.
        num_samples: The number of draws; by default that of ``posterior_samples``.
        return_sites: Names of the sites to return; None for all of them.
        parallel: Run the model once with all draws along an extra plate; the model must broadcast
            over dimensions to the left.

    Raises:
        SiteError: If neither samples nor their number are given, or both samples and a guide.
        ShapeError: If the samples of two sites differ in number.

    Example:
        >>> import ppl.distributions as dist
        >>> from ppl.primitives import sample
        >>> def model():
        ...     z = sample("z", dist.Normal(0.0, 1.0))
        ...     sample("x", dist.Normal(z, 1.0))
        >>> {name: tuple(x.shape) for name, x in Predictive(model, {"z": torch.zeros(7)})().items()}
        {'x': (7,)}
    """

    def __init__(
        self,
        model: Model,
        posterior_samples: Mapping[str, Tensor] | None = None,
        guide: Model | None = None,
        num_samples: int | None = None,
        return_sites: Sequence[str] | None = (),
        parallel: bool = False,
    ) -> None:
        super().__init__()
        if posterior_samples and guide is not None:
            raise SiteError("Predictive takes posterior_samples or a guide, not both")
        self.model, self.guide, self.parallel = model, guide, parallel
        self.posterior_samples = dict(posterior_samples or {})
        self.num_samples = _number_of_draws(self.posterior_samples, num_samples)
        self.return_sites = return_sites

    def forward(self, *args: Any, **kwargs: Any) -> Samples:
        """Return draws of the sites by name, each of shape ``(draw, *site)``."""
        given = self.posterior_samples
        if self.guide is not None:
            given = self._run(self.guide, {}, None, args, kwargs)
        names = self.return_sites
        if names is not None and not names:
            return self._run(
                self.model, given, lambda name: name not in self.posterior_samples, args, kwargs
            )
        return self._run(
            self.model, given, lambda name: names is None or name in names, args, kwargs
        )

    def call(self, *args: Any, **kwargs: Any) -> tuple[Tensor, ...]:
        """Return what :meth:`forward` returns as a tuple, in the order of the names."""
        draws = self(*args, **kwargs)
        return tuple(draws[name] for name in sorted(draws))

    def get_samples(self, *args: Any, **kwargs: Any) -> Samples:
        """Return what :meth:`forward` returns (its former name)."""
        return self.forward(*args, **kwargs)

    def get_vectorized_trace(self, *args: Any, **kwargs: Any) -> poutine.Trace:
        """Return the one trace in which all draws lie along an extra plate on the left."""
        given = self.posterior_samples
        if self.guide is not None:
            given = self._run(self.guide, {}, None, args, kwargs)
        single = _single_trace(self.model, args, kwargs)
        return self._vectorized_trace(self.model, given, single, args, kwargs)

    @torch.no_grad()
    def _run(
        self,
        model: Model,
        given: Samples,
        wanted: Callable[[str], bool] | None,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
    ) -> Samples:
        """Return the wanted sites of the model run at each of the given draws."""
        run = self._run_parallel if self.parallel else self._run_one_by_one
        draws = run(model, given, args, kwargs)
        return {name: x for name, x in draws.items() if wanted is None or wanted(name)}

    def _run_one_by_one(
        self, model: Model, given: Samples, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Samples:
        draws: dict[str, list[Tensor]] = {}
        for i in range(self.num_samples):
            at_draw = poutine.condition(
                _unscored(model), data={name: x[i] for name, x in given.items()}
            )
            for name, site in _returned(poutine.trace(at_draw).get_trace(*args, **kwargs)):
                draws.setdefault(name, []).append(site["value"])
        return {name: torch.stack(values) for name, values in draws.items()}

    def _run_parallel(
        self, model: Model, given: Samples, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Samples:
        single = _single_trace(model, args, kwargs)
        trace = self._vectorized_trace(model, given, single, args, kwargs)
        return {
            name: _fold(site["value"], self.num_samples, single.nodes[name]["value"].shape)
            for name, site in _returned(trace)
        }

    def _vectorized_trace(
        self,
        model: Model,
        given: Samples,
        single: poutine.Trace,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
    ) -> poutine.Trace:
        """Return the trace of all draws at once; ``single`` is one of a single execution."""
        nesting = max_plate_nesting_of(single)
        data = {
            name: _unfold(x, single.nodes[name]["fn"].event_dim if name in single else 0, nesting)
            for name, x in given.items()
        }

        def over_draws() -> None:
            with plate("_num_predictive_samples", self.num_samples, dim=-nesting - 1):
                model(*args, **kwargs)

        conditioned = poutine.condition(_unscored(over_draws), data=data)
        trace: poutine.Trace = prune_subsample_sites(poutine.trace(conditioned).get_trace())
        return trace


def _number_of_draws(samples: Mapping[str, Tensor], num_samples: int | None) -> int:
    """The leading size of all samples, or the number asked for where there are none."""
    if not samples:
        if num_samples is None:
            raise SiteError("Predictive needs posterior_samples or num_samples")
        return num_samples
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


def _single_trace(model: Model, args: tuple[Any, ...], kwargs: dict[str, Any]) -> poutine.Trace:
    """One execution, unseen by handlers further out, that tells the plates and shapes of sites."""
    with poutine.block(), torch.no_grad():
        trace: poutine.Trace = poutine.trace(_unscored(model)).get_trace(*args, **kwargs)
    return trace


def _returned(trace: poutine.Trace) -> list[tuple[str, dict[str, Any]]]:
    """The sample sites that a user thinks of: neither plates nor factors."""
    trace = prune_subsample_sites(trace)
    return [
        (name, site)
        for name, site in trace.nodes.items()
        if site["type"] == "sample" and not site_is_factor(site)
    ]


def _unfold(draws: Tensor, event_dim: int, nesting: int) -> Tensor:
    """Put a dimension of size 1 between draws and batch for each plate that a site is not in."""
    batch_dim = draws.dim() - 1 - event_dim
    return draws.reshape(draws.shape[:1] + (1,) * (nesting - batch_dim) + draws.shape[1:])


def _fold(value: Tensor, num_samples: int, site_shape: torch.Size) -> Tensor:
    """Undo :func:`_unfold`; a site that does not depend on the draws is repeated."""
    if value.numel() == site_shape.numel() and value.shape[:1] != (num_samples,):
        return value.reshape(site_shape).expand((num_samples, *site_shape))
    return value.reshape((num_samples, *site_shape))
