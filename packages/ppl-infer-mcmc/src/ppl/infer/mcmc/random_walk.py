"""Random walk Metropolis: a yardstick for kernels that follow gradients."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor
from torch.distributions import Transform

from ppl.errors import NotRunError
from ppl.infer.initialization import init_to_uniform
from ppl.infer.mcmc import arguments
from ppl.infer.mcmc.described import describe
from ppl.infer.mcmc.inputs import SlotPotential
from ppl.infer.mcmc.mcmc_kernel import MCMCKernel
from ppl.infer.mcmc.portable import refuse_left_out
from ppl.infer.mcmc.target.evaluation import recorded_potential
from ppl.infer.mcmc.target.opaque import opaque
from ppl.infer.mcmc.target.potential import Params
from ppl.infer.mcmc.target.target import Target
from ppl.infer.mcmc.transition.noise import draw_seeds
from ppl.poutine.program_errors import require_instance, require_program
from ppl.validation import validation_enabled

DECAY = 0.6  # of the steps of adaptation: their sum diverges, that of their squares does not


@arguments.names_unknown_arguments
class RandomWalkKernel(MCMCKernel):
    """Random walk Metropolis on the unconstrained scale, with a normal proposal.

    Warm-up moves the logarithm of the scale of the proposal towards the wanted acceptance
    probability (Andrieu & Thoms 2008, "A tutorial on adaptive MCMC", section 5).

    Args:
        model: The model.
        init_step_size: The standard deviation of the proposal before adaptation.
        target_accept_prob: The acceptance probability that warm-up aims at; the default is best for
            normal posteriors of many dimensions (Roberts, Gelman, Gilks 1997).

    Raises:
        ArgumentError: If a number is out of range.

    Example:
        >>> import ppl.distributions as dist
        >>> from ppl.infer.mcmc import MCMC
        >>> from ppl.primitives import sample
        >>> _ = torch.manual_seed(0)
        >>> kernel = RandomWalkKernel(lambda: sample("x", dist.Gamma(4.0, 2.0)))
        >>> mcmc = MCMC(kernel, num_samples=1000, disable_progbar=True)
        >>> mcmc.run()
        >>> bool(abs(mcmc.get_samples()["x"].mean() - 2.0) < 0.4)
        True
    """

    def __init__(
        self,
        model: Callable[..., Any],
        init_step_size: float = 0.1,
        target_accept_prob: float = 0.234,
    ) -> None:
        require_program("model", model)
        require_instance("model", model)
        self.model = model
        self.init_step_size: float = arguments.between(
            "init_step_size", init_step_size, 0.0, math.inf
        )
        self.target_accept_prob: float = arguments.between(
            "target_accept_prob", target_accept_prob, 0.0, 1.0
        )
        self.transforms: Mapping[str, Transform] | None = None  # those of the driver, in a run
        self._log_step = torch.tensor(self.init_step_size).log()
        self._num_draws, self._num_accepted = 0, 0
        self._given_params: Params | None = None
        self._target: Target | None = None

    _of_a_run = ("_target", "_potential_and_grad", "_generator", "_position", "_potential")

    def __repr__(self) -> str:
        names = ("model", "init_step_size", "target_accept_prob")
        options = {name: getattr(self, name) for name in names}
        return describe(self, options, f"with step size {self.step_size:.3g}")

    @opaque
    def setup(self, warmup_steps: int, *args: Any, **kwargs: Any) -> None:
        """Prepare one chain; see :class:`~ppl.infer.mcmc.mcmc_kernel.MCMCKernel`."""
        refuse_left_out(self)
        target = Target.of_model(
            self.model, args, kwargs, self.transforms, init_to_uniform, 1, self._given_params
        )
        with validation_enabled(False):
            self._potential_and_grad = (
                recorded_potential(target.potential, target.start)
                if self.changing is None
                else SlotPotential(target.potential, target.start, self.changing)
            )
        self._generator = torch.Generator().manual_seed(draw_seeds(1)[0])
        self._target, self._warmup_steps = target, warmup_steps
        self._log_step = torch.tensor(self.init_step_size, dtype=target.start.dtype).log()
        self._position, self._potential = target.start, self._evaluate(target.start)
        self._num_draws, self._num_accepted = 0, 0

    def clear_cache(self) -> None:
        """Compute the potential anew where the chain is: the density may have changed."""
        if self._target is not None:
            self._potential = self._evaluate(self._position)

    @opaque
    def sample(self, params: Params) -> Params:
        """Return the next draw after `params`; both are unconstrained values by site."""
        layout = self._running().layout
        position = layout.pack(params)[None]
        if not torch.equal(position, self._position):
            self._position, self._potential = position, self._evaluate(position)
        noise = torch.randn(position.shape, generator=self._generator, dtype=position.dtype)
        proposal = position + self._log_step.exp() * noise.to(position.device)
        potential = self._evaluate(proposal)
        accept_prob = (self._potential - potential).exp().clamp(max=1.0).nan_to_num(0.0)
        is_accepted = bool(torch.rand((), generator=self._generator) < accept_prob)
        if is_accepted:
            self._position, self._potential = proposal, potential
        self._note(float(accept_prob), is_accepted)
        return layout.unpack(self._position[0])

    def _evaluate(self, position: Tensor) -> Tensor:
        with validation_enabled(False):
            potential, _ = self._potential_and_grad(position)
        return potential

    def _note(self, accept_prob: float, is_accepted: bool) -> None:
        """Count the draw, and adapt the step in warm-up; the count starts anew after it."""
        self._num_draws += 1
        self._num_accepted += is_accepted
        if self._warmup_steps:
            self._log_step += (accept_prob - self.target_accept_prob) / self._num_draws**DECAY

    def end_warmup(self) -> None:
        """Keep the step size from now on."""
        self._warmup_steps, self._num_draws, self._num_accepted = 0, 0, 0

    @opaque
    def constrain(self, draws: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return constrained values of unconstrained draws, both ``(chain, draw, *site)``."""
        target = self._running()
        return target.constrain(target.layout.pack(draws, batch_dim=2))

    def logging(self) -> Mapping[str, str]:
        """Return step size and share of accepted proposals, formatted."""
        rate = self.diagnostics()["acceptance rate"]
        return {"step size": f"{self.step_size:.2e}", "acc. prob": f"{rate:.3f}"}

    def diagnostics(self) -> dict[str, Any]:
        """Return the share of accepted proposals."""
        return {"acceptance rate": self._num_accepted / max(1, self._num_draws)}

    def cleanup(self) -> None:
        """Forget the chain; the step size can still be read."""
        vars(self).update(dict.fromkeys(self._of_a_run))

    def _running(self) -> Target:
        if self._target is None:
            raise NotRunError("call RandomWalkKernel.setup(warmup_steps, ...) before sampling")
        return self._target

    @property
    def step_size(self) -> float:
        """The standard deviation of the proposal."""
        return float(self._log_step.exp())

    @property
    def initial_params(self) -> Params:
        """Unconstrained values that the chain starts from, by site."""
        if self._target is not None:
            return self._target.layout.unpack(self._target.start[0])
        return self._given_params or {}

    @initial_params.setter
    def initial_params(self, params: Params | None) -> None:
        self._given_params = arguments.start_values(params) or None
