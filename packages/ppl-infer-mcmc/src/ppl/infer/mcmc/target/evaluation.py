"""The potential and its gradient at the positions of many chains."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

import torch
from torch import Tensor
from torch.fx import GraphModule

from ppl.engine import Program, batch_first, points_near, recorded, same_function
from ppl.engine.loops import at_vector_speed
from ppl.errors import warn
from ppl.infer.mcmc.target.faults import described, is_of_point

ROWS_COMPARED = 2  # of the chains at each point: plain execution is slow
MANY_STEPS = 5000  # of a program, that take minutes to compile
PotentialAndGrad = Callable[[Tensor], tuple[Tensor, Tensor]]
"""Maps positions ``(chain, dim)`` to potentials ``(chain,)`` and gradients ``(chain, dim)``."""


def evaluate(potential: Callable[[Tensor], Tensor], position: Tensor) -> tuple[Tensor, Tensor]:
    """Return the potential ``()`` and its gradient at one flat position ``(dim,)``, by autograd.

    What the model cannot compute there, such as a factorization of a matrix, gives nan.

    Raises:
        Exception: What comes from a mistake in the program, see
            :func:`~ppl.infer.mcmc.target.faults.is_of_point`.
    """
    position = position.detach().requires_grad_()
    try:
        with torch.enable_grad():
            value = potential(position)
        (gradient,) = torch.autograd.grad(value, position)
    except Exception as error:
        if not is_of_point(error):
            raise
        nan = torch.full_like(position.detach(), torch.nan)
        return nan.sum(), nan
    return value.detach(), gradient


def loop_potential(potential: Callable[[Tensor], Tensor]) -> PotentialAndGrad:
    """Return the batched potential and gradient that runs the chains one after another."""

    def potential_and_grad(position: Tensor) -> tuple[Tensor, Tensor]:
        values, gradients = zip(*(evaluate(potential, z) for z in position), strict=True)
        return torch.stack(values), torch.stack(gradients)

    return potential_and_grad


def vmap_potential(potential: Callable[[Tensor], Tensor]) -> PotentialAndGrad:
    """Return the batched potential and gradient that runs all chains in one execution.

    Where that fails, the chains run one after another.  If none of them fails alone, as in a model
    that branches on values, a warning says why; a matrix of one chain that cannot be factorized is
    a matter of that chain.

    Raises:
        Exception: What comes from a mistake in the program.
    """
    together = torch.func.vmap(torch.func.grad_and_value(potential))

    def potential_and_grad(position: Tensor) -> tuple[Tensor, Tensor]:
        try:
            gradient, value = together(position)
        except Exception as error:
            if not is_of_point(error):
                raise
            value, gradient = loop_potential(potential)(position)
            if bool(value.isfinite().all()):
                warn(f"starting points are tried chain by chain, which is slow: {described(error)}")
        return value, gradient

    return potential_and_grad


class RecordedPotential:
    """The potential and gradient of all chains as a tensor program, without handlers.

    Args:
        program: The program, from positions to gradients and potentials.
        loops: What became of the loops of the model, see :func:`~ppl.engine.loops.at_vector_speed`.
    """

    def __init__(self, program: Program, loops: str = "") -> None:
        self.program, self.loops = program, loops
        self.work: int = program.cost

    def __call__(self, position: Tensor) -> tuple[Tensor, Tensor]:
        """Return potentials ``(chain,)`` and gradients ``(chain, dim)``.

        A chain at which an operation fails has nan.
        """
        try:
            gradient, value = self.program(position)
        except RuntimeError:  # of one of the chains
            return self._each_alone(position)
        return value, gradient

    def _each_alone(self, position: Tensor) -> tuple[Tensor, Tensor]:
        value, gradient = torch.full_like(position[:, 0], torch.nan), position * torch.nan
        for chain, here in enumerate(position):
            with suppress(RuntimeError):  # the program wants as many positions as chains
                found = self.program(here.expand_as(position).contiguous())
                gradient[chain], value[chain] = found[0][0], found[1][0]
        return value, gradient


def recorded_potential(potential: Callable[[Tensor], Tensor], position: Tensor) -> PotentialAndGrad:
    """Return the potential and gradient of all chains at once.

    The potential is recorded as a tensor program over all chains.  The program is compared with
    plain execution of some chains at several points; where it cannot be recorded, or differs, the
    chains are run one after another and a warning says why.

    Args:
        potential: Maps a flat position ``(dim,)`` to the potential energy ``()``.
        position: Positions of the shape ``(chain, dim)`` that all calls will have.
    """
    eager = loop_potential(potential)
    batched, loops = at_vector_speed(potential, position[0])
    if batched is not potential:
        program = _recorded(batched, eager, position, 1)
        if program.status == "recorded":
            return RecordedPotential(program, loops)
        loops = f"not batched: {program.reason}"
    program = _recorded(potential, eager, position, ROWS_COMPARED)
    if program.status == "recorded":
        _warn_if_long(program, loops)
        return RecordedPotential(program, loops)
    warn(f"the model runs without recording, which is slow: {program.reason}")
    return eager


def _recorded(
    potential: Callable[[Tensor], Tensor], eager: PotentialAndGrad, position: Tensor, num_rows: int
) -> Program:
    def is_right(graph: GraphModule) -> bool:
        candidate = RecordedPotential(Program(graph, "recorded", 0))
        return _is_right(candidate, eager, position, num_rows)

    vectorized = torch.func.vmap(torch.func.grad_and_value(potential))
    return recorded(vectorized, [position], [batch_first], is_right)


def _warn_if_long(program: Program, loops: str) -> None:
    num_steps = len(program.run.graph.nodes)  # type: ignore[attr-defined]
    if num_steps >= MANY_STEPS:
        warn(f"the model is a program of {num_steps} steps, which is slow; {loops}")


def _is_right(
    candidate: PotentialAndGrad, eager: PotentialAndGrad, position: Tensor, num_rows: int
) -> bool:
    """Whether the potential of all chains together is that of some of them alone."""
    points = points_near([position])

    def is_right_at(number: int) -> bool:
        rows = torch.arange(len(position))[number % len(position) :: len(points)][:num_rows]
        return same_function(
            lambda z: where_finite(*(x[rows] for x in candidate(z))),
            lambda z: where_finite(*eager(z[rows])),
            [points[number]],
        )

    return all(map(is_right_at, range(len(points))))


def where_finite(value: Tensor, gradient: Tensor) -> tuple[Tensor, Tensor]:
    """Return potentials and gradients, nan where there is no density: it has no gradient."""
    is_finite = value.isfinite()
    return value.where(is_finite, torch.nan), gradient.where(is_finite[:, None], torch.nan)
