"""Leapfrogs of all chains as one compiled program, without Python in between."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_flatten, tree_leaves, tree_unflatten

from ppl.capture import record
from ppl.inductor import compile_program
from ppl.infer.mcmc.machine import Noise
from ppl.infer.mcmc.recording import Trail
from ppl.infer.mcmc.sampler import Sampler, State

STEPS_IN_PROGRAM = 4  # leapfrogs without Python: more cost less each, and more time to compile


class CompiledStride:
    """A sampler's stride, compiled for states of one shape.

    Args:
        sampler: Whose stride it is.
        state: A state such as it will be given.
        noise: Noise of at least `STEPS_IN_PROGRAM` leapfrogs.

    Raises:
        CaptureError: If the stride depends on values in a way that a tensor program cannot.
    """

    def __init__(self, sampler: Sampler, state: State, noise: Noise) -> None:
        leaves, self._spec = tree_flatten(state)
        self._num_leaves = len(leaves)

        def program(*inputs: Tensor) -> list[Tensor]:
            before = tree_unflatten(list(inputs[: len(leaves)]), self._spec)
            results = sampler.stride(before, Noise(*inputs[len(leaves) :]))
            return [result.contiguous() for result in tree_leaves(results)]

        # at the start one tensor is in several places, which the compiler would take for a rule
        inputs = [x.clone(memory_format=torch.contiguous_format) for x in leaves]
        inputs += [numbers[:STEPS_IN_PROGRAM].contiguous() for numbers in noise]
        self._program = compile_program(record(program, *inputs), inputs)

    def __call__(self, state: State, noise: Noise) -> tuple[State, Trail]:
        """Return the state after one leapfrog for each row of the noise, and the trail."""
        leaves: Any = [leaf.contiguous() for leaf in tree_leaves(state)]
        trails = []
        for rows in zip(*(numbers.split(STEPS_IN_PROGRAM) for numbers in noise), strict=True):
            results = self._program(*leaves, *rows)
            leaves, trail = results[: self._num_leaves], results[self._num_leaves :]
            trails.append(trail)
        return tree_unflatten(leaves, self._spec), Trail(*map(torch.cat, zip(*trails, strict=True)))
