"""Hamiltonian Monte Carlo with energy-conserving subsampling."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor
from torch.distributions import Transform

import ppl.poutine as poutine
from ppl.errors import ArgumentError, ArgumentTypeError, NotRunError, warn
from ppl.infer.mcmc import arguments
from ppl.infer.mcmc.described import describe
from ppl.infer.mcmc.gradient_kernel import GradientKernel
from ppl.infer.mcmc.mcmc_kernel import MCMCKernel
from ppl.infer.mcmc.slot import Slot
from ppl.infer.mcmc.subsampled_density import ChosenRows, SubsampledDensity, subsampled_plates
from ppl.infer.mcmc.target.opaque import opaque
from ppl.infer.mcmc.target.potential import ModelPotential, Params
from ppl.validation import validation_enabled

CHECKED_EVERY = 10  # draws, for the variance of the estimate
MOST_VARIANCE = 3.0  # of the estimated log density: more, and the draws are of another posterior


@arguments.names_unknown_arguments
class HMCECS(MCMCKernel):
    """HMC or NUTS on a subsample of the data: energy-conserving subsampling.

    The model has a ``plate(..., subsample_size=m)``. A draw is two steps. The first proposes other
    rows for one block of the subsample, and accepts them by the ratio of the estimated densities.
    The second is a transition of the kernel given the rows: Hamiltonian and acceptance use the same
    estimate, so that energy is conserved as it is with all data.

    The log likelihood is estimated by the difference to a proxy: the sum over all rows of a Taylor
    expansion around a reference, known beforehand, plus the scaled difference of likelihood and
    expansion in the subsample. Half of the estimated variance is taken off, which makes the
    estimate of the likelihood nearly unbiased. What is sampled is the posterior up to an error that
    falls with the square of the size of the subsample and is small where that variance is: it is
    among the `diagnostics`, and a warning says when it is large.

    Args:
        kernel: ``NUTS(model)`` or ``HMC(model)``, which is copied.
        num_blocks: Into how many blocks the subsample is split: with more of them, fewer rows
            change at a time, and more proposals are accepted.
        reference: Values of all latent sites to expand around, near the mode of the posterior; by
            default the mode is sought, which takes some dozen passes over the data.
        degree: That of the expansion. With 2 the second derivatives of each row are kept.

    Raises:
        ArgumentError: If a number is out of range, or the kernel has no model.
        UnsupportedModelError: In `setup`, if no plate subsamples, a latent site is inside of one
            that does or is discrete, or such plates are nested.

    Example:
        >>> import ppl.distributions as dist
        >>> from ppl.infer.mcmc import MCMC, NUTS
        >>> from ppl.primitives import plate, sample
        >>> _ = torch.manual_seed(0)
        >>> x = 3.0 + torch.randn(1000)
        >>> def model():
        ...     mean = sample("mean", dist.Normal(0.0, 10.0))
        ...     with plate("rows", 1000, subsample_size=20) as rows:
        ...         sample("x", dist.Normal(mean, 1.0), obs=x[rows])
        >>> mcmc = MCMC(HMCECS(NUTS(model)), num_samples=200, disable_progbar=True)
        >>> mcmc.run()
        >>> bool(abs(mcmc.get_samples()["mean"].mean() - x.mean()) < 0.02)
        True

    References:
        Dang, Quiroz, Kohn, Tran & Villani 2019, "Hamiltonian Monte Carlo with energy conserving
        subsampling"; Quiroz, Kohn, Villani & Tran 2019, "Speeding up MCMC by efficient data
        subsampling", for the estimate and its error; Tran, Kohn, Quiroz & Villani 2016, "The block
        pseudo-marginal sampler".
    """

    _of_a_run = ("_kernel", "_rows", "_density")

    def __init__(
        self,
        kernel: GradientKernel,
        num_blocks: int = 1,
        reference: Mapping[str, Tensor] | None = None,
        degree: int = 2,
    ) -> None:
        if not isinstance(kernel, GradientKernel):
            raise ArgumentTypeError(
                f"HMCECS takes a kernel that follows gradients, HMCECS(NUTS(model)), got {kernel!r}"
            )
        if kernel.model is None:
            raise ArgumentError("HMCECS needs a kernel with a model, not with a potential_fn")
        self.kernel = kernel
        self.num_blocks: int = arguments.whole_number("num_blocks", num_blocks, 1)
        self.reference: Mapping[str, Tensor] | None = arguments.optional_mapping(
            "reference", reference, "values"
        )
        self.degree: int = arguments.one_of("degree", degree, (1, 2))
        self.transforms: Mapping[str, Transform] | None = None  # those of the driver, in a run
        self._kernel: GradientKernel | None = None
        self._given: Params = {}

    def __repr__(self) -> str:
        options = {"kernel": self.kernel, "num_blocks": self.num_blocks, "degree": self.degree}
        return describe(self, options, "energy-conserving subsampling")

    @opaque
    def setup(self, warmup_steps: int, *args: Any, **kwargs: Any) -> None:
        """Prepare one chain; see :class:`~ppl.infer.mcmc.mcmc_kernel.MCMCKernel`."""
        assert self.kernel.model is not None
        plates = subsampled_plates(poutine.trace(self.kernel.model).get_trace(*args, **kwargs))
        self._check_blocks(plates)
        self._rows = Slot({n: torch.randint(size, (m,)) for n, (size, m) in plates.items()})
        chosen = ChosenRows(self._rows)(self.kernel.model)
        kernel = copy.copy(self.kernel)
        kernel.model, kernel.changing = chosen, self._rows
        kernel.transforms = {**(kernel.transforms or {}), **(self.transforms or {})}
        if self._given:
            kernel.initial_params = self._given
        target = kernel.target(1, args, kwargs)
        potential = ModelPotential(chosen, args, kwargs, kernel.transforms)
        with validation_enabled(False):
            self._density = SubsampledDensity(
                potential, target.layout, plates, self._rows, self.degree
            )
            center = self._density.expand(target.start[0], self.reference)
            start = target.start if self._given else center[None]
            kernel.begin(
                replace(
                    target,
                    potential=self._density,
                    start=start,
                    constrain_one=self._density.constrain,
                ),
                warmup_steps,
            )
        self._kernel = kernel
        self._num_proposed, self._num_accepted = 0, 0
        self._variances: list[float] = []

    @opaque
    def sample(self, params: Params) -> Params:
        """Return the next draw after `params`; both are unconstrained values by site."""
        kernel = self._running()
        with validation_enabled(False), torch.no_grad():
            self._change_rows(params)
        kernel.clear_cache()
        draw = kernel.sample(params)
        if self._num_proposed % CHECKED_EVERY == 0:
            with validation_enabled(False), torch.no_grad():
                self._variances.append(float(self._density.variance(self._pack(draw))))
        return draw

    def _change_rows(self, params: Params) -> None:
        """Propose other rows for one block of each subsample, and accept or reject them."""
        before, energy = dict(self._rows), self._energy(params)
        for name, (size, number) in self._density.plates.items():
            block = torch.arange(number).tensor_split(self.num_blocks)
            chosen = block[int(torch.randint(self.num_blocks, ()))]
            fresh = before[name].clone()
            fresh[chosen] = torch.randint(size, (len(chosen),))
            self._rows[name] = fresh
        log_ratio = (energy - self._energy(params)).nan_to_num(nan=-torch.inf)
        is_accepted = bool(torch.rand(()).log() < log_ratio)
        if not is_accepted:
            self._rows.update(before)
        self._num_proposed += 1
        self._num_accepted += is_accepted

    def _energy(self, params: Params) -> Tensor:
        machine = self._running().running_chain().sampler.machine
        potential, _ = machine.potential_and_grad(self._pack(params)[None])
        return potential[0]

    def _pack(self, params: Params) -> Tensor:
        return self._density.layout.pack(params)

    def _check_blocks(self, plates: Mapping[str, tuple[int, int]]) -> None:
        for name, (_, number) in plates.items():
            if not max(self.num_blocks, 2) <= number:
                raise ArgumentError(
                    f"plate {name!r} draws {number} rows, but HMCECS needs at least 2 of them, and "
                    f"one for each of num_blocks={self.num_blocks}"
                )

    def end_warmup(self) -> None:
        """Note that warm-up is over, and warn if the density is estimated badly."""
        self._running().end_warmup()
        late = self._variances[len(self._variances) // 2 :]
        if late and (found := sum(late) / len(late)) > MOST_VARIANCE:
            warn(
                f"HMCECS: the estimated log density has a variance of {found:.3g} (more than "
                f"{MOST_VARIANCE:g}), so that the draws are of another posterior: raise "
                "subsample_size, or pass a reference nearer to the mode"
            )
        self._num_proposed, self._num_accepted, self._variances = 0, 0, []

    @opaque
    def constrain(self, draws: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return constrained values of unconstrained draws, both ``(chain, draw, *site)``."""
        return self._running().constrain(draws)

    def fields(self) -> dict[str, float]:
        """Return what the kernel knows of the last transition."""
        return self._running().fields()

    def logging(self) -> Mapping[str, str]:
        """Return what the kernel shows, and the share of subsamples that were accepted."""
        return {**self._running().logging(), "rows": f"{self._acceptance:.3f}"}

    def diagnostics(self) -> dict[str, Any]:
        """Return what the kernel knows, and how subsample and estimate have done.

        The variance is the mean of that of the estimated log density, in squared nats.
        """
        variance = sum(self._variances) / max(1, len(self._variances))
        return {
            **self._running().diagnostics(),
            "acceptance rate of subsamples": self._acceptance,
            "variance of the log density": variance,
        }

    @property
    def _acceptance(self) -> float:
        return self._num_accepted / max(1, self._num_proposed)

    def cleanup(self) -> None:
        """Forget the chain."""
        if self._kernel is not None:
            self._kernel.cleanup()
        vars(self).update(dict.fromkeys(self._of_a_run))

    @property
    def initial_params(self) -> Params:
        """Unconstrained values that the chain starts from, by site."""
        return self._given if self._kernel is None else self._kernel.initial_params

    @initial_params.setter
    def initial_params(self, params: Params | None) -> None:
        self._given = arguments.start_values(params) or {}

    def _running(self) -> GradientKernel:
        if self._kernel is None:
            raise NotRunError("call HMCECS.setup(warmup_steps, ...) before sampling")
        return self._kernel
