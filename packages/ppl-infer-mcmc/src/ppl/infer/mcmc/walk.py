"""One chain of a state machine, draw by draw, as the kernel protocol wants it."""

from __future__ import annotations

from typing import Any

import torch

from ppl.infer.mcmc.chains import Chains
from ppl.infer.mcmc.potential import Params
from ppl.infer.mcmc.target import Target
from ppl.validation import validation_enabled


class Walk:
    """A chain that is asked for one draw after another.

    Args:
        target: What is sampled.
        chains: A single chain, of a sampler without end.
    """

    def __init__(self, target: Target, chains: Chains) -> None:
        self.target, self.chains = target, chains
        self._accept_probs: list[float] = []
        self._divergences: list[int] = []

    def next(self, params: Params) -> Params:
        """Return the draw after `params`; both are unconstrained values by site."""
        chains, layout = self.chains, self.target.layout
        position = layout.pack(params)[None]
        with validation_enabled(False):
            if not torch.equal(position, chains.state.machine.draw.position):
                chains.move(position)
            iteration = int(chains.state.iteration)
            while int(chains.state.iteration) == iteration:
                chains.leap()
        self._note(iteration - chains.sampler.warmup.num_steps)
        return layout.unpack(chains.state.machine.draw.position[0])

    def diagnostics(self) -> dict[str, Any]:
        """Return the indices of divergent draws and the mean acceptance probability."""
        rate = sum(self._accept_probs) / max(1, len(self._accept_probs))
        return {"divergences": list(self._divergences), "acceptance rate": rate}

    def _note(self, draw: int) -> None:
        if draw >= 0:
            fields = self.chains.last_fields()
            self._accept_probs.append(fields["accept_prob"])
            if fields["diverging"]:
                self._divergences.append(draw)
