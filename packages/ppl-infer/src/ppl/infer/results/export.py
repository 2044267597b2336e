"""Posteriors as xarray's DataTree and ArviZ's InferenceData, with dimensions from plates."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from importlib import import_module
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from ppl.errors import MissingDistributionError, ShapeError, SiteError, warn

from .posterior import Posterior

if TYPE_CHECKING:
    import xarray

Dims = Mapping[str, Sequence[str]]
Coords = Mapping[str, Any]
CHAINS = ("chain", "draw")
MOST_SCORES = 2**27  # a gigabyte, unless more are asked for
NAMES = {"accept_prob": "acceptance_rate", "num_steps": "n_steps"}  # what ArviZ calls them


def to_datatree(
    posterior: Posterior,
    *,
    log_likelihood: bool | None = None,
    posterior_predictive: bool = False,
    prior: int = 0,
    dims: Dims | None = None,
    coords: Coords | None = None,
) -> xarray.DataTree:
    """Return the groups of a posterior, as ArviZ's schema calls them.

    These are ``posterior``, ``sample_stats``, ``log_likelihood``, ``observed_data`` and
    ``constant_data``, and those that are asked for. Weighted draws, which ArviZ does not know, are
    resampled. Dimensions are called after plates, others ``x_dim_0``.

    Args:
        posterior: The posterior.
        log_likelihood: Whether to score all observations at all draws; by default if there are any
            and the model is known.
        posterior_predictive: Whether to predict the observations at all draws.
        prior: How many draws of the prior to make, with their predictions.
        dims: Names of the dimensions of a site, in place of those of its plates.
        coords: Labels of the elements of a dimension, in place of those of its plate.

    Raises:
        MissingDistributionError: If xarray is not installed.
        ShapeError: If names or labels do not fit a site.

    Example:
        >>> draws = {"x": torch.zeros(2, 5, 3)}
        >>> tree = Posterior.from_draws(draws).to_datatree(dims={"x": ["place"]})
        >>> dict(tree["posterior"].sizes)
        {'chain': 2, 'draw': 5, 'place': 3}
    """
    equal = posterior.resampled()
    groups = Groups(equal, dims or {}, coords or {})
    found = {
        "posterior": groups.of_draws(equal.get_samples()),
        "sample_stats": groups.of_statistics(),
        "log_likelihood": groups.scored(log_likelihood),
        "observed_data": groups.dataset(equal.sites.observed),
        "constant_data": groups.dataset(constants_of(equal)),
    }
    if posterior_predictive:
        found["posterior_predictive"] = groups.of_draws(groups.observed_only(equal.predict()))
    if prior:
        drawn = equal.prior(prior)
        latent = {n: x for n, x in drawn.items() if n not in equal.sites.observed}
        found["prior"] = groups.of_draws(latent, (1, prior))
        found["prior_predictive"] = groups.of_draws(groups.observed_only(drawn), (1, prior))
    kept = {name: data for name, data in found.items() if name == "posterior" or len(data)}
    xr = import_xarray()
    tree: xarray.DataTree = xr.DataTree.from_dict({f"/{n}": data for n, data in kept.items()})
    return tree


def to_arviz(posterior: Posterior, **options: Any) -> Any:
    """Return what the installed ArviZ uses: a DataTree, or its InferenceData before 1.0.

    Args:
        posterior: The posterior.
        options: Those of :func:`to_datatree`.

    Raises:
        MissingDistributionError: If ArviZ or xarray is not installed.
    """
    arviz = imported("arviz", "arviz")
    tree = to_datatree(posterior, **options)
    if not hasattr(arviz, "InferenceData"):
        return tree
    return arviz.InferenceData(**{name: node.to_dataset() for name, node in tree.children.items()})


def import_xarray() -> Any:
    """Return the module xarray.

    Raises:
        MissingDistributionError: If it is not installed.
    """
    return imported("xarray", "save")


def imported(name: str, extra: str) -> Any:
    """Return a module that an extra of ppl-infer installs.

    Raises:
        MissingDistributionError: If it is not installed.
    """
    try:
        return import_module(name)
    except ModuleNotFoundError as error:
        raise MissingDistributionError(
            f"this needs {error.name}, which is not installed: pip install 'ppl-infer[{extra}]'"
        ) from error


def constants_of(posterior: Posterior) -> dict[str, Tensor]:
    """Return the tensors among the arguments of the model that are not observed, by name."""
    if posterior.model is None or not (posterior.args or posterior.kwargs):
        return {}
    try:
        signature = inspect.signature(posterior.model)
        bound = signature.bind(*posterior.args, **posterior.kwargs).arguments
    except (TypeError, ValueError):  # a model that takes anything has no names for it
        return {}
    observed = list(posterior.sites.observed.values())
    arrays = {
        n: torch.as_tensor(x) for n, x in bound.items() if isinstance(x, (Tensor, np.ndarray))
    }
    plates = posterior.sites.plates  # xarray takes what is called as its dimension for labels
    return {
        f"{name}_data" if name in plates else name: x
        for name, x in arrays.items()
        if not any(x.shape == y.shape and torch.equal(x, y.to(x)) for y in observed)
    }


def variable(name: str) -> str:
    """Return the name of a site as one of a variable, where / would be a group: ``a.x``."""
    return name.replace("/", ".")


class Groups:
    """Makes datasets of the tensors of one posterior, with its names and labels.

    Args:
        posterior: The posterior.
        dims: Names of the dimensions of sites, in place of those of plates.
        coords: Labels of dimensions, in place of those of plates.
    """

    def __init__(self, posterior: Posterior, dims: Dims, coords: Coords) -> None:
        self.posterior, self.dims = posterior, dims
        self.coords = {**posterior.sites.coords, **coords}

    def of_draws(
        self, values: Mapping[str, Tensor], shape: tuple[int, int] | None = None
    ) -> xarray.Dataset:
        """Return values of shape ``(draw, *site)``, those of all chains, by chain."""
        chains = shape or self.posterior.shape
        grouped = {
            name: x.reshape(*chains, *self._as_declared(name, x.shape[1:]))
            for name, x in values.items()
        }
        return self.dataset(grouped, CHAINS)

    def of_statistics(self) -> xarray.Dataset:
        """Return the statistics of the sampler, with the names that ArviZ has for them."""
        statistics = dict(self.posterior.statistics)
        if "potential_energy" in statistics:
            statistics["lp"] = -statistics.pop("potential_energy")
        return self.dataset({NAMES.get(n, n): x for n, x in statistics.items()}, CHAINS)

    def scored(self, wanted: bool | None) -> xarray.Dataset:
        """Return the log likelihood; where nobody asks for it, as far as there is one."""
        posterior = self.posterior
        if wanted is False or (
            wanted is None and not (posterior.model and posterior.sites.observed)
        ):
            return self.dataset({})
        size = posterior.num_draws * sum(x.numel() for x in posterior.sites.observed.values())
        if wanted is None and size > MOST_SCORES:
            warn(
                f"the group log_likelihood is left out, since it has {size} numbers; ask for it by "
                "log_likelihood=True, or take fewer draws: posterior.resampled(1000)"
            )
            return self.dataset({})
        try:
            values = posterior.log_likelihood()
        except SiteError as error:
            if wanted:
                raise
            warn(f"the group log_likelihood is left out: {error}")
            return self.dataset({})
        return self.of_draws({name: x.double() for name, x in values.items()})

    def observed_only(self, drawn: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return the predictions of what was observed."""
        return {name: x for name, x in drawn.items() if name in self.posterior.sites.observed}

    def dataset(
        self, values: Mapping[str, Tensor], leading: tuple[str, ...] = ()
    ) -> xarray.Dataset:
        """Return values by name as arrays with named dimensions, the leading ones as given."""
        xr = import_xarray()
        arrays, used = {}, set()
        for name, x in values.items():
            axes = (*leading, *self._axes(name, x.shape[len(leading) :]))
            arrays[variable(name)] = (axes, x.detach().cpu().numpy())
            used |= set(axes)
        if len(arrays) < len(values):
            raise SiteError(
                f"sites whose names differ in / and . only are one in files: {[*values]}"
            )
        coords = {variable(n): x for n, x in self.coords.items() if variable(n) in used}
        for name in leading if values else ():
            size = next(iter(values.values())).shape[leading.index(name)]
            coords[name] = np.arange(size)
        try:
            dataset: xarray.Dataset = xr.Dataset(arrays, coords, _attributes(self.posterior))
        except ValueError as error:
            raise ShapeError(f"dims or coords do not fit the sites: {error}") from error
        return dataset

    def _axes(self, name: str, shape: Sequence[int]) -> tuple[str, ...]:
        """Return the names of the dimensions of a value; ``shape`` is without chain and draw."""
        if name in self.dims:
            given = self.dims[name]
            if isinstance(given, str) or len(given) != len(shape):
                raise ShapeError(
                    f"dims[{name!r}] must name each of the dimensions {tuple(shape)}, got {given!r}"
                )
            return tuple(given)
        axes = self.posterior.sites.axes.get(name, ())
        if len(axes) > len(shape):  # log densities have no event dimensions
            axes = axes[: len(shape)]
        if len(axes) < len(shape):
            axes = (*self._plate_of(name, shape), *axes)[: len(shape)]
        plates = self.posterior.sites.plates
        return tuple(
            f"{variable(name)}_dim_{i}" if plates.get(axis, size) != size else variable(axis)
            for i, (axis, size) in enumerate(zip(axes, shape, strict=True))
        )

    def _plate_of(self, name: str, shape: Sequence[int]) -> list[str]:
        """Return names for the dimensions of data: the one plate that has the size of the first."""
        names = [f"{name}_dim_{i}" for i in range(len(shape))]
        fitting = [plate for plate, size in self.posterior.sites.plates.items() if size == shape[0]]
        return [fitting[0], *names[1:]] if len(fitting) == 1 and shape[0] > 1 else names

    def _as_declared(self, name: str, shape: Sequence[int]) -> Sequence[int]:
        """Return a shape without the leading ones that predictions have for plates outside."""
        axes = self.posterior.sites.axes.get(name)
        extra = 0 if axes is None else max(0, len(shape) - len(axes))
        return shape[extra:] if all(size == 1 for size in shape[:extra]) else shape


def _attributes(posterior: Posterior) -> dict[str, Any]:
    return {
        "inference_library": "ppl-infer",
        "inference_library_version": version("ppl-infer"),
        "creation_library": "ppl-infer",
        "method": posterior.method,
    }
