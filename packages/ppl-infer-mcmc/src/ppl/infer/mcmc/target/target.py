"""What is sampled: a density on flat positions, and the way back to the sites of a model."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.distributions import Transform

from ppl.errors import ArgumentError
from ppl.infer.initialization import Strategy
from ppl.infer.layout import Layout
from ppl.infer.mcmc.target.gradients import warn_of_lost_gradients
from ppl.infer.mcmc.target.initial_points import cause_of, check_start
from ppl.infer.mcmc.target.initialize import check_names, check_precision, initialize_model
from ppl.infer.mcmc.target.mapping import map_draws
from ppl.infer.mcmc.target.potential import Params, PotentialFn, flat

MANY_SITES = 50  # so many come from a loop; in its order its rounds are neighbours
MOST_FAULTS = 32  # points without density that a report looks at


@dataclass(frozen=True)
class Target:
    """A potential energy over flat positions.

    Attributes:
        layout: How the unconstrained sites lie in a position.
        potential: Maps a position ``(dim,)`` to the potential energy ``()``, in nats.
        start: Where the chains start, shape ``(chain, dim)``.
        constrain_one: Maps unconstrained values by site to the values that the user is shown.
        faults: Says why there is no density at unconstrained values by site.
    """

    layout: Layout
    potential: Callable[[Tensor], Tensor]
    start: Tensor
    constrain_one: Callable[[Params], Mapping[str, Tensor]]
    faults: Callable[[Params], list[str]] = lambda params: []

    @classmethod
    def of_model(
        cls,
        model: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: Mapping[str, Any],
        transforms: Mapping[str, Transform] | None,
        init_strategy: Strategy,
        num_chains: int,
        initial_params: Params | None,
        max_plate_nesting: int | None = None,
    ) -> Target:
        """Return the posterior of a model; see :func:`~ppl.infer.mcmc.util.initialize_model`."""
        params, potential, to_unconstrained, prototype = initialize_model(
            model,
            args,
            kwargs,
            transforms,
            max_plate_nesting,
            num_chains=num_chains,
            init_strategy=init_strategy,
            initial_params=initial_params,
        )
        expected = {n: t(prototype.nodes[n]["value"]) for n, t in to_unconstrained.items()}
        layout = Layout.of(expected, is_sorted=len(expected) < MANY_SITES)
        start, potential_of = _start(layout, params, num_chains), flat(potential, layout)
        if not layout.names:
            return cls(layout, _constant(potential_of(start[0])), start, potential.constrain)
        if initial_params is not None:
            check_start(potential_of, start, lambda z: cause_of(potential, layout.unpack(z)))
        warn_of_lost_gradients(potential_of, layout, start[0])
        return cls(layout, potential_of, start, potential.constrain, potential.faults)

    @classmethod
    def of_potential(
        cls,
        potential_fn: PotentialFn,
        transforms: Mapping[str, Transform] | None,
        num_chains: int,
        initial_params: Params | None,
    ) -> Target:
        """Return the density that a potential function of unconstrained values defines."""
        if initial_params is None:
            raise ArgumentError(
                "a kernel with a potential_fn needs initial_params: pass them to MCMC"
            )
        one = {n: x[0] if num_chains > 1 else x for n, x in initial_params.items()}
        check_precision(one)
        layout = Layout.of(one)
        start = _start(layout, initial_params, num_chains)
        check_start(flat(potential_fn, layout), start)
        given = dict(transforms or {})
        check_names("transforms", given, layout.names)

        def constrain_one(params: Params) -> dict[str, Tensor]:
            return {n: given[n].inv(x) if n in given else x for n, x in params.items()}

        return cls(layout, flat(potential_fn, layout), start, constrain_one)

    def faults_at(self, positions: Tensor) -> Counter[str]:
        """Return why there is no density at positions, ``(point, dim)``, and how often.

        Of many positions some are looked at.
        """
        every = max(1, len(positions) // MOST_FAULTS)
        found: Counter[str] = Counter()
        for position in positions[::every]:
            with suppress(Exception):  # this is a report: the run itself has gone well
                found.update(self.faults(self.layout.unpack(position)))
        return found

    def constrain(self, draws: Tensor) -> dict[str, Tensor]:
        """Return the values of the sites, ``(chain, draw, *site)``, from positions.

        The positions have shape ``(chain, draw, dim)``.  Sites that the model computes from others
        (``deterministic``) are among the values.
        """

        if not self.layout.names:
            return {}

        def one(position: Tensor) -> dict[str, Tensor]:
            return dict(self.constrain_one(self.layout.unpack(position)))

        values = map_draws(one, draws.flatten(0, 1))
        return {name: x.unflatten(0, draws.shape[:2]) for name, x in values.items()}


def _constant(value: Tensor) -> Callable[[Tensor], Tensor]:
    """Return the potential of positions without numbers: their sum is zero, with a gradient."""
    return lambda position: value.detach() + position.sum()


def _start(layout: Layout, params: Params, num_chains: int) -> Tensor:
    """Pack starting points, which have a chain dimension if there is more than one chain."""
    if not layout.names:
        layout.check(params)
        return torch.zeros(num_chains, 0)
    if num_chains == 1:
        layout.check(params)
        return layout.pack(params)[None]
    layout.check(params, (num_chains,))
    return layout.pack(params, batch_dim=1)
