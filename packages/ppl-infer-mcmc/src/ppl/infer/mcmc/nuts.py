"""The No-U-Turn sampler (Hoffman & Gelman 2014; Betancourt 2017)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor
from torch.distributions import Transform

from ppl.infer.initialization import Strategy, init_to_uniform
from ppl.infer.mcmc import arguments
from ppl.infer.mcmc.adaptation.adapt import Adapt
from ppl.infer.mcmc.gradient_kernel import GradientKernel
from ppl.infer.mcmc.target.blocks import FullMass, InverseMass
from ppl.infer.mcmc.target.evaluation import PotentialAndGrad
from ppl.infer.mcmc.target.potential import PotentialFn
from ppl.infer.mcmc.transition.machine import (
    Transition,
)
from ppl.infer.mcmc.transition.nuts_transition import NoUTurn


@arguments.names_unknown_arguments
class NUTS(GradientKernel):
    """The No-U-Turn sampler: Hamiltonian Monte Carlo that chooses the length of its trajectories.

    A trajectory doubles, forward or backward in time, until it starts to return (Hoffman & Gelman
    2014); the draw is chosen from its points by their density (Betancourt 2017).  Step size and
    mass matrix adapt during warm-up.  All chains of a run advance together, each at its own pace.

    Args:
        model: The model; or
        potential_fn: the potential energy (negative log density, nats) of a dict of unconstrained
            values by site, shape ``()``; needs ``initial_params``.
        step_size: The step size of the leapfrog, perhaps ``(chain,)``; where adaptation starts.
            None stands for 1.
        adapt_step_size: Whether warm-up adapts the step size (dual averaging).
        adapt_mass_matrix: Whether warm-up adapts the mass matrix.
        full_mass: Whether the mass matrix is dense instead of diagonal; or the blocks of sites in
            which it is, such as ``[("a", "b"), ("c",)]``: other sites have a diagonal one.
        use_multinomial_sampling: Choose the draw by density, else by slice sampling as in the
            original paper.
        transforms: Bijections from the support of a site to unconstrained space, for the sites that
            shall not use the registered one.
        max_plate_nesting: The largest number of nested plates, if the model has discrete latent
            sites, which are summed out exactly; found by running the model once if not given.
        jit_compile: Compile the potential, however short the run.  By default a run of 500 or more
            transitions a chain compiles it where a C++ compiler is found (setting
            ``mcmc_execution``: "auto", "eager", "graph" or "inductor").
        jit_options: Accepted, not used.
        ignore_jit_warnings: Accepted, not used.
        target_accept_prob: What the step size adaptation aims at; more is slower and more robust.
        max_tree_depth: A trajectory has at most ``2 ** max_tree_depth - 1`` leapfrogs.
        init_strategy: Chooses the starting points.
        inverse_mass_matrix: The inverse mass to begin with: ``(dim,)`` or, for a dense one,
            ``(dim, dim)``, with a leading dimension if it differs between chains; or by blocks of
            sites, such as ``{("a", "b"): matrix}``, where other sites have unit mass.
        adapt: What the mass matrix is learnt from.  "diag": a diagonal one, from draws and
            gradients; "low_rank": a diagonal one plus one of low rank, likewise; "dense": a dense
            one, from draws, as ``full_mass=True``; "stan": from draws, in the windows of Stan.  The
            default is "diag", and "dense" where `full_mass` is given.
        cross_chain_adaptation: Whether chains that run together learn one step size and one mass
            matrix from all of them; by default from 16 chains on.

    Raises:
        ArgumentError: If not exactly one of `model` and `potential_fn` is given, or a number is out
            of range.
        SiteError: If a site is in several blocks.

    Example:
        >>> import ppl.distributions as dist
        >>> from ppl.infer.mcmc import MCMC
        >>> from ppl.primitives import sample
        >>> _ = torch.manual_seed(0)
        >>> mcmc = MCMC(
        ...     NUTS(lambda: sample("x", dist.Normal(3.0, 1.0))),
        ...     num_samples=500, num_chains=4, disable_progbar=True,
        ... )
        >>> mcmc.run()
        >>> bool(abs(mcmc.get_samples()["x"].mean() - 3.0) < 0.3)
        True
    """

    def __init__(
        self,
        model: Callable[..., Any] | None = None,
        potential_fn: PotentialFn | None = None,
        step_size: float | Tensor | None = 1,
        adapt_step_size: bool = True,
        adapt_mass_matrix: bool = True,
        full_mass: FullMass = False,
        use_multinomial_sampling: bool = True,
        transforms: Mapping[str, Transform] | None = None,
        max_plate_nesting: int | None = None,
        jit_compile: bool = False,
        jit_options: Mapping[str, Any] | None = None,
        ignore_jit_warnings: bool = False,
        target_accept_prob: float = 0.8,
        max_tree_depth: int = 10,
        init_strategy: Strategy = init_to_uniform,
        *,
        inverse_mass_matrix: InverseMass | None = None,
        adapt: Adapt | None = None,
        cross_chain_adaptation: bool | None = None,
    ) -> None:
        super().__init__(
            model,
            potential_fn,
            step_size,
            adapt_step_size=adapt_step_size,
            adapt_mass_matrix=adapt_mass_matrix,
            full_mass=full_mass,
            transforms=transforms,
            max_plate_nesting=max_plate_nesting,
            jit_compile=jit_compile,
            target_accept_prob=target_accept_prob,
            init_strategy=init_strategy,
            inverse_mass_matrix=inverse_mass_matrix,
            adapt=adapt,
            cross_chain_adaptation=cross_chain_adaptation,
        )
        self.max_tree_depth: int = arguments.whole_number("max_tree_depth", max_tree_depth, 1)
        self.use_multinomial_sampling: bool = arguments.flag(
            "use_multinomial_sampling", use_multinomial_sampling
        )

    option_names = ("max_tree_depth", "use_multinomial_sampling")
    has_native_twin = True

    def transition(self, potential_and_grad: PotentialAndGrad, device: torch.device) -> Transition:
        """Return trajectories that double until they turn."""
        return NoUTurn(
            potential_and_grad, self.max_tree_depth, self.use_multinomial_sampling, device
        )
