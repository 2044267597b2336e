"""Random-walk Metropolis."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from ppl.infer.mcmc.mcmc_kernel import MCMCKernel
from ppl.infer.mcmc.util import initialize_model

Position = dict[str, Tensor]


class RandomWalk(MCMCKernel):
    """Proposes a Gaussian step of the unconstrained position (Metropolis et al. 1953).

    Args:
        model: The model to sample from.
        step_size: Standard deviation of a step, on the unconstrained scale.
    """

    def __init__(self, model: Callable[..., Any], step_size: float = 1.0) -> None:
        self.model, self.step_size = model, step_size
        self.accepted = self.proposed = 0
        super().__init__()

    def setup(self, warmup_steps: int, *args: Any, **kwargs: Any) -> None:
        """Find a start and the density of the model, given its arguments."""
        start, self.potential, self.transforms, _ = initialize_model(self.model, args, kwargs)
        self._start = start

    @property
    def initial_params(self) -> Position:
        """The position to start from, on the unconstrained scale."""
        return self._start

    @initial_params.setter
    def initial_params(self, params: Position) -> None:
        self._start = params

    def end_warmup(self) -> None:
        """Count acceptances from here on."""
        self.accepted = self.proposed = 0

    def sample(self, params: Position) -> Position:
        """Return the next position: the proposal if it is accepted, else the old one."""
        proposal = {
            name: value + self.step_size * torch.randn_like(value) for name, value in params.items()
        }
        gain = self.potential(params) - self.potential(proposal)
        is_accepted = bool(torch.rand_like(gain).log() < gain)
        self.proposed += 1
        self.accepted += is_accepted
        return proposal if is_accepted else params

    def logging(self) -> dict[str, str]:
        """Return what the progress bar shows."""
        return {"acc. rate": f"{self.accepted / max(self.proposed, 1):.2f}"}

    def diagnostics(self) -> dict[str, Any]:
        """Return the acceptance rate since the end of the warm-up."""
        return {"acceptance rate": self.accepted / max(self.proposed, 1)}
