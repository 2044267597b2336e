"""Arguments of the driver that depend on each other, checked."""

from __future__ import annotations

import inspect
import os
from pathlib import Path
from typing import Any

from ppl.errors import ArgumentError, ArgumentTypeError, ShapeError
from ppl.infer.mcmc import arguments
from ppl.infer.mcmc.mcmc_kernel import MCMCKernel
from ppl.infer.mcmc.target.potential import Params


def thinning_of(thinning: Any, num_samples: int) -> int:
    """Return a thinning that keeps a draw."""
    number = arguments.whole_number("thinning", thinning, 1)
    if number > num_samples:
        raise ArgumentError(
            f"thinning must lie in 1 ... num_samples={num_samples}, got {number}: no draw is kept"
        )
    return number


def processes_of(num_processes: Any, num_chains: int) -> int:
    """Return a number of processes that divides the chains."""
    number = arguments.whole_number("num_processes", num_processes, 1)
    if num_chains % number:
        raise ArgumentError(
            f"num_chains must be a multiple of num_processes={number}, for batches of one size, "
            f"got {num_chains}"
        )
    return number


def takes_argument(kernel: MCMCKernel, name: str) -> bool:
    """Return whether a kernel's model has an argument of this name."""
    model = getattr(kernel, "model", None)
    parameters = {} if model is None else inspect.signature(model).parameters
    return name in parameters or any(p.kind is p.VAR_KEYWORD for p in parameters.values())


def folder_of(checkpoint: Any) -> Path | None:
    """Return the path of a folder."""
    if checkpoint is None or isinstance(checkpoint, (str, os.PathLike)):
        return None if checkpoint is None else Path(checkpoint)
    raise ArgumentTypeError(f"checkpoint must be the path of a folder, got {checkpoint!r}")


def starts_of(initial_params: Any, num_chains: int) -> Params | None:
    """Return starting points that have a row for each chain."""
    starts = arguments.start_values(initial_params)
    if num_chains == 1:
        return starts
    for name, value in (starts or {}).items():
        if value.dim() == 0 or value.shape[0] != num_chains:
            raise ShapeError(
                f"initial_params[{name!r}] has shape {tuple(value.shape)}, but with "
                f"num_chains={num_chains} its first dimension must be {num_chains}: one starting "
                "point for each chain"
            )
    return starts
