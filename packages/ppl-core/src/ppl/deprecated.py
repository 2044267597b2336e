"""Statements of the first releases, kept for the programs that use them."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from typing import Any

from torch.nn import Module

from .errors import warn
from .params import param_with_module_name
from .poutine.handlers import lift
from .poutine.plate_messenger import PlateMessenger
from .primitives import module


def irange(
    name: str,
    size: int | None = None,
    subsample_size: int | None = None,
    subsample: Any = None,
    dim: int | None = None,
) -> PlateMessenger:
    """Return a :class:`ppl.plate` to loop over: its name is ``plate`` now."""
    warn("irange is deprecated; write for i in ppl.plate(...)", DeprecationWarning)
    return PlateMessenger(name, size, subsample_size, subsample, dim)


def iarange(
    name: str,
    size: int | None = None,
    subsample_size: int | None = None,
    subsample: Any = None,
    dim: int | None = None,
) -> PlateMessenger:
    """Return a :class:`ppl.plate` to open as a context: its name is ``plate`` now."""
    warn("iarange is deprecated; write with ppl.plate(...)", DeprecationWarning)
    return PlateMessenger(name, size, subsample_size, subsample, dim)


def random_module(
    name: str, nn_module: Module, prior: Any, *args: Any, **kwargs: Any
) -> Callable[[], Module]:
    """Return a function that samples modules: copies with parameters drawn from a prior.

    Args:
        name: The name of the module; its parameters are the sites ``name$$$parameter``.
        nn_module: An instance, left as it is.
        prior: A distribution or stochastic function for all parameters, or a dict of them by the
            name of the parameter within the module; the others stay parameters.
        args: Further arguments of :func:`ppl.module`.
        kwargs: The same, by keyword.
    """
    warn(
        "random_module is deprecated; give a ppl.nn.PyroModule attributes of type PyroSample",
        FutureWarning,
    )
    if isinstance(prior, Mapping):
        prior = {param_with_module_name(name, path): fn for path, fn in prior.items()}

    def sample_module() -> Module:
        settings = {"update_module_params": True, **kwargs}
        lifted: Module = lift(module, prior=prior)(
            name, copy.deepcopy(nn_module), *args, **settings
        )
        return lifted

    return sample_module
