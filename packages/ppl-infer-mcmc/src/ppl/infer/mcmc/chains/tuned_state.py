"""The step size and the mass matrix of a kernel: what is set, in use, or was adapted."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_map

from ppl.errors import NotRunError, ShapeError, warn
from ppl.infer.layout import Layout
from ppl.infer.mcmc.adaptation.block_mass import BlockMassMatrix
from ppl.infer.mcmc.adaptation.mass_matrix import MassMatrix
from ppl.infer.mcmc.adaptation.warmup import Warmup
from ppl.infer.mcmc.chains.chains import Chains
from ppl.infer.mcmc.chains.execution import CHAINS_TO_POOL
from ppl.infer.mcmc.target.blocks import (
    FullMass,
    InverseMass,
    Names,
    block_mask,
    blocks_of,
    inverse_mass,
    split_blocks,
)
from ppl.infer.mcmc.transition.machine import Tuning


@dataclass(frozen=True)
class TuningOptions:
    """What the next run of a kernel begins with.

    Attributes:
        step_size: A number, or one for each chain.
        inverse_mass: The inverse mass, if one was given.
        full_mass: In which blocks of sites the mass matrix is dense.
        warmup: How both are adapted.
        cross_chain_adaptation: Whether chains that run together learn together; None if they do
            where they are many.
    """

    step_size: float | Tensor
    inverse_mass: InverseMass | MassMatrix | None
    full_mass: FullMass
    warmup: Warmup
    cross_chain_adaptation: bool | None = None


class TunedState:
    """The step size and the mass matrix of a kernel, before, in and after its runs.

    Copies and pickles have the tuning, and no chains.

    Args:
        options: What the first run begins with.
    """

    def __init__(self, options: TuningOptions) -> None:
        self.options = options
        self._layout: Layout | None = None
        self._chains: list[Chains] = []  # of a run that is under way
        self._learnt: Tuning | None = None  # of chains that are gone
        self._last: Tensor | None = None  # where they ended, (chain, dim)

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "_chains": [], "_learnt": self.tuning, "_last": self._last_draws}

    @property
    def tuning(self) -> Tuning | None:
        """What is in use, or was when the last run ended."""
        if not self._chains:
            return self._learnt
        tunings = [chains.state.tuning for chains in self._chains]
        return tree_map(lambda *parts: torch.cat(parts), *tunings)  # type: ignore[no-any-return]

    @property
    def _last_draws(self) -> Tensor | None:
        if not self._chains:
            return self._last
        return torch.cat([chains.state.machine.draw.position for chains in self._chains])

    def state_dict(self) -> dict[str, Any]:
        """Return the tuning and the last draws, see :class:`~ppl.infer.mcmc.HMC`."""
        tuning, last, layout = self.tuning, self._last_draws, self._layout
        if tuning is None or last is None or layout is None:
            raise NotRunError("the kernel has learnt nothing before the first run in this process")
        return {
            "step_size": tuning.step_size.clone(),
            "inverse_mass_matrix": tuning.metric.inverse.clone(),
            "initial_params": {n: x.clone() for n, x in layout.unpack(last).items()},
        }

    def load(self, **changes: Any) -> None:
        """Let the next run begin with what is given instead of what was adapted."""
        self.options = replace(self.options, **changes)
        self._chains, self._learnt, self._last = [], None, None

    # a run

    def begin(self, layout: Layout) -> None:
        """Begin a run of sites that lie so in a position."""
        self._layout, self._chains = layout, []

    def follow(self, chains: Chains) -> None:
        """Read the tuning of chains of this run, too."""
        self._chains.append(chains)

    def end(self) -> None:
        """Forget the chains; what was adapted can still be read."""
        self._learnt, self._last = self.tuning, self._last_draws
        self._chains = []

    def steps_of(self, position: Tensor) -> Tensor:
        """Return the step size that each of the chains at ``(chain, dim)`` begins with."""
        steps, num_chains = torch.as_tensor(self.options.step_size).to(position), len(position)
        if tuple(steps.shape) not in ((), (num_chains,)):
            raise ShapeError(
                f"step_size has shape {tuple(steps.shape)}, but {num_chains} chains run together: "
                f"give a number, or one for each of them, shape {(num_chains,)}"
            )
        return steps.expand(num_chains)

    def warmup_of(self, num_steps: int, position: Tensor, some: slice = slice(None)) -> Warmup:
        """Return the warm-up of some chains, with the mass matrix that it begins with."""
        layout, given, full_mass = self._layout, self.options.inverse_mass, self.options.full_mass
        assert layout is not None
        if isinstance(given, MassMatrix):
            given = _configured(given, layout, full_mass).inverse_mass_matrix
        if given is not None:
            given = inverse_mass(given, layout, position, full_mass)[some]
        mask = block_mask(layout, full_mass)
        return replace(
            self.options.warmup,
            num_steps=num_steps,
            cross_chain_adaptation=self._learn_together(len(position[some]), len(position)),
            block_mask=None if mask is None else mask.to(position.device),
            inverse_mass=given,
        )

    def _learn_together(self, number: int, of: int) -> bool:
        """Return whether so many chains that run together, of those of the run, learn together."""
        wanted = self.options.cross_chain_adaptation
        if wanted is None:
            return number >= CHAINS_TO_POOL
        if wanted and number == 1 < of:
            warn(
                "cross_chain_adaptation=True, but chains that run one after another or in "
                'processes learn alone; chain_method="vectorized" runs them together'
            )
        return wanted and number > 1

    # what is set and read between runs

    @property
    def step_size(self) -> float | Tensor:
        """The step size in use: a number, or ``(chain,)`` where several chains have run."""
        if self.tuning is None:
            return self.options.step_size
        step_size = self.tuning.step_size
        return float(step_size) if len(step_size) == 1 else step_size

    @property
    def inverse_by_blocks(self) -> dict[Names, Tensor]:
        """The inverse mass in use by groups of sites: blocks ``(n, n)`` and a diagonal ``(n,)``."""
        given = self.options.inverse_mass
        if self.tuning is None and isinstance(given, Mapping):
            return dict(given)
        if self.tuning is None and isinstance(given, MassMatrix):
            return given.inverse_mass_matrix
        if self._layout is None:
            raise NotRunError(
                "there are no groups of sites before the first run; flat_inverse_mass_matrix is a "
                "tensor that was given"
            )
        return split_blocks(self.inverse, self._layout, self.options.full_mass)

    @property
    def inverse(self) -> Tensor:
        """The inverse mass in use as one tensor, of several chains ``(chain, ...)``."""
        if self.tuning is not None:
            inverse = self.tuning.metric.inverse
            return inverse[0] if len(inverse) == 1 else inverse
        if isinstance(self.options.inverse_mass, Tensor):
            return self.options.inverse_mass
        raise NotRunError("there is no mass matrix before the first run")

    def adapter(self, use: Callable[[MassMatrix], None]) -> MassMatrix:
        """Return the mass matrix in use by blocks, of several chains the mean.

        `use` is called with it when something is put into it.
        """
        if self.tuning is None and isinstance(self.options.inverse_mass, MassMatrix):
            return self.options.inverse_mass
        adapter, inverse = _MassInUse(), self.inverse
        if self._layout is None:
            raise NotRunError("there is no mass matrix by sites before the first run")
        if inverse.dim() > 1 + bool(self.options.full_mass):
            inverse = inverse.mean(0)
        adapter.inverse_mass_matrix = split_blocks(inverse, self._layout, self.options.full_mass)
        adapter.use = use
        return adapter

    def set(self, chains: Chains | None, **changes: Any) -> None:
        """Let the next run begin with the last one's tuning and with some of it changed.

        Args:
            chains: A chain that was set up and goes on with it.
            changes: Of the options, by name.
        """
        if self.tuning is not None:
            changes = {"step_size": self.step_size, "inverse_mass": self.inverse, **changes}
            self._chains, self._learnt = [], None
        self.options = replace(self.options, **changes)
        if chains is not None:
            self._retune(chains)

    def _retune(self, chains: Chains) -> None:
        self._chains = [chains]
        draw = chains.state.machine.draw
        warmup = self.warmup_of(chains.sampler.warmup.num_steps, draw.position)
        step_size = self.steps_of(draw.position)
        chains.retune(Tuning(step_size.clone(), warmup.first_metric(draw)))


def _configured(adapter: MassMatrix, layout: Layout, full_mass: FullMass) -> MassMatrix:
    """Return an adapter with the blocks of a kernel, a copy if it had none."""
    if any(adapter.mass_matrix_size):
        return adapter
    adapter, sizes = copy.deepcopy(adapter), dict(zip(layout.names, layout.sizes, strict=True))
    blocks, rest = blocks_of(layout, full_mass)
    shapes: dict[Names, tuple[int, ...]] = {}
    for names in (*blocks, *([rest] if rest else [])):
        number = sum(sizes[name] for name in names)
        shapes[names] = (number,) if names == rest else (number, number)
    adapter.configure(shapes)
    return adapter


class _MassInUse(BlockMassMatrix):
    """The mass matrix of a kernel, which hears of what is put in its place."""

    use: Callable[[MassMatrix], None] | None = None

    def _put(self, inverse: Mapping[Names, Tensor]) -> None:
        super()._put(inverse)
        if self.use is not None:
            self.use(self)
