"""Potentials with inputs: values that differ between chains, or change between transitions.

A recorded potential has all data as constants.  Data sets of many chains, the sites that another
kernel of a Gibbs sampler moves, and the subsample of a plate are none: they are arguments of the
recording, so that a program that branches on them is refused instead of frozen.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from ppl.engine import points_near, recorded, same_function
from ppl.engine.threads import ENOUGH_WORK
from ppl.errors import warn
from ppl.infer.mcmc.slot import Slot, Values
from ppl.infer.mcmc.target.evaluation import evaluate, where_finite

PotentialOfInputs = Callable[[Tensor, Values], Tensor]
"""Maps a flat position ``(dim,)`` and inputs by name, of one chain, to the energy ``()``."""
ROWS_COMPARED = 4  # of the chains: plain execution is slow


class InputPotential:
    """The potential and gradient of all chains, each at its own inputs.

    It is recorded as a tensor program of positions and inputs, and compared with plain execution;
    where that cannot be, the chains run one after another, and a warning says why.

    Args:
        potential: That of one chain.
        position: Positions of the shape ``(chain, dim)`` that all calls will have.
        inputs: Their inputs by name, each of shape ``(chain, *input)``.

    Attributes:
        inputs: Those of the next call; put others of the same shapes in their place.
    """

    def __init__(self, potential: PotentialOfInputs, position: Tensor, inputs: Values) -> None:
        self.potential = potential
        self.inputs: dict[str, Tensor] = dict(inputs)
        self.is_recorded: bool = False
        self.work: int = ENOUGH_WORK
        self._program: Callable[..., tuple[Tensor, Tensor]] = self._one_by_one
        together = torch.func.vmap(torch.func.grad_and_value(potential))
        program = recorded(
            together, [position, self.inputs], [], lambda graph: self._is_right(graph, position)
        )
        if program.status == "recorded":
            self._program, self.is_recorded, self.work = program.run, True, program.cost
        else:
            warn(f"the model runs without recording, which is slow: {program.reason}")

    def __call__(self, position: Tensor) -> tuple[Tensor, Tensor]:
        """Return potentials ``(chain,)`` and gradients ``(chain, dim)``."""
        try:
            gradient, value = self._program(position, self.inputs)
        except RuntimeError:  # of one of the chains
            gradient, value = self._one_by_one(position, self.inputs)
        return value, gradient

    def _is_right(self, program: Callable[..., Any], position: Tensor) -> bool:
        """Whether the potentials of all chains together are those of some of them alone.

        The chains change their inputs for the second comparison.
        """
        return all(
            self._is_right_at(program, position, {n: x[rows] for n, x in self.inputs.items()})
            for rows in (torch.arange(len(position)), torch.arange(len(position)).flip(0))
        )

    def _is_right_at(self, program: Callable[..., Any], position: Tensor, inputs: Values) -> bool:
        some = {name: x[:ROWS_COMPARED] for name, x in inputs.items()}
        return same_function(
            lambda z: _where_finite(*(x[:ROWS_COMPARED] for x in program(z, inputs))),
            lambda z: _where_finite(*self._one_by_one(z[:ROWS_COMPARED], some)),
            points_near([position]),
        )

    def _one_by_one(self, position: Tensor, inputs: Values) -> tuple[Tensor, Tensor]:
        found = [
            evaluate(lambda z, i=i: self.potential(z, {n: x[i] for n, x in inputs.items()}), here)  # type: ignore[misc]
            for i, here in enumerate(position)
        ]
        values, gradients = zip(*found, strict=True)
        return torch.stack(gradients), torch.stack(values)


class SlotPotential(InputPotential):
    """The potential and gradient of one chain, whose program is conditioned on what a slot holds.

    Args:
        potential: Maps a flat position ``(dim,)`` to the energy ``()``.
        position: A position, shape ``(1, dim)``.
        slot: What holds the values; each call uses those of the moment.
    """

    def __init__(self, potential: Callable[[Tensor], Tensor], position: Tensor, slot: Slot) -> None:
        self.slot = slot

        def of_values(position: Tensor, values: Values) -> Tensor:
            with slot.holding(values):
                return potential(position)

        super().__init__(of_values, position, slot.of_one_chain())

    def __call__(self, position: Tensor) -> tuple[Tensor, Tensor]:
        """Return potentials ``(1,)`` and gradients ``(1, dim)``."""
        self.inputs = self.slot.of_one_chain()
        return super().__call__(position)


def _where_finite(gradient: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
    return where_finite(value, gradient)
