"""Chains of HMC and NUTS that run as one batch, each given data of its own."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from ppl.errors import NotFiniteError, UnsupportedModelError
from ppl.infer.mcmc.api import MCMC
from ppl.infer.mcmc.driver.progress import Progress
from ppl.infer.mcmc.hmc import HMC
from ppl.infer.mcmc.inputs import InputPotential
from ppl.infer.mcmc.slot import Slot, Values
from ppl.infer.mcmc.target.initial_points import MAX_TRIES, uniform_starts
from ppl.infer.mcmc.target.opaque import opaque
from ppl.infer.mcmc.target.target import Target
from ppl.infer.mcmc.transition.noise import draw_seeds
from ppl.poutine import condition
from ppl.validation import validation_enabled

Program = Callable[[], Any]
THINNING = 4
WARMUP_STEPS = 300
SETS_AT_ONCE = 32  # whose draws are constrained together


@opaque
def draws_together(
    kernel: type[HMC],
    program: Program,
    data: Mapping[str, Tensor],
    num: int,
    disable_progbar: bool = True,
    *,
    num_draws: int = 99,
    warmup_steps: int = WARMUP_STEPS,
    thinning: int = THINNING,
    **options: Any,
) -> dict[str, Tensor]:
    """Return draws of many posteriors, from one chain each.

    All chains are one batch, and each adapts by itself, as it would alone.

    Args:
        kernel: The class of the kernel.
        program: A model without arguments, whose sites in `data` are not observed.
        data: Data by site, each of shape ``(num, *site)``.
        num: How many chains.
        disable_progbar: Show no progress.
        num_draws: How many draws of each chain are kept.
        warmup_steps: Transitions that tune the kernel and are discarded.
        thinning: The last of each so many draws is kept.
        options: Arguments of the kernel.

    Returns:
        Constrained draws by latent site, each of shape ``(num, num_draws, *site)``.

    Raises:
        UnsupportedModelError: If the model cannot run for many data sets at once.
        NotFiniteError: If a data set has no starting point.
    """
    slot = Slot({name: x[0] for name, x in data.items()})
    options = {"cross_chain_adaptation": False, **options}  # posteriors of other data differ
    made = kernel(condition(program, data=slot), **options)
    target = made.target(1, (), {})

    def of_one(position: Tensor, inputs: Values) -> Tensor:
        with slot.holding(inputs):
            return target.potential(position)

    with validation_enabled(False):
        potential = InputPotential(of_one, target.start.expand(num, -1).contiguous(), data)
        if not potential.is_recorded:
            raise UnsupportedModelError("the model cannot run for many data sets at once")
        start = _starts(potential, target, made, num)
        chains = made.start(potential, start, draw_seeds(num), warmup_steps, num_draws * thinning)
        with Progress(num, warmup_steps + num_draws * thinning, disable_progbar) as progress:
            chains.run(progress)
        kept = chains.record.draws[:, thinning - 1 :: thinning]
        return _constrained(target, slot, kept, data)


def draws_alone(
    kernel: type[HMC],
    program: Program,
    *,
    num_draws: int = 99,
    warmup_steps: int = WARMUP_STEPS,
    thinning: int = THINNING,
    **options: Any,
) -> dict[str, Tensor]:
    """Return draws of the posterior of a model without arguments, from one chain.

    See :func:`draws_together`; the draws have shape ``(num_draws, *site)``.
    """
    mcmc = MCMC(
        kernel(program, **options),
        num_draws * thinning,
        warmup_steps,
        thinning=thinning,
        disable_progbar=True,
    )
    mcmc.run()
    return mcmc.get_samples()


def _starts(potential: InputPotential, target: Target, kernel: HMC, num: int) -> Tensor:
    """Return starting points, ``(num, dim)``, with a finite density and gradient."""
    draw_starts = uniform_starts(kernel.init_strategy, target.layout.unpack(target.start[0]))
    if draw_starts is None:
        raise UnsupportedModelError("this init_strategy starts one chain at a time")
    position = target.layout.pack(draw_starts(num), batch_dim=1)
    for _ in range(MAX_TRIES):
        value, gradient = potential(position)
        failing = ~(value.isfinite() & gradient.isfinite().all(-1))
        if not bool(failing.any()):
            return position
        fresh = target.layout.pack(draw_starts(num), batch_dim=1)
        position = torch.where(failing[:, None], fresh, position)
    number = int(failing.nonzero()[0])
    raise NotFiniteError(
        f"no starting point found in {MAX_TRIES} tries for data set {number}: simulated data may "
        "have no density under the model at any point tried"
    )


def _constrained(
    target: Target, slot: Slot, draws: Tensor, data: Mapping[str, Tensor]
) -> dict[str, Tensor]:
    def one(position: Tensor, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        with slot.holding(inputs):
            values = target.constrain_one(target.layout.unpack(position))
        return {name: values[name] for name in target.layout.names}

    of_draws = torch.func.vmap(one, in_dims=(0, None), randomness="different")
    of_sets = torch.func.vmap(of_draws, randomness="different", chunk_size=SETS_AT_ONCE)
    with torch.no_grad():
        found: dict[str, Tensor] = of_sets(draws, dict(data))
    return found
