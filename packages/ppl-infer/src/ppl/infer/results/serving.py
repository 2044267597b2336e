"""Predictions as a program of torch alone, in a file that needs no source of the model."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from os import PathLike, fspath
from typing import Any

import torch
from torch import Tensor
from torch.fx.experimental.proxy_tensor import make_fx
from torch.utils._pytree import tree_flatten, tree_unflatten

import ppl.poutine as poutine
from ppl.errors import ArgumentError, UnsupportedModelError

from ..predictive import Predictive
from .posterior import Posterior

Samples = dict[str, Tensor]


class Served(torch.nn.Module):
    """The predictive of a posterior as a recorded program, whose draws are buffers.

    Args:
        graph: From draws and the tensors among the arguments to predictions.
        draws: By buffer, shape ``(draw, *site)``.
    """

    def __init__(self, graph: torch.fx.GraphModule, draws: Samples) -> None:
        super().__init__()
        # not called graph, a name that a GraphModule, of which it becomes a part, has taken
        self.program: torch.fx.GraphModule = graph
        for name, x in draws.items():
            self.register_buffer(name, x)
        self._names = list(draws)

    def forward(self, *args: Any, **kwargs: Any) -> Samples:
        """Return predictions by site, shape ``(draw, *site)``."""
        draws = [getattr(self, name) for name in self._names]
        found: Samples = self.program(draws, _tensors((args, kwargs)))
        return found


def export(
    posterior: Posterior,
    path: str | PathLike[str],
    args: tuple[Any, ...] = (),
    kwargs: Mapping[str, Any] | None = None,
    return_sites: Sequence[str] | None = (),
    num_draws: int | None = None,
) -> None:
    """Write the predictions of a posterior as a program for ``torch.export.load``.

    Args:
        posterior: The posterior.
        path: The file, whose name ends in ``.pt2``.
        args: Arguments of the model like those that are served: tensors of these shapes.
        kwargs: Its keyword arguments.
        return_sites: The sites to predict; by default those that are not inferred.
        num_draws: How many of the draws; by default all.

    Raises:
        ArgumentError: If the name of the file does not end in ``.pt2``.
        UnsupportedModelError: If the model cannot be recorded, such as with a branch on a value.

    References:
        ``torch.export``, https://docs.pytorch.org/docs/stable/export.html
    """
    if not fspath(path).endswith(".pt2"):
        raise ArgumentError(f"the name of the file must end in .pt2, got {fspath(path)!r}")
    model = poutine.uncondition(posterior._model("serve predictions"))
    arguments = (args, dict(kwargs or {}))
    predictive = posterior.resampled(num_draws)._predictive(model, return_sites)
    draws = served_draws(posterior, num_draws)
    names = dict(zip(draws, predictive.posterior_samples, strict=True))
    try:
        with torch.no_grad():
            graph = _recorded(predictive, names, draws, arguments)
            program = torch.export.export(Served(graph, draws), args, arguments[1], strict=False)
    except Exception as error:
        raise UnsupportedModelError(
            "the model cannot be recorded as a program of torch; where it needs no branch on a "
            f"value and no numbers from elsewhere, it can: {error}"
        ) from error
    torch.export.save(program, path)


def served_draws(posterior: Posterior, num_draws: int | None = None) -> Samples:
    """Return the draws as the buffers of a served program, a part of its state dict.

    Args:
        posterior: The posterior.
        num_draws: How many, as many as were exported; by default all.
    """
    equal = posterior.resampled(num_draws)
    given = {n: x.flatten(0, 1).contiguous() for n, x in equal.latent_draws().items()}
    names = [re.sub(r"\W", "_", f"draws_{name}") for name in given]
    if len(set(names)) < len(names):
        names = [f"{name}_{i}" for i, name in enumerate(names)]
    return dict(zip(names, given.values(), strict=True))


def _recorded(
    predictive: Predictive,
    names: Mapping[str, str],
    draws: Samples,
    arguments: tuple[Any, ...],
) -> torch.fx.GraphModule:
    """Return what the predictive does to draws and tensors, recorded by running it once."""
    at_draws = predictive.at_draws(*arguments)
    leaves, spec = tree_flatten(arguments)

    def run(given: list[Tensor], tensors: list[Tensor]) -> Samples:
        rest = iter(tensors)
        filled = [next(rest) if isinstance(leaf, Tensor) else leaf for leaf in leaves]
        args, kwargs = tree_unflatten(filled, spec)
        return at_draws(dict(zip(names.values(), given, strict=True)), args, kwargs)

    return make_fx(run)(list(draws.values()), _tensors(arguments))


def _tensors(arguments: Any) -> list[Tensor]:
    return [leaf for leaf in tree_flatten(arguments)[0] if isinstance(leaf, Tensor)]
