"""Whether the gradients that inference follows exist and are finite."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

import ppl.poutine as poutine

from .report import Finding, find
from .runs import Program, Run, run


def model_gradients(
    program: Program,
    first: Run,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    is_alone: bool,
) -> Iterator[Finding]:
    """Find where the log density of a model has no gradient, or one that is not finite.

    Args:
        program: The model.
        first: A run of it, at whose values the gradients are taken.
        args: The arguments of the model.
        kwargs: Its keyword arguments.
        is_alone: Whether there is no guide, so that every parameter must matter to the model.
    """
    values = {name: _leaf(site["value"]) for name, site in first.latent.items()}
    leaves = {name: value for name, value in values.items() if value is not None}
    again = run(poutine.substitute(program, data=leaves), args, kwargs)
    if again.error is None and not again.scoring_errors:
        log_density = again.trace.log_prob_sum()
        yield from _findings(log_density, leaves, again)
        yield from _findings(log_density, _param_leaves(again), again, must_matter=is_alone)


def pair_gradients(model: Run, guide: Run) -> Iterator[Finding]:
    """Find parameters without influence on the ELBO, or with a gradient that is not finite."""
    elbo = model.trace.log_prob_sum() - guide.trace.log_prob_sum()
    both = Run(model.trace, {**model.lines, **guide.lines})
    yield from _findings(
        elbo, {**_param_leaves(model), **_param_leaves(guide)}, both, must_matter=True
    )


def _param_leaves(run: Run) -> dict[str, Tensor]:
    leaves = {name: site["value"].unconstrained() for name, site in run.params.items()}
    return {name: leaf for name, leaf in leaves.items() if leaf.requires_grad}


def _findings(
    log_density: Any, leaves: dict[str, Tensor], run: Run, must_matter: bool = False
) -> Iterator[Finding]:
    for name, gradient in zip(leaves, _gradients(log_density, list(leaves.values())), strict=True):
        line = run.lines.get(name)
        if gradient is None and must_matter:
            yield find("PPL501", name, "", line)
        if gradient is not None and not bool(gradient.isfinite().all()):
            yield find("PPL304", name, "with respect to its value", line)


def _gradients(log_density: Any, leaves: list[Tensor]) -> Any:
    if not leaves or not (isinstance(log_density, Tensor) and log_density.requires_grad):
        return [None] * len(leaves)
    return torch.autograd.grad(log_density, leaves, allow_unused=True, retain_graph=True)


def _leaf(value: Any) -> Tensor | None:
    """Return a leaf of the same value, None if gradients make no sense for it."""
    if isinstance(value, Tensor) and value.is_floating_point():
        return value.detach().clone().requires_grad_()
    return None
