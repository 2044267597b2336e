"""Where chains start: points at which density and gradient are finite."""

from __future__ import annotations

import functools
from collections.abc import Callable

import torch
from torch import Tensor

from ppl.errors import NotFiniteError
from ppl.infer.initialization import Strategy, init_to_uniform
from ppl.infer.mcmc.layout import Layout
from ppl.infer.mcmc.potential import ModelPotential, Params, at_once, flat
from ppl.validation import validation_enabled

MAX_TRIES = 100
Samples = dict[str, Tensor]
DrawStarts = Callable[[int], Samples]
"""Draws so many starting points: unconstrained values by site, ``(chain, *site)``."""


def uniform_starts(strategy: Strategy, like: Params) -> DrawStarts | None:
    """Return what draws starting points at once, if the strategy is uniform; None if it is not.

    The points are uniform on the unconstrained scale of the sampler.

    Args:
        strategy: How to start.
        like: Unconstrained values by site, of the shapes and dtypes that are wanted.
    """
    if strategy is init_to_uniform:
        strategy = init_to_uniform()
    if not isinstance(strategy, functools.partial) or strategy.func is not init_to_uniform:
        return None
    radius = strategy.keywords["radius"]
    return lambda num: {
        n: x.new_empty((num, *x.shape)).uniform_(-radius, radius) for n, x in like.items()
    }


def single_starts(draw: Callable[[], Samples]) -> DrawStarts:
    """Return what draws starting points one by one."""

    def draw_starts(num: int) -> Samples:
        points = [draw() for _ in range(num)]
        return {name: torch.stack([point[name] for point in points]) for name in points[0]}

    return draw_starts


def find_starts(draw_starts: DrawStarts, potential: ModelPotential, num_chains: int) -> Samples:
    """Return starting points, ``(chain, *site)``, at which density and gradient are finite.

    All are tested at once; those that fail are drawn again.

    Raises:
        NotFiniteError: If a chain has none after `MAX_TRIES` draws.
    """
    params = draw_starts(num_chains)
    layout = Layout.of({name: x[0] for name, x in params.items()})
    position = layout.pack(params, batch_dim=1)
    failing = torch.arange(num_chains, device=position.device)
    for _ in range(MAX_TRIES):
        failing = failing[~_is_finite(flat(potential, layout), position[failing])]
        if not len(failing):
            return layout.unpack(position)
        last = layout.unpack(position[failing[0]])
        position[failing] = layout.pack(draw_starts(len(failing)), batch_dim=1)
    raise NotFiniteError(
        f"no starting point found in {MAX_TRIES} tries: {cause_of(potential, last)}; check the "
        "model there, or pass initial_params or another init_strategy"
    )


def check_start(
    potential: Callable[[Tensor], Tensor],
    position: Tensor,
    cause: Callable[[Tensor], str] = lambda position: "the potential or its gradient is not finite",
) -> None:
    """Check that chains can start at positions, ``(chain, dim)``, that were given.

    Args:
        potential: Maps a position ``(dim,)`` to the potential energy.
        position: Where the chains shall start.
        cause: Says what is wrong at a position.

    Raises:
        NotFiniteError: If density or gradient is not finite there.
    """
    failing = ~_is_finite(potential, position)
    if bool(failing.any()):
        chain = int(failing.nonzero()[0])
        raise NotFiniteError(
            f"initial_params of chain {chain}: {cause(position[chain])}; start where the density "
            "is positive, or leave them out"
        )


@validation_enabled(False)
def _is_finite(potential: Callable[[Tensor], Tensor], position: Tensor) -> Tensor:
    value, gradient = at_once(potential)(position)
    return value.isfinite() & gradient.isfinite().all(-1)


@validation_enabled(False)
def cause_of(potential: ModelPotential, params: Params) -> str:
    """Say why a model has no density or no gradient at unconstrained values by site."""
    sites = potential.not_finite(params)
    what = f"the log density of the sites {sites}" if sites else "the gradient"
    return f"{what} is not finite"
