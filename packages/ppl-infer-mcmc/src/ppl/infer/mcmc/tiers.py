"""How the leapfrogs of a run are executed: as recorded tensor programs, or compiled as a whole."""

from __future__ import annotations

from typing import Literal

from ppl import settings
from ppl.errors import SiteError, warn
from ppl.inductor import find_compiler
from ppl.infer.mcmc.chains import Chains
from ppl.infer.mcmc.compiled import CompiledStride
from ppl.infer.mcmc.potential import RecordedPotential
from ppl.infer.mcmc.sampler import STEPS_AT_ONCE

Tier = Literal["auto", "graph", "inductor"]
TIERS = ("auto", "graph", "inductor")
ENOUGH = 1000  # transitions of a chain: from here on a compiled run is faster from a cold start

mcmc_tier: Tier = "auto"


def _check_tier(tier: Tier) -> None:
    if tier not in TIERS:
        raise SiteError(f"mcmc_tier must be one of {TIERS}, got {tier!r}")


settings.register("mcmc_tier", __name__, "mcmc_tier", _check_tier)


def compiled_stride(chains: Chains, jit_compile: bool) -> CompiledStride | None:
    """Return what takes the leapfrogs of these chains, if they shall be compiled; None if not.

    The choice depends on the work ahead but on no clock, so that a run can be repeated exactly.
    """
    tier = "inductor" if jit_compile else mcmc_tier
    if tier == "graph" or not _can_compile(chains):
        return None
    if tier == "auto" and chains.sampler.num_iterations < ENOUGH:
        return None
    try:
        return CompiledStride(chains.sampler, chains.state, chains.stream.peek(STEPS_AT_ONCE))
    except Exception as error:  # the compiler has more ways to fail than we could list
        warn(f"the sampler runs without compilation: {type(error).__name__}: {error}")
        return None


def _can_compile(chains: Chains) -> bool:
    is_recorded = isinstance(chains.sampler.machine.potential_and_grad, RecordedPotential)
    is_on_cpu = chains.state.iteration.device.type == "cpu"
    return is_recorded and is_on_cpu and find_compiler() is not None
