"""The randomness of every step, a function of a chain's seed and of the number of the step.

A counter-based generator (Philox 4x32-10: Salmon, Moraes, Dror & Shaw 2011) has no state: a chain's
noise does not depend on how many chains run beside it, nor on the device, and a run goes on from
any step.  ``cpp/noise.hpp`` draws the same numbers.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from ppl.infer.mcmc.transition.machine import NUM_COINS, Noise

MULTIPLIERS = 0xD2511F53, 0xCD9E8D57
KEY_STEPS = 0x9E3779B9, 0xBB67AE85
ROUNDS = 10
LOW = 0xFFFFFFFF  # 32 bits


class Steps(NamedTuple):
    """Successive steps of some chains; also all that is needed to go on after them."""

    seeds: Tensor  # (chain,), long
    first: Tensor  # (), long: the number of the first of them
    number: int


class StreamState(NamedTuple):
    """Everything that is needed to go on with the same noise."""

    seeds: Tensor  # (chain,)
    next: Tensor  # (), the number of the next step


class NoiseStream:
    """The noise of successive steps.

    Args:
        seeds: A seed for each chain.
        like: A tensor of shape ``(chain, dim)`` whose dtype and device the noise shall have.
    """

    def __init__(self, seeds: Sequence[int], like: Tensor) -> None:
        self._like = like
        self._seeds, self._next = torch.tensor(seeds), 0

    def next(self, num_steps: int = 1) -> Steps:
        """Return the next steps."""
        steps = Steps(self._seeds, torch.tensor(self._next), num_steps)
        self._next += num_steps
        return steps

    def draw(self, steps: Steps) -> Noise:
        """Return the noise of some steps, shapes ``(step, chain, ...)``."""
        return draw_noise(steps, self._like)

    def draw_last(self, steps: Steps) -> Noise:
        """Return the noise of the last of some steps, shapes ``(chain, ...)``."""
        last = Steps(steps.seeds, steps.first + steps.number - 1, 1)
        return Noise(*(rows[0] for rows in self.draw(last)))

    def move_to(self, step: int, number: int) -> Steps:
        """Go on with a step, and return so many steps that come before it."""
        self._next = step
        return Steps(self._seeds, torch.tensor(step - number), number)

    def state(self) -> StreamState:
        """Return plain tensors from which `restore` continues the stream."""
        return StreamState(self._seeds, torch.tensor(self._next))

    def restore(self, state: StreamState) -> None:
        """Continue where `state` was taken."""
        self._seeds, self._next = state.seeds, int(state.next)


def draw_noise(steps: Steps, like: Tensor) -> Noise:
    """Return the noise of some steps for positions such as `like`, shapes ``(step, chain, ...)``.

    The first block of four numbers makes the coins, the others make the normals, by pairs
    (Box & Muller 1958).
    """
    dim = like.shape[-1]
    step = steps.first + torch.arange(steps.number)
    block = torch.arange(1 + math.ceil(dim / 4)).expand(steps.number, len(steps.seeds), -1)
    counter = [step[:, None, None] & LOW, step[:, None, None] >> 32, block, torch.zeros_like(block)]
    words = philox(
        [x.expand_as(block).to(like.device) for x in counter], steps.seeds.to(like.device)
    )
    uniform = ((words >> 8).to(like.dtype) + 0.5) * 2.0**-24  # (step, chain, block, 4)
    radius = (-2 * uniform[..., 1:, 0::2].log()).sqrt()
    angle = 2 * math.pi * uniform[..., 1:, 1::2]
    normal = torch.stack((radius * angle.cos(), radius * angle.sin()), -1).flatten(2)
    return Noise(normal[..., :dim].contiguous(), uniform[..., 0, :NUM_COINS].log())


def philox(counter: Sequence[Tensor], key: Tensor) -> Tensor:
    """Return four words of 32 random bits for each counter, in a last dimension.

    Args:
        counter: Four words, each of shape ``(step, chain, block)``.
        key: 64 bits for each chain, shape ``(chain,)``.

    >>> zero = torch.zeros(1, 1, 1, dtype=torch.long)
    >>> [hex(word) for word in philox([zero] * 4, zero[0, 0]).flatten().tolist()]
    ['0x6627e8d5', '0xe169c58d', '0xbc57ac4c', '0x9b00dbd8']
    """
    a, b, c, d = counter
    low, high = key[:, None] & LOW, (key[:, None] >> 32) & LOW
    for _ in range(ROUNDS):
        first, second = MULTIPLIERS[0] * a, MULTIPLIERS[1] * c  # 64 bits, of which the sign is one
        a, b, c, d = (
            ((second >> 32) & LOW) ^ b ^ low,
            second & LOW,
            ((first >> 32) & LOW) ^ d ^ high,
            first & LOW,
        )
        low, high = (low + KEY_STEPS[0]) & LOW, (high + KEY_STEPS[1]) & LOW
    return torch.stack((a, b, c, d), -1)


def draw_seeds(num_chains: int) -> list[int]:
    """Return distinct seeds for the chains, drawn from torch's global generator."""
    first = int(torch.randint(2**62, ()))
    return [first + chain for chain in range(num_chains)]
