"""Where chains start: points at which density and gradient are finite."""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Callable
from typing import TypeVar

import torch
from torch import Tensor

from ppl.errors import NotFiniteError
from ppl.infer.initialization import Strategy, init_to_uniform
from ppl.infer.layout import Layout
from ppl.infer.mcmc.target.evaluation import vmap_potential
from ppl.infer.mcmc.target.faults import described, is_numerical, is_of_point
from ppl.infer.mcmc.target.potential import ModelPotential, Params, flat
from ppl.validation import validation_enabled

MAX_TRIES = 100
FEW_TRIES = 10  # that all fail with the same error, which may well be a mistake in the program
MAX_CAUSES = 3  # that a message lists
Result = TypeVar("Result")
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


def first_start(execute: Callable[[], Result], faults: Callable[[], list[str]]) -> Result:
    """Return what an execution of a model gives at the first point where it succeeds.

    Args:
        execute: Executes the model at a point drawn anew.
        faults: Says why the last point has no density.

    Raises:
        NotFiniteError: If there is no such point; says what was wrong how often.
        Exception: That of the model, if it is the same at every point, or a mistake in the program.
    """
    causes: Counter[str] = Counter()
    errors: list[tuple[type, str]] = []
    while True:
        try:
            return execute()
        except Exception as error:
            if not is_of_point(error):
                raise
            causes["; ".join(faults()) or described(error)] += 1
            errors.append((type(error), str(getattr(error, "site", error))))
            is_same = len(set(errors)) == 1
            if is_same and len(errors) >= (MAX_TRIES if is_numerical(error) else FEW_TRIES):
                raise
            if len(errors) >= MAX_TRIES:
                raise NotFiniteError(no_start(causes)) from error


def find_initial_points(
    draw_starts: DrawStarts, potential: ModelPotential, num_chains: int
) -> Samples:
    """Return starting points, ``(chain, *site)``, at which density and gradient are finite.

    All are tested at once; those that fail are drawn again.

    Raises:
        NotFiniteError: If a chain has none after `MAX_TRIES` draws.
    """
    params = draw_starts(num_chains)
    layout = Layout.of({name: x[0] for name, x in params.items()})
    position = layout.pack(params, batch_dim=1)
    failing = torch.arange(num_chains, device=position.device)
    failed: list[Samples] = []
    for _ in range(MAX_TRIES):
        failing = failing[~_is_finite(flat(potential, layout), position[failing])]
        if not len(failing):
            return layout.unpack(position)
        failed.append(layout.unpack(position[failing[0]].clone()))
        position[failing] = layout.pack(draw_starts(len(failing)), batch_dim=1)
    raise NotFiniteError(no_start(Counter(cause_of(potential, point) for point in failed)))


def no_start(causes: Counter[str]) -> str:
    """Say that no starting point was found, and what was wrong how often."""
    found = "; ".join(
        f"{cause} ({number} times)" for cause, number in causes.most_common(MAX_CAUSES)
    )
    return (
        f"no starting point found in {sum(causes.values())} tries: {found}; check the model there, "
        "or pass initial_params or another init_strategy"
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
    value, gradient = vmap_potential(potential)(position)
    return value.isfinite() & gradient.isfinite().all(-1)


def cause_of(potential: ModelPotential, params: Params) -> str:
    """Say why a model has no density or no gradient at unconstrained values by site."""
    return "; ".join(potential.faults(params)) or "the gradient is not finite"
