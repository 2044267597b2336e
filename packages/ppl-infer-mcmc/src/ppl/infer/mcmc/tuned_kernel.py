"""Kernels with a step size and a mass matrix, which can be read and set."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from ppl.errors import ArgumentError, ArgumentTypeError, warn
from ppl.infer.mcmc import arguments
from ppl.infer.mcmc.adaptation.block_mass import BlockMassMatrix
from ppl.infer.mcmc.adaptation.mass_matrix import MassMatrix
from ppl.infer.mcmc.chains.single_chain import SingleChain
from ppl.infer.mcmc.chains.tuned_state import TunedState, TuningOptions
from ppl.infer.mcmc.mcmc_kernel import MCMCKernel
from ppl.infer.mcmc.target.blocks import FullMass, InverseMass, Names


class TunedKernel(MCMCKernel):
    """A kernel whose warm-up adapts a step size and a mass matrix.

    Args:
        options: What its first run begins with.
    """

    def __init__(self, options: TuningOptions) -> None:
        self._tuned = TunedState(options)
        self._single_chain: SingleChain | None = None

    _of_a_run = ("_single_chain",)
    _own = ("_tuned",)

    def state_dict(self) -> dict[str, Any]:
        """Return what the last run has learnt and where its chains are: tensors to be saved.

        Returns:
            "step_size", ``(chain,)``; "inverse_mass_matrix", ``(chain, dim)`` or
            ``(chain, dim, dim)``; and "initial_params", the last draws, unconstrained values
            ``(chain, *site)`` by site.

        Raises:
            NotRunError: Before the first run.
        """
        return self._tuned.state_dict()

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Let the next run begin with step sizes, metrics and positions of an earlier one.

        It needs no warm-up.  It has as many chains as the earlier run had.

        Args:
            state: What :meth:`state_dict` has returned, of a kernel with the same model and the
                same form of the mass matrix.

        Raises:
            ArgumentError: If it is anything else.
        """
        keys = ("step_size", "inverse_mass_matrix", "initial_params")
        if not isinstance(state, Mapping) or set(state) != set(keys):
            raise ArgumentError(f"a state_dict of a kernel has {keys}, got {state!r}")
        step_size, inverse, params = (state[key] for key in keys)
        if len(step_size) == 1:
            params = {name: x[0] for name, x in params.items()}
        step_size = arguments.step_size("step_size", step_size)
        self._tuned.load(step_size=step_size, inverse_mass=checked_mass(inverse))
        self.initial_params, self._single_chain = params, None

    @property
    def full_mass(self) -> FullMass:
        """In which blocks of sites the mass matrix is dense."""
        return self._tuned.options.full_mass

    @property
    def step_size(self) -> float | Tensor:
        """The step size in use: a number, or ``(chain,)`` where several chains have run.

        The next run begins with what is set, and with the mass matrix that is in use.
        """
        return self._tuned.step_size

    @step_size.setter
    def step_size(self, step_size: float | Tensor | None) -> None:
        self._set(step_size=arguments.step_size("step_size", step_size))

    @property
    def inverse_mass_matrix(self) -> dict[Names, Tensor]:
        """The inverse mass in use by groups of sites: blocks ``(n, n)`` and a diagonal ``(n,)``.

        A group is known by the names of its sites: there is one for each block of `full_mass`, and
        one, diagonal, for all other sites, sorted by name.  Its numbers are those of its
        unconstrained sites, one after another.  Where several chains have run, each group has a
        leading dimension for them.

        The next run begins with what is set, in this form or as one tensor as the argument of the
        same name, and with the step size that is in use; a chain that was set up goes on with it.
        """
        return self._tuned.inverse_by_blocks

    @inverse_mass_matrix.setter
    def inverse_mass_matrix(self, inverse: InverseMass | None) -> None:
        self._set(inverse_mass=checked_mass(inverse))

    @property
    def flat_inverse_mass_matrix(self) -> Tensor:
        """The inverse mass in use as one tensor, ``(dim,)`` or ``(dim, dim)``.

        Rows and columns are the numbers of the unconstrained sites, sorted by the sites' names.
        Where several chains have run, there is a leading dimension for them.
        """
        return self._tuned.inverse

    @property
    def mass_matrix_adapter(self) -> MassMatrix:
        """The mass matrix in use by blocks of sites; of several chains the mean.

        The next run begins with the inverse mass of what is set, be it this attribute or its
        `inverse_mass_matrix`, with a multiple of the unit matrix if it has not been configured yet;
        warm-up then learns as `adapt` says.
        """
        return self._tuned.adapter(self._use_mass)

    @mass_matrix_adapter.setter
    def mass_matrix_adapter(self, adapter: MassMatrix) -> None:
        if not isinstance(adapter, MassMatrix):
            raise ArgumentTypeError(
                f"mass_matrix_adapter must be a mass matrix such as ArrowheadMassMatrix(), got "
                f"{adapter!r}"
            )
        warmup = self._tuned.options.warmup
        if warmup.adapt_mass_matrix and not isinstance(adapter, BlockMassMatrix):
            warn(
                f"the next run begins with the mass of {type(adapter).__name__}, but its warm-up "
                f"learns another one, as adapt={warmup.adapt!r} says"
            )
        self._use_mass(adapter)

    def _use_mass(self, adapter: MassMatrix) -> None:
        self._set(inverse_mass=adapter)

    def _set(self, **changes: Any) -> None:
        chain = self._single_chain
        self._tuned.set(None if chain is None else chain.chains, **changes)


def checked_mass(inverse: Any) -> InverseMass | None:
    """Return an inverse mass, if it is of a type that can be one."""
    if inverse is None or isinstance(inverse, (Tensor, Mapping)):
        return inverse
    raise ArgumentTypeError(
        f"inverse_mass_matrix must be a tensor, or a dict of tensors by groups of sites, got "
        f"{inverse!r}"
    )
