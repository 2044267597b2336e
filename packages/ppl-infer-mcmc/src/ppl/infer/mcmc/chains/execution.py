"""How a run is executed: through the handlers, as recorded tensor programs, or compiled."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import torch
from torch import Tensor

from ppl import settings
from ppl.engine import Pass, compiled, fold_constants, split_products
from ppl.engine.agreement import points_near
from ppl.engine.cpp_library import find_compiler
from ppl.engine.replay import Replay, ReplayError
from ppl.engine.threads import ENOUGH_WORK, at_most, threads_for
from ppl.errors import SiteError, warn
from ppl.infer.mcmc.chains.native import DTYPES, NativeStride
from ppl.infer.mcmc.chains.notices import announced
from ppl.infer.mcmc.chains.sampler import Sampler, Stride
from ppl.infer.mcmc.target.evaluation import (
    PotentialAndGrad,
    RecordedPotential,
    loop_potential,
    recorded_potential,
)
from ppl.infer.mcmc.transition.machine import NativeTransition

Mode = Literal["auto", "eager", "graph", "inductor"]
MODES = ("auto", "eager", "graph", "inductor")
CHAINS_TO_POOL = 16  # chains: so many learn from each other during warm-up
ENOUGH = 500  # transitions of a chain: from here on a compiled run is faster from a cold start

mcmc_execution: Mode = "auto"


def _check_mode(mode: Mode) -> None:
    if mode not in MODES:
        raise SiteError(f"mcmc_execution must be one of {MODES}, got {mode!r}")


settings.register("mcmc_execution", __name__, "mcmc_execution", _check_mode)
settings.register("mcmc_tier", __name__, "mcmc_execution", _check_mode)  # its earlier name


def choose_potential(
    potential: Callable[[Tensor], Tensor],
    position: Tensor,
    num_iterations: float,
    jit_compile: bool = False,
) -> PotentialAndGrad:
    """Return the potential and gradient of all chains at once.

    The choice depends on the work ahead but on no clock, so that a run can be repeated exactly.

    Args:
        potential: Maps a flat position ``(dim,)`` to the potential energy ``()``.
        position: Positions of the shape ``(chain, dim)`` that all calls will have.
        num_iterations: How many transitions each chain will make.
        jit_compile: Compile, whatever the setting and the work.
    """
    mode = "inductor" if jit_compile else mcmc_execution
    if mode == "eager":
        return loop_potential(potential)
    recorded = recorded_potential(potential, position)
    wanted = will_compile(num_iterations, jit_compile)
    if not wanted or not isinstance(recorded, RecordedPotential):  # a warning has said why not
        return recorded
    if find_compiler() is None:
        if mode == "inductor":
            warn("the model runs without compilation: there is no C++ compiler; install g++")
        return recorded
    seconds = round(3 + len(recorded.program.run.graph.nodes) / 40)  # type: ignore[attr-defined]
    notice = f"Compiling (about {seconds} s, kept for next time)"
    with announced(notice), threads_for(recorded.work):
        program = compiled(recorded.program, [position], _passes(position))
    if program.reason is not None:
        warn(f"the model runs without compilation: {program.reason}")
    return RecordedPotential(program, recorded.loops)


@dataclass(frozen=True)
class Execution:
    """How the potential of chains is evaluated.

    Attributes:
        potential_and_grad: Of so many chains at once.
        width: How many chains are one batch.
        new_replay: Makes a replay of it in C++, for one chain at a time; None if there is none.
    """

    potential_and_grad: PotentialAndGrad
    width: int
    new_replay: Callable[[], Replay] | None = None

    @property
    def name(self) -> str:
        """What a reader calls it."""
        recorded = self.potential_and_grad
        return recorded.program.status if isinstance(recorded, RecordedPotential) else "eager"


def choose_execution(
    potential: Callable[[Tensor], Tensor],
    start: Tensor,
    width: int,
    num_iterations: float,
    jit_compile: bool = False,
    may_run_free: bool = True,
) -> Execution:
    """Return how chains that start at `start`, ``(chain, dim)``, are run, by `width` at a time.

    A few chains on the CPU run free of each other where their potential is compiled.
    """
    batch = start[:width]
    is_compiled = will_compile(num_iterations, jit_compile)
    if not (may_run_free and is_compiled and _may_run_free(batch)):
        found = choose_potential(potential, batch, num_iterations, jit_compile)
        return Execution(found, width)
    with at_most(1) if len(start) > 1 else nullcontext():  # each chain has a thread
        found = choose_potential(potential, start[:1], num_iterations, jit_compile)
    if not isinstance(found, RecordedPotential):
        return Execution(found, width)
    if len(start) == 1 and found.work >= ENOUGH_WORK:  # it has all threads
        return Execution(found, width)
    if found.program.status != "compiled":  # a warning has said why
        return Execution(recorded_potential(potential, batch), width)
    try:
        new_replay = partial(_replay, found, start[:1])
        new_replay()
        return Execution(found, 1, new_replay)
    except (ReplayError, OSError) as error:
        warn(f"chains run together instead of free of each other, perhaps slower: {error}")
    return Execution(choose_potential(potential, batch, num_iterations, jit_compile), width)


def _may_run_free(position: Tensor) -> bool:
    is_native = position.device.type == "cpu" and position.dtype in DTYPES
    is_small = position.shape[1] > 0 and len(position) < CHAINS_TO_POOL
    return is_native and is_small and find_compiler() is not None


def _replay(potential: RecordedPotential, position: Tensor) -> Replay:
    """Return a replay of a compiled potential, compared with it."""
    program: Any = potential.program.run
    replay = Replay(program, [position])
    for point in points_near([position]):
        if not all(map(_has_same_bits, replay(*point), program(*point))):
            raise ReplayError("the replay of the compiled potential gives other values")
    return replay


def _has_same_bits(one: Tensor, other: Tensor) -> bool:
    return torch.equal(one.nan_to_num(), other.nan_to_num())


def will_compile(num_iterations: float, jit_compile: bool) -> bool:
    """Return whether a run of so many transitions is compiled, if its potential can be recorded."""
    is_long = mcmc_execution == "auto" and num_iterations >= ENOUGH
    return jit_compile or mcmc_execution == "inductor" or is_long


def _passes(position: Tensor) -> list[Pass]:
    if position.device.type != "cpu":
        return [fold_constants]
    return [fold_constants, partial(split_products, num_threads=torch.get_num_threads())]


def choose_stride(sampler: Sampler, position: Tensor) -> Stride | None:
    """Return the leapfrogs in C++ for chains at such positions; None where that cannot be.

    It is there for chains on the CPU whose transition has a twin, unless the setting wants tensors.
    """
    is_native = position.device.type == "cpu" and position.dtype in DTYPES
    has_twin = isinstance(sampler.machine, NativeTransition)
    wants_tensors = mcmc_execution in ("eager", "graph")
    if wants_tensors or not is_native or not has_twin or find_compiler() is None:
        return None
    try:
        return NativeStride(sampler, position)
    except OSError as error:
        warn(f"the sampler runs without its C++: {error}")
        return None
