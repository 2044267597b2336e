"""Posteriors in files: netCDF or Zarr, which other programs read and which execute no code."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from os import PathLike, fspath
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

import ppl.poutine as poutine
from ppl.errors import ArgumentError, FileFormatError

from ..diagnostics import Verdict
from .export import NAMES, Groups, import_xarray, imported, to_datatree, variable
from .posterior import Posterior, Samples
from .sites import Model, Sites, look, sites_of

FORMAT = 1  # of the attributes below
OWN = "ppl"  # the attribute that holds what ArviZ does not know
WEIGHTS = "log_weight"
HISTORY = "ppl_history"


def save(posterior: Posterior, path: str | PathLike[str]) -> None:
    """Write a posterior: draws, weights, statistics, data, names of dimensions and the verdict.

    Args:
        posterior: The posterior.
        path: The file, of netCDF; or a folder of Zarr, if the name ends in ``.zarr``.

    Raises:
        MissingDistributionError: If xarray, h5netcdf or zarr is not installed.
    """
    xr = import_xarray()
    plain = replace(posterior, log_weights=None)  # which the tree would resample
    tree = to_datatree(plain, log_likelihood=False)
    groups = {f"/{name}": node.to_dataset() for name, node in tree.children.items()}
    if posterior.log_weights is not None:
        weights = {WEIGHTS: posterior.log_weights}
        extra = Groups(plain, {}, {}).dataset(weights, ("chain", "draw"))
        groups["/sample_stats"] = groups.get("/sample_stats", extra).assign(extra)
    if posterior.history:
        groups[f"/{HISTORY}"] = Groups(plain, {}, {}).dataset(posterior.history)
    groups["/posterior"].attrs[OWN] = json.dumps(_record(posterior))
    whole = xr.DataTree.from_dict(groups)
    if fspath(path).endswith(".zarr"):
        imported("zarr", "zarr")
        whole.to_zarr(path, mode="w", zarr_format=2)  # the one that has words
    else:
        imported("h5netcdf", "save")
        whole.to_netcdf(path, engine="h5netcdf")


def save_predictions(
    posterior: Posterior,
    path: str | PathLike[str],
    args: tuple[Any, ...],
    kwargs: Mapping[str, Any],
    return_sites: Sequence[str] | None,
    num_draws: int | None,
    batch_size: int,
) -> None:
    """Write predictions to a folder of Zarr, with only a batch of draws in memory.

    Args:
        posterior: The posterior.
        path: The folder, whose name ends in ``.zarr``.
        args: Arguments of the model.
        kwargs: Its keyword arguments.
        return_sites: The sites to predict.
        num_draws: How many of the draws.
        batch_size: How many to make at once.

    Raises:
        ArgumentError: If the name of the folder does not end in ``.zarr``.
        MissingDistributionError: If xarray or zarr is not installed.
    """
    if not fspath(path).endswith(".zarr"):
        raise ArgumentError(f"the name of the folder must end in .zarr, got {fspath(path)!r}")
    imported("zarr", "zarr")
    model = poutine.uncondition(posterior._model("predict"))
    equal = posterior.resampled(num_draws)
    predictive = equal._predictive(model, return_sites)
    here = sites_of(look(model, args, kwargs, equal._first(), equal.sites.coords))
    groups = Groups(replace(equal, sites=here), {}, {})
    is_first = True
    for batch in predictive.batches(*args, batch_size=batch_size, **kwargs):
        values = {name: x.reshape(len(x), *_own_shape(here, name, x)) for name, x in batch.items()}
        data = groups.dataset(values, ("draw",)).drop_vars("draw")
        if is_first:
            data.to_zarr(path, mode="w", zarr_format=2)
        else:
            labels = [name for name in data.coords if name != "draw"]
            data.drop_vars(labels).to_zarr(path, append_dim="draw", zarr_format=2)
        is_first = False


def _own_shape(sites: Sites, name: str, x: Tensor) -> tuple[int, ...]:
    """Return the shape of a site without the ones that predictions have for plates outside."""
    own = len(sites.axes.get(name, x.shape[1:]))
    return tuple(x.shape[x.dim() - own :])


def load(
    path: str | PathLike[str],
    model: Model | None = None,
    args: tuple[Any, ...] = (),
    kwargs: Mapping[str, Any] | None = None,
) -> Posterior:
    """Return the posterior of a file that :func:`save` has written.

    Args:
        path: The file.
        model: The model.
        args: The arguments it was fitted with.
        kwargs: Its keyword arguments.

    Raises:
        FileFormatError: If the file is of another kind.
        FileNotFoundError: If there is none.
    """
    groups = _read(path)
    posterior = groups["posterior"]
    if OWN not in posterior.attrs:
        raise FileFormatError(
            f"{fspath(path)!r} holds a posterior that was not written by Posterior.save; read it "
            "with ArviZ, and make one by Posterior.from_draws"
        )
    record = json.loads(posterior.attrs[OWN])
    if record["format"] > FORMAT:
        raise FileFormatError(
            f"{fspath(path)!r} was written by a later version of ppl-infer: pip install --upgrade "
            "ppl-infer"
        )
    draws = _tensors(posterior)
    statistics = _tensors(groups["sample_stats"]) if "sample_stats" in groups else {}
    statistics = {record["statistics"].get(name, name): x for name, x in statistics.items()}
    if "lp" in statistics:
        statistics["potential_energy"] = -statistics.pop("lp")
    weights = statistics.pop(WEIGHTS, None)
    labels = {str(n): c.values.tolist() for data in groups.values() for n, c in data.coords.items()}
    plates = {n: labels[variable(n)] for n in record["sites"]["plates"] if variable(n) in labels}
    sites = _sites(record["sites"], plates)
    names = {variable(name): name for name in sites.axes}
    observed = _tensors(groups["observed_data"]) if "observed_data" in groups else {}
    observed = {names.get(name, name): x for name, x in observed.items()}
    found = Posterior(
        {name: draws[variable(name)] for name in record["names"]},
        record["method"],
        model,
        args,
        dict(kwargs or {}),
        weights,
        statistics,
        _tensors(groups[HISTORY]) if HISTORY in groups else {},
        record["facts"],
        record["are_chains"],
        replace(sites, observed=observed),
        _Remembered(Verdict(**{n: _tupled(x) for n, x in record["verdict"].items()})),
    )
    if model is None or not (args or kwargs):
        return found
    return replace(found, sites=sites_of(look(model, args, kwargs, found._first())))


class _Remembered:
    """The verdict that was given before the posterior was saved."""

    def __init__(self, verdict: Verdict) -> None:
        self.verdict = verdict

    def __call__(self, posterior: Posterior) -> Verdict:
        return self.verdict


def _record(posterior: Posterior) -> dict[str, Any]:
    """Return what ArviZ's groups have no place for, as plain values."""
    sites = asdict(replace(posterior.sites, observed={}, coords={}))  # which the groups have
    return {
        "format": FORMAT,
        "method": posterior.method,
        "names": list(posterior.draws),
        "facts": dict(posterior.facts),
        "are_chains": posterior.are_chains,
        "sites": sites,
        "statistics": {called: name for name, called in NAMES.items()},
        "verdict": asdict(posterior.diagnose()),
    }


def _read(path: str | PathLike[str]) -> dict[str, Any]:
    if not Path(path).exists():
        raise FileNotFoundError(f"there is no file {fspath(path)!r}")
    xr = import_xarray()
    engine = "zarr" if fspath(path).endswith(".zarr") else "h5netcdf"
    try:
        with xr.open_datatree(path, engine=engine) as tree:
            groups = {name: node.to_dataset().load() for name, node in tree.children.items()}
    except (OSError, ValueError, KeyError) as error:
        raise FileFormatError(
            f"{fspath(path)!r} is no file that xarray reads as {engine}: {error}"
        ) from error
    if "posterior" not in groups:
        raise FileFormatError(f"{fspath(path)!r} has no group 'posterior', only {sorted(groups)}")
    return groups


def _tensors(dataset: Any) -> Samples:
    return {str(n): _tensor(array.values) for n, array in dataset.data_vars.items()}


def _tensor(values: Any) -> Tensor:
    return torch.as_tensor(np.ascontiguousarray(values))


def _sites(record: dict[str, Any], labels: dict[str, list[Any]]) -> Sites:
    """Return the sites of a record, whose tuples JSON has made lists."""
    axes = {name: tuple(names) for name, names in record["axes"].items()}
    latent, computed = tuple(record["latent"]), tuple(record["computed"])
    return Sites(latent, computed, {}, axes, labels, record["plates"])


def _tupled(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value
