"""Streams of random numbers, one for each chain, drawn ahead in blocks.

Each chain has its own generator, so that a chain's noise does not depend on how many chains run
beside it, and the numbers are drawn on the CPU, so that they do not depend on the device.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from ppl.infer.mcmc.machine import NUM_COINS, Noise
from ppl.infer.mcmc.sampler import STEPS_AT_ONCE

BLOCK_NUMBERS = 4096  # about so many normals a chain are drawn at once
MAX_STEPS = 128  # but for no more steps than these, and for no fewer than are asked for at once


class StreamState(NamedTuple):
    """Everything that is needed to go on with the same noise."""

    generators: Tensor  # (chain, ...), what the chains' numbers come from
    used: Tensor  # (), steps that were handed out since


class NoiseStream:
    """The noise of successive steps.

    Args:
        seeds: A seed for each chain.
        like: A tensor of shape ``(chain, dim)`` whose dtype and device the noise shall have.
    """

    def __init__(self, seeds: Sequence[int], like: Tensor) -> None:
        self._like = like
        self._generators = [torch.Generator().manual_seed(seed) for seed in seeds]
        self._num_steps = min(
            MAX_STEPS, max(STEPS_AT_ONCE, BLOCK_NUMBERS // max(1, like.shape[-1]))
        )
        self._draw_block()

    def next(self, num_steps: int = 1) -> Noise:
        """Return the noise of at most `STEPS_AT_ONCE` steps, with shapes ``(step, chain, ...)``.

        All comes from one block; what an old one has left over is dropped if it is too short.
        """
        if self._used + num_steps > self._num_steps:
            self._draw_block()
        first = self._used
        self._used += num_steps
        return Noise(*(numbers[first : self._used] for numbers in self._block))

    def noise(self, steps: Noise, step: int) -> Noise:
        """Return the noise of one of several steps, shapes ``(chain, ...)``."""
        return Noise(*(numbers[step] for numbers in steps))

    def state(self) -> StreamState:
        """Return plain tensors from which `restore` continues the stream."""
        return StreamState(self._block_start, torch.tensor(self._used))

    def restore(self, state: StreamState) -> None:
        """Continue where `state` was taken."""
        for generator, saved in zip(self._generators, state.generators, strict=True):
            generator.set_state(saved.clone())  # torch crashes on views
        self._draw_block()
        self._used = int(state.used)

    def _draw_block(self) -> None:
        self._block_start = torch.stack([g.get_state() for g in self._generators])
        dim, dtype = self._like.shape[-1], self._like.dtype
        normals, uniforms = [], []
        for generator in self._generators:
            normals.append(torch.randn(self._num_steps, dim, dtype=dtype, generator=generator))
            uniforms.append(
                torch.rand(self._num_steps, NUM_COINS, dtype=dtype, generator=generator)
            )
        normal = torch.stack(normals, 1).to(self._like.device)  # (step, chain, dim)
        log_uniform = torch.stack(uniforms, 1).to(self._like.device).log()
        self._block = Noise(normal, log_uniform)  # (step, chain, ...)
        self._used = 0


def draw_seeds(num_chains: int) -> list[int]:
    """Return distinct seeds for the chains, drawn from torch's global generator."""
    first = int(torch.randint(2**31, ()))
    return [first + chain for chain in range(num_chains)]  # torch's generators read 32 bits
