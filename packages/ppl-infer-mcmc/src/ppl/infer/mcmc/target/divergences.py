"""Where transitions diverged."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import torch
from torch import Tensor

from ppl.infer.layout import Layout


class Divergences(NamedTuple):
    """Transitions that diverged, and the positions at which they were given up."""

    chain: Tensor  # (divergence,)
    draw: Tensor  # (divergence,)
    position: Tensor  # (divergence, dim)

    @classmethod
    def none(cls, position: Tensor) -> Divergences:
        """Return the empty record of chains at positions of shape ``(chain, dim)``."""
        nobody = torch.zeros(0, dtype=torch.long, device=position.device)
        return cls(nobody, nobody, position[:0])

    @classmethod
    def join(cls, parts: Iterable[Divergences]) -> Divergences:
        """Return the divergences of all parts."""
        return cls(*map(torch.cat, zip(*parts, strict=True)))

    def numbered_from(self, first: int) -> Divergences:
        """Return the divergences of chains the first of which has this number."""
        return self._replace(chain=self.chain + first)

    def thinned(self, thinning: int, num_draws: int) -> Divergences:
        """Return the divergences by the number of the draw that is kept of each group."""
        draw = self.draw // thinning
        kept = draw < num_draws
        return Divergences(self.chain[kept], draw[kept], self.position[kept])

    def fields(self, layout: Layout, num_chains: int, num_draws: int) -> dict[str, Tensor]:
        """Return unconstrained values by site as ``"diverged_at.site"``, ``(chain, draw, *site)``.

        They are nan for transitions that did not diverge; nothing is returned if none did.
        """
        if not len(self.chain):
            return {}
        number = (num_chains, num_draws)
        found = {}
        for name, at in layout.unpack(self.position).items():
            values = at.new_full(number + at.shape[1:], torch.nan)
            values[self.chain, self.draw] = at
            found[f"diverged_at.{name}"] = values
        return found
