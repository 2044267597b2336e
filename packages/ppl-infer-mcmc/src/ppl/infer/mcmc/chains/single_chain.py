"""One chain of a state machine, draw by draw, as the kernel protocol wants it."""

from __future__ import annotations

from typing import Any

import torch

from ppl.infer.mcmc.chains.chains import Chains
from ppl.infer.mcmc.target.divergences import Divergences
from ppl.infer.mcmc.target.potential import Params
from ppl.infer.mcmc.target.target import Target
from ppl.validation import validation_enabled


class SingleChain:
    """A chain that is asked for one draw after another.

    Args:
        target: What is sampled.
        chains: A single chain, of a sampler without end.

    Attributes:
        divergences: Of the draws after warm-up.
    """

    def __init__(self, target: Target, chains: Chains) -> None:
        self.target = target
        self.chains = chains
        self._accept_probs: list[float] = []
        self.divergences: Divergences = Divergences.none(target.start)

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
        return {"divergences": self.divergences.draw.tolist(), "acceptance rate": rate}

    def _note(self, draw: int) -> None:
        fields, records = self.chains.last_fields(), self.chains.records
        if draw < 0 or records is None:
            return
        self._accept_probs.append(fields["accept_prob"])
        if fields["diverging"]:
            first = torch.zeros(1, dtype=torch.long, device=records.end.device)
            found = Divergences(first, first + draw, records.end[-1])
            self.divergences = Divergences.join([self.divergences, found])
