"""Potentials with inputs: values that differ between chains, or change between transitions.

A recorded potential has all data as constants.  Data sets of many chains, the sites that another
kernel of a Gibbs sampler moves, and the subsample of a plate are none: they are arguments of the
recording, so that a program that branches on them is refused instead of frozen.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from ppl.engine import agree, fail_with_nan, record
from ppl.engine.threads import ENOUGH_WORK
from ppl.errors import warn
from ppl.infer.mcmc.target.evaluation import RecordedPotential, evaluate

Values = Mapping[str, Tensor]
PotentialOfInputs = Callable[[Tensor, Values], Tensor]
"""Maps a flat position ``(dim,)`` and inputs by name, of one chain, to the energy ``()``."""
ROWS_COMPARED = 4  # of the chains: plain execution is slow


class Slot(dict[str, Tensor]):
    """Values that a program is conditioned on, which are put in from outside."""

    @contextmanager
    def holding(self, values: Values) -> Iterator[None]:
        """Hold other values inside a ``with`` block."""
        before = dict(self)
        self.update(values)
        try:
            yield
        finally:
            self.clear()
            self.update(before)


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
        self.inputs = dict(inputs)
        self.is_recorded: bool = False
        self.work: int = ENOUGH_WORK
        self._program: Callable[..., tuple[Tensor, Tensor]] = self._one_by_one
        try:
            self._record(position)
        except RuntimeError as error:  # of the recorder, or of the replay
            warn(f"the model runs without recording, which is slow: {error}")

    def __call__(self, position: Tensor) -> tuple[Tensor, Tensor]:
        """Return potentials ``(chain,)`` and gradients ``(chain, dim)``."""
        try:
            gradient, value = self._program(position, self.inputs)
        except RuntimeError:  # of one of the chains
            gradient, value = self._one_by_one(position, self.inputs)
        return value, gradient

    def _record(self, position: Tensor) -> None:
        together = torch.func.vmap(torch.func.grad_and_value(self.potential))
        program = fail_with_nan(record(together, position, self.inputs))
        for rows in (slice(None), torch.arange(len(position)).flip(0)):
            inputs = {name: x[rows] for name, x in self.inputs.items()}
            some = [x[:ROWS_COMPARED] for x in program(position[rows], inputs)]
            first = {name: x[:ROWS_COMPARED] for name, x in inputs.items()}
            plain = self._one_by_one(position[rows][:ROWS_COMPARED], first)
            if not agree(*(_where_finite(*pair) for pair in (some, plain))):
                raise RuntimeError("its recording gives other values")
        self._program, self.is_recorded = program, True
        self.work = RecordedPotential(program).work

    def _one_by_one(self, position: Tensor, inputs: Values) -> tuple[Tensor, Tensor]:
        found = [
            evaluate(lambda z, i=i: self.potential(z, {n: x[i] for n, x in inputs.items()}), here)  # type: ignore[misc]
            for i, here in enumerate(position)
        ]
        values, gradients = zip(*found, strict=True)
        return torch.stack(gradients), torch.stack(values)


def _where_finite(gradient: Tensor, value: Tensor) -> list[Any]:
    """Return gradients and potentials, nan where there is no density."""
    is_finite = value.isfinite()
    return [gradient.where(is_finite[:, None], torch.nan), value.where(is_finite, torch.nan)]
